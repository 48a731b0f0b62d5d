"""A rehearsal: a policy file in the robot's own control loop, under conditions not seen in training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from walkies.accel.cpu import available_cores
from walkies.bounds import Between, Seed, refuse
from walkies.deploy.policy_file import PolicyFile
from walkies.estimates import mean
from walkies.judge.exam import robot_of
from walkies.judge.rehearsal import report
from walkies.judge.rehearsal.cells import Job, cell, run
from walkies.judge.rehearsal.conditions import AXES, GRID, Axis, Box
from walkies.judge.rehearsal.drive import drive

SEEDS_PER_NUMBER = 1_000_000
"""Rehearsal number k has the seeds from k times this on."""
Robots = Annotated[int, Between(1, SEEDS_PER_NUMBER)]
"""Per cell, or in a box."""
Seconds = Annotated[float, Between(0.1, 3600.0)]
"""Per robot."""
CELLS = "cells"
BOX_JOB = 25
"""Robots of a box that are written together."""
TURNING = 16
"""Robots of a box that show how fast they turn."""


def silent(done: int, total: int) -> None:
    """Report no progress."""


class Extent(NamedTuple):
    """The size of a rehearsal, and where finished cells are kept."""

    robots: int
    """Per cell, or in the whole box."""
    seconds: float
    """Per robot, under the policy."""
    seed: int = 0
    """Number of the rehearsal."""
    folder: Path | None = None
    """Keeps finished cells; a second call resumes where the first was stopped."""
    threads: int | None = None
    """None for all cores."""
    tell: Callable[[int, int], None] = silent
    """Called with the number of finished robots and the total."""

    @property
    def seeds(self) -> range:
        """One per robot."""
        refuse(self.seed, Seed, "seed")
        return range(self.seed * SEEDS_PER_NUMBER, self.seed * SEEDS_PER_NUMBER + self.robots)

    @property
    def about(self) -> dict[str, Any]:
        """The part of a report about it."""
        return {"robots": self.robots, "seconds": self.seconds, "seeds": [self.seeds[0], self.seeds[-1]]}

    def run(self, policy: PolicyFile, jobs: Sequence[Job]) -> list[list[report.Row]]:
        """The rows of every job."""
        cells = None if self.folder is None else self.folder / CELLS
        return run(policy, robot_of(policy), jobs, self.seconds, cells, self.threads, self.tell)


SWEEP = Extent(robots=16, seconds=10.0)
BOX = Extent(robots=100, seconds=20.0)
FULL_GRID = Extent(robots=8, seconds=10.0)


def rehearse_sweeps(policy: PolicyFile, axes: Sequence[Axis] = AXES, extent: Extent = SWEEP) -> dict[str, Any]:
    """Sweep one condition at a time. Every cell has the same seeds, so that cells differ in nothing else.

    Returns:
        JSON data: `rehearsal_report.sweeps` and what it was made with.
    """
    points = [(axis, axis.at(value)) for axis in axes for value in axis.values]
    rows = extent.run(policy, [cell(condition, extent.seeds) for _, condition in points])
    results: dict[str, list[report.Summary]] = {axis.name: [] for axis in axes}
    for (axis, _), found in zip(points, rows, strict=True):
        results[axis.name].append(report.summarize(found))
    return {**extent.about, **report.sweeps(results, axes)}


def rehearse_box(policy: PolicyFile, which: Box, extent: Extent = BOX) -> dict[str, Any]:
    """Robots drawn at random from a box; JSON data: `rehearsal_report.box_report` and what it was made with."""
    seeds = extent.seeds
    conditions = [which.draw(one) for one in seeds]
    jobs = [
        Job(tuple(conditions[start : start + BOX_JOB]), tuple(seeds[start : start + BOX_JOB]))
        for start in range(0, extent.robots, BOX_JOB)
    ]
    rows = itertools.chain(*extent.run(policy, jobs))
    turn = None if which.turn is None else turning(policy, which, extent)
    return {**extent.about, **report.box_report(which, conditions, list(rows), turn)}


def turning(policy: PolicyFile, which: Box, extent: Extent) -> report.Turn:
    """How fast robots turn on the spot in a box; those that fall count until they do."""
    assert which.turn is not None
    seeds = extent.seeds[:TURNING]
    conditions = [which.draw(one) for one in seeds]
    outcome = drive(
        policy, robot_of(policy), conditions, seeds, SWEEP.seconds, extent.threads or available_cores(),
        (0.0, 0.0, which.turn),
    )  # fmt: skip
    rates = outcome.yaw_rate[np.isfinite(outcome.yaw_rate)]
    return report.Turn(which.turn, mean(rates.tolist()), int(np.sum(outcome.cause != "")))


def rehearse_grid(policy: PolicyFile, axes: Sequence[Axis] = GRID, extent: Extent = FULL_GRID) -> dict[str, Any]:
    """Every combination of the axes' values, as JSON data: axes and, in row-major order, cells."""
    points = list(itertools.product(*(axis.values for axis in axes)))
    conditions = []
    for values in points:
        condition = axes[0].start
        for axis, value in zip(axes, values, strict=True):
            condition = axis.at(value, condition)
        conditions.append(condition)
    rows = extent.run(policy, [cell(condition, extent.seeds) for condition in conditions])
    return {
        **extent.about,
        "axes": [
            {"name": axis.name, "label": axis.label, "shown": [axis.show(value) for value in axis.values]}
            for axis in axes
        ],
        "cells": [
            {
                "shown": [axis.show(value) for axis, value in zip(axes, values, strict=True)],
                **report.as_json(report.summarize(found)),
            }
            for values, found in zip(points, rows, strict=True)
        ],
    }
