"""The work of a rehearsal: jobs, driven in batches, written when done, and found again after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from walkies import records
from walkies.accel.cpu import available_cores
from walkies.deploy.policy_file import PolicyFile
from walkies.errors import UserError
from walkies.files import write_json
from walkies.judge.rehearsal.conditions import Condition
from walkies.judge.rehearsal.drive import drive, refuse_too_many
from walkies.robots.base import Robot

VERSION = 1
"""Of what a condition means. Finished jobs of another version are done again."""
BATCH = 128
"""Robots driven at once: enough that MuJoCo takes most of the time, few enough that an interruption costs little."""


class Row(NamedTuple):
    """How one robot fared. Errors and power are None where it fell before they could be measured."""

    seed: int
    cause: str
    """'' where it did not fall"""
    fell_at: float
    """s after the policy took over"""
    lin_vel_error: float | None
    """m/s"""
    yaw_rate_error: float | None
    """rad/s"""
    power: float | None
    """W"""


class Job(NamedTuple):
    """Robots whose results are written together, for instance all robots of one cell."""

    conditions: tuple[Condition, ...]
    seeds: tuple[int, ...]


def cell(condition: Condition, seeds: Sequence[int]) -> Job:
    """The job of several robots under one condition."""
    return Job((condition,) * len(seeds), tuple(seeds))


def run(
    policy: PolicyFile,
    robot: Robot,
    jobs: Sequence[Job],
    seconds: float,
    folder: Path | None,
    threads: int | None = None,
    tell: Callable[[int, int], None] = lambda done, all_of_them: None,
) -> list[list[Row]]:
    """The rows of each job. What `folder` holds already is read, the rest driven and written job by job.

    Args:
        folder: of finished jobs, one JSON file each; None keeps nothing.
        threads: None for all cores that this process may use.
        tell: called with the number of robots done and of all robots.

    Raises:
        UserError: the robots of a job would not fit into memory.
    """
    refuse_too_many(policy, robot, max((len(job.seeds) for job in jobs), default=0), seconds)
    digest = hashlib.sha256(json.dumps(policy.document(), sort_keys=True).encode()).hexdigest()
    names = [_name(job, seconds, digest) for job in jobs]
    rows = {
        name: found for name, job in zip(names, jobs, strict=True) if (found := _read(folder, name, job)) is not None
    }
    missing = {name: job for name, job in zip(names, jobs, strict=True) if name not in rows}
    total = sum(len(job.seeds) for job in dict(zip(names, jobs, strict=True)).values())
    done = total - sum(len(job.seeds) for job in missing.values())
    for batch in _batches(missing):
        tell(done, total)
        conditions = [condition for name in batch for condition in missing[name].conditions]
        seeds = [seed for name in batch for seed in missing[name].seeds]
        outcome = drive(policy, robot, conditions, seeds, seconds, threads or available_cores())
        parts = (outcome.cause, outcome.fell_at, outcome.lin_vel_error, outcome.yaw_rate_error, outcome.power)
        made = [Row(seed, *map(_plain, numbers)) for seed, *numbers in zip(seeds, *parts, strict=True)]
        for name in batch:
            rows[name], made = made[: len(missing[name].seeds)], made[len(missing[name].seeds) :]
            if folder is not None:
                write_json(folder / name, [list(row) for row in rows[name]])
        done += len(seeds)
    tell(done, total)
    return [rows[name] for name in names]


def _batches(jobs: dict[str, Job]) -> Iterator[list[str]]:
    """Names of jobs that can be driven together: of one clock and one kind of model, about BATCH robots."""
    kinds: dict[tuple, list[str]] = {}
    for name, job in jobs.items():
        kind = {(c.tick_rate, c.backlash > 0, bool(np.isfinite(c.no_load_speed))) for c in job.conditions}
        if len(kind) != 1:
            raise ValueError("job: expected conditions of one tick rate, all with backlash or none, …")
        kinds.setdefault(kind.pop(), []).append(name)
    for names in kinds.values():
        batch: list[str] = []
        for name in names:
            if batch and sum(len(jobs[other].seeds) for other in [*batch, name]) > BATCH:
                yield batch
                batch = []
            batch.append(name)
        yield batch


def _name(job: Job, seconds: float, digest: str) -> str:
    """The job's file: all that its result depends on, hashed."""
    content = repr((VERSION, digest, seconds, job.seeds, [astuple(c) for c in dict.fromkeys(job.conditions)]))
    if len(set(job.conditions)) > 1:
        content += repr([astuple(c) for c in job.conditions])
    return hashlib.sha256(content.encode()).hexdigest()[:20] + ".json"


def _read(folder: Path | None, name: str, job: Job) -> list[Row] | None:
    """The rows of a finished job; None where it is not finished."""
    if folder is None or not (folder / name).is_file():
        return None
    expected = "what `walkies rehearse` wrote; remove it, and it is rehearsed again"
    rows = records.read(folder / name, list[Row], expected)
    if tuple(row.seed for row in rows) != job.seeds:
        raise UserError(f"{folder / name} is damaged (it has other robots); expected {expected}")
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    return round(float(value), 6) if np.isfinite(value) else None
