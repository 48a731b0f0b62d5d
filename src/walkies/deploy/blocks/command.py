"""A policy file's blocks about commands: the trained range, and heading hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from walkies.deploy.json_values import Problem, describe, describe_span, is_span, require_numbers
from walkies.tasks.gait.heading import HeadingHold

AXES = ("vx", "vy", "wz")
HOLD = tuple(one.name for one in fields(HeadingHold))


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


def parse_hold(block: Mapping[str, Any]) -> HeadingHold:
    """`heading_hold` of a file in which `check_hold` finds nothing."""
    return HeadingHold(**{name: float(block[name]) for name in HOLD})


def check_hold(block: Any, found: list[Problem]) -> None:
    """Everything that would make the robot refuse or misread the block."""
    if not isinstance(block, dict):
        found.append(Problem("bad-block", "heading_hold", describe(block), f"an object with {', '.join(HOLD)}"))
    else:
        require_numbers(block, "heading_hold", HOLD, found)
