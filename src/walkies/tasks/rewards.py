"""What walking well means: each reward term is one small function, one weight and one unit.

A term maps a `Motion` (what happened in one control step) to a number per robot. The reward of a step is
`control_dt · Σ weight · term`: nothing is clipped, so a penalty counts even if the sum is negative.
To add a term: write its function here and a field in `RewardWeights`; or write both elsewhere, in a subclass of it, as
docs/first_walk.ipynb does. A run's configuration stores terms by name, so a program that resumes it must define them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, NamedTuple

from walkies import renamed
from walkies.bounds import ABOUT, AtMost, Between, fields_of
from walkies.errors import UserError
from walkies.later import Array, jnp
from walkies.tasks.curriculum import Ramp  # noqa: F401  (its old name is looked up here)
from walkies.tasks.motion.terms import Deviation, motion_height, motion_joints, motion_orientation, motion_speeds
from walkies.tasks.scale.stature import Stature


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
    abduction: Array
    """(n, legs) rad, those of the joints that move a leg sideways."""
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
    """(n, legs) s since the foot last touched the ground; 0 while it does, the whole flight time on touchdown."""
    first_contact: Array
    """(n, legs) bool: the foot touched down in this step."""
    knee_force: Array
    """(n, knees) N"""
    torso_force: Array
    """(n, torso spheres) N"""
    fell: Array
    """(n,) bool: the episode ended in a fall."""
    gait_reference: Array | None = None
    """(n, nu) rad from the default pose: the reference observed when the action was chosen; None: there is none."""
    gait_stance: Array | None = None
    """(n, legs) bool: its stance feet; None: no term needs them, or there is no reference."""
    stature: Stature | None = None
    """The robot's own measures; None: unknown."""
    idle: Array | None = None
    """(n, k) rad, joint angles minus the default pose, of the joints that belong to no leg; None: there are none."""
    deviation: Deviation | None = None
    """From the frame of a movement observed when the action was chosen; None: there is none."""
    foot_room: Array | None = None
    """(n, pairs) sideways room between feet beside each other, as a share of that of the standing robot; None: no term
    needs it, or there are no such feet."""


@dataclass(frozen=True)
class RewardParams:
    """Constants of the reward terms."""

    tracking_width: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.25
    """σ of exp(−error²/σ²) for linear velocity, m/s."""
    yaw_width: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.5
    """σ of exp(−error²/σ²) for yaw rate, rad/s."""
    air_time: Annotated[float, Between(0.0, 100.0)] = 0.12
    """Wanted flight time of a step, s."""
    clearance: Annotated[float, Between(0.0, 10.0)] = 0.03
    """Wanted height of a swinging foot above the ground, m."""
    swing_time: Annotated[float, Between(0.0, 100.0)] = 1.96
    """Longest rewarded flight of alternating feet, in √(h/g), where h is the hip height of the standing robot."""
    swing_height: Annotated[float, Between(0.0, 10.0)] = 0.183
    """Best height of a swinging foot in an alternating gait, in h."""
    swing_width: Annotated[float, Between(0.0, 10.0, "(]")] = 0.125
    """σ of exp(−(height − best)²/σ²) for that height, in h."""
    room: Annotated[float, Between(0.0, 10.0, "(]")] = 0.5
    """Least sideways room between feet that costs nothing, as a share of that of the standing robot."""
    still: Annotated[float, Between(0.0, 100.0)] = 0.05
    """A command with a smaller norm means: stand still."""
    gait_width: Annotated[tuple[float, ...], Between(0.0, 1000.0, "(]"), AtMost(64)] = (0.15, 0.3, 0.3)
    """σ of exp(−mean(error²/σ²)) for a reference gait, rad: one for all joints, or one for each joint of a leg."""
    motion_joints: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.2
    """σ of exp(−mean error²/σ²) for the joint angles of a movement, rad; likewise:"""
    motion_speeds: Annotated[float, Between(0.0, 1000.0, "(]")] = 2.5
    """for their speeds, rad/s,"""
    motion_orientation: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.25
    """for the orientation of the trunk, rad,"""
    motion_height: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.15
    """and for its height, in the hip height of the standing robot."""


Term = Callable[..., Array]
"""(motion, params, its constants by name) → (n,) numbers, noise-free."""


Weight = Annotated[float, Between(-1e6, 1e6)]
"""Weight: positive for a reward, negative for a cost."""
EffortWeight = Annotated[
    float, Between(-1e6, 1e6, note="reached after --task.effort.steps; training begins at --task.effort.start of it")
]
"""Weight of an effort cost. Applied in full from the start, these teach a robot to stand; see `Ramp`."""
TurningWeight = Annotated[
    float, Between(-1e6, 1e6, note="reached after --task.turning.steps; training begins at --task.turning.start of it")
]
"""Weight of how well the commanded yaw rate is followed; see `Ramp`."""


class Reward(NamedTuple):
    """A reward term."""

    function: Term
    unit: str
    formula: str
    """Short description."""
    constants: Mapping[str, Any]
    """Additional arguments of the function."""
    per: str = ""
    """What it sums over, `joint` or `leg`: for robots with more of them the mean counts."""
    tracks: bool = False
    """It measures command tracking, and scales with the commands."""
    event: bool = False
    """It is an event that happens once, not a rate."""

    def __call__(self, motion: Motion, params: RewardParams) -> Array:
        """(n,) its value, unweighted."""
        return self.function(motion, params, **self.constants)

    def __str__(self) -> str:
        return f"({self.unit}) {self.formula}" if self.unit else self.formula

    @property
    def purpose(self) -> str:
        """Its purpose, from the docstring of its function."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


def reward(
    function: Term,
    weight: float,
    unit: str = "",
    formula: str = "",
    *,
    per: str = "",
    tracks: bool = False,
    event: bool = False,
    **constants: Any,
) -> Any:
    """A field of a `RewardWeights`: a term with this default weight; `function` gets the constants.

    per, tracks, event: see `Reward`.
    """
    return field(default=weight, metadata={ABOUT: Reward(function, unit, formula, constants, per, tracks, event)})


def tracking_lin_vel(m: Motion, s: RewardParams) -> Array:
    """Follow the commanded horizontal velocity."""
    return jnp.exp(-_squared(m.linear_velocity[:, :2] - m.command[:, :2]) / s.tracking_width**2)


def tracking_ang_vel(m: Motion, s: RewardParams) -> Array:
    """Follow the commanded yaw rate."""
    return jnp.exp(-jnp.square((m.angular_velocity[:, 2] - m.command[:, 2]) / s.yaw_width))


def lin_vel_error(m: Motion, s: RewardParams) -> Array:
    """Distance from the commanded horizontal velocity."""
    return jnp.sqrt(_squared(m.linear_velocity[:, :2] - m.command[:, :2]) + 1e-8)


def ang_vel_error(m: Motion, s: RewardParams) -> Array:
    """Distance from the commanded yaw rate."""
    return jnp.abs(m.angular_velocity[:, 2] - m.command[:, 2])


def lin_vel_z(m: Motion, s: RewardParams) -> Array:
    """Do not hop."""
    return jnp.square(m.linear_velocity[:, 2])


def ang_vel_xy(m: Motion, s: RewardParams) -> Array:
    """Do not roll or pitch."""
    return _squared(m.angular_velocity[:, :2])


def orientation(m: Motion, s: RewardParams) -> Array:
    """Keep the back level."""
    return _squared(m.gravity[:, :2])


def torque(m: Motion, s: RewardParams) -> Array:
    """Spare the motors: heat is proportional to torque squared."""
    return _squared(m.torque)


def power(m: Motion, s: RewardParams) -> Array:
    """Spare the battery: mechanical power, including braking."""
    return jnp.sum(jnp.abs(m.torque * m.joint_velocity), axis=-1)


def joint_acceleration(m: Motion, s: RewardParams) -> Array:
    """Move smoothly."""
    return _squared(m.joint_acceleration)


def action_rate(m: Motion, s: RewardParams) -> Array:
    """Do not jerk the targets from step to step."""
    return _squared(m.action - m.last_action)


def foot_slip(m: Motion, s: RewardParams) -> Array:
    """A foot on the ground stays where it is."""
    return jnp.sum(jnp.sum(jnp.square(m.foot_velocity[..., :2]), -1) * m.foot_contact, axis=-1)


def foot_air_time(m: Motion, s: RewardParams) -> Array:
    """Take steps of a sensible length instead of shuffling."""
    flight = jnp.sum((m.foot_air_time - s.air_time) * m.first_contact, axis=-1)
    return flight * _moving(m, s)


def foot_clearance(m: Motion, s: RewardParams) -> Array:
    """Lift moving feet above the ground."""
    speed = jnp.sqrt(jnp.sum(jnp.square(m.foot_velocity[..., :2]), -1) + 1e-8)
    return jnp.sum(jnp.abs(m.foot_height - s.clearance) * speed, axis=-1)


def alternate_feet(m: Motion, s: RewardParams) -> Array:
    """Stand on one half of the feet while the other half swings: alternating legs, a trot on four, tripods on six.

    Six feet do not swing in tripods by chance: with more than four feet, part is paid if most of them alternate.
    """
    if m.stature is None or m.stature.half is None:
        return jnp.zeros(len(m.foot_contact))
    swings, half = ~m.foot_contact, jnp.asarray(m.stature.half)
    in_turn = jnp.abs(2.0 * jnp.mean(swings == half, axis=-1) - 1.0)
    in_turn = jnp.square(in_turn) if len(half) > MANY else in_turn == 1.0
    short = (m.foot_air_time * swings < s.swing_time * m.stature.time).all(axis=-1)
    off = (m.foot_height / m.stature.height - s.swing_height) / s.swing_width
    high = jnp.sum(jnp.exp(-jnp.square(off)) * swings, axis=-1) / jnp.maximum(jnp.sum(swings, axis=-1), 1)
    return in_turn * (short & _moving(m, s)) * (0.5 + 0.5 * high)


MANY = 4
"""Up to this many feet, all of them must alternate."""


def stand_still(m: Motion, s: RewardParams) -> Array:
    """Stand in the default pose when commanded to stand."""
    return jnp.sum(jnp.abs(m.joint_offset), axis=-1) * ~_moving(m, s)


def stand_still_velocity(m: Motion, s: RewardParams) -> Array:
    """Do not fidget when commanded to stand."""
    return jnp.sum(jnp.abs(m.joint_velocity), axis=-1) * ~_moving(m, s)


def abduction(m: Motion, s: RewardParams) -> Array:
    """Keep the legs under the body."""
    return _squared(m.abduction)


def knee_contact(m: Motion, s: RewardParams) -> Array:
    """Walk on feet, not on knees."""
    return jnp.sum(m.knee_force > 0.1, axis=-1).astype(jnp.float32)


def torso_contact(m: Motion, s: RewardParams) -> Array:
    """Do not rest on the belly."""
    return jnp.sum(m.torso_force > 0.1, axis=-1).astype(jnp.float32)


def feet_apart(m: Motion, s: RewardParams) -> Array:
    """Do not let feet meet: edges of soles catch, which a simulator of rounded shapes does not show."""
    if m.foot_room is None:
        return jnp.zeros(len(m.joint_offset))
    return jnp.sum(jnp.clip(1.0 - m.foot_room / s.room, 0.0, 2.0), axis=-1)


def idle_joints(m: Motion, s: RewardParams) -> Array:
    """Keep joints that belong to no leg still: arms, a waist, a head."""
    if m.idle is None:
        return jnp.zeros(len(m.joint_offset))
    return jnp.mean(jnp.square(m.idle), axis=-1)


def alive(m: Motion, s: RewardParams) -> Array:
    """Stay up.

    For robots that fall before they have learned anything: otherwise each of their steps would cost more than a fall.
    """
    return jnp.ones(len(m.joint_offset))


def termination(m: Motion, s: RewardParams) -> Array:
    """Do not fall. Neither scaled nor clipped."""
    return m.fell.astype(jnp.float32)


def gait_tracking(m: Motion, s: RewardParams) -> Array:
    """Follow the reference gait, which for small commands is the default pose."""
    if m.gait_reference is None:
        return jnp.zeros(len(m.joint_offset))
    error = m.joint_offset - m.gait_reference
    width = jnp.tile(jnp.array(s.gait_width), error.shape[1] // len(s.gait_width))
    return jnp.exp(-jnp.mean(jnp.square(error / width), axis=-1))


def gait_contacts(m: Motion, s: RewardParams) -> Array:
    """Keep the same feet on the ground as the reference gait."""
    if m.gait_stance is None:
        return jnp.zeros(len(m.foot_contact))
    return jnp.mean(m.foot_contact == m.gait_stance, axis=-1) * _moving(m, s)


def gait_error(m: Motion) -> Array:
    """(n,) rad, root mean square over the joints of their distance from the reference gait, which must exist."""
    assert m.gait_reference is not None
    return jnp.sqrt(jnp.mean(jnp.square(m.joint_offset - m.gait_reference), axis=-1))


def _squared(x: Array) -> Array:
    return jnp.sum(jnp.square(x), axis=-1)


def _moving(m: Motion, s: RewardParams) -> Array:
    return jnp.sqrt(_squared(m.command)) > s.still


@renamed.added(
    alternate_feet=0.0, gait_contacts=0.0, idle_joints=0.0, alive=0.0, feet_apart=0.0,
    motion_joints=0.0, motion_speeds=0.0, motion_orientation=0.0, motion_height=0.0,
)  # fmt: skip
@dataclass(frozen=True)
class RewardWeights:
    """Every reward term and its weight per second of its own unit (a step's reward is control_dt · Σ weight · term)."""

    tracking_lin_vel: Weight = reward(tracking_lin_vel, 1.5, "1", "exp(−‖v_xy − command‖²/σ²)")
    tracking_ang_vel: TurningWeight = reward(tracking_ang_vel, 1.2, "1", "exp(−(ω_z − command)²/σ²)")
    lin_vel_error: Weight = reward(
        lin_vel_error, -1.0, "m/s", "‖v_xy − command‖: a pull from far away, where the Gaussian is flat", tracks=True
    )
    ang_vel_error: TurningWeight = reward(ang_vel_error, -0.45, "rad/s", "|ω_z − command|", tracks=True)
    lin_vel_z: Weight = reward(lin_vel_z, -1.0, "m²/s²", "squared vertical velocity")
    ang_vel_xy: Weight = reward(ang_vel_xy, -0.02, "rad²/s²", "squared roll and pitch rate")
    orientation: Weight = reward(orientation, -1.0, "1", "squared horizontal part of gravity in the body frame")
    torque: EffortWeight = reward(torque, -0.005, "N² m²", "Σ τ²", per="joint")
    power: EffortWeight = reward(power, -0.002, "W", "Σ |τ q̇|")
    joint_acceleration: EffortWeight = reward(joint_acceleration, -5e-8, "rad²/s⁴", "Σ q̈²", per="joint")
    action_rate: EffortWeight = reward(action_rate, -0.12, "1", "Σ (a_t − a_{t−1})²", per="joint")
    foot_slip: Weight = reward(
        foot_slip, -0.2, "m²/s²", "Σ squared horizontal velocity of feet on the ground", per="leg"
    )
    foot_air_time: Weight = reward(
        foot_air_time, 1.0, "s", "Σ over touchdowns of (flight time − wanted), when commanded to move", per="leg"
    )
    alternate_feet: Weight = reward(
        alternate_feet,
        1.0,
        "1",
        "while half of the feet swing, not too long, and the other half stand: ½ + ½ mean exp(−(height − best)²/σ²), "
        "when commanded to move",
    )
    foot_clearance: Weight = reward(
        foot_clearance, 0.0, "m · m/s", "Σ |height − wanted| · horizontal foot speed", per="leg"
    )
    stand_still: Weight = reward(stand_still, -0.3, "rad", "Σ |q − default| when commanded to stand", per="joint")
    stand_still_velocity: Weight = reward(
        stand_still_velocity, -0.02, "rad/s", "Σ |q̇| when commanded to stand", per="joint"
    )
    abduction: Weight = reward(abduction, -0.1, "rad²", "Σ squared sideways hip angles", per="leg")
    knee_contact: Weight = reward(knee_contact, -1.0, "1", "number of knees on the ground", per="leg")
    torso_contact: Weight = reward(torso_contact, -1.0, "1", "number of torso spheres on the ground")
    feet_apart: Weight = reward(
        feet_apart, 0.0, "1", "Σ over feet beside each other of 1 − room/wanted, between 0 and 2", per="leg"
    )
    gait_tracking: Weight = reward(gait_tracking, 0.0, "1", "exp(−mean((q − reference)²/σ²))")
    gait_contacts: Weight = reward(
        gait_contacts, 0.0, "1", "share of the feet that stand or swing as in the reference, when commanded to move"
    )
    motion_joints: Weight = reward(motion_joints, 0.0, "1", "exp(−mean (q − movement)²/σ²)")
    motion_speeds: Weight = reward(motion_speeds, 0.0, "1", "exp(−mean (q̇ − movement)²/σ²)")
    motion_orientation: Weight = reward(motion_orientation, 0.0, "1", "exp(−(angle to the movement)²/σ²)")
    motion_height: Weight = reward(motion_height, 0.0, "1", "exp(−((height − movement)/h)²/σ²)")
    idle_joints: Weight = reward(idle_joints, -2.0, "rad²", "mean squared angle from the default, of joints of no leg")
    alive: Weight = reward(alive, 0.0, "1", "always")
    termination: Weight = reward(termination, -200.0, "1", "falling", event=True)


OLD_FORM = (
    "reward terms are no longer added as a mapping `own`; write NAME: Weight = reward(FUNCTION, WEIGHT), "
    "as docs/change.md shows. The next release will not read it"
)


def terms_of(weights: RewardWeights) -> dict[str, Reward]:
    """Every term that `weights` has a weight for, custom terms last."""
    terms: dict[str, Any] = {entry.name: entry.metadata.get(ABOUT) for entry in fields(weights)}
    if (own := getattr(weights, "own", None)) is not None:
        warnings.warn(OLD_FORM, FutureWarning, stacklevel=2)
        terms |= {name: Reward(function, "", "", {}) for name, function in own.items()}
    if bare := [name for name, term in terms.items() if not isinstance(term, Reward)]:
        raise UserError(
            f"{type(weights).__name__}.{bare[0]}: a weight without a function; expected, as docs/change.md shows, "
            f"{bare[0]}: Weight = reward(FUNCTION, WEIGHT)"
        )
    return terms


TERMS = terms_of(RewardWeights())
"""The built-in terms, by name."""

EFFORT = tuple(name for name, hint in fields_of(RewardWeights).items() if hint == EffortWeight)
"""Names of the effort costs."""
TURNING = tuple(name for name, hint in fields_of(RewardWeights).items() if hint == TurningWeight)
"""Names of the terms of following the commanded yaw rate."""


def reward_terms(
    motion: Motion,
    weights: RewardWeights,
    shape: RewardParams,
    control_dt: float,
    shares: Mapping[str, Array | float] = {},
) -> dict[str, Array]:
    """Weighted terms (n,) by name, for every nonzero weight; the reward is their sum.

    shares: () of the weights that do not count in full, by name.
    """
    terms = terms_of(weights)
    active = {name: getattr(weights, name) for name in terms}
    scale = {name: control_dt * w * shares.get(name, 1.0) for name, w in active.items() if w != 0.0}
    return {name: factor * terms[name](motion, shape) for name, factor in scale.items()}


renamed.names(globals(), Shape="RewardParams", Growth="Ramp")
