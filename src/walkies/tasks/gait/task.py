"""A gait as part of a task: the reference that a policy observes, its tables, and its clock in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from walkies.accel import random
from walkies.bounds import Between, flag
from walkies.errors import UserError
from walkies.later import Array, jnp, mujoco
from walkies.robots.base import Robot
from walkies.tasks.gait import fast
from walkies.tasks.gait.generator import LIFT, SAMPLES, TROT, Gait, on_ground, table
from walkies.tasks.gait.kinematics import Legs
from walkies.tasks.gait.reference import GaitReference
from walkies.tasks.rewards import RewardWeights
from walkies.tasks.signal import GAIT


@dataclass(frozen=True)
class GaitConfig:
    """The reference that a policy observes, if its frame has the signal `gait_reference`."""

    tables: Literal["none", "zero", "trot", "trot-lift"] = "none"
    """zero: always the default pose; trot-lift: the trot, and the lift while the forward speed is below
    dir_threshold. none: there is no reference."""
    frequency: Annotated[float, Between(0.0, 100.0, "(]")] = 1.5
    """Hz, cycles of the gait."""
    trot: Gait = TROT
    """The gait for walking forward and, played in reverse, backward."""
    lift: Gait = LIFT
    """The gait for turning and going sideways; yours to design: `walkies gait` shows it."""
    fast: Path | None = None
    """A gait for fast walking, forward and backward, with a frequency of its own: a file of `walkies motion capture`.
    Default: the trot."""
    gallop_speed: Annotated[float, Between(0.0, 1e6)] = 1000.0
    """m/s: the fast gait applies from this commanded speed on, forward or backward."""
    blend_speed: Annotated[float, Between(0.0, 100.0, "(]")] = 0.1
    """Norm of the command from which the reference has its full size; below, it shrinks to the default pose."""
    dir_threshold: Annotated[float, Between(0.0, 100.0)] = 0.05
    """m/s: a slower walk takes its direction from the yaw rate."""
    emphasis: Annotated[float, Between(0.0, 1000.0)] = 1.0
    """Factor on the weight of gait_tracking at the start of training, linear to 1: first the legs learn the gait, then
    the robot learns to follow commands with it."""
    emphasis_steps: Annotated[int, Between(0, 10**12)] = 4_000_000
    """Control steps over all robots after which that factor is 1."""
    clock_spread: Annotated[float, Between(0.0, 0.5)] = 0.05
    """± share by which the gait's clock runs fast or slow in training, drawn once per episode. The robot uses a wall
    clock and takes 52 instead of 50 actions per second, so its phase advances 4% less per action."""


def reference(config: GaitConfig, robot: Robot, model: mujoco.MjModel | None = None) -> GaitReference:
    """The tables of a robot's gait, and when each of them applies.

    Args:
        model: of this robot, if there is one already.

    Raises:
        UserError: there is no reference, the gait does not fit the robot, or its file cannot be read.
    """
    if config.tables == "none":
        raise UserError(
            f"the signal {GAIT} has no tables; expected a --preset, or --task.gait.tables zero, trot or trot-lift"
        )
    legs = Legs(robot, model)
    if config.tables == "zero":
        trot = np.tile(np.array(robot.default_pose, float), (SAMPLES, 1))
    else:
        trot = _table("trot", config.trot, legs)
    quick = None if config.fast is None else fast.read(config.fast, robot, SAMPLES)
    return GaitReference(
        frequency=config.frequency,
        trot_table=trot,
        gallop_table=trot if quick is None else np.array(quick.gallop_table),
        gallop_back_table=None if quick is None else np.array(quick.gallop_back_table),
        gallop_speed=config.gallop_speed,
        gallop_freq_mult=1.0 if quick is None else quick.frequency / config.frequency,
        lift_table=_table("lift", config.lift, legs) if config.tables == "trot-lift" else None,
        blend_speed=config.blend_speed,
        dir_threshold=config.dir_threshold,
    )


def stances(reference: GaitReference, robot: Robot, model: mujoco.MjModel | None = None) -> np.ndarray:
    """(4, N, legs) bool: the feet on the ground in each row of the reference's tables (`GaitReference.stacked`)."""
    legs = Legs(robot, model)
    return np.array([on_ground(table, legs) for table in reference.stacked])


def check(weights: RewardWeights, width: tuple[float, ...], shown: bool, robot: Robot) -> None:
    """Refuse rewards (of these weights, with these σ) for a gait that is not observed, or that has other joints.

    Raises:
        UserError: says what was given and what was expected.
    """
    per_leg = len(robot.legs[0])
    for name in ("gait_tracking", "gait_contacts"):
        if not shown and (weight := getattr(weights, name)):
            raise UserError(
                f"{flag(f'task.rewards.{name}')}: got {weight:g} without a gait to follow; expected {GAIT} in "
                "--task.observation, as --preset stable-gait has it"
            )
    if weights.gait_tracking and len(width) not in (1, per_leg):
        raise UserError(
            f"--task.shape.gait-width: got {len(width)} numbers, expected 1, or {per_leg}: one for each joint of a leg "
            f"of {robot.name}"
        )


def _table(name: str, gait: Gait, legs: Legs) -> np.ndarray:
    try:
        return table(gait, legs)
    except UserError as error:
        raise UserError(f"the gait {name}: {error}") from error


def emphasis(config: GaitConfig, steps: Array) -> Array:
    """Factor () on the weight of gait_tracking after this many control steps () of training."""
    return config.emphasis + (1.0 - config.emphasis) * jnp.minimum(steps / max(config.emphasis_steps, 1), 1.0)


class GaitState(NamedTuple):
    """The gait clocks of n robots, and the reference at their time."""

    seconds: Array
    """(n,) s since the controller's start-up ended, as the gait's clock counts them."""
    rate: Array
    """(n,) seconds of that clock per second."""
    reference: Array
    """(n, nu) rad from the default pose, as in the newest frame."""
    stance: Array | None
    """(n, legs) bool: the stance feet of the reference; None if no reward needs them."""


def begin(
    config: GaitConfig,
    reference: GaitReference,
    key: Array,
    as_robot: Array,
    command: Array,
    default_pose: Any,
    stances: np.ndarray | None = None,
) -> GaitState:
    """Clocks as episodes begin: at a phase drawn uniformly, or (as_robot (n,) bool) at 0 as on the robot.

    stances: see `stances`; None if no reward needs them.
    """
    phase, pace = random.uniform(key, (len(command), 2)).T
    seconds = jnp.where(as_robot, 0.0, phase / config.frequency)
    rate = 1.0 + config.clock_spread * (2.0 * pace - 1.0)
    start = GaitState(seconds, rate, jnp.zeros(()), None)
    return advance(start, reference, 0.0, command, default_pose, stances)


def advance(
    state: GaitState,
    reference: GaitReference,
    control_dt: float,
    command: Array,
    default_pose: Any,
    stances: np.ndarray | None = None,
) -> GaitState:
    """A control step later, under the commands (n, 3) that the next frame tells."""
    seconds = state.seconds + control_dt * state.rate
    offset = reference.offset(seconds, command, default_pose)
    return GaitState(
        seconds, state.rate, offset, None if stances is None else reference.stance(seconds, command, stances)
    )
