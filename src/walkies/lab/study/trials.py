"""One trial: `walkies train`, and the judges, each as a process of its own."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import walkies
from walkies import child
from walkies.accel import cache
from walkies.accel.cpu import machine
from walkies.errors import UserError
from walkies.lab.study.plan import Plan, Trial, threads_of, words
from walkies.run.folders import RunFolder

VERDICTS = (0, 1)
"""Exit statuses of a judge: a verdict is no failure."""


def run(plan: Plan, trial: Trial, folder: Path, later: bool, cwd: Path | None = None) -> dict[str, object]:
    """Train and judge; the row.

    Args:
        folder: of all the study's runs; one that was stopped goes on.
        later: whether a longer length of this training has been judged already, which its folder is then of.
        cwd: where the commands are called, in which robots read from files are kept. Default: here.

    Raises:
        UserError: a command failed; what it said is on standard error.
    """
    out = folder.absolute() / name(trial)
    call = partial(command, cwd=cwd)
    seconds = train(plan, trial, out, later, call)
    return {
        **trial._asdict(), "flags": plan.variants[trial.variant], "steps": taken(out), "seconds": round(seconds, 1),
        **judge(plan, out, call, threads_of(plan, trial)),
        "commit": commit(), "machine": machine(), "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip


def name(trial: Trial) -> str:
    """Of the run's folder: lengths in steps share one, which grows."""
    clock = [f"{trial.amount}min"] if trial.unit == "minutes" else []
    parts = [trial.variant, Path(trial.robot).stem, str(trial.seed), *clock]
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") for part in parts)


def train(plan: Plan, trial: Trial, out: Path, later: bool, call: Callable[..., str]) -> float:
    """Train as far as the trial says; seconds that it took, from the start of the process."""
    grows = trial.unit == "steps" and not later
    if out.exists() and not (grows and RunFolder(out).latest_checkpoint()):
        shutil.rmtree(out)
    begun = time.monotonic()
    if not (out.exists() and taken(out) >= int(trial.amount)):
        new = (trial.robot, "--seed", str(trial.seed), *words(plan.variants[trial.variant], trial.variant))
        how = ("--resume",) if out.exists() else new
        length = (f"--{trial.unit}", trial.amount) if trial.unit else ()
        call("train", *how, "--out", str(out), *length, "--exam-episodes", "0", "--no-film", cold=plan.cold)
    return time.monotonic() - begun


def taken(out: Path) -> int:
    """Control steps of a run."""
    with RunFolder(out).curves.open(encoding="utf-8") as file:
        return [int(float(row["steps"])) for row in csv.DictReader(file)][-1]


def judge(plan: Plan, out: Path, call: Callable[..., str], threads: int | None = None) -> dict[str, object]:
    """What the examination, the rehearsal and lint say of a run's policy. threads: of these; None for all cores."""
    few = () if threads is None else ("--threads", str(threads))

    def said(*words: str) -> Any:
        return json.loads(call(*words, "--json", statuses=VERDICTS))

    card = said("exam", str(out), "--seed", str(plan.exam_seed), "--episodes", str(plan.episodes), *few)
    marks = {mark["key"]: mark["pass_mark"] for mark in card["marks"]}
    boxes = {box: said("rehearse", str(out), "--box", box, *few)["survival"]["value"] for box in plan.boxes}
    findings = sorted({one["code"] for one in said("lint", str(out))}) if plan.lint else []
    return {
        "passed": card["passed"], **{key: card[key] for key in ("survival", "lin_vel_error", "yaw_rate_error")},
        "lin_vel_mark": marks["lin_vel_error"], "yaw_rate_mark": marks["yaw_rate_error"],
        "episodes": card["episodes"], "exam_seed": plan.exam_seed,
        "boxes": " ".join(f"{box}={value:.4g}" for box, value in boxes.items()),
        "findings": " ".join(findings) or ("nothing" if plan.lint else ""),
    }  # fmt: skip


def command(*arguments: str, statuses: Sequence[int] = (0,), cold: bool = False, cwd: Path | None = None) -> str:
    """Standard output of one walkies command.

    Raises:
        UserError: it ended with another status than these.
    """
    environment = child.environment(**({cache.SWITCH: "0"} if cold else {}))
    done = subprocess.run(child.program(*arguments), text=True, stdout=subprocess.PIPE, env=environment, cwd=cwd)
    if done.returncode not in statuses:
        raise UserError(f"walkies {' '.join(arguments)} ended with {done.returncode}; run it to see why")
    return done.stdout


def commit() -> str:
    """Of the program: its commit where it runs from a Git checkout, else its version."""
    asked = ["git", "-C", str(Path(walkies.__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, check=True, text=True, capture_output=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return walkies.__version__
