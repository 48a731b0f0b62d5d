"""A robot's `robot.xml`: its compiled model rewritten as a floating base with a tree of hinges.

Bodies welded together become one, so that no mass is lost and the engines have no more bodies than joints. The robot
stands on spheres (`walkies.robots.reading.shapes`); contacts between its own parts use the shapes of its file. Meshes
are written beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from walkies.later import mujoco
from walkies.robots import shape_name
from walkies.robots.reading.anatomy import Anatomy
from walkies.robots.reading.shapes import Sphere

ASSETS = "assets"
"""Folder of the meshes, beside the model."""
MOST_FACES = 200_000
"""Of one mesh that only shows the robot; such a part is shown by its other shapes then, or not at all."""
GROUND, OWN = 1, 2
"""Bits of what touches the ground, and of the robot's parts that touch one another."""
SHELLS = {"sphere": 1, "capsule": 2, "ellipsoid": 3, "cylinder": 2, "box": 3}
"""How many numbers the size of a shape has."""
IMU = "imu"
"""The site of the IMU: where the model has one of this name, else the base's origin."""

HEAD = """\
<!-- Written by `walkies robot add`: {about}.
     SI units, radians. Numbers of joints and motors are those of robot.toml, which replace the ones here. -->
<mujoco model={name}>
  <compiler angle="radian" autolimits="true" meshdir="{assets}" balanceinertia="true"/>
  <option timestep="0.004" integrator="implicitfast" cone="pyramidal" impratio="10" solver="Newton" iterations="10"
          ls_iterations="20"/>
  <visual>
    <global offwidth="1920" offheight="1080" azimuth="140" elevation="-18"/>
    <quality shadowsize="4096" offsamples="8"/>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.35 0.35 0.35" specular="0.1 0.1 0.1"/>
    <map znear="0.02" zfar="40" haze="0.35"/>
    <rgba haze="0.86 0.9 0.94 1"/>
  </visual>
  <statistic center="0 0 {middle:.3g}" extent="{extent:.3g}"/>

  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.62 0.76 0.9" rgb2="0.93 0.95 0.97" width="64"
             height="384"/>
    <texture name="grid" type="2d" builtin="checker" mark="edge" rgb1="0.78 0.8 0.8" rgb2="0.7 0.73 0.74"
             markrgb="0.95 0.96 0.96" width="256" height="256"/>
    <material name="grid" texture="grid" texuniform="true" texrepeat="{tiles:.3g} {tiles:.3g}" reflectance="0.06"/>
{meshes}  </asset>

  <default>
    <default class="ground">
      <geom type="sphere" group="3" contype="0" conaffinity="1" condim="3" mass="0"
            friction="0.8 {twist:.3g} {roll:.3g}" rgba="0.2 0.6 0.9 0.5"/>
      <site group="4" size="0.006"/>
    </default>
    <default class="own"><geom group="3" contype="2" conaffinity="2" mass="0"/></default>
    <default class="looks"><geom group="2" contype="0" conaffinity="0" mass="0"/></default>
  </default>

  <worldbody>
    <light directional="true" pos="0 0 3" dir="0.3 0.2 -1" diffuse="0.6 0.6 0.6" castshadow="true"/>
    <geom name="floor" type="plane" size="0 0 0.05" material="grid" contype="1" conaffinity="0" condim="3"/>
"""


class Names(NamedTuple):
    """What parts are called: those that have no name in the file get one."""

    body: dict[int, str]
    joint: dict[int, str]


class Written(NamedTuple):
    """A model, written."""

    xml: str
    meshes: dict[str, bytes]
    """STL files of its folder of assets."""
    notes: tuple[str, ...]


def names(model: mujoco.MjModel) -> Names:
    """Names of all bodies and joints."""
    kinds = {"body": model.nbody, "joint": model.njnt}
    found = {kind: {i: getattr(model, kind)(i).name or f"{kind}{i}" for i in range(n)} for kind, n in kinds.items()}
    return Names(**found)


class Pose(NamedTuple):
    """Of one body in another's frame."""

    place: np.ndarray
    turn: np.ndarray
    """(3, 3)"""


def write(
    model: mujoco.MjModel,
    parts: Anatomy,
    name: str,
    about: str,
    spheres: Mapping[str, Sphere],
    feet: Sequence[str],
    apart: Sequence[tuple[int, int]],
    hips: float,
    start: float,
) -> Written:
    """The model as a file.

    Args:
        about: where it is from.
        spheres: what touches the ground, by name.
        feet: names of those that get a site, in its middle.
        apart: ids of links that never touch each other.
        hips: m, their height.
        start: m, height of the base.
    """
    writer = _Writer(model, parts, spheres, feet)
    tree = list(writer.body(parts.base, 4, start))
    sole = spheres[feet[0]].radius  # which resists turning as far out: in the Stanford Pupper's own simulator so too
    head = HEAD.format(
        about=about.replace("--", "- -"), name=quoteattr(name), assets=ASSETS, middle=0.8 * hips, extent=4.0 * hips,
        tiles=0.8 / hips, twist=sole, roll=0.5 * sole,
        meshes="".join(f'    <mesh name="{mesh}" file="{mesh}.stl"/>\n' for mesh in writer.meshes),
    )  # fmt: skip
    end = ["  </worldbody>", "", "  <contact>"]
    end += [
        f"    <exclude body1={quoteattr(writer.names.body[a])} body2={quoteattr(writer.names.body[b])}/>"
        for a, b in apart
    ]
    end += ["  </contact>", "", "  <actuator>"]
    for joint in parts.joints:
        called = quoteattr(writer.names.joint[joint])
        end.append(f'    <position name={called} joint={called} kp="1" kv="1" forcerange="-1 1"/>')
    end += ["  </actuator>", "</mujoco>"]
    xml = head + "\n".join([*tree, *end]) + "\n"
    ElementTree.fromstring(xml)
    return Written(xml, writer.meshes, tuple(writer.notes))


class _Writer:
    """Writes bodies, the base first."""

    def __init__(
        self, model: mujoco.MjModel, parts: Anatomy, spheres: Mapping[str, Sphere], feet: Sequence[str]
    ) -> None:
        self.model, self.parts, self.spheres, self.feet = model, parts, spheres, set(feet)
        self.names = names(model)
        self.meshes: dict[str, bytes] = {}
        self.notes: list[str] = []
        self.data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, self.data)
        collide = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        own = np.isin(model.body_rootid[model.geom_bodyid], [parts.base])
        self.bare = not np.any(own & ~collide)  # nothing only shows it
        self.collide = collide

    def body(self, body: int, indent: int, height: float = 0.0) -> Iterator[str]:
        """A moving body, what is welded to it, and what moves on it."""
        model, pad = self.model, " " * indent
        members = self._members(body)
        parent = int(model.body_weldid[model.body_parentid[body]])
        where = "" if body == self.parts.base else _frame(self._within(parent, body))
        if body == self.parts.base:
            where = f' pos="0 0 {height:.6g}"'
        yield f"{pad}<body name={quoteattr(self.names.body[body])}{where}>"
        yield from self._joints(body, pad + "  ")
        yield f"{pad}  {self._inertial(body, members)}"
        for member in members:
            at = self._within(body, member)
            for geom in np.flatnonzero(model.geom_bodyid == member):
                yield from self._geom(int(geom), at, pad + "  ")
        yield from self._contacts(body, members, pad + "  ")
        if body == self.parts.base:
            yield f'{pad}  <site name="{IMU}"{_frame(self._imu(members))} group="4" size="0.006"/>'
            yield from self._cameras(pad + "  ")
        # In the file's order, so that joints keep theirs.
        for child in np.flatnonzero(np.isin(model.body_parentid, members)):
            if model.body_weldid[child] == child:
                yield from self.body(int(child), indent + 2)
        yield f"{pad}</body>"

    def _cameras(self, pad: str) -> Iterator[str]:
        far = max(1.0, 2.5 * float(self.model.stat.extent))
        yield f'{pad}<camera name="track" mode="trackcom" pos="0 {-far:.3g} {0.3 * far:.3g}" xyaxes="1 0 0 0 0.3 1"/>'
        yield f'{pad}<camera name="side" mode="trackcom" pos="0 {-far:.3g} 0.1" xyaxes="1 0 0 0 0 1"/>'

    def _members(self, body: int) -> list[int]:
        """The body and those that are welded to it."""
        return [int(one) for one in np.flatnonzero(self.model.body_weldid == body)]

    def _within(self, outer: int, inner: int) -> Pose:
        turn = self.data.xmat[outer].reshape(3, 3).T
        return Pose(turn @ (self.data.xpos[inner] - self.data.xpos[outer]),
                    turn @ self.data.xmat[inner].reshape(3, 3))  # fmt: skip

    def _joints(self, body: int, pad: str) -> Iterator[str]:
        model = self.model
        if body == self.parts.base:
            yield f"{pad}<freejoint name={quoteattr(self.names.joint[int(model.body_jntadr[body])] or 'base')}/>"
            return
        first = int(model.body_jntadr[body])
        for joint in range(first, first + int(model.body_jntnum[body])):
            dof = int(model.jnt_dofadr[joint])
            low, high = model.jnt_range[joint] if model.jnt_limited[joint] else (-np.pi, np.pi)
            spring = float(model.jnt_stiffness[joint])
            rest = float(model.qpos_spring[model.jnt_qposadr[joint]])
            ref = float(model.qpos0[model.jnt_qposadr[joint]])
            more = f' stiffness="{spring:.8g}" springref="{rest:.8g}"' if spring else ""
            more += f' ref="{ref:.8g}"' if ref else ""
            yield (
                f"{pad}<joint name={quoteattr(self.names.joint[joint])}{_numbers('pos', model.jnt_pos[joint])}"
                f'{_numbers("axis", model.jnt_axis[joint])} range="{low:.8g} {high:.8g}" '
                f'armature="{model.dof_armature[dof]:.8g}" damping="{model.dof_damping[dof]:.8g}" '
                f'frictionloss="{model.dof_frictionloss[dof]:.8g}"{more}/>'
            )

    def _inertial(self, body: int, members: list[int]) -> str:
        """Of several bodies as one, by the parallel-axis theorem."""
        model = self.model
        mass = float(model.body_mass[members].sum())
        at = {one: self._within(body, one) for one in members}
        centre = {one: at[one].place + at[one].turn @ model.body_ipos[one] for one in members}
        middle = sum((model.body_mass[one] * centre[one] for one in members), np.zeros(3)) / mass
        total = np.zeros((3, 3))
        for one in members:
            axes = np.zeros(9)
            mujoco.mju_quat2Mat(axes, model.body_iquat[one])
            turn = at[one].turn @ axes.reshape(3, 3)
            away = centre[one] - middle
            total += turn @ np.diag(model.body_inertia[one]) @ turn.T
            total += model.body_mass[one] * (away @ away * np.eye(3) - np.outer(away, away))
        six = [total[i, i] for i in range(3)] + [total[0, 1], total[0, 2], total[1, 2]]
        return f'<inertial{_numbers("pos", middle)} mass="{mass:.10g}"{_numbers("fullinertia", np.array(six))}/>'

    def _geom(self, geom: int, at: Pose, pad: str) -> Iterator[str]:
        """A shape: that which touches other parts of the robot, that which shows it, or both."""
        model, collides = self.model, bool(self.collide[geom])
        shows = not collides or self.bare
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
        place = Pose(at.place + at.turn @ model.geom_pos[geom], at.turn @ turn.reshape(3, 3))
        material = int(model.geom_matid[geom])
        rgba = model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom]
        if (word := shape_name(model, geom)) in SHELLS:
            shape = f' type="{word}"{_numbers("size", model.geom_size[geom][: SHELLS[word]])}'
        elif word == "mesh":
            shape = self._mesh(int(model.geom_dataid[geom]), collides)
        else:
            shape = ""
        if shape and rgba[3] > 0:
            group = ' group="2"' if collides and shows else ""
            colour = _numbers("rgba", rgba) if shows else ' rgba="0.2 0.6 0.9 0.3"'
            yield f'{pad}<geom class="{"own" if collides else "looks"}"{shape}{_frame(place)}{group}{colour}/>'

    def _mesh(self, mesh: int, needed: bool) -> str:
        model = self.model
        if not needed and model.mesh_facenum[mesh] > MOST_FACES:
            self.notes.append(f"the mesh {model.mesh(mesh).name} has {model.mesh_facenum[mesh]:,} faces, and is not "
                              "shown")  # fmt: skip
            return ""
        name = f"mesh{mesh}"
        first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
        faces = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        self.meshes[name] = _stl(model.mesh_vert[first : first + count], faces)
        return f' type="mesh" mesh="{name}"'

    def _contacts(self, body: int, members: list[int], pad: str) -> Iterator[str]:
        """The spheres of a body on the ground."""
        for name, sphere in self.spheres.items():
            if sphere.body not in members:
                continue
            at = self._within(body, sphere.body)
            place = at.place + at.turn @ sphere.place
            called = f" name={quoteattr(name)}"
            yield f'{pad}<geom class="ground"{called} size="{sphere.radius:.6g}"{_numbers("pos", place)}/>'
            if name in self.feet:
                yield f'{pad}<site class="ground"{called}{_numbers("pos", place)}/>'

    def _imu(self, members: list[int]) -> Pose:
        for site in range(self.model.nsite):
            body = int(self.model.site_bodyid[site])
            if self.model.site(site).name == IMU and body in members:
                at = self._within(self.parts.base, body)
                return Pose(at.place + at.turn @ self.model.site_pos[site], np.eye(3))
        return Pose(np.zeros(3), np.eye(3))


def _frame(at: Pose) -> str:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(at.turn).ravel())
    turned = "" if np.allclose(at.turn, np.eye(3), atol=1e-12) else _numbers("quat", quaternion)
    return _numbers("pos", at.place) + turned


def _numbers(name: str, values: np.ndarray) -> str:
    clean = np.where(np.abs(values) < 1e-15, 0.0, values)
    return f' {name}="{" ".join(f"{value:.10g}" for value in clean)}"'


def _stl(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """A binary STL file."""
    corners = vertices[faces].astype("<f4")
    rows = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")])
    rows["corners"] = corners
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    rows["normal"] = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return b"walkies".ljust(80, b" ") + np.uint32(len(faces)).tobytes() + rows.tobytes()
