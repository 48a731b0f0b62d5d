"""Heading hold: while a robot walks without a turn command, a yaw command turns it back to its heading.

Training computes it as the robot's controller of 2026 does (`pupper_gait_deploy`). Functions accept numpy and JAX
arrays alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np

from walkies.bounds import Between
from walkies.tasks.signal import namespace

Array = Any
"""numpy.ndarray or jax.Array"""


class Heading(NamedTuple):
    """State of the heading hold of n robots."""

    held: Array
    """(n,) bool: whether it did in the last step"""
    target: Array
    """(n,) rad"""


@dataclass(frozen=True)
class HeadingHold:
    """When a heading is held, and how firmly."""

    kp: Annotated[float, Between(0.0, 1000.0)] = 1.0
    """rad/s per rad of heading error; 0: no heading is held."""
    clip: Annotated[float, Between(0.0, 100.0)] = 0.3
    """rad/s, the most that it commands."""
    yaw_threshold: Annotated[float, Between(0.0, 100.0)] = 0.1
    """rad/s: a larger yaw command is one."""
    walk_threshold: Annotated[float, Between(0.0, 100.0)] = 0.05
    """m/s: a robot told to go slower is not held."""

    @property
    def on(self) -> bool:
        return self.kp > 0

    def begin(self, n: int) -> Heading:
        """No heading is held, as after activation."""
        return Heading(np.zeros(n, bool), np.zeros(n))

    def __call__(self, heading: Heading, command: Array, yaw: Array) -> tuple[Heading, Array]:
        """The next state, and commands (n, 3) with their yaw rate replaced where the heading is held.

        yaw: (n,) rad. The target is the heading at the moment in which holding begins, and stays until it ends.
        """
        xp = namespace(command)
        walking = xp.hypot(command[:, 0], command[:, 1]) > self.walk_threshold
        held = walking & (xp.abs(command[:, 2]) < self.yaw_threshold) & self.on
        target = xp.where(held & ~heading.held, yaw, heading.target)
        error = target - yaw
        back = xp.clip(self.kp * xp.arctan2(xp.sin(error), xp.cos(error)), -self.clip, self.clip)
        turned = xp.where(held, back, command[:, 2])
        return Heading(held, target), xp.concatenate([command[:, :2], turned[:, None]], axis=1)


NO_HOLD = HeadingHold(kp=0.0)
"""Explicitly off."""


class HoldState(NamedTuple):
    """Heading hold in training, of n robots."""

    heading: Heading
    given: Array
    """(n, 3): the commanded velocity before its yaw rate is replaced."""


def told(hold: HeadingHold, before: HoldState | None, given: Array, yaw: Array) -> tuple[Array, HoldState | None]:
    """Commands (n, 3) as the policy is told them, and the next state, None where no heading is ever held.

    before: None as episodes begin. given: (n, 3) commands; yaw: (n,) rad.
    """
    if not hold.on:
        return given, None
    start = namespace(given).zeros_like(yaw)
    heading, command = hold(Heading(start > 0, start) if before is None else before.heading, given, yaw)
    return command, HoldState(heading, given)
