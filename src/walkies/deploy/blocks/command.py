"""A policy file's blocks about commands: the trained range, and heading hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from walkies.deploy.json_values import Problem, describe, describe_span, is_span, require_numbers

AXES = ("vx", "vy", "wz")
HOLD = ("kp", "clip", "yaw_threshold", "walk_threshold")


@dataclass(frozen=True)
class CommandClip:
    """`command_clip`: (low, high) of each axis, m/s, m/s, rad/s; None where it is not bounded."""

    vx: tuple[float, float] | None = None
    vy: tuple[float, float] | None = None
    wz: tuple[float, float] | None = None

    @cached_property
    def _ends(self) -> np.ndarray:
        """(2, 3): lowest and highest."""
        nowhere = (-np.inf, np.inf)
        return np.array([nowhere if (pair := getattr(self, axis)) is None else pair for axis in AXES]).T

    def __call__(self, command: np.ndarray) -> np.ndarray:
        """Commands (n, 3) within it."""
        return np.clip(command, *self._ends)

    @classmethod
    def parse(cls, block: Mapping[str, Any]) -> CommandClip:
        return cls(**{axis: (float(block[axis][0]), float(block[axis][1])) for axis in AXES if axis in block})

    def document(self) -> dict[str, Any]:
        return {axis: list(pair) for axis in AXES if (pair := getattr(self, axis)) is not None}

    @staticmethod
    def check(block: Any, found: list[Problem]) -> None:
        if not isinstance(block, dict):
            found.append(Problem("bad-block", "command_clip", describe(block), "an object with vx, vy, wz"))
            return
        for axis in AXES:
            pair = block.get(axis, [0.0, 0.0])
            if not is_span(pair):
                got = describe_span(pair)
                found.append(Problem("bad-block", f"command_clip.{axis}", got, "[low, high], low ≤ high"))


class Heading(NamedTuple):
    """State of the heading hold of n robots."""

    held: np.ndarray
    """(n,) bool: whether it did in the last step"""
    target: np.ndarray
    """(n,) rad"""


@dataclass(frozen=True)
class HeadingHold:
    """`heading_hold`: while a robot walks without a turn command, a yaw command turns it back to its heading."""

    kp: float = 1.0
    """rad/s per rad; 0: it is off."""
    clip: float = 0.3
    """rad/s, the most that it commands."""
    yaw_threshold: float = 0.1
    """rad/s: a larger yaw command is one."""
    walk_threshold: float = 0.05
    """m/s: a robot told to go slower is not held."""

    @property
    def on(self) -> bool:
        return self.kp > 0

    def begin(self, n: int) -> Heading:
        """No heading is held, as after activation."""
        return Heading(np.zeros(n, bool), np.zeros(n))

    def __call__(self, heading: Heading, command: np.ndarray, yaw: np.ndarray) -> tuple[Heading, np.ndarray]:
        """The next state, and commands (n, 3) with their yaw rate replaced where the heading is held.

        yaw: (n,) rad. The target is the heading at the moment in which holding begins, and stays until it ends.
        """
        walking = np.hypot(command[:, 0], command[:, 1]) > self.walk_threshold
        held = walking & (np.abs(command[:, 2]) < self.yaw_threshold) & self.on
        target = np.where(held & ~heading.held, yaw, heading.target)
        error = target - yaw
        back = np.clip(self.kp * np.arctan2(np.sin(error), np.cos(error)), -self.clip, self.clip)
        turned = np.where(held, back, command[:, 2])
        return Heading(held, target), np.concatenate([command[:, :2], turned[:, None]], axis=1)

    @classmethod
    def parse(cls, block: Mapping[str, Any]) -> HeadingHold:
        return cls(**{name: float(block[name]) for name in HOLD})

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in HOLD}

    @staticmethod
    def check(block: Any, found: list[Problem]) -> None:
        if not isinstance(block, dict):
            found.append(Problem("bad-block", "heading_hold", describe(block), f"an object with {', '.join(HOLD)}"))
        else:
            require_numbers(block, "heading_hold", HOLD, found)


NO_HOLD = HeadingHold(kp=0.0)
"""Explicitly off."""
