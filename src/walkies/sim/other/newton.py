"""Newton: an engine on Warp, of which the solver `SolverMuJoCo` is used: MuJoCo's equations once more, in float32.

Newton wants another MuJoCo than walkies, so it lives in an environment of its own and is talked to through pipes
(`walkies.sim.other.newton_child`). All robots are stepped together: a step of 16 takes little longer than one of one.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import mujoco
import numpy as np

from walkies import child
from walkies.errors import UserError
from walkies.sim.base import Params
from walkies.sim.callback import CallbackSimulator, Given, Rollout, in_body_frame, like
from walkies.sim.mujoco_batch import Kinematics
from walkies.sim.other import newton_child, urdf
from walkies.sim.other.install import installs, newton_python
from walkies.sim.other.newton_child import ERROR, MODEL, START, STEP, ProtocolError, Sizes
from walkies.sim.other.simulator import motor_torque, passive_torque
from walkies.sim.params import actuated_dofs, read_params

CONES = {mujoco.mjtCone.mjCONE_PYRAMIDAL: "pyramidal", mujoco.mjtCone.mjCONE_ELLIPTIC: "elliptic"}
END_TIMEOUT = 5.0
"""s that the process has to end by itself."""


class NewtonSimulator(CallbackSimulator):
    """Newton behind the protocol `walkies.sim.base.Simulator`.

    Motors and damping are computed here, before every physics step, as for the other engines; Newton's solver makes as
    many iterations as it takes to converge. What of `Params` it takes: `walkies.sim.other.contacts`. Robots do not
    touch themselves. `base_acceleration` is the change of velocity in the last step.
    """

    name = "newton"

    def __init__(self, model: mujoco.MjModel, substeps: int = 5, threads: int | None = None) -> None:
        """Simulate `model`, as `walkies.robots.load_model(…, own_contacts=False)` makes it.

        Args:
            substeps: physics steps in a control step.
            threads: of the kinematics; Newton has one.

        Raises:
            UserError: Newton is not installed, or does not support the model; the message says what to do.
        """
        urdf.check(model, self.name)
        super().__init__(model, substeps, threads)
        self._hinge = actuated_dofs(model) - 6
        self._anchors = model.jnt_pos[model.body_jntadr[1:]]
        self._zero = model.qpos0[model.jnt_qposadr[1:]]
        self._own = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), read_params(model))
        self._newton = _Newton(newton_python(), _about(model, self._spheres))

    def _make_workspace(self, num_envs: int) -> Kinematics:
        return Kinematics(self.model, self._spheres, num_envs, 1 if self.threads is None else self.threads)

    def _rollout(
        self, work: Any, params: Any, qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray,
        control: np.ndarray, force: np.ndarray,
    ) -> Rollout:  # fmt: skip
        return self.rollout(params, qpos, qvel, control, force, warmstart)

    def rollout(
        self, given: Given, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray, force: np.ndarray,
        warmstart: np.ndarray | None = None,
    ) -> Rollout:  # fmt: skip
        """What `step` does, on NumPy arrays of sound numbers and without readings: as `OtherSimulator.rollout`.

        Args:
            warmstart: (n, nv), where the solver starts; None: at rest.
        """
        n, steps, nu = control.shape
        warmstart = np.zeros((n, self.model.nv)) if warmstart is None else np.array(warmstart, np.float64)
        out = Rollout(
            qpos=np.zeros((n, steps, self.model.nq)),
            qvel=np.zeros((n, steps, self.model.nv)),
            acceleration=np.zeros((n, self.model.nv)),
            warmstart=warmstart,
            torque=np.zeros((n, nu)),
            contact_force=np.zeros((n, len(self._spheres), 3)),
            failed=np.zeros(n, bool),
        )
        if not steps or not n:
            return out
        params = jax.tree.map(
            lambda leaf, own: np.where(like(given.usable, leaf), np.asarray(leaf, np.float64), own),
            given.params,
            self._own,
        )
        centre = params.body_ipos - self._anchors
        qpos, qvel = np.asarray(qpos, np.float64), np.asarray(qvel, np.float64)
        self._newton.start(self._body(params, centre) | self._state(qpos, qvel, centre[:, 0], warmstart), n)
        hinge, push = self._hinge, np.asarray(force, np.float64)
        for step in range(steps):
            motor = motor_torque(params, qpos[:, 7 + hinge], qvel[:, 6 + hinge], control[:, step])
            torque = np.zeros((n, len(hinge)))
            torque[:, hinge] = motor + passive_torque(self.model, params, hinge, qpos[:, 7 + hinge], qvel[:, 6 + hinge])
            torque[out.failed], before = 0.0, qvel
            found = self._newton.step({"torque": torque, "force": push}, n)
            qpos, qvel = self._read(found, centre[:, 0])
            out.qpos[:, step], out.qvel[:, step] = qpos, qvel
            out.failed[:] |= ~(np.isfinite(qpos).all(axis=1) & np.isfinite(qvel).all(axis=1))
        out.acceleration[:], out.torque[:] = (qvel - before) / self.timestep, motor
        out.contact_force[:] = found["contact_force"]
        return out._replace(warmstart=found["warmstart"].astype(np.float64))

    def _body(self, params: Params, centre: np.ndarray) -> dict[str, Any]:
        """Of START all but the state."""
        n, inertia = len(centre), np.asarray(params.body_inertia)
        armature, loss = (np.zeros((n, len(self._hinge))) for _ in range(2))
        armature[:, self._hinge], loss[:, self._hinge] = params.dof_armature, params.dof_frictionloss
        return {
            "mass": params.body_mass, "centre": centre, "armature": armature, "frictionloss": loss,
            "inertia": inertia[..., [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(*inertia.shape[:-1], 3, 3),
            "friction": np.asarray(params.friction)[:, None], "gravity": params.gravity,
            "solref": params.contact_solref, "solimp": params.contact_solimp,
        }  # fmt: skip

    def _state(self, qpos: np.ndarray, qvel: np.ndarray, centre: np.ndarray, warmstart: np.ndarray) -> dict[str, Any]:
        """MuJoCo's state as Newton's: quaternions x y z w, and velocities of the base's centre of mass (n, 3), in its
        frame, in the world's frame."""
        turn = qpos[:, 3:7] / np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
        spin = _in_world(turn, qvel[:, 3:6])
        velocity = qvel[:, :3] + np.cross(spin, _in_world(turn, centre))
        angles = qpos[:, 7:] - self._zero
        return {
            "joint_q": np.concatenate([qpos[:, :3], turn[:, [1, 2, 3, 0]], angles], axis=1),
            "joint_qd": np.concatenate([velocity, spin, qvel[:, 6:]], axis=1),
            "warmstart": warmstart,
        }

    def _read(self, found: newton_child.Arrays, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """qpos and qvel: what `_state` makes, back."""
        q, qd = (found[name].astype(np.float64) for name in ("joint_q", "joint_qd"))
        turn, spin = q[:, [6, 3, 4, 5]], qd[:, 3:6]
        velocity = qd[:, :3] - np.cross(spin, _in_world(turn, centre))
        qpos = np.concatenate([q[:, :3], turn, q[:, 7:] + self._zero], axis=1)
        return qpos, np.concatenate([velocity, in_body_frame(turn, spin), qd[:, 6:]], axis=1)


def _in_world(turn: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Vectors (n, 3) of body frames of the orientations (n, 4) in the world's frame."""
    found: np.ndarray = in_body_frame(turn * np.array([1.0, -1.0, -1.0, -1.0]), vector)
    return found


def _about(model: mujoco.MjModel, spheres: list[int]) -> dict[str, Any]:
    """What Newton is told of a model besides each robot's parameters, JSON data."""
    joints = list(urdf.hinges(model))
    dofs = model.jnt_dofadr[joints]
    return {
        "urdf": urdf.urdf(model),
        "links": [urdf.link_name(model, body) for body in range(1, model.nbody)],
        "hinges": [urdf.joint_name(model, joint) for joint in joints],
        "spheres": [urdf.link_name(model, int(model.geom_bodyid[geom])) for geom in spheres],
        "timestep": float(model.opt.timestep),
        "cone": CONES[mujoco.mjtCone(model.opt.cone)],
        "impratio": float(model.opt.impratio),
        "limit_solref": model.jnt_solref[joints].tolist(),
        "limit_solimp": model.jnt_solimp[joints].tolist(),
        "limit_margin": model.jnt_margin[joints].tolist(),
        "friction_solref": model.dof_solref[dofs].tolist(),
        "friction_solimp": model.dof_solimp[dofs].tolist(),
    }


class _Newton:
    """The process with Newton, from the outside: it has a robot, and answers requests."""

    def __init__(self, python: Path, about: Mapping[str, Any]) -> None:
        self._python, self._model = python, json.dumps(about).encode()
        self._sizes = Sizes(*(len(about[name]) for name in ("links", "hinges", "spheres")))
        self._begin()

    def start(self, arrays: Mapping[str, Any], robots: int) -> None:
        """Make the robots these, in these states (`newton_child.layout`)."""
        # Linux ends a child with the thread that started it; and of a fork's pipes there is one end too many.
        if self._owner != os.getpid() or self._process.poll() is not None:
            self._begin()
        self._ask(START, arrays, robots)

    def step(self, arrays: Mapping[str, Any], robots: int) -> newton_child.Arrays:
        """One physics step; what `newton_child.reply_layout` says."""
        return self._ask(STEP, arrays, robots)

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        # -I: nothing of our environment's packages, and nothing from the working folder.
        self._process = subprocess.Popen(
            [str(self._python), "-I", newton_child.__file__, child.__file__, str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip
        self.close = weakref.finalize(self, _end, self._process, os.getpid())
        self._exchange(MODEL, 0, self._model, 0)

    def _ask(self, kind: int, arrays: Mapping[str, Any], robots: int) -> newton_child.Arrays:
        content = newton_child.pack(newton_child.layout(kind, self._sizes), arrays, robots)
        shapes = newton_child.reply_layout(kind, self._sizes)
        reply = self._exchange(kind, robots, content, newton_child.length_of(shapes, robots))
        return newton_child.unpack(shapes, reply, robots) if shapes else {}

    def _exchange(self, kind: int, robots: int, content: bytes, length: int) -> bytes:
        """A request, and the content of its reply, which has so many bytes."""
        try:
            return self._reply(kind, robots, content, length)
        except ProtocolError as error:
            self.close()
            raise UserError(
                f"the simulator 'newton' failed in {self._python}: {' '.join(str(error).split())}; the environment "
                f"that walkies is tested with comes with: {installs('newton')}"
            ) from error
        except BaseException:  # Ctrl-C between a request and its reply: the next would get this one's
            self.close()
            raise

    def _reply(self, kind: int, robots: int, content: bytes, length: int) -> bytes:
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None and replies is not None
        with suppress(BrokenPipeError):  # that it has ended is seen when it is read from
            newton_child.send(requests, kind, robots, content)
        head = newton_child.receive_header(replies)
        if head is None:
            raise ProtocolError(self._last_words())
        if head[0] == ERROR:
            said = newton_child.receive(replies, head[2], 0, newton_child.TEXT_LIMIT)
            raise ProtocolError(said.decode(errors="replace"))
        if head[:2] != (kind, robots):
            raise ProtocolError(f"expected a reply of kind {kind} for {robots} robots, got {head[0]} for {head[1]}")
        return newton_child.receive(replies, head[2], length, length)

    def _last_words(self) -> str:
        """Of a process that has ended."""
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"it ended with status {status}" + (f": {lines[-1]}" if lines else "")


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the process: it does so when nothing more can come."""
    if os.getpid() != owner:
        return
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(BrokenPipeError):
            pipe.close()
    try:
        process.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
