"""Results of the test trainings of the robots that come with walkies, from benchmarks/zoo.toml."""

from __future__ import annotations

import csv
import statistics

from walkies.robots.folders import ZOO

TABLE = ZOO / "trained.csv"
"""A row per robot and seed."""


def passes() -> dict[str, tuple[float, int, int]]:
    """By the name of a robot: minutes that its trainings took in the median, how many passed, and of how many."""
    rows: dict[str, list[dict[str, str]]] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["robot"], []).append(row)
    return {
        name: (
            statistics.median(float(row["seconds"]) for row in own) / 60.0,
            sum(row["passed"] == "True" for row in own),
            len(own),
        )
        for name, own in rows.items()
    }
