"""`walkies exam`: examine a policy in MuJoCo and print its report card."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from walkies.accel.cpu import MujocoThreads
from walkies.judge import report_card
from walkies.judge.exam import ExamSimulator, examine_file
from walkies.judge.ranges import Episodes, EvaluationSeed
from walkies.judge.report_card import EPISODES, SEED, Card
from walkies.run.folders import find_policy, refuse_unwritable
from walkies.terminal import narrowed, say


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    episodes: Episodes = EPISODES,
    seed: EvaluationSeed = SEED,
    out: Path | None = None,
    json: bool = False,
    simulator: ExamSimulator = "mujoco",
    threads: MujocoThreads = 0,
) -> None:
    """Examine a policy in MuJoCo, on robots, floors and latencies it never saw in training, and print its report card.

    The default examination writes a run's report.json and report_card.md; an examination with another seed or number of
    episodes is written into exams/.

    Args:
        target: a run folder, or any policy.json.
        episodes: number of episodes of 20 seconds; 1000 distinguish a survival of 99% from one of 98%.
        seed: seed of the examination; each one draws different robots and commands, none of them used in training.
        out: folder for the report card; default: the run folder, if the target is one.
        json: print the report card as JSON.
        simulator: bullet, dart and newton: the same conditions in another engine, which takes seconds per episode. Its
            card is only printed, unless --out says where to write it.
        threads: CPU threads for MuJoCo, 0 for all cores. The card is the same.
    """
    path = find_policy(target)
    if simulator != "mujoco" and out is None:
        target = path  # a run's own card is MuJoCo's
    folder = out if out is not None else (target if target.is_dir() else None)
    if folder is not None:
        refuse_unwritable(report_card.place(folder, episodes, seed)[0].parent)
    started = time.perf_counter()
    card = examine_file(path, episodes, seed, threads, simulator)
    seconds = time.perf_counter() - started
    files = deliver(card, folder, json_module.dumps(card, indent=2) if json else narrowed(report_card.markdown(card)))
    if not json:
        say(f"{path} examined in {seconds:.0f} s." + (f" Written to {' and '.join(map(str, files))}." if files else ""))


def deliver(card: Card, folder: Path | None, text: str) -> Sequence[Path]:
    """Print `text`, which is `card` in words, and write the card into `folder`; returns the files.

    The text is printed even if the files cannot be written.
    """
    try:
        return () if folder is None else report_card.write(card, folder)
    finally:
        say(text)
