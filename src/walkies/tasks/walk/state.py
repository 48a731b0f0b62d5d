"""The state of robots that walk: all that the future depends on, including the frames already sensed."""

from __future__ import annotations

from typing import Any, NamedTuple

from walkies.later import Array
from walkies.sim.actuation import Delays, State
from walkies.tasks.gait.heading import HoldState
from walkies.tasks.gait.task import GaitState
from walkies.tasks.motion.task import MotionState
from walkies.tasks.randomization.disturbances import Force


class WalkState(NamedTuple):
    """State of n robots at their task."""

    physics: State
    params: Any
    """The drawn parameters in the simulator's form: a PyTree of (n, …) arrays."""
    delays: Delays
    sensor_bias: Array
    """(n, 3 + 3 + nu)"""
    factors: Array
    """(n, privileged_size)"""
    command: Array
    """(n, 3): the commanded velocity that the policy is told, the heading held where the task has that."""
    goal: Array
    """(n, 3): the rewarded velocity, approaching the command."""
    action: Array
    """(n, nu): the action last executed, fade-in applied."""
    clock: Array
    """(n,) s since the controller's start, for the fade-in."""
    fade_in: Array
    """(n,) s, length of the fade-in."""
    history: Array
    """(n, H · frame): frames as sensed, newest first."""
    air_time: Array
    """(n, legs) s"""
    contact: Array
    """(n, spheres) bool: those that can touch the ground."""
    velocity: Array
    """(n, 3) m/s of the base, body frame."""
    down: Array | None
    """(n, 3): unit vector of gravity, world frame; None on level ground. This and the following fields exist only if
    the randomization needs them."""
    imu: Array | None
    """(n, K, 6): past readings of gyro and gravity that may still be read, newest first."""
    lateness: Array | None
    """(n, TARGET_MEMORY) physics steps: latency jitter of the targets sent, newest first."""
    force: Force | None
    """Pushes that last."""
    gait: GaitState | None = None
    """Where the frame shows a reference gait."""
    motion: MotionState | None = None
    """Where the frame shows a movement."""
    hold: HoldState | None = None
    """Where a heading is held."""
