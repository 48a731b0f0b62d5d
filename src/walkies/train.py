"""`walkies train`: from nothing to a finished run folder — train, export, examine, film, report."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from walkies.experiment import TrainConfig

DEFAULT_MINUTES = 4.5


def command(config: Annotated[TrainConfig, tyro.conf.arg(name="")]) -> int:
    """Teach a robot to walk under velocity commands; then examine, film and report what it learned.

    The run folder ends up with policy.json (what the robot loads), report.json and report.md (the examination),
    curves, checkpoints and a video. Ctrl-C ends training early and still exports; --resume goes on.
    """
    started = time.monotonic()
    use_cpu(config.threads)

    from walkies import exam
    from walkies.deploy.export import export_policy
    from walkies.experiment import learn, prepare, resumed
    from walkies.runs import RunFolder
    from walkies.show.logs import open_loggers
    from walkies.show.progress import Progress

    out = config.out or Path("runs") / f"{config.robot}-{config.seed}"
    folder = RunFolder(out)
    if config.resume:
        config = resumed(config, folder)
    minutes = DEFAULT_MINUTES if config.minutes is None and config.steps is None else config.minutes
    training = prepare(replace(config, out=out), folder)
    deadline = None if minutes is None else started + 60.0 * minutes
    with (
        open_loggers(folder.path, resume_at=training.steps if config.resume else None) as loggers,
        Progress(total_steps=config.steps, total_seconds=None if minutes is None else 60.0 * minutes) as progress,
    ):
        reason = learn(training, folder, deadline, config.steps, [*(log.log for log in loggers), progress.update])
    export_policy(folder.policy, training)
    trained = time.monotonic() - started
    print(f"Trained {training.steps:,} steps in {trained / 60:.1f} minutes (stopped: {reason}).")
    if config.exam_episodes:
        card = exam.examine_file(folder.policy, episodes=config.exam_episodes)
        exam.write_card(card, folder.path)
    finish(folder, film=config.film)
    return 0


def finish(folder: object, film: bool) -> None:
    """Curves, video and report of a run; what cannot be made here is said, not fatal."""


def use_cpu(threads: int | None) -> None:
    """Settings that XLA reads when it starts; call before the first computation.

    oneDNN about halves the time of small matrix products. `threads` bounds both XLA's pool and the native engine,
    which works in it.
    """
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_onednn=true")
    if threads is not None:
        os.environ["NPROC"] = str(threads)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
