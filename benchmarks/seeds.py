"""Does every seed pass? Trains several seeds for a time and judges each policy.

    python benchmarks/seeds.py --minutes 1 --seeds 10      # the machine must be idle
    python benchmarks/seeds.py --table

A training is a process of its own, whose time counts from its start: imports are in it, and compilation, for nothing
that an earlier training compiled is used. Its policy is judged by an examination of 1,000 episodes, by both boxes of
the rehearsal, and by `walkies lint`. One row per setting, length and seed goes into benchmarks/seeds.csv when all that
is done; rows that are there are not run again, so this can be stopped and continued.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))

import csv_rows

from walkies.accel import cache
from walkies.accel.cpu import machine

TABLE = Path(__file__).with_name("seeds.csv")
SETTINGS = {
    "default": "",
    "stable-gait": "--preset stable-gait",
}
"""Flags of a training; what it is called in the table."""
BOXES = ("course", "harsh")
SEED, EPISODES = 2026, 1000
"""Of the examination that judges."""
MARKS = {"survival": 0.99, "lin_vel_error": 0.1, "yaw_rate_error": 0.2}
"""Of the examination; the first from below. Whether it is passed its report says, by these and the others."""
COLUMNS = (
    *("setting", "minutes", "seed", "steps", "seconds", "passed", *MARKS, "episodes"),
    *(f"box_{box}" for box in BOXES),
    *("findings", "commit", "machine", "date"),
)


def main(minutes: float = 1.0, seeds: int = 10, setting: str = "default", table: bool = False) -> None:
    """Run what is missing in the table.

    Args:
        minutes: Length of each training.
        seeds: Seeds 0 … seeds − 1.
        setting: Of the trainings.
        table: Print the table in Markdown instead.
    """
    if setting not in SETTINGS:
        sys.exit(f"no setting {setting}; there are: {', '.join(SETTINGS)}")
    if table:
        print(markdown())
        return
    os.environ[cache.SWITCH] = "0"
    there = {(row["setting"], float(row["minutes"]), int(row["seed"])) for row in rows()}
    for seed in range(seeds):
        if (setting, minutes, seed) not in there:
            csv_rows.append(TABLE, COLUMNS, run(setting, minutes, seed))


def run(setting: str, minutes: float, seed: int) -> dict[str, object]:
    """Train and judge one policy; its row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        begun = time.monotonic()
        csv_rows.judged("train", "pupper", "--minutes", str(minutes), "--seed", str(seed), "--out", str(out),
                "--exam-episodes", "0", "--no-film", *SETTINGS[setting].split())  # fmt: skip
        seconds = time.monotonic() - begun
        card = json.loads(csv_rows.judged("exam", str(out), "--seed", str(SEED), "--episodes", str(EPISODES), "--json"))
        survived = {box: json.loads(csv_rows.judged("rehearse", str(out), "--box", box, "--json")) for box in BOXES}
        findings = json.loads(csv_rows.judged("lint", str(out), "--json"))
        with (out / "progress.csv").open() as file:
            steps = [int(float(row["steps"])) for row in csv.DictReader(file)][-1]
    said = " ".join(sorted({one["code"] for one in findings}))
    row: dict[str, object] = {"setting": setting, "minutes": minutes, "seed": seed, "steps": steps}
    row |= {"seconds": round(seconds, 1), "passed": card["passed"], **{name: card[name] for name in MARKS}}
    row |= {
        "episodes": card["episodes"],
        "findings": said or "nothing",
        "commit": csv_rows.commit(),
        "machine": machine(),
    }
    row |= {f"box_{box}": one["survival"]["value"] for box, one in survived.items()}
    return row | {"date": datetime.now(UTC).date().isoformat()}


def markdown() -> str:
    """A line per setting, length and seed, and one that counts."""
    lines = ["| setting, minutes | seed | million steps | exam | survival | m/s | rad/s | course | harsh | lint |",
             "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows():
        groups.setdefault((row["setting"], row["minutes"]), []).append(row)
    for (setting, minutes), group in sorted(groups.items()):
        for row in sorted(group, key=lambda one: int(one["seed"])):
            said = "passed" if row["passed"] == "True" else "failed"
            errors = [f"{float(row[name]):.3f}" for name in MARKS]
            boxes = [f"{float(row[f'box_{box}']):.0%}" for box in BOXES]
            cells = [row["seed"], f"{int(row['steps']) / 1e6:.1f}", said, *errors, *boxes, row["findings"]]
            lines.append(f"| {setting}, {float(minutes):g} | {' | '.join(cells)} |")
        passed = sum(row["passed"] == "True" for row in group)
        lines.append(f"| **{setting}, {float(minutes):g}** | **{passed} of {len(group)} passed** {'| ' * 8}|")
    return "\n".join(lines)


def rows() -> list[dict[str, str]]:
    """The finished rows of the table."""
    return csv_rows.read(TABLE, COLUMNS)


if __name__ == "__main__":
    tyro.cli(main)
