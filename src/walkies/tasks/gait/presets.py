"""Preset tasks, as data: those of the Stanford course of 2026 (`pupper-mjlab`).

Frame, gains, command ranges and gait are the course's; rewards and randomization are those of walkies, which train in
minutes on two cores.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

from walkies.tasks.commands import Commands
from walkies.tasks.curriculum import FULL, Curriculum
from walkies.tasks.gait.task import GaitConfig
from walkies.tasks.motion.task import MotionConfig
from walkies.tasks.randomization import WALKIES, turning_freely
from walkies.tasks.rewards import RewardParams, RewardWeights
from walkies.tasks.signal import FRAME, GAIT
from walkies.tasks.walk import WalkConfig

Preset = Literal["velocity-fs", "stable-gait", "mixed-gaits", "trick"]
T = TypeVar("T")

FOLLOWING = (
    "tracking_lin_vel", "tracking_ang_vel", "lin_vel_error", "ang_vel_error", "lin_vel_z", "ang_vel_xy", "orientation",
    "foot_air_time", "alternate_feet", "stand_still", "stand_still_velocity", "abduction",
)  # fmt: skip
"""Rewards of walking, which a movement does not have."""

VELOCITY_FS = WalkConfig(
    randomization=turning_freely(WALKIES),
    observation=(*FRAME, GAIT),
    gait=GaitConfig(tables="zero", frequency=4 / 3),
    commands=Commands(forward=0.7),
    kp=5.5,
    kd=0.25,
)
"""Walking without a prescribed gait: the frame has a place for one, which stays zero."""

STABLE_GAIT = replace(
    VELOCITY_FS,
    gait=GaitConfig(tables="trot-lift", frequency=1.5, emphasis=3.0, emphasis_steps=3_000_000),
    rewards=RewardWeights(
        tracking_lin_vel=3.0,
        tracking_ang_vel=2.0,
        lin_vel_error=-2.0,
        ang_vel_error=-0.8,
        gait_tracking=2.0,
        action_rate=-0.4,
        foot_air_time=2.0,
        alternate_feet=2.0,
        abduction=0.0,
        termination=-250.0,
    ),
    shape=RewardParams(air_time=0.2),
    turning=FULL,
    curriculum=Curriculum(steps=1_000_000),
)
"""Walking along a trot, and turning and going sideways along a lift gait.

If the gait does not dominate the reward at first, the robot learns to shuffle, reaches the commanded velocities that
way, and never adopts the trot. One stride per cycle of the course's trot gives 0.22 m/s; to go three times as fast, a
robot takes three steps per cycle, in time with it, and its joints move about half as far as the reference's."""

MIXED_GAITS = replace(
    STABLE_GAIT,
    gait=replace(STABLE_GAIT.gait, frequency=4 / 3, gallop_speed=0.5),
    commands=replace(STABLE_GAIT.commands, forward=1.5),
    rewards=replace(
        STABLE_GAIT.rewards, tracking_lin_vel=6.0, tracking_ang_vel=3.0, lin_vel_error=-4.0, ang_vel_error=-1.2
    ),
)
"""Three gaits: from 0.5 m/s on, forward and backward, a fast one, which is captured from a trained policy and given as
a file (`walkies motion capture`, --task.gait.fast); without a file it is the trot. One fast gait serves all speeds from
0.5 to 1.5 m/s, so following the commanded velocity counts twice as much as with the stable gait, or the robot keeps the
gait's own speed; and following the yaw rate half as much again, or that suffers. So trained it follows the fast gait,
but not the trot; with gait_tracking=4 it follows both, and commands less exactly (docs/lab-2026.md)."""

TRICK = WalkConfig(
    randomization=turning_freely(WALKIES),
    observation=("motion_command", "motion_anchor", "gyro", "joint_position", "joint_velocity", "last_action"),
    observation_history=1,
    motion=MotionConfig(file="wave"),
    commands=Commands(forward=0.0, sideways=0.0, yaw=0.0),
    rewards=RewardWeights(
        **{term: 0.0 for term in FOLLOWING},
        motion_joints=2.0,
        motion_speeds=0.5,
        motion_orientation=1.0,
        motion_height=1.0,
    ),
    turning=FULL,
    # A robot that has nowhere to go is only asked not to fall.
    curriculum=Curriculum(lin_vel_error=10.0),
)
"""A movement designed by keyframes (--task.motion.file): the course's frame of 69 numbers, without a command."""

PRESETS: dict[Preset, WalkConfig] = {
    "velocity-fs": VELOCITY_FS, "stable-gait": STABLE_GAIT, "mixed-gaits": MIXED_GAITS, "trick": TRICK
}  # fmt: skip


def with_preset(task: WalkConfig, name: Preset | None) -> WalkConfig:
    """The preset of that name with those values of `task` that differ from plain walking; None: `task` itself.

    So a value that equals plain walking's does not override the preset; on a command line it does
    (`walkies.cli.arguments.presets`).
    """
    return task if name is None else _merged(WalkConfig(), PRESETS[name], task)


def _merged(default: Any, preset: Any, given: T) -> T:
    """`given` where it is not `default`, else `preset`, field by field."""
    if given == default:
        return preset
    if preset == default or not is_dataclass(given):
        return given
    parts = {
        one.name: _merged(getattr(default, one.name), getattr(preset, one.name), getattr(given, one.name))
        for one in fields(given)
        if hasattr(preset, one.name)
    }
    return replace(given, **parts)  # type: ignore[type-var]
