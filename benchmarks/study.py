"""Which setting walks soonest? Trains variants of the default for the same wall-clock time, and examines each.

    python benchmarks/study.py --minutes 2 --seeds 3

One row per variant and seed goes into benchmarks/study.csv as soon as it is finished; rows that are there are not run
again, so the study can be stopped and continued. The examination paper is not the one that `walkies exam` sets by
default: settings are chosen on this one, policies are judged on that one.
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

VARIANTS: dict[str, str] = {
    "default": "",
    "history 1": "--task.observation-history 1",
    "history 5": "--task.observation-history 5",
    "256 robots": "--recipe.num-envs 256",
    "1024 robots": "--recipe.num-envs 1024",
    "horizon 16": "--recipe.horizon 16",
    "2 epochs": "--recipe.epochs 2",
    "4 minibatches": "--recipe.minibatches 4",
    "16 minibatches": "--recipe.minibatches 16",
    "gamma 0.99": "--recipe.gamma 0.99",
    "lambda 0.95": "--recipe.lam 0.95",
    "networks 64-64": "--recipe.hidden 64 64 --recipe.critic-hidden 64 64",
    "networks 256-128": "--recipe.hidden 256 128 --recipe.critic-hidden 256 128",
    "relu": "--recipe.activation relu",
    "tanh": "--recipe.activation tanh",
    "target KL 0.01": "--recipe.target-kl 0.01",
    "initial std 0.3": "--recipe.initial-std 0.3",
    "action scale 0.5": "--task.action-scale 0.5",
    "squashed samples": "--recipe.bound sample",
    "mirror augmentation": "--recipe.symmetry augment",
}
"""Each differs from the default in one thing."""

COLUMNS = ("variant", "minutes", "seed", "steps", "survival", "lin_vel_error", "yaw_rate_error", "passed")


def main(minutes: float = 2.0, seeds: int = 3, only: tuple[str, ...] = ()) -> None:
    """Run what is missing in the table.

    Args:
        minutes: Training time of each run, compilation included.
        seeds: Seeds 0 … seeds − 1.
        only: Names of variants; all where none is given.
    """
    names = only or tuple(VARIANTS)
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        sys.exit(f"no variant {', '.join(unknown)}; there are: {', '.join(VARIANTS)}")
    for seed in range(seeds):  # seed by seed, so that every variant has one before any has three
        for name in names:
            if (name, minutes, seed) not in finished():
                append(run(name, minutes, seed))


def run(name: str, minutes: float, seed: int) -> dict[str, object]:
    """Train and examine one variant; its row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        walkies("train", "pupper", "--minutes", str(minutes), "--seed", str(seed), "--out", str(out),
                "--exam-episodes", "0", "--no-film", *VARIANTS[name].split())  # fmt: skip
        card = json.loads(walkies("exam", str(out), "--seed", str(PAPER), "--json"))
        with (out / "progress.csv").open() as file:
            steps = int(float(list(csv.DictReader(file))[-1]["steps"]))
    marks = {key: card[key] for key in ("survival", "lin_vel_error", "yaw_rate_error", "passed")}
    return {"variant": name, "minutes": minutes, "seed": seed, "steps": steps, **marks}


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
