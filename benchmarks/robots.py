"""Does every robot pass? Trains robots by their names alone, and judges each policy.

    python benchmarks/robots.py go hexapod --seeds 3       # nothing else should run on the machine
    python benchmarks/robots.py --table

What is trained is `walkies train NAME`, for as long as that is by default; nothing is tuned for one robot. Its policy
is judged by an examination of 1,000 episodes. One row per robot and seed goes into the zoo's trained.csv, which
`walkies robot list` shows, when that is done; rows that are there are not run again, so this can be stopped and
continued.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))

import csv_rows

from walkies.accel.cpu import machine
from walkies.robots import names, trained

TABLE = trained.TABLE
SEED, EPISODES = 2026, 1000
"""Of the examination that judges."""
NUMBERS = ("survival", "lin_vel_error", "yaw_rate_error")
COLUMNS = (
    *("robot", "seed", "steps", "seconds", "passed", *NUMBERS, "lin_vel_mark", "yaw_rate_mark", "episodes"),
    *("commit", "machine", "date"),
)


def main(robots: tuple[str, ...] = (), /, seeds: int = 1, steps: int | None = None, table: bool = False) -> None:
    """Run what is missing in the table.

    Args:
        robots: Their names; all there are if none is given.
        seeds: Seeds 0 … seeds − 1.
        steps: Of each training, in place of its default length in minutes.
        table: Print the table in Markdown instead.
    """
    if table:
        print(markdown(rows()))
        return
    there = {(row["robot"], int(row["seed"])) for row in rows()}
    for seed in range(seeds):
        for name in robots or names():
            if (name, seed) not in there:
                csv_rows.append(TABLE, COLUMNS, run(name, seed, steps))


def run(what: str, seed: int, steps: int | None) -> dict[str, object]:
    """Train and judge one robot, named or in a file; its row."""
    with tempfile.TemporaryDirectory() as folder:
        here, out = Path(folder), Path(folder) / "run"
        begun = time.monotonic()
        train = ["train", what, "--seed", str(seed), "--out", str(out), "--exam-episodes", "0", "--no-film"]
        csv_rows.judged(*train, *(() if steps is None else ("--steps", str(steps))), cwd=here)
        seconds = time.monotonic() - begun
        exam = ("exam", str(out), "--seed", str(SEED), "--episodes", str(EPISODES), "--json")
        card = json.loads(csv_rows.judged(*exam, cwd=here))
        with (out / "progress.csv").open() as file:
            taken = [int(float(row["steps"])) for row in csv.DictReader(file)][-1]
    marks = {mark["key"]: mark["pass_mark"] for mark in card["marks"]}
    return {
        "robot": Path(what).name, "seed": seed, "steps": taken, "seconds": round(seconds, 1), "passed": card["passed"],
        **{number: card[number] for number in NUMBERS}, "lin_vel_mark": marks["lin_vel_error"],
        "yaw_rate_mark": marks["yaw_rate_error"], "episodes": card["episodes"],
        "commit": csv_rows.commit(), "machine": machine(), "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip


def markdown(found: list[dict[str, str]]) -> str:
    """A line per robot and seed."""
    lines = ["| robot | seed | million steps | minutes | exam | survival (≥ 0.99) | m/s (at most) | rad/s (at most) |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in sorted(found, key=lambda one: (one["robot"], int(one["seed"]))):
        said = "passed" if row["passed"] == "True" else "failed"
        errors = [
            f"{float(row[f'{name}_error']):.3f} ({float(row[f'{name}_mark']):.3g})" for name in ("lin_vel", "yaw_rate")
        ]
        cells = [row["robot"], row["seed"], f"{int(row['steps']) / 1e6:.1f}", f"{float(row['seconds']) / 60:.1f}", said]
        lines.append("| " + " | ".join([*cells, f"{float(row['survival']):.3f}", *errors]) + " |")
    return "\n".join(lines)


def rows() -> list[dict[str, str]]:
    """The finished rows of the table."""
    return csv_rows.read(TABLE, COLUMNS)


if __name__ == "__main__":
    tyro.cli(main)
