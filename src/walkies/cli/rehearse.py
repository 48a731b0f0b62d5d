"""`walkies rehearse`: run a policy file in the robot's own control loop, under conditions not seen in training."""

from __future__ import annotations

import json as json_module
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from walkies.accel.cpu import Threads
from walkies.bounds import Seed
from walkies.deploy.policy_file import PolicyFile, read
from walkies.errors import UserError
from walkies.files import write_json, write_text
from walkies.judge.exam import robot_of
from walkies.judge.rehearsal import report
from walkies.judge.rehearsal.conditions import BOXES, GRID, Axis, axes_of, box_of
from walkies.judge.rehearsal.rehearse import (
    BOX,
    FULL_GRID,
    SWEEP,
    Extent,
    Robots,
    Seconds,
    rehearse_box,
    rehearse_grid,
    rehearse_sweeps,
    silent,
)
from walkies.run.folders import RunFolder, find_policy, refuse_unwritable
from walkies.show.pictures import rehearsal as rehearsal_picture
from walkies.terminal import narrowed, say


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    box: Literal["course", "harsh", "robot-sim"] | None = None,
    grid: bool = False,
    only: tuple[str, ...] = (),
    robots: Robots | None = None,
    seconds: Seconds | None = None,
    seed: Seed = 0,
    threads: Threads | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Run a policy in the robot's own control loop under conditions not seen in training, and report its margin.

    By default it sweeps one condition at a time: friction, latency, payload, pushes, slope, ground, weak motors,
    backlash and more. It can be stopped; the next call continues with the missing cells.

    Args:
        target: a run folder, or any policy.json.
        box: draw robots at random from a box of conditions instead; the exit status is 1 if too many fall.
        grid: run every combination of friction, latency, payload and pushes instead.
        only: names of the sweeps to run.
        robots: robots per cell (16; 100 in a box, 8 in the grid).
        seconds: seconds per robot under the policy (10; 20 in a box).
        seed: seed of the rehearsal; each one draws different robots and commands.
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
    chosen = _choose(only, axes_of(robot_of(policy)))
    usual = BOX if box else FULL_GRID if grid else SWEEP
    extent = Extent(robots or usual.robots, seconds or usual.seconds, seed, folder, threads, silent if json else _tell)
    name, data, text = _rehearse(policy, box, grid, chosen, extent)
    status = int(not data.get("passed", True))
    _write(folder, name, data, text)
    if json:
        say(json_module.dumps(data, indent=2, allow_nan=False))
        return status
    say(narrowed(text))
    say(f"Written to {folder}/{name}.json, .md" + ("" if box else " and .png") + ".")
    if out is None and RunFolder(target).config.is_file():
        say(f"On the run's own page too: walkies report {shlex.quote(str(target))}")
    return status


def _rehearse(
    policy: PolicyFile, box: str | None, grid: bool, axes: Sequence[Axis], extent: Extent
) -> tuple[str, dict[str, Any], str]:
    """The report's name, its JSON data, and its text."""
    if box:
        data = rehearse_box(policy, box_of(robot_of(policy), BOXES[box]), extent)
        return f"box-{box}", data, report.box_markdown(data)
    if grid:
        data = rehearse_grid(policy, axes_of(robot_of(policy), GRID), extent)
        return "grid", data, report.grid_markdown(data)
    data = rehearse_sweeps(policy, axes, extent)
    return "rehearsal", data, report.sweeps_markdown(data)


def _write(folder: Path, name: str, data: dict[str, Any], text: str) -> None:
    """The report as JSON, Markdown and, where it has axes, a picture; each whole or not at all."""
    write_json(folder / f"{name}.json", data)
    write_text(folder / f"{name}.md", text)
    if name == "rehearsal":
        rehearsal_picture.draw_sweeps(data, folder / f"{name}.png")
    elif name == "grid":
        rehearsal_picture.draw_grid(data, folder / f"{name}.png")


def _choose(only: Sequence[str], axes: Sequence[Axis]) -> tuple[Axis, ...]:
    known = {axis.name: axis for axis in axes}
    if unknown := [name for name in only if name not in known]:
        raise UserError(f"--only: there is no sweep {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in only) or tuple(axes)


def _tell(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"
    print(f"rehearsing: {done} of {total} robots", end=end, file=sys.stderr, flush=True)
