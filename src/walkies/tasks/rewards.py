"""What walking well means: each reward term is one small function, one weight and one unit.

A term maps a `Motion` (what happened in one control step) to a number per robot. The reward of a step is
`control_dt · Σ weight · term`: nothing is clipped, so a penalty is felt even where the sum is negative.
To add a term: write the function here and a field of the same name in `RewardWeights`; or, outside, a subclass of it
with the field and `own`, as docs/first_walk.ipynb does.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from walkies.bounds import Between, Share, fields_of

Array = jax.Array


class Motion(NamedTuple):
    """What a reward term may look at: one control step of `n` robots, noise-free, SI units."""

    command: Array
    """(n, 3) wanted forward, leftward (m/s) and yaw (rad/s) velocity: the command, or on the way to it."""
    linear_velocity: Array
    """(n, 3) m/s, of the base, in the body frame."""
    angular_velocity: Array
    """(n, 3) rad/s, of the base, in the body frame."""
    gravity: Array
    """(n, 3) unit vector of gravity in the body frame."""
    height: Array
    """(n,) m, of the base origin."""
    joint_offset: Array
    """(n, nu) rad, joint angles minus the default pose."""
    joint_velocity: Array
    """(n, nu) rad/s"""
    joint_acceleration: Array
    """(n, nu) rad/s², change of velocity over the control step."""
    torque: Array
    """(n, nu) N m"""
    action: Array
    """(n, nu) of this step."""
    last_action: Array
    """(n, nu) of the step before."""
    foot_contact: Array
    """(n, legs) bool"""
    foot_velocity: Array
    """(n, legs, 3) m/s, world frame."""
    foot_height: Array
    """(n, legs) m above the ground."""
    foot_air_time: Array
    """(n, legs) s since the foot last touched the ground, 0 while it does, and the whole flight on touchdown."""
    first_contact: Array
    """(n, legs) bool: the foot touched down in this step."""
    knee_force: Array
    """(n, knees) N"""
    torso_force: Array
    """(n, torso spheres) N"""
    fell: Array
    """(n,) bool: the episode ended in a fall."""


@dataclass(frozen=True)
class Shape:
    """Constants inside reward terms."""

    tracking_width: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.25
    """σ of exp(−error²/σ²) for linear velocity, m/s."""
    yaw_width: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.5
    """σ of exp(−error²/σ²) for yaw rate, rad/s."""
    air_time: Annotated[float, Between(0.0, 100.0)] = 0.12
    """Flight time a step should have, s."""
    clearance: Annotated[float, Between(0.0, 10.0)] = 0.03
    """Height a swinging foot should reach above the ground, m."""
    still: Annotated[float, Between(0.0, 100.0)] = 0.05
    """A command of a smaller norm means: stand still."""


Term = Callable[[Motion, Shape], Array]
"""(n,) numbers of a motion, noise-free."""


Weight = Annotated[float, Between(-1e6, 1e6)]
"""Of a reward where it is above zero, of a cost where it is below."""
EffortWeight = Annotated[
    float, Between(-1e6, 1e6, note="reached after --task.effort.steps; training begins at --task.effort.start of it")
]
"""Of a cost of moving at all. In full from the start these teach a robot to stand; see `Growth`."""


@dataclass(frozen=True)
class RewardWeights:
    """Weight of each term per second of its own unit (the reward of a step is control_dt · Σ weight · term)."""

    tracking_lin_vel: Weight = 1.5
    """(1) exp(−‖v_xy − command‖²/σ²)"""
    tracking_ang_vel: Weight = 0.8
    """(1) exp(−(ω_z − command)²/σ²)"""
    lin_vel_error: Weight = -1.0
    """(m/s) ‖v_xy − command‖: a pull from far away, where the Gaussian is flat"""
    ang_vel_error: Weight = -0.3
    """(rad/s) |ω_z − command|"""
    lin_vel_z: Weight = -1.0
    """(m²/s²) squared vertical velocity"""
    ang_vel_xy: Weight = -0.02
    """(rad²/s²) squared roll and pitch rate"""
    orientation: Weight = -1.0
    """(1) squared horizontal part of gravity in the body frame"""
    torque: EffortWeight = -0.005
    """(N² m²) Σ τ²"""
    power: EffortWeight = -0.002
    """(W) Σ |τ q̇|"""
    joint_acceleration: EffortWeight = -5e-8
    """(rad²/s⁴) Σ q̈²"""
    action_rate: EffortWeight = -0.12
    """(1) Σ (a_t − a_{t−1})²"""
    foot_slip: Weight = -0.2
    """(m²/s²) Σ squared horizontal velocity of feet on the ground"""
    foot_air_time: Weight = 1.0
    """(s) Σ over touchdowns of (flight time − wanted), when commanded to move"""
    foot_clearance: Weight = 0.0
    """(m · m/s) Σ |height − wanted| · horizontal foot speed"""
    stand_still: Weight = -0.3
    """(rad) Σ |q − default| when commanded to stand"""
    stand_still_velocity: Weight = -0.02
    """(rad/s) Σ |q̇| when commanded to stand"""
    abduction: Weight = -0.1
    """(rad²) Σ squared sideways hip angles"""
    knee_contact: Weight = -1.0
    """(1) number of knees on the ground"""
    torso_contact: Weight = -1.0
    """(1) number of torso spheres on the ground"""
    termination: Weight = -100.0
    """(1) falling"""

    own: ClassVar[Mapping[str, Term]] = MappingProxyType({})
    """For subclasses: functions of further terms, by the name of the field that is their weight."""


def tracking_lin_vel(m: Motion, s: Shape) -> Array:
    """Follow the commanded horizontal velocity."""
    return jnp.exp(-_squared(m.linear_velocity[:, :2] - m.command[:, :2]) / s.tracking_width**2)


def tracking_ang_vel(m: Motion, s: Shape) -> Array:
    """Follow the commanded yaw rate."""
    return jnp.exp(-jnp.square((m.angular_velocity[:, 2] - m.command[:, 2]) / s.yaw_width))


def lin_vel_error(m: Motion, s: Shape) -> Array:
    """Distance from the commanded horizontal velocity."""
    return jnp.sqrt(_squared(m.linear_velocity[:, :2] - m.command[:, :2]) + 1e-8)


def ang_vel_error(m: Motion, s: Shape) -> Array:
    """Distance from the commanded yaw rate."""
    return jnp.abs(m.angular_velocity[:, 2] - m.command[:, 2])


def lin_vel_z(m: Motion, s: Shape) -> Array:
    """Do not hop."""
    return jnp.square(m.linear_velocity[:, 2])


def ang_vel_xy(m: Motion, s: Shape) -> Array:
    """Do not roll or pitch about."""
    return _squared(m.angular_velocity[:, :2])


def orientation(m: Motion, s: Shape) -> Array:
    """Keep the back level."""
    return _squared(m.gravity[:, :2])


def torque(m: Motion, s: Shape) -> Array:
    """Spare the motors: heat goes with torque squared."""
    return _squared(m.torque)


def power(m: Motion, s: Shape) -> Array:
    """Spare the battery: mechanical power, braking counted too."""
    return jnp.sum(jnp.abs(m.torque * m.joint_velocity), axis=-1)


def joint_acceleration(m: Motion, s: Shape) -> Array:
    """Move smoothly."""
    return _squared(m.joint_acceleration)


def action_rate(m: Motion, s: Shape) -> Array:
    """Do not jerk the targets from step to step."""
    return _squared(m.action - m.last_action)


def foot_slip(m: Motion, s: Shape) -> Array:
    """A foot on the ground stays where it is."""
    return jnp.sum(jnp.sum(jnp.square(m.foot_velocity[..., :2]), -1) * m.foot_contact, axis=-1)


def foot_air_time(m: Motion, s: Shape) -> Array:
    """Take steps of a sensible length instead of shuffling."""
    flight = jnp.sum((m.foot_air_time - s.air_time) * m.first_contact, axis=-1)
    return flight * _moving(m, s)


def foot_clearance(m: Motion, s: Shape) -> Array:
    """A foot that moves does so above the ground."""
    speed = jnp.sqrt(jnp.sum(jnp.square(m.foot_velocity[..., :2]), -1) + 1e-8)
    return jnp.sum(jnp.abs(m.foot_height - s.clearance) * speed, axis=-1)


def stand_still(m: Motion, s: Shape) -> Array:
    """Stand in the default pose when told to stand."""
    return jnp.sum(jnp.abs(m.joint_offset), axis=-1) * ~_moving(m, s)


def stand_still_velocity(m: Motion, s: Shape) -> Array:
    """Do not fidget when told to stand."""
    return jnp.sum(jnp.abs(m.joint_velocity), axis=-1) * ~_moving(m, s)


def abduction(m: Motion, s: Shape) -> Array:
    """Keep the legs under the body (abduction is the second joint of each leg)."""
    return _squared(m.joint_offset[:, 1::3])


def knee_contact(m: Motion, s: Shape) -> Array:
    """Walk on feet, not on knees."""
    return jnp.sum(m.knee_force > 0.1, axis=-1).astype(jnp.float32)


def torso_contact(m: Motion, s: Shape) -> Array:
    """Do not rest on the belly."""
    return jnp.sum(m.torso_force > 0.1, axis=-1).astype(jnp.float32)


def termination(m: Motion, s: Shape) -> Array:
    """Do not fall. Divided by nothing and clipped by nothing."""
    return m.fell.astype(jnp.float32)


def _squared(x: Array) -> Array:
    return jnp.sum(jnp.square(x), axis=-1)


def _moving(m: Motion, s: Shape) -> Array:
    return jnp.sqrt(_squared(m.command)) > s.still


TERMS = {field.name: globals()[field.name] for field in fields(RewardWeights)}
"""Every reward term by name: exactly the fields of `RewardWeights`."""


def terms_of(weights: RewardWeights) -> dict[str, Term]:
    """Every term that `weights` has a weight for, a reader's own last."""
    return {**TERMS, **weights.own}


EFFORT = tuple(name for name, hint in fields_of(RewardWeights).items() if hint == EffortWeight)
"""Names of the costs of moving at all."""


@dataclass(frozen=True)
class Growth:
    """The costs of effort (EFFORT) grow with training: first walk, then walk well."""

    start: Share = 0.2
    """Share of their weights at the start of training, also of one that starts from another's policy; 1: in full."""
    steps: Annotated[int, Between(0, 10**12)] = 3_000_000
    """Control steps over all robots after which they count in full; linear until then."""


def effort_share(growth: Growth, steps: Array) -> Array:
    """Share () of the effort costs' weights after so many control steps () of training."""
    return growth.start + (1.0 - growth.start) * jnp.minimum(steps / max(growth.steps, 1), 1.0)


def reward_terms(
    motion: Motion, weights: RewardWeights, shape: Shape, control_dt: float, effort: Array | float = 1.0
) -> dict[str, Array]:
    """Weighted terms (n,) by name, for every weight that is not zero; the reward is their sum.

    effort: () share of the weights of EFFORT.
    """
    terms = terms_of(weights)
    active = {name: getattr(weights, name) for name in terms}
    scale = {name: control_dt * w * (effort if name in EFFORT else 1.0) for name, w in active.items() if w != 0.0}
    return {name: factor * terms[name](motion, shape) for name, factor in scale.items()}


def describe(weights: RewardWeights, name: str) -> tuple[str, str, str]:
    """(unit, formula, purpose) of a term, read from the docstrings that stand beside its weight and in its function.

    Empty where there are none: nobody has to document a term of their own.
    """
    owner = next(kind for kind in type(weights).__mro__ if name in vars(kind).get("__annotations__", {}))
    try:
        source = inspect.getsource(owner)
    except (OSError, TypeError):  # it was typed in, not read from a file
        source = ""
    _, _, below = source.partition(f"    {name}: ")
    docstring = re.match(r'[^\n]*\n\s*"""\((.*?)\) (.*?)"""', below, re.DOTALL)
    unit, formula = docstring.groups() if docstring else ("", "")
    purpose = (inspect.getdoc(terms_of(weights)[name]) or "").partition("\n")[0]
    return unit, formula, purpose
