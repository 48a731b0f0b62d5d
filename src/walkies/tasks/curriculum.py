"""What changes during training: what grows, and ranges of the randomization that widen while the policy passes and
narrow while it fails.

Weights, and the ground's torsional friction, grow with the number of control steps (`Ramp`).

One number, the difficulty, scales all ranges: 0 is the nominal robot (the preset `none`), 1 the ranges as given. After
every rollout it goes up or down a little. It is part of the training state and depends only on what happened in
training, so a resumed training restores it bit for bit. The idea is that of automatic domain randomization (OpenAI et
al. 2019, arXiv:1910.07113, section 5.2), with one number for all ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

from walkies.bounds import Between, Share
from walkies.later import Array, jnp
from walkies.tasks.randomization import GROUPS, NONE, ZERO, Randomization, Range


@dataclass(frozen=True)
class Ramp:
    """What grows during training: first walk, then walk well."""

    start: Share = 0.2
    """Share at the start of training, also with --init-from; 1: in full."""
    steps: Annotated[int, Between(0, 10**12)] = 3_000_000
    """Control steps over all robots until all of it counts; linear in between."""
    after: Annotated[int, Between(0, 10**12)] = 0
    """Control steps over all robots before it begins to grow."""

    @property
    def constant(self) -> bool:
        """Whether all of it counts from the start."""
        return self.start == 1.0 or self.steps == 0

    def share(self, steps: Array) -> Array:
        """Share () after this many control steps () of training."""
        grown = jnp.clip((steps - self.after) / max(self.steps - self.after, 1), 0.0, 1.0)
        return self.start + (1.0 - self.start) * grown


FULL = Ramp(start=1.0)
"""Weights that do not grow."""


@dataclass(frozen=True)
class Curriculum:
    """Ranges of the randomization that widen while the policy passes."""

    adaptive: bool = True
    """Whether the curriculum is on. If not, the ranges are as given throughout training."""
    start: Share = 0.0
    """Difficulty at the start: 0 is the nominal robot, 1 the ranges as given."""
    steps: Annotated[int, Between(1, 10**12)] = 500_000
    """Control steps over all robots from difficulty 0 to 1 if every rollout passes, and back if every one fails."""
    falls: Annotated[float, Between(0.0, 1e9, "(]")] = 0.05
    """(1/s) A rollout passes with at most this many falls per robot and second, …"""
    lin_vel_error: Annotated[float, Between(0.0, 1e9, "(]")] = 0.3
    """(m/s) … and at most this mean velocity error; a robot that only stands has 0.37."""


def passes(curriculum: Curriculum, metrics: Mapping[str, Array], control_dt: float) -> Array:
    """() bool: whether a rollout with these means over robots and steps passes both marks. NaN fails."""
    calm = metrics["fell"] <= curriculum.falls * control_dt
    return calm & (metrics["lin_vel_error"] <= curriculum.lin_vel_error)


def advance(curriculum: Curriculum, difficulty: Array, passed: Array, steps: int) -> Array:
    """The difficulty () after a rollout of this many control steps over all robots."""
    change = steps / curriculum.steps
    return jnp.clip(difficulty + jnp.where(passed, change, -change), 0.0, 1.0)


@dataclass(frozen=True)
class Narrowed(Range):
    """A range between the nominal value and [low, high], its widest extent."""

    nominal: Range
    difficulty: Array
    """() in [0, 1]"""

    def value(self, uniform: Array | float) -> Array:
        """At difficulty 1 bit for bit `Range.value`, at 0 the nominal range."""
        share, rest = self.difficulty, 1.0 - self.difficulty
        low = rest * self.nominal.low + share * self.low
        width = rest * (self.nominal.high - self.nominal.low) + share * (self.high - self.low)
        return low + width * uniform


def grown(value: Range, share: Array) -> Narrowed:
    """That share () of a range, of its low and its high end."""
    return Narrowed(value.low, value.high, ZERO, share)


def narrowed(randomization: Randomization, difficulty: Array) -> Randomization:
    """`randomization` with every range narrowed towards the nominal robot's; difficulty: () in [0, 1].

    The ranges as given decide what is random at all, so shapes and the critic's inputs stay the same. The difficulty
    changes how hard pushes are, but not how often they come or how long they last.
    """
    return replace(randomization, **{group: _group(randomization, group, difficulty) for group in GROUPS})


def _group(randomization: Randomization, group: str, difficulty: Array) -> Any:
    record, nominal = getattr(randomization, group), getattr(NONE, group)
    moving = {
        entry.name: Narrowed(value.low, value.high, getattr(nominal, entry.name), difficulty)
        for entry in fields(record)
        if isinstance(value := getattr(record, entry.name), Range) and value != getattr(nominal, entry.name)
    }
    return replace(record, **moving)
