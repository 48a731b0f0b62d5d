"""The conditions of a robot: name, nominal value, unit and meaning of each, and how to set them in MuJoCo.

Ranges are elsewhere. Training has its own (`walkies.tasks.randomization`), and so has the judge, for the examination
(`walkies.judge.ranges`) and the rehearsal (`walkies.judge.rehearsal.conditions`); the viewer's sliders and the fit to a
robot's log use these quantities too. What is not part of MuJoCo's model (delays, sensors, the fall of torque with
speed) is handled by the loop around it, with the arithmetic from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.sim.base import inertia_in_body_frame

ELLIPTIC_IMPRATIO = 100.0
"""of the Pupper's own simulator (pupperv3-monorepo, pupper_v3_description)"""
GAP = "_gap"
GAP_ARMATURE, GAP_DAMPING, GAP_SOLREF = 1e-5, 1e-3, (0.004, 1.0)
"""kg m², N m s/rad and (s, 1): next to nothing between the ends of the play, and hard at them."""

Physics: TypeAlias = "mujoco.MjModel | mujoco.batch.Batch"
"""What conditions are written into: one robot, or n of them."""


def _quantity(nominal: float, unit: str, meaning: str, of: str = "") -> Any:
    return field(default=nominal, metadata={"unit": unit, "meaning": meaning, "of": of})


@dataclass(frozen=True)
class Condition:
    """The conditions of one robot, one number each; the defaults are nominal. × is a factor on the robot's own."""

    friction: float = _quantity(0.8, "1", "sliding friction of every contact; 0.8 is wood or linoleum under rubber")
    command_delay: float = _quantity(0.0, "s", "from the controller to the motors")
    imu_delay: float = _quantity(0.0, "s", "age of IMU readings")
    payload: float = _quantity(0.0, "kg", "on the back; negative: taken from the trunk in proportion")
    mass: float = _quantity(1.0, "×", "of bodies, their inertia with it")
    com_x: float = _quantity(0.0, "m", "shift of the trunk's centre of mass, forward")
    com_y: float = _quantity(0.0, "m", "… leftward")
    push_speed: float = _quantity(0.0, "m/s", "that each push adds to the base, horizontally, in a random direction")
    push_rate: float = _quantity(1.0, "1/s", "pushes, on average")
    side_force: float = _quantity(0.0, "N", "that never stops, on the trunk, in one horizontal direction of the world")
    slope: float = _quantity(0.0, "rad", "of the ground, in a random direction")
    contact_time: float = _quantity(
        0.02, "s", "time constant of contacts (MuJoCo's solref): short is hard ground, long is a mat"
    )
    elliptic: float = _quantity(
        0.0,
        "1",
        "1: elliptic friction cones and impratio 100, as in Pupper's own simulator; 0: pyramids, as in training",
    )
    twisting: float = _quantity(
        0.0, "1", "1: contacts resist twisting and rolling too (condim 6), as in Pupper's own simulator; 0: the model's"
    )
    kp: float = _quantity(1.0, "×", "stiffness of all servos", of="N m/rad")
    kd: float = _quantity(1.0, "×", "damping of all servos", of="N m s/rad")
    weak_leg: float = _quantity(1.0, "×", "torque of one leg, chosen at random: gains and limit")
    torque_limit: float = _quantity(np.inf, "N m", "of every motor at rest; infinite: the robot's own")
    no_load_speed: float = _quantity(
        np.inf, "rad/s", "at which a joint's torque has fallen to zero, linearly; infinite: torque that does not fall"
    )
    backlash: float = _quantity(0.0, "rad", "each joint's play to either side of its motor")
    noise: float = _quantity(1.0, "×", "sensor noise of the Stanford CS 123 course")
    imu_tilt: float = _quantity(0.0, "rad", "misalignment of the IMU")
    encoder_bias: float = _quantity(
        0.0, "rad", "by which each joint's zero is off, up or down, for the policy and for the servo"
    )
    tick_rate: float = _quantity(0.0, "Hz", "of the controller; 0: its own")
    frictionloss: float = _quantity(1.0, "×", "dry friction of every joint", of="N m")
    gyro_bias: float = _quantity(0.0, "rad/s", "constant error of each gyro axis, up or down")
    imu_period: float = _quantity(0.0, "s", "between samples of the IMU, each of which is read until the next; 0: none")
    encoder_step: float = _quantity(0.0, "rad", "of which readings of joint angles are multiples; 0: any")


class Quantity(NamedTuple):
    """One condition, described."""

    name: str
    unit: str
    nominal: float
    meaning: str
    of: str
    """Where it is a factor: the unit of what it multiplies."""


VOCABULARY: dict[str, Quantity] = {
    entry.name: Quantity(entry.name, nominal=getattr(Condition, entry.name), **entry.metadata)
    for entry in fields(Condition)
}
"""Every condition by name."""


def columns(conditions: Sequence[Condition]) -> dict[str, np.ndarray]:
    """Each quantity of the conditions as an array (n,)."""
    return {name: np.array([getattr(condition, name) for condition in conditions]) for name in VOCABULARY}


# How MuJoCo is told. Values are (n,), or (n, …) where it says so; n is 1 for a model.


def values_of(physics: Physics, name: str) -> np.ndarray:
    """A field of the model as a live array (n, …): a write is what the next physics step heeds."""
    return physics.expand(name) if isinstance(physics, mujoco.batch.Batch) else getattr(physics, name)[None]


def set_friction(physics: Physics, friction: np.ndarray) -> None:
    values_of(physics, "geom_friction")[:, :, 0] = friction[:, None]


def set_contact_time(physics: Physics, seconds: np.ndarray) -> None:
    values_of(physics, "geom_solref")[:, :, 0] = seconds[:, None]


def set_servos(physics: Physics, kp: np.ndarray, kd: np.ndarray) -> None:
    """Position servos with τ = kp (target - q) - kd q̇, gains (n, nu) or (n, 1)."""
    values_of(physics, "actuator_gainprm")[:, :, 0] = kp
    bias = values_of(physics, "actuator_biasprm")
    bias[:, :, 1], bias[:, :, 2] = -kp, -kd


def set_torque_limits(physics: Physics, low: np.ndarray, high: np.ndarray) -> None:
    """Least and greatest torque (n, nu), N m."""
    limits = values_of(physics, "actuator_forcerange")
    limits[:, :, 0], limits[:, :, 1] = low, high


def set_frictionloss(physics: Physics, dofs: np.ndarray, loss: np.ndarray) -> None:
    """Dry friction (n, 1) or (n, nu), N m, of the joints with these velocity addresses (nu,)."""
    values_of(physics, "dof_frictionloss")[:, dofs] = loss


def set_elliptic(batch: mujoco.batch.Batch, elliptic: np.ndarray) -> None:
    """Elliptic friction cones for the robots with a 1."""
    chosen = elliptic > 0
    if chosen.any():
        batch.expand("opt.cone")[chosen] = int(mujoco.mjtCone.mjCONE_ELLIPTIC)
        batch.expand("opt.impratio")[chosen] = ELLIPTIC_IMPRATIO


def set_twisting(batch: mujoco.batch.Batch, twisting: np.ndarray) -> None:
    """Torsional and rolling friction, with the coefficients of the model's contact shapes, for the robots with a 1."""
    chosen = twisting > 0
    if chosen.any():
        batch.expand("geom_condim")[chosen] = 6


def set_gravity(batch: mujoco.batch.Batch, down: np.ndarray) -> None:
    """Gravity along unit vectors (n, 3) of the ground's frame (`down`)."""
    batch.expand("opt.gravity")[:] = float(np.linalg.norm(batch.model.opt.gravity)) * down


def set_side_force(batch: mujoco.batch.Batch, robot: Robot, force: np.ndarray, direction: np.ndarray) -> None:
    """A force (n,) N on the trunk in a direction (n,) rad of the ground's plane."""
    unit = np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    batch.bind("xfrc_applied")[:, batch.model.body(robot.base_body).id, :2] = force[:, None] * unit


def add_gaps(spec: mujoco.MjSpec, robot: Robot) -> None:
    """Hang each link on its motor by a joint of small play, named as the motor's + GAP."""
    for name in robot.joint_names:
        joint = spec.joint(name)
        gap = joint.parent.add_joint(name=name + GAP, type=mujoco.mjtJoint.mjJNT_HINGE, axis=joint.axis)
        gap.range, gap.limited = (-1e-3, 1e-3), mujoco.mjtLimited.mjLIMITED_TRUE
        gap.armature, gap.frictionloss = GAP_ARMATURE, 0.0
        gap.damping[0] = GAP_DAMPING
        gap.solref_limit = GAP_SOLREF
    for key in list(spec.keys):
        spec.delete(key)


def set_backlash(batch: mujoco.batch.Batch, robot: Robot, backlash: np.ndarray) -> None:
    """The play of a model with `add_gaps`."""
    gaps = [batch.model.joint(name + GAP).id for name in robot.joint_names]
    play = np.maximum(backlash, 1e-6)[:, None]
    batch.expand("jnt_range")[:, gaps] = np.stack([-play, play], axis=-1)


def bodies_of(model: mujoco.MjModel, robot: Robot) -> np.ndarray:
    """Ids of the robot's bodies, the base first: the base and everything that hangs from it."""
    base = model.body(robot.base_body).id
    return np.flatnonzero(model.body_rootid == model.body_rootid[base])


def set_bodies(
    batch: mujoco.batch.Batch, robot: Robot, mass: np.ndarray, payload: np.ndarray, com_shift: np.ndarray
) -> None:
    """Scale bodies (n, bodies), load the trunk (n,) kg and shift its centre of mass (n, 3) m; `set_const` is yours."""
    model = batch.model
    bodies = bodies_of(model, robot)
    batch.expand("body_mass")[:, bodies] = model.body_mass[bodies] * mass
    batch.expand("body_inertia")[:, bodies] = model.body_inertia[bodies] * mass[:, :, None]
    _load_trunk(batch, bodies[0], payload, com_shift, robot.payload_height)


def _load_trunk(
    batch: mujoco.batch.Batch, trunk: int, payloads: np.ndarray, com_shift: np.ndarray, height: float
) -> None:
    """Shift the trunk's centre of mass and add the payload (parallel-axis theorem), or take mass away in proportion."""
    model = batch.model
    mass, ipos = batch.expand("body_mass"), batch.expand("body_ipos")
    principal, iquat = batch.expand("body_inertia"), batch.expand("body_iquat")
    for i, payload in enumerate(payloads):
        own = mass[i, trunk]
        centre = model.body_ipos[trunk] + com_shift[i]
        inertia = symmetric(inertia_in_body_frame(model, trunk)) * own / model.body_mass[trunk]
        if payload < 0:
            inertia *= (own + payload) / own
            combined = centre
        else:
            load = np.array([model.body_ipos[trunk][0], model.body_ipos[trunk][1], height])
            combined = (own * centre + payload * load) / (own + payload)
            inertia += own * _point_inertia(centre - combined) + payload * _point_inertia(load - combined)
        mass[i, trunk] = own + payload
        ipos[i, trunk] = combined
        values, axes = np.linalg.eigh(inertia)
        if np.linalg.det(axes) < 0:
            axes[:, 0] *= -1
        principal[i, trunk] = values
        mujoco.mju_mat2Quat(iquat[i, trunk], np.ascontiguousarray(axes).ravel())


def symmetric(six: np.ndarray) -> np.ndarray:
    """The matrix (3, 3) with entries xx yy zz xy xz yz."""
    xx, yy, zz, xy, xz, yz = six
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _point_inertia(r: np.ndarray) -> np.ndarray:
    """Inertia (3, 3) per kg of a point at r (3,)."""
    return r @ r * np.eye(3) - np.outer(r, r)


# What has a direction or a leg besides its size, and what is computed as the robot moves.


def level(slope: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) from the ground's frame, in which MuJoCo works, into the level frame of gravity.

    slope: (n,) rad, about the horizontal axis at angle `direction` (n,), rad.
    """
    half = slope / 2
    axis = np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    return np.concatenate([np.cos(half)[:, None], np.sin(half)[:, None] * axis, np.zeros((len(half), 1))], axis=-1)


def down(slope: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) of gravity in the ground's frame: the level frame's −z turned back."""
    s, c = np.sin(slope), np.cos(slope)
    x, y = np.cos(direction), np.sin(direction)
    return np.stack([s * y, -s * x, -c], axis=-1)


def strength(weak_leg: np.ndarray, leg: np.ndarray, robot: Robot) -> np.ndarray:
    """(n, nu) factor on each motor's torque, `weak_leg` (n,) for those of leg number `leg` (n,)."""
    own = np.array([[joint in joints for joint in range(robot.num_joints)] for joints in robot.legs])
    return np.where(own[np.asarray(leg, int)], weak_leg[:, None], 1.0)


def motors_of(given: Mapping[str, np.ndarray], robot: Robot, leg: np.ndarray) -> tuple[np.ndarray, ...]:
    """Factors on stiffness and damping, and torque limits (N m) at rest, (n, nu) each, of the robots of `columns`."""
    factor = strength(given["weak_leg"], leg, robot)
    limit = np.minimum(given["torque_limit"][:, None], robot.torque_limit)
    return given["kp"][:, None] * factor, given["kd"][:, None] * factor, limit * factor
