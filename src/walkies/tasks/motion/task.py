"""A movement as part of a task: which one a policy observes and follows, and its frames in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np

from walkies.accel import random
from walkies.bounds import Between, flag
from walkies.errors import UserError
from walkies.files import shown
from walkies.later import Array, jnp, mujoco
from walkies.quaternions import about_z, conjugate, product, rotation_of
from walkies.robots.base import Robot
from walkies.tasks.motion import design
from walkies.tasks.motion.heights import heights
from walkies.tasks.motion.movement import Movement, seen_from
from walkies.tasks.motion.terms import Deviation
from walkies.tasks.rewards import RewardWeights

SIGNALS = ("motion_command", "motion_anchor")
"""Which show a movement to a policy."""
TERMS = ("motion_joints", "motion_speeds", "motion_orientation", "motion_height")
"""Rewards for following it."""


@dataclass(frozen=True)
class MotionConfig:
    """The movement that a policy observes and follows, if its frame has the signals `motion_command` and
    `motion_anchor`."""

    file: str = ""
    """A design of walkies' own (bow, dance, sit, wave), or a TOML file with one (docs/tricks.md)."""
    requests: Annotated[float, Between(0.0, 1000.0)] = 0.5
    """Requests per second for a clip in training. As on the robot, it begins when the present one ends; one that
    begins in another pose is not asked for."""
    clock_spread: Annotated[float, Between(0.0, 0.5)] = 0.05
    """± share by which the movement runs fast or slow in training, drawn once per episode. The robot uses a wall clock
    and takes 52 instead of 50 actions per second."""
    fall_height: Annotated[float, Between(0.0, 1000.0, "(]")] = 0.5
    """Distance of the trunk from the height of its frame, in hip heights, at which an episode ends. As a tilt against
    its frame, --task.fall-tilt applies."""


def load(config: MotionConfig, robot: Robot, model: mujoco.MjModel) -> design.Design:
    """The movement of that name or in that file, for a robot, whose model it is.

    Raises:
        UserError: there is none, or it does not fit the robot.
    """
    path = source(config)
    if path is None or not path.is_file():
        own = [one.stem for one in design.places()]
        raise UserError(
            f"{flag('task.motion.file')}: got {shown(config.file) if config.file else 'nothing'}, expected one of "
            f"{', '.join(own)}, or a TOML file with the design of a movement (docs/tricks.md)"
        )
    return design.read(path, robot, model)


def source(config: MotionConfig) -> Path | None:
    """The file of the movement, if one is named."""
    if not config.file:
        return None
    own = {path.stem: path for path in design.places()}
    return own.get(config.file, Path(config.file))


def check(weights: RewardWeights, shown: bool) -> None:
    """Refuse rewards for a movement that is not observed.

    Raises:
        UserError: says what was given and what was expected.
    """
    for name in TERMS:
        if not shown and (weight := getattr(weights, name)):
            raise UserError(
                f"{flag(f'task.rewards.{name}')}: got {weight:g} without a movement to follow; expected "
                f"{' and '.join(SIGNALS)} in --task.observation, as --preset trick has them"
            )


class Reference(NamedTuple):
    """A movement as training needs it, of T frames."""

    movement: Movement
    heights: np.ndarray
    """(T,) m, as `heights`"""
    starts: np.ndarray
    """(clips,) the first frames of the clips"""
    ends: np.ndarray
    """(T,) bool: the last frame before what follows, where a request is heard"""


def reference(config: MotionConfig, robot: Robot, model: mujoco.MjModel) -> Reference:
    """Of the movement that a configuration names."""
    movement = load(config, robot, model).movement
    ends = np.zeros(len(movement.joint_pos), bool)
    for index, clip in enumerate(movement.clips):
        ends[clip.end - (1 if movement.following(index) is None else 2)] = True
    starts = np.array([clip.start for clip in movement.clips])
    return Reference(movement, heights(movement, robot, model), starts, ends)


class Shown(Protocol):
    """What n robots are shown of a movement."""

    @property
    def command(self) -> Any:
        """(n, 2 nu) rad and rad/s: joint angles and speeds"""

    @property
    def orientation(self) -> Any:
        """(n, 4) of the trunk"""

    @property
    def height(self) -> Any:
        """(n,) m, of the trunk"""


class MotionState(NamedTuple):
    """Where n robots are in the movement."""

    frame: Array
    """(n,) int: shown in the newest frame of the observation."""
    share: Array
    """(n,) of the next frame that has passed, below 1."""
    rate: Array
    """(n,) seconds of the movement per second."""
    turn: Array
    """(n,) rad from the recording's heading to the robot's."""
    asked: Array
    """(n,) int: the clip asked for next; -1: none."""
    command: Array
    """(n, 2 nu) rad and rad/s: joint angles and speeds of the frame; likewise:"""
    orientation: Array
    """(n, 4) of the trunk,"""
    height: Array
    """(n,) m, and its height."""

    def seen_from(self, orientation: Array) -> Array:
        """The signal `motion_anchor` (n, 6) of robots with an orientation (n, 4)."""
        return seen_from(orientation, self.orientation)


def begin(config: MotionConfig, reference: Reference, key: Array, as_robot: Array, yaw: Array) -> MotionState:
    """Episodes begin in any frame, moving as it does; or (as_robot (n,) bool) with the first one.

    yaw: (n,) rad, the heading of the robots.
    """
    movement, n = reference.movement, len(yaw)
    where, pace = random.uniform(key, (n, 2)).T
    frames = len(movement.joint_pos)
    frame = jnp.where(as_robot, movement.clips[0].start, jnp.minimum((where * frames).astype(jnp.int32), frames - 1))
    rate = 1.0 + config.clock_spread * (2.0 * pace - 1.0)
    return MotionState(frame, jnp.zeros(n), rate, yaw, jnp.full(n, -1), *_shown(reference, frame, yaw))


def _shown(reference: Reference, frame: Array, turn: Array) -> tuple[Array, Array, Array]:
    """`command`, `orientation` and `height` of a state."""
    movement, heights = reference.movement, jnp.asarray(reference.heights, turn.dtype)
    return movement.command(frame).astype(turn.dtype), movement.orientation(frame, turn), heights[frame]


DRAWS = 2
"""Uniform numbers in [0, 1) that a step takes: whether a clip is asked for, and which."""


def advance(
    config: MotionConfig, reference: Reference, state: MotionState, uniform: Array, started: Array, control_dt: float
) -> MotionState:
    """A control step later.

    Args:
        uniform: (n, DRAWS).
        started: (n,) bool; until the fade-in is over, the first frame is shown.
    """
    movement = reference.movement
    which = jnp.minimum((uniform[:, 1] * len(reference.starts)).astype(jnp.int32), len(reference.starts) - 1)
    asks = (uniform[:, 0] < config.requests * control_dt) & (state.asked < 0)
    asked = jnp.where(asks, which, state.asked)
    passed = state.share + control_dt * movement.fps * state.rate
    frame, successor = state.frame, jnp.asarray(movement.successor)
    starts, ends, joins = jnp.asarray(reference.starts), jnp.asarray(reference.ends), jnp.asarray(movement.joins)
    for step in range(1, 1 + int(np.ceil(control_dt * movement.fps * (1.0 + config.clock_spread)))):
        due = started & (passed >= step)
        heard = due & ends[frame] & (asked >= 0)
        following = jnp.where(heard & joins[frame, asked], starts[asked], successor[frame])
        frame, asked = jnp.where(due, following, frame), jnp.where(heard, -1, asked)
    share = jnp.where(started, passed - jnp.floor(passed), state.share)
    return MotionState(frame, share, state.rate, state.turn, asked, *_shown(reference, frame, state.turn))


def deviation(state: Shown, qpos: Array, joint_velocity: Array, hip_height: float) -> Deviation:
    """From it, of positions (n, nq) and joint speeds (n, nu); hip_height: m of the standing robot."""
    quaternion, joints = qpos[:, 3:7], joint_velocity.shape[1]
    overlap = jnp.abs(jnp.sum(quaternion * state.orientation, axis=-1))
    up = jnp.sum(rotation_of(quaternion)[:, :, 2] * rotation_of(state.orientation)[:, :, 2], axis=-1)
    return Deviation(
        qpos[:, 7:] - state.command[:, :joints], joint_velocity - state.command[:, joints:],
        2.0 * jnp.arccos(jnp.clip(overlap, 0.0, 1.0)), jnp.arccos(jnp.clip(up, -1.0, 1.0)),
        (qpos[:, 2] - state.height) / hip_height,
    )  # fmt: skip


def about(state: MotionState, yaw: Array, offset: Array, qpos: Array, qvel: Array) -> tuple[Array, Array]:
    """Positions and velocities about the frames of a movement, disturbed as those of robots that stand are.

    Args:
        state: of the robots' frames.
        yaw: (n,) rad, their headings.
        offset: (1 + nu,) height, m, and joint angles, rad, that `qpos` (n, nq) and `qvel` (n, nv) are about.
    """
    angles, speeds = jnp.split(state.command, 2, axis=1)
    height = qpos[:, 2:3] - offset[0] + state.height[:, None]
    tilt = product(conjugate(about_z(yaw)), qpos[:, 3:7])
    joints = qpos[:, 7:] - offset[1:] + angles
    position = jnp.concatenate([qpos[:, :2], height, product(state.orientation, tilt), joints], axis=1)
    return position, qvel.at[:, 6:].add(speeds)
