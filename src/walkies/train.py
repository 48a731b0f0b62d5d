"""`walkies train`: from nothing to a finished run folder — train, export, examine, film, report."""

from __future__ import annotations

import importlib.util
import itertools
import shlex
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from walkies.cpu import use_cpu
from walkies.errors import UserError
from walkies.experiment import TrainConfig, Training, learn, prepare, resumed
from walkies.runs import RUNS, RunFolder, to_dict
from walkies.terminal import say

DEFAULT_MINUTES = 4.8
"""With which `make walk` stays within five minutes of training, cold compilation included."""


def command(config: Annotated[TrainConfig, tyro.conf.arg(name="")]) -> int:
    """Teach a robot to walk under velocity commands; then examine, film and report what it learned.

    The run folder ends up with policy.json (what the robot loads), report.json and report_card.md (the examination),
    report.html, curves, checkpoints and a video. Ctrl-C ends training early and still exports; --resume goes on.
    """
    started = time.monotonic()
    if config.resume and config.out is None:
        raise UserError("--resume: say which run goes on, with --out FOLDER")
    if config.wandb is not None and importlib.util.find_spec("wandb") is None:
        raise ModuleNotFoundError("wandb is not installed", name="wandb")  # before there is a run folder
    out = config.out or free_folder(Path(RUNS), f"{config.robot}-{config.seed}")
    folder = RunFolder(out)
    config = resumed(config, folder) if config.resume else replace(config, out=out)
    use_cpu(config.threads)

    from walkies.deploy.export import export_policy
    from walkies.show import stages
    from walkies.show.logs import open_loggers
    from walkies.show.progress import Progress

    minutes = DEFAULT_MINUTES if config.minutes is None and config.steps is None else config.minutes
    seconds = None if minutes is None else 60.0 * minutes
    training = prepare(config, folder)
    title = f"{config.robot}, seed {config.seed}, {config.simulator} simulator, into {out}"
    with (
        watched(training, config.view) as watchers,
        open_loggers(
            folder.path,
            resume_at=training.steps if config.resume else None,
            wandb=config.wandb,
            config=to_dict(config),
        ) as loggers,
        Progress(title, total_steps=config.steps, total_seconds=seconds) as progress,
    ):
        deadline = None if seconds is None else started + seconds
        observers = [*(log.log for log in loggers), progress.update, stages.keeper(training, folder), *watchers]
        reason = learn(training, folder, deadline, config.steps, observers)
    export_policy(folder.policy, training)
    minutes_taken = (time.monotonic() - started) / 60.0
    say(f"Trained {training.steps:,} control steps in {minutes_taken:.2f} minutes; it ended by {ENDED[reason]}.")
    say(f"The robot's policy file: {folder.policy}")
    return finish(folder, config)


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


def free_folder(parent: Path, name: str) -> Path:
    """`parent`/`name`, or with the first number behind it under which there is nothing yet."""
    names = itertools.chain([name], (f"{name}-{count}" for count in itertools.count(2)))
    return next(path for path in (parent / name for name in names) if not path.exists())


ENDED = {"steps": "--steps", "time": "its time limit", "interrupt": "Ctrl-C"}


def finish(folder: RunFolder, config: TrainConfig) -> int:
    """Examine, film and report; the exit status, 1 where something of it failed.

    Whatever fails is said, and spoils neither the rest nor the policy, which lies there already. A video that this
    machine cannot draw is no failure.
    """
    done = [
        not config.exam_episodes or attempt("examination", lambda: _examine(folder, config)),
        not config.film or attempt("video", lambda: _film(folder)),
        attempt("report", lambda: _report(folder)),
    ]
    say(summary(folder, config))
    return int(not all(done))


def attempt(what: str, make: Callable[[], object]) -> bool:
    """Make something; whether that went well. What went wrong is said, with a traceback if it is a bug."""
    try:
        make()
    except Exception as error:
        plain = isinstance(error, UserError | OSError)
        say(f"No {what}: {error if plain else traceback.format_exc()}")
        return False
    return True


def _examine(folder: RunFolder, config: TrainConfig) -> None:
    from walkies import exam, exam_card

    say(f"Examining it in MuJoCo: {config.exam_episodes} episodes of 20 s …")
    card = exam.examine_file(folder.policy, config.exam_episodes, threads=config.threads or 0)
    exam.deliver(card, folder.path, exam_card.markdown(card))


def _film(folder: RunFolder) -> None:
    from walkies.show.film import film

    try:
        film(folder.policy, folder.video)
    except UserError as error:  # nothing here can draw
        say(f"No video: {error}")


def _report(folder: RunFolder) -> None:
    from walkies.show import report

    report.write(folder.path)


def summary(folder: RunFolder, config: TrainConfig) -> str:
    """Where everything is, and how to go on."""
    from walkies import exam_card

    meaning = {
        folder.policy: "what the robot loads",
        exam_card.place(folder.path, config.exam_episodes, exam_card.SEED)[1]: "the examination's report card",
        folder.video: "what it looks like",
        folder.path / "report.html": "all of it on one page",
    }
    lines = [f"{path!s:<39} {what}" for path, what in meaning.items() if path.exists()]
    run = shlex.quote(str(folder.path))
    lines.append(f"Drive it in the browser: walkies play {run}")
    lines.append(f"Go on training: walkies train --resume --out {run} --minutes 10")
    return "\n".join(lines)
