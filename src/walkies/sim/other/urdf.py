"""A URDF of a compiled MuJoCo model: the form in which other engines take a robot.

Links are the model's bodies and have their names, masses and frames; joints are its hinges. Only what these engines
simulate is written: inertias, hinges with their limits, and the spheres that touch the ground.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import mujoco
import numpy as np

from walkies.errors import UserError
from walkies.sim.base import inertia_in_body_frame
from walkies.sim.params import actuated_dofs, ground_geom, on_ground

DECIMALS = 17
"""Significant digits of a number: float64 comes back as it was."""
FREE_SPEED = 1e4
"""rad/s, of a joint in the URDF, which must state a limit: more than any robot reaches."""


class Bodies(NamedTuple):
    """Inertias of the robot's bodies, the base first, in MJCF order."""

    mass: np.ndarray
    """(bodies,) kg"""
    ipos: np.ndarray
    """(bodies, 3) m: centre of mass in the body frame."""
    inertia: np.ndarray
    """(bodies, 6) kg m²: xx yy zz xy xz yz about the centre of mass, in the axes of `iquat`."""
    iquat: np.ndarray | None = None
    """(bodies, 4): orientation of those axes in the body frame, w x y z; None: they are the body's."""


def bodies_of(model: mujoco.MjModel) -> Bodies:
    """The model's own inertias."""
    inertia = np.array([inertia_in_body_frame(model, body) for body in range(1, model.nbody)])
    return Bodies(model.body_mass[1:].copy(), model.body_ipos[1:].copy(), inertia)


def with_rotors(model: mujoco.MjModel, bodies: Bodies, armature: np.ndarray) -> Bodies:
    """The same bodies, with each motor's rotor in the link that it drives, about the joint's axis.

    For engines that know no armature. The joint then resists as it should; but the rotor also turns with the trunk,
    which a geared one hardly does. No rigid body has such an inertia alone (none about the other axes): an engine must
    be content with that.

    Args:
        bodies: with inertias in the bodies' own axes.
        armature: (hinges,) kg m², in the order of the model's hinges.
    """
    inertia = bodies.inertia.copy()
    for joint, rotor in zip(hinges(model), armature, strict=True):
        x, y, z = model.jnt_axis[joint]
        inertia[model.jnt_bodyid[joint] - 1] += rotor * np.array([x * x, y * y, z * z, x * y, x * z, y * z])
    return bodies._replace(inertia=inertia)


def hinges(model: mujoco.MjModel) -> range:
    """Ids of the joints after the free one."""
    return range(1, model.njnt)


def check(model: mujoco.MjModel, simulator: str) -> None:
    """Refuse a model of which another engine would simulate only a part.

    Raises:
        UserError: the message names the element, and what to use instead.
    """

    def refuse(what: str) -> None:
        raise UserError(
            f"the simulator {simulator!r} does not support {what}; it takes a floating base with a tree of hinges, one "
            "to a body, position servos, and spheres on one plane. Use the simulator 'native' or 'mujoco'"
        )

    joints = [mujoco.mjtJoint(kind).name.removeprefix("mjJNT_").lower() for kind in model.jnt_type]
    if joints[:1] != ["free"] or set(joints[1:]) - {"hinge"}:
        raise UserError(f"the simulator {simulator!r} needs one free joint and, after it, hinges; got {joints}")
    for body in range(1, model.nbody):
        if model.body_jntnum[body] != 1:
            refuse(f"body {model.body(body).name!r} with {model.body_jntnum[body]} joints")
    if model.nu != model.njnt - 1 or len(set(actuated_dofs(model))) != model.nu:
        refuse(f"{model.nu} actuators for {model.njnt - 1} hinges")
    for actuator in range(model.nu):
        if model.actuator_gear[actuator, 0] != 1 or model.actuator_ctrllimited[actuator]:
            refuse(f"gear or ctrlrange of actuator {model.actuator(actuator).name!r}")
    ground = ground_geom(model)
    flat = np.allclose(model.geom_quat[ground], [1, 0, 0, 0]) and not np.abs(model.geom_pos[ground]).any()
    if not flat or model.geom_bodyid[ground]:
        refuse(f"the ground {model.geom(ground).name!r} other than z = 0 (tilt gravity instead)")
    for geom in on_ground(model, ground):
        if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_SPHERE:
            shape = mujoco.mjtGeom(model.geom_type[geom]).name.removeprefix("mjGEOM_").lower()
            refuse(f"the {shape} {model.geom(geom).name!r} on the ground")
    for name, count in (("equality constraints", model.neq), ("tendons", model.ntendon)):
        if count:
            refuse(name)
    if model.jnt_actfrclimited.any():
        refuse("actuatorfrcrange")


def urdf(model: mujoco.MjModel, bodies: Bodies | None = None) -> str:
    """The URDF of a model that `check` accepts, as text.

    Args:
        bodies: its inertias; None for the model's own.
    """
    bodies = bodies_of(model) if bodies is None else bodies
    robot = ET.Element("robot", name="robot")
    spheres = set(on_ground(model, ground_geom(model)))
    for body in range(1, model.nbody):
        link = ET.SubElement(robot, "link", name=link_name(model, body))
        anchor = model.jnt_pos[model.body_jntadr[body]]
        _add_inertial(link, bodies, body - 1, anchor)
        for geom in sorted(spheres):
            if model.geom_bodyid[geom] == body:
                collision = ET.SubElement(link, "collision", name=sphere_name(geom))
                _add_origin(collision, model.geom_pos[geom] - anchor)
                shape = ET.SubElement(collision, "geometry")
                ET.SubElement(shape, "sphere", radius=_text([model.geom_size[geom, 0]]))
    for joint in hinges(model):
        _add_hinge(robot, model, joint)
    ET.indent(robot)  # Bullet reads lines of 8 KB, and breaks longer ones anywhere
    return ET.tostring(robot, encoding="unicode")


def link_name(model: mujoco.MjModel, body: int) -> str:
    """Of a body's link; bodies without a name get one."""
    return model.body(body).name or f"body_{body}"


def joint_name(model: mujoco.MjModel, joint: int) -> str:
    """Of a hinge in the URDF; joints without a name get one."""
    return model.joint(joint).name or f"joint_{joint}"


def sphere_name(geom: int) -> str:
    """Of a sphere in the URDF: robots may leave spheres without a name."""
    return f"sphere_{geom}"


def _add_inertial(link: ET.Element, bodies: Bodies, index: int, anchor: np.ndarray) -> None:
    inertial = ET.SubElement(link, "inertial")
    _add_origin(inertial, bodies.ipos[index] - anchor, None if bodies.iquat is None else bodies.iquat[index])
    ET.SubElement(inertial, "mass", value=_text([bodies.mass[index]]))
    names = ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")
    ET.SubElement(inertial, "inertia", {n: _text([v]) for n, v in zip(names, bodies.inertia[index], strict=True)})


def _add_hinge(robot: ET.Element, model: mujoco.MjModel, joint: int) -> None:
    """A URDF's link has its frame at its joint; the body's may lie beside it."""
    body = int(model.jnt_bodyid[joint])
    parent = int(model.body_parentid[body])
    anchor, outer = model.jnt_pos[joint], model.jnt_pos[model.body_jntadr[parent]]
    place = np.zeros(3)
    mujoco.mju_rotVecQuat(place, anchor, model.body_quat[body])
    kind = "revolute" if model.jnt_limited[joint] else "continuous"
    element = ET.SubElement(robot, "joint", name=joint_name(model, joint), type=kind)
    _add_origin(element, model.body_pos[body] + place - outer, model.body_quat[body])
    ET.SubElement(element, "parent", link=link_name(model, parent))
    ET.SubElement(element, "child", link=link_name(model, body))
    ET.SubElement(element, "axis", xyz=_text(model.jnt_axis[joint]))
    # The torque is limited before it reaches the engine (`walkies.sim.other.simulator`).
    limits = {"effort": _text([model.actuator_forcerange[:, 1].max()]), "velocity": _text([FREE_SPEED])}
    if model.jnt_limited[joint]:
        zero = model.qpos0[model.jnt_qposadr[joint]]
        low, high = model.jnt_range[joint] - zero
        limits |= {"lower": _text([low]), "upper": _text([high])}
    ET.SubElement(element, "limit", limits)


def _add_origin(element: ET.Element, xyz: np.ndarray, quaternion: np.ndarray | None = None) -> None:
    rpy = np.zeros(3) if quaternion is None else roll_pitch_yaw(quaternion)
    ET.SubElement(element, "origin", xyz=_text(xyz), rpy=_text(rpy))


def roll_pitch_yaw(quaternion: np.ndarray) -> np.ndarray:
    """Angles (3,) rad of a URDF's rpy, R = Rz(yaw) Ry(pitch) Rx(roll), of a unit quaternion w x y z."""
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, quaternion)
    r = flat.reshape(3, 3)
    pitch = np.arctan2(-r[2, 0], np.hypot(r[0, 0], r[1, 0]))
    # At ±90° only the sum or difference of the other two counts.
    yaw = np.arctan2(r[1, 0], r[0, 0]) if np.hypot(r[0, 0], r[1, 0]) > 1e-9 else 0.0
    c, s = np.cos(yaw), np.sin(yaw)
    # Turned back by yaw about z it is Ry Rx, whose middle row is (0, cos roll, −sin roll).
    roll = np.arctan2(s * r[0, 2] - c * r[1, 2], c * r[1, 1] - s * r[0, 1])
    return np.array([roll, pitch, yaw])


def _text(numbers: Any) -> str:
    return " ".join(f"{float(number):.{DECIMALS}g}" for number in numbers)
