"""Robots: an MJCF file and a typed record for each, and how to load them."""

from __future__ import annotations

import numpy as np

from walkies.errors import UserError
from walkies.files import shown
from walkies.later import mujoco
from walkies.robots import folders, record
from walkies.robots.base import Robot
from walkies.robots.pupper import PUPPER

ROBOTS: dict[str, Robot] = {PUPPER.name: PUPPER}
"""Robots whose record is code, by name; others have folders (`walkies.robots.folders`)."""

DEFAULT = PUPPER.name
"""The default robot: on the command line, and for policy files that name none, whose format is its own."""

VISUAL_GROUP = 2
"""Geom group of visual shapes; colliders are in group 3."""


def get_robot(name: str) -> Robot:
    """The robot called `name`: one in the folder robots here, else one that comes with walkies.

    Raises:
        UserError: no robot has that name; the message lists the known ones. Or its folder is damaged.
    """
    if name in ROBOTS:
        return ROBOTS[name]
    if (folder := folders.find(name)) is not None:
        return record.read(folder)
    raise UserError(
        f"unknown robot {shown(name)!r}; known robots: {', '.join(names())}. For your own: "
        "walkies robot add FILE, or give the path of its MJCF or URDF file instead of a name"
    )


def known(name: str) -> bool:
    """Whether a robot of that name exists."""
    return name in ROBOTS or folders.find(name) is not None


def names() -> list[str]:
    """Of all robots there are."""
    return sorted({*ROBOTS, *folders.names()})


def load_model(
    robot: Robot,
    *,
    own_contacts: bool = True,
    solver_iterations: int | None = None,
    visuals: bool = True,
    ground_sensors: bool = False,
    torsion: bool = False,
) -> mujoco.MjModel:
    """Compile a robot's MJCF; arguments and errors are those of `load_spec`."""
    spec = load_spec(
        robot,
        own_contacts=own_contacts,
        solver_iterations=solver_iterations,
        visuals=visuals,
        ground_sensors=ground_sensors,
        torsion=torsion,
    )
    return spec.compile()


def load_spec(
    robot: Robot,
    *,
    own_contacts: bool = True,
    solver_iterations: int | None = None,
    visuals: bool = True,
    ground_sensors: bool = False,
    torsion: bool = False,
) -> mujoco.MjSpec:
    """A robot's model as an MjSpec, which can be changed before it is compiled.

    Args:
        own_contacts: whether the robot's parts can touch one another; off, they only touch the ground.
        solver_iterations: iterations of the contact solver, or None for the file's. Where given, each line search may
            take five times as many, so that it is not what ends the iterations early.
        visuals: keep textures, materials, lights, and geoms that touch nothing. Without them a model takes some 30 KB
            and not ten times as much, so that thousands of copies are cheap; the physics is the same, masses included.
        ground_sensors: add a sensor per colliding sphere that reads the force of the ground on it, world frame, N
            (named `ground_force_` + the sphere's name; they cost time and change no motion).
        torsion: let the ground resist feet that turn on the spot, by the model's coefficients (MuJoCo's condim 4; a
            larger condim of the model remains).

    Raises:
        ValueError: a number of iterations below 1.
    """
    spec = mujoco.MjSpec.from_file(str(robot.mjcf))
    if robot.joints is not None:
        record.impose(spec, robot)
    if solver_iterations is not None:
        if solver_iterations < 1:
            raise ValueError(f"solver_iterations must be at least 1, not {solver_iterations}")
        spec.option.iterations = solver_iterations
        spec.option.ls_iterations = max(spec.option.ls_iterations, 5 * solver_iterations)
    if not visuals:
        _discard_visuals(spec)
    if not own_contacts:
        touch_only_the_ground(spec)
    if ground_sensors:
        _add_ground_sensors(spec)
    if torsion:
        for geom in spec.worldbody.geoms:
            geom.condim = max(geom.condim, 4)
    return spec


def shape_name(model: mujoco.MjModel, geom: int) -> str:
    """What MuJoCo calls the shape of a geom: sphere, capsule, ellipsoid, cylinder, box, mesh, plane, hfield."""
    return mujoco.mjtGeom(model.geom_type[geom]).name.removeprefix("mjGEOM_").lower()


def in_default_pose(model: mujoco.MjModel, robot: Robot) -> mujoco.MjData:
    """A robot's bodies and geoms as they are in its default pose, its base where the model has it."""
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in robot.joint_names]] = robot.default_pose
    mujoco.mj_kinematics(model, data)
    return data


def touch_only_the_ground(spec: mujoco.MjSpec) -> None:
    """Leave no contacts of the robot's parts with one another."""
    ground = [geom for geom in spec.worldbody.geoms if geom.contype or geom.conaffinity]
    for geom in spec.geoms:
        if geom.contype or geom.conaffinity:
            # Two geoms collide where the contype of one meets the conaffinity of the other: only ground × robot.
            own = geom.parent.name == "world"
            meets = any(geom.contype & one.conaffinity or one.contype & geom.conaffinity for one in ground)
            geom.contype, geom.conaffinity = (1, 0) if own else (0, 1) if meets or not ground else (0, 0)


def _discard_visuals(spec: mujoco.MjSpec) -> None:
    """Let the compiler drop visual shapes, after adding their mass to the bodies' inertias."""
    inertia_from_geoms = mujoco.mjtInertiaFromGeom
    if spec.compiler.inertiafromgeom == inertia_from_geoms.mjINERTIAFROMGEOM_TRUE:
        # The compiler could not state inertias where geoms overrule what is stated. It infers the same ones where
        # none is stated.
        spec.compiler.inertiafromgeom = inertia_from_geoms.mjINERTIAFROMGEOM_AUTO
        for body in spec.bodies:
            body.explicitinertial, body.ipos = False, np.full(3, np.nan)
    spec.compiler.discardvisual = True
    for light in spec.lights:
        spec.delete(light)


def _add_ground_sensors(spec: mujoco.MjSpec) -> None:
    """One contact sensor per colliding sphere: net force of the ground on it, in world axes."""
    colliders = [geom for geom in spec.geoms if geom.contype or geom.conaffinity]
    ground = next(geom for geom in colliders if geom.type == mujoco.mjtGeom.mjGEOM_PLANE)
    for number, geom in enumerate(colliders):
        if geom.type == mujoco.mjtGeom.mjGEOM_SPHERE:
            geom.name = geom.name or f"{geom.parent.name}_collider_{number}"  # a sensor knows it by its name alone
            spec.add_sensor(
                name=f"ground_force_{geom.name}",
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                # The sensor reads the force of its first geom on its second.
                objtype=mujoco.mjtObj.mjOBJ_GEOM,
                objname=ground.name,
                reftype=mujoco.mjtObj.mjOBJ_GEOM,
                refname=geom.name,
                # Which data: a bit mask; how several contacts become one: their net force; and one slot.
                intprm=[1 << mujoco.mjtConDataField.mjCONDATA_FORCE.value, _NET_FORCE, 1],
            )


_NET_FORCE = 3
"""Code of `reduce="netforce"` of a contact sensor."""
