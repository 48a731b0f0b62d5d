"""Which setting walks soonest? Trains variants of the default for the same wall-clock time, with several seeds.

    python benchmarks/study.py --minutes 0.9 --seeds 3

One row per variant and seed goes into benchmarks/study.csv as soon as it is finished; rows that are there are not run
again, so the study can be stopped and continued. A row says after how many seconds, compilation included, the error of
the forward and sideways velocity in training first fell below 0.25, 0.2 and 0.15 m/s (mean over nine iterations; a
robot that stands has 0.4). With --exam every policy is examined too, on a paper that `walkies exam` does not set by
default: settings are chosen on this one, policies are judged on that one. Nothing else should run meanwhile.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tyro

TABLE = Path(__file__).with_name("study.csv")
PAPER = 9
"""Number of the examination that settings are compared on."""
MARKS = (0.25, 0.2, 0.15)
"""m/s"""
WINDOW = 9
"""Iterations over which the error is averaged."""

VARIANTS: dict[str, str] = {
    "default": "",
    "critic 128-128": "--recipe.critic-hidden 128 128",
    "4 epochs of 8 minibatches": "--recipe.epochs 4 --recipe.minibatches 8",
    "2 epochs of 16 minibatches": "--recipe.epochs 2 --recipe.minibatches 16",
    "policy 128-64": "--recipe.hidden 128 64",
    "networks 64-64": "--recipe.hidden 64 64",
    "networks by XLA": "--recipe.networks xla",
    "gamma 0.95": "--recipe.gamma 0.95",
    "gamma 0.98": "--recipe.gamma 0.98",
    "effort in full from the start": "--task.effort.start 1.0",
    "1024 robots": "--recipe.num-envs 1024",
    "256 robots": "--recipe.num-envs 256",
    "history 1": "--task.observation-history 1",
    "16 minibatches": "--recipe.minibatches 16",
    "lambda 0.95": "--recipe.lam 0.95",
    "tanh": "--recipe.activation tanh",
    "target KL 0.01": "--recipe.target-kl 0.01",
    "target KL 0.03": "--recipe.target-kl 0.03",
    "initial std 0.7": "--recipe.initial-std 0.7",
    "critic step size 3e-3": "--recipe.critic-learning-rate 3e-3",
    "action scale 0.5": "--task.action-scale 0.5",
    "squashed samples": "--recipe.bound sample",
    "mirror augmentation": "--recipe.symmetry augment",
}
"""Each differs from the default in one thing."""

TIMES = tuple(f"seconds_to_{mark}" for mark in MARKS)
COLUMNS = ("variant", "minutes", "seed", "steps", *TIMES, "survival", "lin_vel_error", "yaw_rate_error")


def main(minutes: float = 0.9, seeds: int = 3, only: tuple[str, ...] = (), exam: bool = False) -> None:
    """Run what is missing in the table.

    Args:
        minutes: Training time of each run, compilation included.
        seeds: Seeds 0 … seeds − 1.
        only: Names of variants; all where none is given.
        exam: Examine every policy too.
    """
    names = only or tuple(VARIANTS)
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        sys.exit(f"no variant {', '.join(unknown)}; there are: {', '.join(VARIANTS)}")
    for seed in range(seeds):  # seed by seed, so that every variant has one before any has three
        for name in names:
            if (name, minutes, seed) not in finished():
                append(run(name, minutes, seed, exam))


def run(name: str, minutes: float, seed: int, exam: bool) -> dict[str, object]:
    """Train one variant, and examine it where asked; its row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        walkies("train", "pupper", "--minutes", str(minutes), "--seed", str(seed), "--out", str(out),
                "--exam-episodes", "0", "--no-film", *VARIANTS[name].split())  # fmt: skip
        card = json.loads(walkies("exam", str(out), "--seed", str(PAPER), "--json")) if exam else {}
        with (out / "progress.csv").open() as file:
            curve = [
                {key: float(row[key]) for key in ("steps", "seconds", "lin_vel_error")} for row in csv.DictReader(file)
            ]
    row: dict[str, object] = {"variant": name, "minutes": minutes, "seed": seed, "steps": int(curve[-1]["steps"])}
    row |= {f"seconds_to_{mark}": first_below(mark, curve) for mark in MARKS}
    return row | {key: card.get(key, "") for key in ("survival", "lin_vel_error", "yaw_rate_error")}


def first_below(mark: float, curve: list[dict[str, float]]) -> float | str:
    """Seconds at which the mean error of the last WINDOW iterations first lies below `mark`; "" if it never does."""
    for end in range(WINDOW, len(curve) + 1):
        if sum(row["lin_vel_error"] for row in curve[end - WINDOW : end]) / WINDOW < mark:
            return round(curve[end - 1]["seconds"], 1)
    return ""


def walkies(*arguments: str) -> str:
    """Standard output of one walkies command."""
    program = [sys.executable, "-c", "from walkies.cli import main; main()", *arguments]
    return subprocess.run(program, check=True, text=True, stdout=subprocess.PIPE).stdout


def finished() -> set[tuple[str, float, int]]:
    """(variant, minutes, seed) of the rows in the table."""
    if not TABLE.exists():
        return set()
    with TABLE.open() as file:
        return {(row["variant"], float(row["minutes"]), int(row["seed"])) for row in csv.DictReader(file)}


def append(row: dict[str, object]) -> None:
    """Add one row to the table and to standard output."""
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
