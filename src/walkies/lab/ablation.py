"""`walkies lab ablate`: does domain randomization help, and which part of it?

Trains the same task under several settings of randomization, several seeds each, and rehearses every policy in the same
one-dimensional sweeps. Finished parts are kept: a second call resumes where the first was stopped.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from walkies import records
from walkies.accel.cpu import Threads
from walkies.bounds import Between, Seed, refuse
from walkies.errors import UserError
from walkies.files import write_json, write_text
from walkies.lab import runner
from walkies.lab.ablation_report import ADAPTIVE, GROUPS, draw, markdown, table
from walkies.run.folders import RunFolder, locked
from walkies.terminal import narrowed, say

DONE = "training.json"
"""File in a run's folder with the cost of its training; written last."""
REHEARSED = "sweeps.json"
KEPT = "what `walkies lab ablate` wrote; remove it, and it will be made again"
AXES = (
    "friction", "ground", "command-delay", "imu-delay", "payload", "com", "push", "force", "slope",
    "servo", "leg", "torque", "noise", "imu-tilt", "encoder",
)  # fmt: skip
"""The sweeps in which every policy is examined: at least one for each group, and a few outside all of them."""


class Done(NamedTuple):
    """What DONE holds."""

    seed: int
    steps: int
    seconds: float
    limit: dict[str, Any] | None = None


class Rehearsed(NamedTuple):
    """What is read of REHEARSED."""

    cost: float
    """s"""
    asked: dict[str, Any] | None = None
    """`asked_of` the ablation that rehearsed it last."""


@dataclass(frozen=True)
class AblateConfig:
    """One ablation."""

    out: tyro.conf.Positional[Path] = Path("runs/ablation")
    """Output folder: runs, sweeps, report."""
    seeds: Annotated[int, Between(1, 1000)] = 3
    """Trainings per setting."""
    first_seed: Seed = 0
    """The first seed."""
    seconds: Annotated[float, Between(0.0, 1e7, "(]")] = 75.0
    """Length of each training, compilation included."""
    steps: Annotated[int | None, Between(1, 10**12)] = None
    """Train for this many control steps instead, which is also fair on a busy machine."""
    only: tuple[str, ...] = ()
    """Names of the settings to train; default: all."""
    axes: tuple[str, ...] = AXES
    """Names of the sweeps."""
    robots: Annotated[int, Between(1, 1_000_000)] = 6
    """Robots per cell of a sweep."""
    robot_seconds: Annotated[float, Between(0.1, 3600.0)] = 6.0
    """Seconds per robot of a sweep."""
    envs: Annotated[int | None, Between(1, 10**7)] = None
    """Robots in training; default: the recipe's."""
    threads: Threads | None = None
    """CPU threads. Default: all cores."""
    list: bool = False
    """Only list the rows, finished and missing."""
    json: bool = False
    """Print the result as JSON; with --list the list of rows."""
    picture: Path | None = None
    """Also write the picture to this file."""


def command(config: Annotated[AblateConfig, tyro.conf.arg(name="")]) -> int:
    """Train under ten settings of randomization, rehearse every policy in the same sweeps, and compare.

    The settings: none, course (the Stanford CS 123 course's), walkies (the default), walkies without each of six groups
    (body, contact, motor, latency, sensing, pushes), and "walkies, adaptive",
    whose ranges widen while the policy passes.
    """
    chosen = choose(config)
    from walkies.accel.cpu import use_cpu
    from walkies.run.config import TrainConfig, devices_of

    use_cpu(config.threads, devices_of(TrainConfig()))
    folders = {
        (name, seed): RunFolder(config.out / f"{name.replace(',', '').replace(' ', '-')}-{seed}")
        for seed in range(config.first_seed, config.first_seed + config.seeds)
        for name in chosen
    }

    def row(name: str, seed: int, folder: RunFolder) -> runner.Row:
        def make() -> None:
            train(config, chosen[name], seed, folder)
            rehearse(config, folder)
            write(config, folders)

        return runner.Row(f"{name}, seed {seed}", lambda: is_finished(config, folder), make)

    rows = [row(*key, folder) for key, folder in folders.items()]
    if config.list:
        say(runner.listing(rows, config.json))
        return 0
    runner.make(rows, config.out)
    write(config, folders)
    if config.json:
        say((config.out / "ablation.json").read_text(encoding="utf-8"))
        return 0
    say(narrowed((config.out / "ablation.md").read_text(encoding="utf-8")))
    say(f"Written to {config.out}/ablation.json, .md and .png.")
    return 0


def choose(config: AblateConfig) -> dict[str, Any]:
    """The tasks to train, by the name of their setting.

    Raises:
        UserError: a name or a number that makes no sense.
    """
    refuse(config, AblateConfig)
    refuse(config.first_seed + config.seeds - 1, Seed, f"first_seed {config.first_seed} --seeds {config.seeds}")
    from walkies.judge.rehearsal.conditions import AXES as KNOWN

    known = {axis.name for axis in KNOWN}
    if unknown := [name for name in config.axes if name not in known]:
        raise UserError(f"--axes: there is no sweep {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    every = settings()
    if unknown := [name for name in config.only if name not in every]:
        raise UserError(f"--only: there is no setting {', '.join(unknown)}; there are {'; '.join(every)}")
    return {name: task for name, task in every.items() if not config.only or name in config.only}


def settings() -> dict[str, Any]:
    """The walking task under each setting of randomization, by name."""
    from walkies.tasks import randomization
    from walkies.tasks.walk import WalkConfig

    sets = {name: randomization.SETS[name] for name in ("none", "course", "walkies")}
    sets |= {f"without {group}": randomization.without(randomization.SETS["walkies"], group) for group in GROUPS}
    usual = WalkConfig()
    # Conditions that widen would hide that some are never met: only the last setting has them.
    fixed = replace(usual, curriculum=replace(usual.curriculum, adaptive=False))
    tasks = {name: replace(fixed, randomization=drawn) for name, drawn in sets.items()}
    return tasks | {ADAPTIVE: replace(tasks["walkies"], curriculum=usual.curriculum)}


def train(config: AblateConfig, task: Any, seed: int, folder: RunFolder) -> None:
    """Train one policy, unless that is done. One limited by steps resumes after an interruption, others start again.

    Raises:
        UserError: the folder holds one that was trained for longer or shorter, or with other robots.
    """
    if is_trained(config, folder):
        return
    from walkies.run.config import TrainConfig
    from walkies.run.export import export_policy
    from walkies.run.loggers import open_loggers
    from walkies.run.training import learn, prepare

    resume = config.steps is not None and folder.latest_checkpoint() is not None
    if folder.path.exists() and not resume:
        shutil.rmtree(folder.path)
    say(f"training {folder.path.name} …", sys.stderr)
    started = time.monotonic()
    run = TrainConfig(seed=seed, out=folder.path, threads=config.threads, task=task, steps=config.steps, resume=resume)
    if config.envs is not None:
        run = replace(run, recipe=replace(run.recipe, num_envs=config.envs))
    with locked(folder.path):
        training = prepare(run, folder)
        with open_loggers(folder.path, resume_at=training.steps if resume else None) as loggers:
            deadline = started + config.seconds if config.steps is None else None
            if learn(training, folder, deadline, config.steps, [log.log for log in loggers]) not in ("steps", "time"):
                raise KeyboardInterrupt
        export_policy(folder.policy, training)
    cost = {"steps": training.steps, "seconds": training.seconds}
    write_json(folder.path / DONE, {"seed": seed, **cost, "limit": limit_of(config)})


def limit_of(config: AblateConfig) -> dict[str, Any]:
    """How far a policy is trained, and with how many robots."""
    return {"steps": config.steps, "seconds": None if config.steps else config.seconds, "envs": config.envs}


def is_trained(config: AblateConfig, folder: RunFolder) -> bool:
    """Whether the folder holds a policy that is trained.

    Raises:
        UserError: it was trained for longer or shorter, or with other robots.
    """
    if not (folder.path / DONE).is_file():
        return False
    before, limit = records.read(folder.path / DONE, Done, KEPT).limit, limit_of(config)
    if before != limit:
        raise UserError(f"{folder.path} was trained under {before}, now asked for {limit}; give another folder")
    return True


def is_finished(config: AblateConfig, folder: RunFolder) -> bool:
    """Whether the folder holds a policy that is trained and has been rehearsed as asked.

    Raises:
        UserError: as `is_trained`.
    """
    kept = folder.path / REHEARSED
    if not (is_trained(config, folder) and kept.is_file()):
        return False
    return records.read(kept, Rehearsed, KEPT).asked == asked_of(config)


def asked_of(config: AblateConfig) -> dict[str, Any]:
    """What a policy is rehearsed in."""
    return {"axes": list(config.axes), "robots": config.robots, "robot_seconds": config.robot_seconds}


def rehearse(config: AblateConfig, folder: RunFolder) -> dict[str, Any]:
    """A trained policy's sweeps and what both cost, as JSON data."""
    from walkies.deploy.policy_file import read
    from walkies.judge.rehearsal.conditions import AXES as KNOWN
    from walkies.judge.rehearsal.rehearse import Extent, rehearse_sweeps

    axes = [axis for name in config.axes for axis in KNOWN if axis.name == name]
    started = time.monotonic()
    sweeps = rehearse_sweeps(
        read(folder.policy),
        axes,
        Extent(config.robots, config.robot_seconds, folder=folder.path, threads=config.threads),
    )
    kept = folder.path / REHEARSED
    cost = records.read(kept, Rehearsed, KEPT).cost if kept.is_file() else time.monotonic() - started
    write_json(kept, {"cost": cost, "asked": asked_of(config), **sweeps})
    trained = records.read(folder.path / DONE, Done, KEPT)
    return {**trained._asdict(), "rehearsal_seconds": cost, "axes": sweeps["axes"]}


def write(config: AblateConfig, folders: Mapping[tuple[str, int], RunFolder]) -> None:
    """The report of what is finished: JSON, Markdown and picture.

    Args:
        folders: (name of a setting, seed) → its run.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    for (name, _), folder in folders.items():
        if is_finished(config, folder):
            results.setdefault(name, []).append(rehearse(config, folder))
    data = {
        "limit": f"{config.steps:,} control steps" if config.steps else f"{config.seconds:g} s",
        "robots": config.robots,
        "robot_seconds": config.robot_seconds,
        "wanted_seeds": config.seeds,
        **table(results),
    }
    write_json(config.out / "ablation.json", data)
    write_text(config.out / "ablation.md", markdown(data))
    for path in filter(None, (config.out / "ablation.png", config.picture)):
        draw(data, path)
