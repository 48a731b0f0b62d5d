"""`walkies train`: from nothing to a finished run folder — train, export, examine, film, report."""

from __future__ import annotations

import importlib.util
import itertools
import shlex
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from walkies.accel.cpu import require_device, use_cpu
from walkies.cli.arguments import configured, presets
from walkies.cli.arguments.flags import starting_from
from walkies.cli.robots.named import strained, taken
from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.run.config import TrainConfig, default_minutes, devices_of, load_terms, of_robot, resumed
from walkies.run.folders import RUNS, LockedRun, RunFolder, locked, refuse_unwritable, to_dict
from walkies.run.interrupt import exit_status
from walkies.tasks.rewards import RewardWeights
from walkies.tasks.scale.units import task_of
from walkies.terminal import PROGRAM, called, narrowed, say

if TYPE_CHECKING:  # what trains is imported by who trains
    from walkies.rl.finite import Diverged
    from walkies.run.loggers import Logger
    from walkies.run.training import Training


def _start(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """A robot has its own numbers, a preset task others, in the robot's units, and a file others still; flags change
    these."""
    settings = configured.settings(arguments)
    robot, rest = taken(arguments)
    if robot is None and (name := settings.robot()) is not None:
        robot, [name] = taken([name])
        robot = robot or get_robot(name)
    task, rest = presets.taken(rest)
    config = TrainConfig() if robot is None else of_robot(robot)
    if task is not None:
        config = replace(config, task=task if robot is None else task_of(robot, task))
    return {"config": settings.over(config)}, rest


@starting_from(_start)
def command(config: Annotated[TrainConfig, tyro.conf.arg(name="")]) -> int:
    """Teach a robot to walk under velocity commands; then examine, film and report what it learned.

    The run folder gets policy.json (the file the robot loads), report.json and report_card.md (the examination),
    report.html, curves, checkpoints and a video. Ctrl-C ends training early and still exports; --resume continues it.
    """
    started = time.monotonic()
    get_robot(config.robot)  # a name that nobody has is said at once
    if config.resume and config.out is None:
        raise UserError("--resume: name the run to continue with --out FOLDER")
    if config.wandb is not None and importlib.util.find_spec("wandb") is None:
        raise ModuleNotFoundError("wandb is not installed", name="wandb")  # before there is a run folder
    if config.terms is not None:
        load_terms(config.terms)
    with own_folder(config) as folder:
        config = resumed(config, folder) if config.resume else replace(config, out=folder.path)
        use_cpu(config.threads, devices_of(config))
        require_device()
        reason = _train(config, folder, started)
        if reason in ENDED:
            return finish(folder, config)
        # Whoever sends such a signal waits a few seconds, and then kills.
        say(f"Not examined and not filmed, because of {reason}: walkies exam {folder.path}")
        return exit_status(reason)


def _train(config: TrainConfig, folder: RunFolder, started: float) -> str:
    """Train, export, and upload if asked; returns why it ended (`walkies.run.training.learn`)."""
    from walkies.run.training import prepare
    from walkies.show.pictures.robot import refresh

    minutes = default_minutes(config)
    seconds = None if minutes is None else 60.0 * minutes
    for line in strained(get_robot(config.robot)):
        say(f"Note: {line}.")
    if (drawn := refresh(config.robot)) is not None:
        say(drawn)
    training = prepare(config, folder)
    with closing(training):
        reason = _learn(config, training, folder, seconds, started)
    minutes_taken = (time.monotonic() - started) / 60.0
    ended = ENDED.get(reason, reason)
    say(f"Trained {training.steps:,} control steps in {minutes_taken:.2f} minutes; it ended by {ended}.")
    say(f"The robot's policy file: {folder.policy}")
    return reason


def _learn(config: TrainConfig, training: Training, folder: RunFolder, seconds: float | None, started: float) -> str:
    """Train for so many seconds from `started`, export, and upload if asked; returns why it ended."""
    from walkies.rl.finite import Diverged
    from walkies.run import stages
    from walkies.run.loggers import open_loggers
    from walkies.run.progress import Progress
    from walkies.run.training import learn

    title = f"{config.robot}, seed {config.seed}, {config.simulator} simulator, into {folder.path}"

    with open_loggers(
        folder.path,
        resume_at=training.steps if config.resume else None,
        wandb=config.wandb,
        config=to_dict(config),
    ) as loggers:
        try:
            with (
                watched(training, config.view) as watchers,
                Progress(title, total_steps=config.steps, total_seconds=seconds) as progress,
            ):
                deadline = None if seconds is None else started + seconds
                observers = [*(log.log for log in loggers), progress.update, stages.keeper(training, folder), *watchers]
                reason = learn(training, folder, deadline, config.steps, observers)
        except Diverged as error:
            raise _diverged(error, training, folder, loggers) from error
        _deliver(training, folder, loggers)
    return reason


def _deliver(training: Training, folder: RunFolder, loggers: list[Logger]) -> None:
    """Export the policy, and send it to W&B while its run is open there; a failed upload is only reported."""
    from walkies.run.export import export_policy
    from walkies.run.loggers import upload

    export_policy(folder.policy, training)
    attempt("upload of the policy", lambda: upload(loggers, folder.policy))


def _diverged(error: Diverged, training: Training, folder: RunFolder, loggers: list[Logger]) -> Diverged:
    """The error to end with after a training that diverged; the last policy kept before it is exported."""
    from walkies.rl.finite import REMEDY, Diverged

    if (last := folder.latest_checkpoint()) is None:
        return Diverged(f"{error}, the first of this run; {REMEDY}")
    training.restore(last)
    _deliver(training, folder, loggers)
    return Diverged(
        f"{error}. {folder.policy} is the policy after {training.steps:,} steps, the last that was kept before it. "
        f"To train again, {REMEDY}; to begin where this one was sound: --init-from {folder.path} --out NEW"
    )


@contextmanager
def own_folder(config: TrainConfig) -> Iterator[RunFolder]:
    """The run's folder, which is this process's alone within the block: `out`, or the first of its names that is free.

    Raises:
        UserError: a training is writing into `out`, or nothing may be written there.
    """
    first = f"{config.robot}-{config.seed}"
    names = itertools.chain([first], (f"{first}-{count}" for count in itertools.count(2)))
    free = (path for path in (Path(RUNS) / name for name in names) if not path.exists())
    with ExitStack() as stack:
        for path in free if config.out is None else [config.out]:
            refuse_unwritable(path)
            try:
                stack.enter_context(locked(path))
            except LockedRun:
                if config.out is not None:
                    raise
                continue  # another training, begun at the same moment, was quicker
            yield RunFolder(path)
            return


@contextmanager
def watched(training: Training, view: bool) -> Iterator[list[Callable[[dict[str, float]], None]]]:
    """With `view`, a page to watch the training on; yields the observers that it needs."""
    if not view:
        yield []
        return
    from walkies.show.viewer.learn import Watch

    watch = Watch(training)
    say(f"Watch it learn: {watch.start()}")
    try:
        yield [watch.update]
    finally:
        watch.stop()


ENDED = {"steps": "--steps", "time": "its time limit", "SIGINT": "Ctrl-C"}
"""Why a training that finished normally ended, in words."""


def finish(folder: RunFolder, config: TrainConfig) -> int:
    """Examine, film and report; returns the exit status, 1 if any of these failed.

    A failure is reported and affects neither the rest nor the policy, which is written already. A video that this
    machine cannot render does not count as a failure.
    """
    done = [
        not config.exam_episodes or attempt("examination", lambda: _examine(folder, config)),
        not config.film or attempt("video", lambda: _film(folder)),
        attempt("report", lambda: _report(folder)),
    ]
    say(summary(folder, config))
    return int(not all(done))


def attempt(what: str, make: Callable[[], object]) -> bool:
    """Make something; returns whether it succeeded. Failures are reported, with a traceback if it is a bug."""
    try:
        make()
    except Exception as error:
        plain = isinstance(error, UserError | OSError)
        say(f"No {what}: {error if plain else traceback.format_exc()}")
        return False
    return True


def _examine(folder: RunFolder, config: TrainConfig) -> None:
    from walkies.cli.exam import deliver
    from walkies.judge import exam, report_card

    say(f"Examining it in MuJoCo: {config.exam_episodes} episodes of 20 s …")
    card = exam.examine_file(folder.policy, config.exam_episodes, threads=config.threads or 0)
    deliver(card, folder.path, narrowed(report_card.markdown(card)))


def _film(folder: RunFolder) -> None:
    from walkies.show.film import film, shown

    try:
        with shown("Filming it") as told:
            film(folder.policy, folder.video, report=told)
    except UserError as error:  # nothing here can draw
        say(f"No video: {error}")


def _report(folder: RunFolder) -> None:
    from walkies.show import report

    report.write(folder.path)


def summary(folder: RunFolder, config: TrainConfig) -> str:
    """Where everything is, and how to continue."""
    from walkies.judge import report_card

    meaning = {
        folder.policy: "the file the robot loads",
        report_card.place(folder.path, config.exam_episodes, report_card.SEED)[1]: "the examination's report card",
        folder.video: "a video of the policy",
        folder.path / "report.html": "the whole run on one page",
    }
    lines = [f"{path!s:<39} {what}" for path, what in meaning.items() if path.exists()]
    run, walkies = shlex.quote(str(folder.path)), called()
    lines.append(f"Drive it in the browser: {walkies} play {run}")
    # Who resumes it must know the functions of reward terms that are not walkies' own.
    terms = f" --terms {config.terms or 'FILE'}" if type(config.task.rewards) is not RewardWeights else ""
    lines.append(f"Continue training: {walkies} train --resume --out {run} --minutes 10{terms}")
    if walkies != PROGRAM:
        activate = shlex.quote(str(Path(walkies).with_name("activate")))
        lines.append(f"To type just `walkies`, run in each new shell: source {activate}")
    return "\n".join(lines)
