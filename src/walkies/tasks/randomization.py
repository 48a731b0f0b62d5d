"""Domain randomization: every robot of the batch is a slightly different robot, drawn anew at every reset.

Each quantity is a `Range` with its unit. The draw starts from the nominal parameters every time, so nothing
accumulates over resets, and every drawn body could be built: mass and centre of mass move, and inertia changes by
stretching the body's mass distribution (the second-moment matrix stays positive definite, so the principal moments
obey the triangle inequality; see Wensing, Kim & Slotine 2018 on physical consistency).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import jax
import jax.numpy as jnp

from walkies.physics.base import Params

Array = jax.Array


@dataclass(frozen=True)
class Range:
    """A uniform distribution over [low, high]."""

    low: float
    high: float

    def of(self, uniform: Array) -> Array:
        """Map uniform numbers in [0, 1) to this range."""
        return self.low + (self.high - self.low) * uniform


@dataclass(frozen=True)
class Randomization:
    """What differs from robot to robot, and from episode to episode."""

    friction: Range = Range(0.4, 1.4)
    """(1) sliding friction of all contacts with the ground"""
    body_mass: Range = Range(0.85, 1.3)
    """(×) mass of each body, independently"""
    payload: Range = Range(-0.15, 0.5)
    """(kg) point mass over the trunk's centre of mass"""
    payload_height: Range = Range(0.04, 0.12)
    """(m) of the payload above the base origin"""
    trunk_com_x: Range = Range(-0.025, 0.025)
    """(m) shift of the trunk's centre of mass, forward"""
    trunk_com_y: Range = Range(-0.01, 0.01)
    """(m) … leftward"""
    trunk_com_z: Range = Range(-0.005, 0.005)
    """(m) … upward"""
    stretch: Range = Range(0.95, 1.05)
    """(×) length of each body along each of its axes: changes inertia as real bodies can"""
    kp: Range = Range(0.6, 1.1)
    """(×) servo stiffness, one factor for all joints"""
    kd: Range = Range(0.75, 1.45)
    """(×) servo damping, one factor for all joints"""
    motor_strength: Range = Range(0.9, 1.05)
    """(×) torque of each motor, independently (gains and limit alike)"""
    frictionloss: Range = Range(0.6, 1.4)
    """(×) dry friction of each joint"""
    damping: Range = Range(0.5, 2.0)
    """(×) passive damping of each joint"""
    armature: Range = Range(0.9, 1.1)
    """(×) rotor inertia of each joint"""
    command_delay: Range = Range(0.0, 0.022)
    """(s) between sending a joint target and its effect, held for an episode"""
    imu_delay: Range = Range(0.0, 0.020)
    """(s) age of gyro and gravity readings, held for an episode"""
    encoder_bias: Range = Range(-0.02, 0.02)
    """(rad) constant error of each joint angle"""
    gyro_bias: Range = Range(-0.02, 0.02)
    """(rad/s) constant error of each gyro axis"""
    gravity_tilt: Range = Range(-0.02, 0.02)
    """(rad) constant roll and pitch error of the IMU's mounting"""


NOMINAL = Range(1.0, 1.0)
ZERO = Range(0.0, 0.0)

NONE = Randomization(
    **{field.name: ZERO for field in fields(Randomization)}
    | dict.fromkeys(
        ("friction", "body_mass", "stretch", "kp", "kd", "motor_strength", "frictionloss", "damping", "armature"),
        NOMINAL,
    )
)
"""Every robot is the nominal robot."""

COURSE = Randomization(
    **{field.name: getattr(NONE, field.name) for field in fields(Randomization)}
    | {
        "friction": Range(0.6, 1.4),
        "body_mass": Range(0.9, 1.3),
        "trunk_com_x": Range(-0.02, 0.03),
        "trunk_com_y": Range(-0.005, 0.005),
        "trunk_com_z": Range(-0.005, 0.005),
        "kp": Range(0.6, 1.1),
        "kd": Range(0.8, 1.5),
        "command_delay": Range(0.0, 0.020),
        "imu_delay": Range(0.0, 0.020),
    }
)
"""The values of the Stanford CS 123 course, with its latencies held for an episode instead of redrawn every step."""

SETS = {"none": NONE, "course": COURSE, "walkies": Randomization()}


class Drawn(NamedTuple):
    """One draw for n robots: physics, sensing errors, and what the critic is told about them."""

    params: Params
    sensor_bias: Array
    """(n, 3 + 3 + nu): added to gyro, to gravity (before it is normalized) and to joint angles."""
    privileged: Array
    """(n, PRIVILEGED): the factors, centred and scaled to about ±1."""


PRIVILEGED = 9
"""Numbers the critic gets about the drawn robot: friction, total mass, payload, trunk x, kp, kd, strength, delays."""


def draw(key: Array, num_envs: int, config: Randomization, nominal: Params, timestep: float) -> Drawn:
    """Draw `num_envs` robots around `nominal` (leaves with leading axis 1); delays are rounded to physics steps."""
    n, bodies, joints = num_envs, nominal.body_mass.shape[1], nominal.kp.shape[1]
    sizes = {field.name: 1 for field in fields(Randomization)}
    sizes |= dict.fromkeys(("motor_strength", "frictionloss", "damping", "armature", "encoder_bias"), joints)
    sizes |= {"body_mass": bodies, "stretch": 3 * bodies, "gyro_bias": 3, "gravity_tilt": 2}
    uniform = jax.random.uniform(key, (n, sum(sizes.values())))
    value, start = {}, 0
    for name, size in sizes.items():
        value[name] = getattr(config, name).of(uniform[:, start : start + size])
        start += size

    mass, com, inertia = _scale_bodies(nominal, value["body_mass"], value["stretch"].reshape(n, bodies, 3))
    shift = jnp.concatenate([value["trunk_com_x"], value["trunk_com_y"], value["trunk_com_z"]], axis=1)
    com = com.at[:, 0].add(shift)
    mass, com, inertia = _add_payload(mass, com, inertia, value["payload"][:, 0], value["payload_height"][:, 0])
    strength = value["motor_strength"]
    params = nominal._replace(
        body_mass=mass,
        body_ipos=com,
        body_inertia=inertia,
        friction=nominal.friction * value["friction"][:, 0],
        kp=nominal.kp * value["kp"] * strength,
        kd=nominal.kd * value["kd"] * strength,
        torque_limit=nominal.torque_limit * strength,
        dof_damping=nominal.dof_damping * value["damping"],
        dof_frictionloss=nominal.dof_frictionloss * value["frictionloss"],
        dof_armature=nominal.dof_armature * value["armature"],
        command_delay=jnp.round(value["command_delay"][:, 0] / timestep).astype(jnp.int32),
        imu_delay=jnp.round(value["imu_delay"][:, 0] / timestep).astype(jnp.int32),
    )
    tilt = jnp.concatenate([value["gravity_tilt"], jnp.zeros((n, 1))], axis=1)
    bias = jnp.concatenate([value["gyro_bias"], tilt, value["encoder_bias"]], axis=1)
    privileged = jnp.stack(
        [
            value["friction"][:, 0] - 1.0,
            jnp.sum(mass, axis=1) / jnp.sum(nominal.body_mass) - 1.0,
            value["payload"][:, 0],
            value["trunk_com_x"][:, 0] / 0.02,
            value["kp"][:, 0] - 1.0,
            value["kd"][:, 0] - 1.0,
            jnp.mean(strength, axis=1) - 1.0,
            value["command_delay"][:, 0] / 0.02,
            value["imu_delay"][:, 0] / 0.02,
        ],
        axis=1,
    )
    return Drawn(params, bias, privileged)


def _scale_bodies(nominal: Params, mass_factor: Array, stretch: Array) -> tuple[Array, Array, Array]:
    """Masses (n, b), centres of mass (n, b, 3) and inertias (n, b, 6) of bodies made heavier and stretched."""
    mass = nominal.body_mass * mass_factor
    xx, yy, zz, xy, xz, yz = (nominal.body_inertia[..., i] for i in range(6))
    # Second moments ∫ x xᵀ dm = ½ tr(I) 1 − I; a stretched body has D Σ D, positive definite whenever Σ is.
    half = 0.5 * (xx + yy + zz)
    dx, dy, dz = stretch[..., 0], stretch[..., 1], stretch[..., 2]
    sxx, syy, szz = (half - xx) * dx * dx, (half - yy) * dy * dy, (half - zz) * dz * dz
    sxy, sxz, syz = -xy * dx * dy, -xz * dx * dz, -yz * dy * dz
    inertia = jnp.stack([syy + szz, sxx + szz, sxx + syy, -sxy, -sxz, -syz], axis=-1) * mass_factor[..., None]
    com = jnp.broadcast_to(nominal.body_ipos, (*mass.shape, 3))
    return mass, com, inertia


def _add_payload(mass: Array, com: Array, inertia: Array, payload: Array, height: Array) -> tuple[Array, Array, Array]:
    """The base (body 0) with a point mass `payload` (n,) kg over its centre of mass, `height` (n,) m up.

    What is taken away (payload below zero) is taken from the whole base in proportion: the rest is a body that exists.
    """
    lighter = 1.0 + jnp.minimum(payload, 0.0) / mass[:, 0]
    mass, inertia = mass.at[:, 0].multiply(lighter), inertia.at[:, 0].multiply(lighter[:, None])
    payload = jnp.maximum(payload, 0.0)
    at = com[:, 0].at[:, 2].set(height)
    total = mass[:, 0] + payload
    moved = (mass[:, 0, None] * com[:, 0] + payload[:, None] * at) / total[:, None]
    # Two point-like masses about their common centre: reduced mass times squared distance (parallel axes).
    reduced = mass[:, 0] * payload / total
    d = at - com[:, 0]
    square = jnp.sum(d * d, axis=-1)
    x, y, z = d[:, 0], d[:, 1], d[:, 2]
    parallel = jnp.stack([square - x * x, square - y * y, square - z * z, -x * y, -x * z, -y * z], axis=-1)
    return (
        mass.at[:, 0].set(total),
        com.at[:, 0].set(moved),
        inertia.at[:, 0].add(reduced[:, None] * parallel),
    )
