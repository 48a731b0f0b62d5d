"""`walkies train`: from nothing to a finished run folder — train, export, examine, film, report."""

from __future__ import annotations

import importlib.util
import itertools
import time
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
    print(f"Trained {training.steps:,} control steps in {minutes_taken:.2f} minutes; it ended by {ENDED[reason]}.")
    print(f"The robot's policy file: {folder.policy}")
    finish(folder, config)
    return 0


@contextmanager
def watched(training: Training, view: bool) -> Iterator[list[Callable[[dict[str, float]], None]]]:
    """With `view`, a page to watch the training on; yields the observers that it needs."""
    if not view:
        yield []
        return
    from walkies.show.viewer.learn import Watch

    watch = Watch(training)
    print(f"Watch it learn: {watch.start()}", flush=True)
    try:
        yield [watch.update]
    finally:
        watch.stop()


def free_folder(parent: Path, name: str) -> Path:
    """`parent`/`name`, or with the first number behind it under which there is nothing yet."""
    names = itertools.chain([name], (f"{name}-{count}" for count in itertools.count(2)))
    return next(path for path in (parent / name for name in names) if not path.exists())


ENDED = {"steps": "--steps", "time": "its time limit", "interrupt": "Ctrl-C"}


def finish(folder: RunFolder, config: TrainConfig) -> None:
    """Examine, film and report. What this machine cannot do is said, and does not spoil the rest."""
    from walkies import exam, exam_report
    from walkies.deploy import policy_file
    from walkies.show import report
    from walkies.show.film import film, shown

    if config.exam_episodes:
        print(f"Examining it in MuJoCo: {config.exam_episodes} episodes of 20 s …", flush=True)
        card = exam.examine(policy_file.read(folder.policy), config.exam_episodes, threads=config.threads or 0)
        exam.write_report(card, folder.path)
        print(exam_report.markdown(card))
    if config.film:
        try:
            with shown("Filming it") as told:
                film(folder.policy, folder.video, report=told)
        except (UserError, RuntimeError, OSError) as error:
            print(f"No video: {error}")
    report.write(folder.path)
    print(summary(folder))


def summary(folder: RunFolder) -> str:
    """Where everything is, and how to go on."""
    meaning = {
        "policy.json": "what the robot loads",
        "report_card.md": "the examination's report card",
        "video.mp4": "what it looks like",
        "report.html": "all of it on one page",
    }
    lines = [f"{folder.path / name!s:<40}{what}" for name, what in meaning.items() if (folder.path / name).exists()]
    lines.append(f"Drive it in the browser: walkies play {folder.path}")
    lines.append(f"Go on training: walkies train --resume --out {folder.path} --minutes 10")
    return "\n".join(lines)
