"""`walkies exam`: examine a policy in MuJoCo and print its report card."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from walkies.judge import report_card
from walkies.judge.exam import examine_file
from walkies.judge.ranges import Episodes, EvaluationSeed
from walkies.judge.report_card import EPISODES, SEED, Card
from walkies.run.folders import find_policy, refuse_unwritable
from walkies.terminal import say


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    episodes: Episodes = EPISODES,
    seed: EvaluationSeed = SEED,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Examine a policy in MuJoCo, on robots, floors and delays it has never met, and print its report card.

    The card of the default examination is a run's report.json and report_card.md; that of another seed or number of
    episodes is written beside, into exams/.

    Args:
        target: a run folder, or any policy.json.
        episodes: how many episodes of 20 seconds; 1000 tell a survival of 99% from one of 98%.
        seed: of the examination; every number gives other robots and commands, none of them used in training.
        out: folder for the card; a run folder gets it without being asked.
        json: print the report as JSON.
    """
    path = find_policy(target)
    folder = out if out is not None else (target if target.is_dir() else None)
    if folder is not None:
        refuse_unwritable(report_card.place(folder, episodes, seed)[0].parent)
    started = time.perf_counter()
    card = examine_file(path, episodes, seed)
    seconds = time.perf_counter() - started
    files = deliver(card, folder, json_module.dumps(card, indent=2) if json else report_card.markdown(card))
    if not json:
        say(f"{path} examined in {seconds:.0f} s." + (f" Written to {' and '.join(map(str, files))}." if files else ""))


def deliver(card: Card, folder: Path | None, text: str) -> Sequence[Path]:
    """Print `text`, which is `card` in words, and write the card into `folder`; the files.

    What cannot be written is printed nevertheless.
    """
    try:
        return () if folder is None else report_card.write(card, folder)
    finally:
        say(text)
