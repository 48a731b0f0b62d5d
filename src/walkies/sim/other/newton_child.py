"""The process that has Newton in it, in an environment of its own, and how to talk with it.

`walkies.sim.other.newton` starts this file as a program of Newton's Python, where there is neither walkies nor JAX: it
imports the standard library and NumPy. Both sides send frames: a header and so many bytes that it announces. They are
JSON or rows of float32, one row for each robot, of which both sides know the length beforehand; nothing that comes in
is executed, and a frame of another length or kind ends the conversation.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

HEADER = struct.Struct("<4sIIQ")
"""MAGIC, kind, robots, bytes that follow."""
MAGIC = b"wkn1"
MODEL, START, STEP = 1, 2, 3
"""Kinds of requests. The reply to each has its kind, or is an ERROR."""
ERROR = 4
TEXT_LIMIT = 16 << 20
"""Bytes of a text: a humanoid's URDF has 40 thousand."""
NUMBERS_LIMIT = 1 << 31
"""Bytes of a frame of numbers."""
NUMBER = np.dtype("<f4")
Arrays = dict[str, np.ndarray]
Layout = Mapping[str, tuple[int, ...]]


class Sizes(NamedTuple):
    """Of a robot."""

    bodies: int
    hinges: int
    spheres: int


def layout(kind: int, sizes: Sizes) -> Layout:
    """What a request has in it: name → shape of one robot's part, in this order. Newton's conventions."""
    bodies, hinges, _ = sizes
    if kind == STEP:
        return {"torque": (hinges,), "force": (3,)}
    return {
        "mass": (bodies,), "centre": (bodies, 3), "inertia": (bodies, 3, 3), "armature": (hinges,),
        "frictionloss": (hinges,), "friction": (1,), "gravity": (3,), "solref": (2,), "solimp": (5,),
        "warmstart": (6 + hinges,), "joint_q": (7 + hinges,), "joint_qd": (6 + hinges,),
    }  # fmt: skip


STATE = ("warmstart", "joint_q", "joint_qd")
"""What of START is the robot's state; the rest is its body."""


def reply_layout(kind: int, sizes: Sizes) -> Layout:
    """What a reply has in it; as `layout`."""
    if kind != STEP:
        return {}
    _, hinges, spheres = sizes
    return {
        "joint_q": (7 + hinges,), "joint_qd": (6 + hinges,), "warmstart": (6 + hinges,), "contact_force": (spheres, 3)
    }  # fmt: skip


class ProtocolError(Exception):
    """A frame is not what it has to be."""


def send(stream: IO[bytes], kind: int, robots: int, content: bytes) -> None:
    """Write a frame."""
    stream.write(HEADER.pack(MAGIC, kind, robots, len(content)))
    stream.write(content)
    stream.flush()


def receive_header(stream: IO[bytes]) -> tuple[int, int, int] | None:
    """Kind, robots and length of the next frame; None where the stream has ended.

    Raises:
        ProtocolError: what comes is no header.
    """
    head = stream.read(HEADER.size)
    if not head:
        return None
    if len(head) < HEADER.size or head[: len(MAGIC)] != MAGIC:
        raise ProtocolError(f"expected a frame that begins with {MAGIC!r}, got {head[:8]!r}")
    _, kind, robots, length = HEADER.unpack(head)
    return kind, robots, length


def receive(stream: IO[bytes], length: int, least: int, most: int) -> bytes:
    """The content of a frame whose header announced `length` bytes.

    Raises:
        ProtocolError: the length is not between `least` and `most`, or the stream ended before.
    """
    if not least <= length <= most:
        raise ProtocolError(f"expected a frame of {least} to {most} bytes, got one of {length}")
    content = stream.read(length)
    if len(content) < length:
        raise ProtocolError(f"expected {length} bytes, and the stream ended after {len(content)}")
    return content


def length_of(shapes: Layout, robots: int) -> int:
    """Bytes of a frame with these arrays."""
    return robots * sum(int(np.prod(shape)) for shape in shapes.values()) * NUMBER.itemsize


def pack(shapes: Layout, arrays: Mapping[str, Any], robots: int) -> bytes:
    """Arrays (robots, …) as rows of numbers.

    Raises:
        ValueError: one of them has another shape.
    """
    rows = []
    for name, shape in shapes.items():
        array = np.asarray(arrays[name], NUMBER)
        if array.shape != (robots, *shape):
            raise ValueError(f"{name} has the shape {array.shape}, expected {(robots, *shape)}")
        rows.append(array.reshape(robots, -1))
    return np.concatenate(rows, axis=1).tobytes() if rows else b""


def unpack(shapes: Layout, content: bytes, robots: int) -> Arrays:
    """The arrays (robots, …) of a frame that has the right length."""
    table = np.frombuffer(content, NUMBER).reshape(robots, -1)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(table, ends[:-1], axis=1)
    return {name: part.reshape(robots, *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


RAW = 1
"""Newton's mode of a solref that is MuJoCo's own (`SOLREF_MODE_RAW`), and no stiffness and damping to convert."""


class Worlds:
    """So many copies of a robot in Newton, each with parameters of its own."""

    def __init__(self, newton: Any, about: Mapping[str, Any], count: int) -> None:
        self._newton, self.count, self._timestep = newton, count, float(about["timestep"])
        one, many = _builder(newton), _builder(newton)
        one.add_urdf(about["urdf"], floating=True, enable_self_collisions=False)
        # Motors are computed before Newton: it is to have no servos of its own.
        one.joint_target_mode[:] = [int(newton.JointTargetMode.NONE)] * len(one.joint_target_mode)
        links, joints = ([label.rpartition("/")[2] for label in labels] for labels in (one.body_label, one.joint_label))
        hinges = np.array([joints.index(name) for name in about["hinges"]])
        waiting = {name: iter(one.body_shapes[links.index(name)]) for name in links}
        self._bodies = self._everywhere([links.index(name) for name in about["links"]], one.body_count)
        self._spheres = self._everywhere([next(waiting[name]) for name in about["spheres"]], one.shape_count)
        self._q = self._everywhere([*range(7), *np.array(one.joint_q_start)[hinges]], one.joint_coord_count)
        self._qd = self._everywhere([*range(6), *np.array(one.joint_qd_start)[hinges]], one.joint_dof_count)
        many.replicate(one, count)
        many.add_ground_plane()
        self.model = many.finalize(device="cpu")
        self._set_rules(about)
        spheres, dofs = self._spheres.shape[1], len(hinges)
        self._solver = newton.solvers.SolverMuJoCo(
            self.model, nconmax=spheres, njmax=2 * dofs + 4 * spheres, integrator="euler", cone=about["cone"],
            impratio=float(about["impratio"]), kinematic_switchable_roots=False,
        )  # fmt: skip
        self._now, self._next, self._control = self.model.state(), self.model.state(), self.model.control()
        contacts = newton.Contacts(self._solver.get_max_contact_count(), 0, device="cpu")
        self._seen = self._solver.observables({self._solver.ObservableKind.CONTACT_F}, contacts=contacts)
        self._owner = np.full(self.model.shape_count, -1)
        """Of each shape: which sphere of all robots together it is; −1: the ground."""
        self._owner[self._spheres.ravel()] = np.arange(self._spheres.size)
        self._body = b""

    def _everywhere(self, places: list[int], size: int) -> np.ndarray:
        """(count, places): where in the arrays of all robots is what one robot has at these places of `size`."""
        return np.arange(self.count)[:, None] * size + np.array(places)

    def _set_rules(self, about: Mapping[str, Any]) -> None:
        """What is the same for all robots: rules of limits, dry friction and contacts."""
        own, dofs, n = self.model.mujoco, self._qd[:, 6:], self.count
        for name, value in (
            ("solreflimit", about["limit_solref"]), ("solimplimit", about["limit_solimp"]),
            ("limit_margin", about["limit_margin"]), ("solreffriction", about["friction_solref"]),
            ("solimpfriction", about["friction_solimp"]),
        ):  # fmt: skip
            _write(getattr(own, name), dofs, np.broadcast_to(value, (n, *np.shape(value))))
        _write(own.solreflimit_mode, dofs, RAW)
        # The robot's side of a contact decides alone.
        _write(own.geom_priority, self._spheres, 1)
        _write(own.solref_mode, self._spheres, RAW)

    def start(self, given: Arrays) -> None:
        """Make the robots these, (n, …) with n at most `count`, in these states; further worlds repeat them."""
        row = np.arange(self.count) % len(given["mass"])
        given = {name: array[row] for name, array in given.items()}
        model, own, flags = self.model, self.model.mujoco, self._newton.ModelFlags
        body = b"".join(array.tobytes() for name, array in given.items() if name not in STATE)
        if body != self._body:
            for array, places, values in (
                (model.body_mass, self._bodies, given["mass"]), (model.body_com, self._bodies, given["centre"]),
                (model.body_inertia, self._bodies, given["inertia"]),
                (model.joint_armature, self._qd[:, 6:], given["armature"]),
                (model.joint_friction, self._qd[:, 6:], given["frictionloss"]),
                (model.shape_material_mu, self._spheres, given["friction"]),
                (own.solref, self._spheres, given["solref"][:, None]),
                (own.geom_solimp, self._spheres, given["solimp"][:, None]),
                (model.gravity, np.arange(self.count), given["gravity"]),
            ):  # fmt: skip
                _write(array, places, values)
            self._solver.notify_model_changed(
                flags.BODY_INERTIAL_PROPERTIES | flags.JOINT_DOF_PROPERTIES | flags.SHAPE_PROPERTIES
                | flags.MODEL_PROPERTIES
            )  # fmt: skip
            self._body = body
        self._solver.reset(self._now)
        self._solver.mjw_data.qacc_warmstart.assign(given["warmstart"])
        _write(self._now.joint_q, self._q, given["joint_q"])
        _write(self._now.joint_qd, self._qd, given["joint_qd"])

    def step(self, given: Arrays) -> Arrays:
        """One physics step under torques of the hinges and a force at the base's centre of mass."""
        n = len(given["torque"])
        row = np.arange(self.count) % n
        _write(self._control.joint_f, self._qd[:, 6:], given["torque"][row])
        _write(self._control.joint_f, self._qd[:, :3], given["force"][row])
        self._solver.step(
            self._now, self._next, self._control, self._seen.contacts, self._timestep, observables=self._seen
        )
        self._now, self._next = self._next, self._now
        return {
            "joint_q": self._now.joint_q.numpy()[self._q[:n]],
            "joint_qd": self._now.joint_qd.numpy()[self._qd[:n]],
            "warmstart": self._solver.mjw_data.qacc_warmstart.numpy()[:n],
            "contact_force": self._contact_force()[:n],
        }

    def _contact_force(self) -> np.ndarray:
        """(count, spheres, 3) N, world frame, of the ground on each sphere in the last step."""
        contacts, found = self._seen.contacts, np.zeros((self._spheres.size, 3), NUMBER)
        k = int(contacts.rigid_contact_count.numpy()[0])
        force = self._seen.contact_f.numpy()[:k, :3]
        # It is the force on the first of the two shapes.
        for side, sign in ((contacts.rigid_contact_shape0, 1), (contacts.rigid_contact_shape1, -1)):
            sphere = self._owner[side.numpy()[:k]]
            np.add.at(found, sphere[sphere >= 0], sign * force[sphere >= 0])
        return found.reshape(*self._spheres.shape, 3)


def _builder(newton: Any) -> Any:
    builder = newton.ModelBuilder()
    newton.solvers.SolverMuJoCo.register_custom_attributes(builder)
    builder.rigid_gap = 0.0
    return builder


def _write(array: Any, places: np.ndarray, values: Any) -> None:
    """Set rows of one of Newton's arrays."""
    whole = array.numpy()
    whole[places] = values
    array.assign(whole)


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer requests until there are no more; an error is answered too, and ends it."""
    try:
        for kind, robots, arrays, shapes in _answers(requests):
            send(replies, kind, robots, pack(shapes, arrays, robots))
    except Exception as error:  # whatever it is, the other side says it
        send(replies, ERROR, 0, f"{type(error).__name__}: {error}".encode()[:TEXT_LIMIT])
        raise


def _answers(requests: IO[bytes]) -> Iterator[tuple[int, int, Mapping[str, Any], Layout]]:
    """Kind, robots, content and its layout of each reply."""
    # Neither is in the environment in which walkies' types are checked.
    import newton  # type: ignore[import-not-found]
    import warp  # type: ignore[import-not-found]

    warp.config.quiet = True
    about: dict[str, Any] = {}
    sizes, worlds = Sizes(0, 0, 0), None
    robots = 0
    while (head := receive_header(requests)) is not None:
        kind, n, length = head
        if kind == MODEL:
            about = json.loads(receive(requests, length, 2, TEXT_LIMIT))
            sizes, worlds, robots = Sizes(*(len(about[name]) for name in ("links", "hinges", "spheres"))), None, 0
            yield kind, 0, {}, {}
            continue
        if kind not in (START, STEP) or not about or n < 1 or (kind == STEP and n != robots):
            raise ProtocolError(f"a request of kind {kind} for {n} robots does not fit what came before")
        shapes = layout(kind, sizes)
        expected = length_of(shapes, n)
        given = unpack(shapes, receive(requests, length, expected, min(expected, NUMBERS_LIMIT)), n)
        if kind == START:
            if worlds is None or worlds.count < n:
                worlds = Worlds(newton, about, n)
            worlds.start(given)
            robots = n
            yield kind, n, {}, {}
        else:
            assert worlds is not None
            yield kind, n, worlds.step(given), reply_layout(kind, sizes)


def main() -> None:
    """Be the process: requests come in by stdin, replies go out by stdout. Arguments: walkies' `child.py`, and the
    process with which to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    runpy.run_path(sys.argv[1])["end_with"](int(sys.argv[2]))
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())  # Warp's kernels print
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
