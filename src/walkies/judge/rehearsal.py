"""`walkies rehearse`: a policy file through the robot's own control loop, under what training never had."""

from __future__ import annotations

import itertools
import json as json_module
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from walkies.accel.cpu import Threads
from walkies.bounds import Between, Seed, refuse
from walkies.deploy.policy_file import PolicyFile, read
from walkies.errors import UserError
from walkies.files import write_json, write_text
from walkies.judge import rehearsal_report as report
from walkies.judge.exam import robot_of
from walkies.judge.rehearsal_cells import Job, cell, run
from walkies.judge.rehearsal_conditions import AXES, BASE, BOXES, GRID, Axis, Box
from walkies.run.folders import RunFolder, find_policy, refuse_unwritable
from walkies.terminal import say

SEEDS_PER_NUMBER = 1_000_000
"""Rehearsal number k has the seeds from k times this on."""
Robots = Annotated[int, Between(1, SEEDS_PER_NUMBER)]
"""Per cell, or in a box."""
Seconds = Annotated[float, Between(0.1, 3600.0)]
"""Per robot."""
CELLS = "cells"
BOX_JOB = 25
"""Robots of a box that are written together."""


def _silent(done: int, total: int) -> None:
    """Tell nobody how far it is."""


class Extent(NamedTuple):
    """How much is rehearsed, and where what is finished is kept."""

    robots: int
    """Per cell, or in the whole box."""
    seconds: float
    """Per robot, under the policy."""
    seed: int = 0
    """Number of the rehearsal."""
    folder: Path | None = None
    """Keeps finished cells; a second call goes on where the first was stopped."""
    threads: int | None = None
    """None for all cores."""
    tell: Callable[[int, int], None] = _silent
    """Is told how many robots of how many are done."""

    @property
    def seeds(self) -> range:
        """One per robot."""
        refuse(self.seed, Seed, "seed")
        return range(self.seed * SEEDS_PER_NUMBER, self.seed * SEEDS_PER_NUMBER + self.robots)

    @property
    def about(self) -> dict[str, Any]:
        """What a report says of it."""
        return {"robots": self.robots, "seconds": self.seconds, "seeds": [self.seeds[0], self.seeds[-1]]}

    def run(self, policy: PolicyFile, jobs: Sequence[Job]) -> list[list[report.Row]]:
        """The rows of every job."""
        cells = None if self.folder is None else self.folder / CELLS
        return run(policy, robot_of(policy), jobs, self.seconds, cells, self.threads, self.tell)


SWEEP = Extent(robots=16, seconds=10.0)
BOX = Extent(robots=100, seconds=20.0)
FULL_GRID = Extent(robots=8, seconds=10.0)


def rehearse_sweeps(policy: PolicyFile, axes: Sequence[Axis] = AXES, extent: Extent = SWEEP) -> dict[str, Any]:
    """Turn up one condition after the other. Every cell has the same seeds, so that cells differ in nothing else.

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
    return {**extent.about, **report.box_report(which, conditions, list(rows))}


def rehearse_grid(policy: PolicyFile, axes: Sequence[Axis] = GRID, extent: Extent = FULL_GRID) -> dict[str, Any]:
    """Every combination of the axes' values, as JSON data: axes and, in row-major order, cells."""
    points = list(itertools.product(*(axis.values for axis in axes)))
    conditions = []
    for values in points:
        condition = BASE
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


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    box: Literal["course", "harsh"] | None = None,
    grid: bool = False,
    only: tuple[str, ...] = (),
    robots: Robots | None = None,
    seconds: Seconds | None = None,
    seed: Seed = 0,
    threads: Threads | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Rehearse a policy in the robot's own control loop under what training did not have, and say what margin it has.

    Without a flag, one condition after the other is turned up: friction, delays, payload, pushes, slope, ground, weak
    motors, backlash and more. It can be stopped and goes on with the cells that are missing.

    Args:
        target: a run folder, or any policy.json.
        box: instead, robots drawn at random from a box of conditions; the exit status is 1 where too many fall.
        grid: instead, every combination of friction, latency, payload and pushes.
        only: names of the sweeps to run.
        robots: per cell (16; 100 in a box, 8 in the grid).
        seconds: per robot under the policy (10; 20 in a box).
        seed: number of the rehearsal; every number draws other robots and commands.
        threads: CPU threads. Default: all cores.
        out: folder for the report. Default: `rehearsal` in the run folder, or beside the file.
        json: print the report as JSON.
    """
    if box and grid:
        raise UserError("--box and --grid: give one of them")
    path = find_policy(target)
    policy = read(path)
    folder = out or (RunFolder(target).rehearsal if target.is_dir() else path.with_name(f"{path.stem}-rehearsal"))
    refuse_unwritable(folder)
    chosen = _choose(only)
    extent = BOX if box else FULL_GRID if grid else SWEEP
    extent = Extent(
        robots or extent.robots, seconds or extent.seconds, seed, folder, threads, _silent if json else _tell
    )
    status = 0
    if box:
        name = f"box-{box}"
        data = rehearse_box(policy, BOXES[box], extent)
        text, status = report.box_markdown(data), int(not data["passed"])
    elif grid:
        name, data = "grid", rehearse_grid(policy, extent=extent)
        text = report.grid_markdown(data)
    else:
        name, data = "rehearsal", rehearse_sweeps(policy, chosen, extent)
        text = report.sweeps_markdown(data)
    _write(folder, name, data, text)
    if json:
        say(json_module.dumps(data, indent=2, allow_nan=False))
        return status
    say(text)
    say(f"Written to {folder}/{name}.json, .md" + ("" if box else " and .png") + ".")
    if out is None and RunFolder(target).config.is_file():
        say(f"On the run's own page too: walkies report {shlex.quote(str(target))}")
    return status


def _write(folder: Path, name: str, data: dict[str, Any], text: str) -> None:
    """The report as JSON, Markdown and, where it has axes, a picture; each whole or not at all."""
    from walkies.show import rehearsal_picture

    write_json(folder / f"{name}.json", data)
    write_text(folder / f"{name}.md", text)
    if name == "rehearsal":
        rehearsal_picture.draw_sweeps(data, folder / f"{name}.png")
    elif name == "grid":
        rehearsal_picture.draw_grid(data, folder / f"{name}.png")


def _choose(only: Sequence[str]) -> tuple[Axis, ...]:
    known = {axis.name: axis for axis in AXES}
    if unknown := [name for name in only if name not in known]:
        raise UserError(f"--only: there is no sweep {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in only) or AXES


def _tell(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"
    print(f"rehearsing: {done} of {total} robots", end=end, file=sys.stderr, flush=True)
