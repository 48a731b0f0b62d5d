"""A study's rows as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from walkies.lab.study.rows import NUMBERS, Row, trial
from walkies.markdown import escape, table

MARKS = NUMBERS[:3]
"""What is shown of the examination."""
SCORES = ("survival", "m/s", "rad/s")


def summary(rows: Iterable[Row]) -> str:
    """A line per variant, robot and length: how many seeds pass, and the mean of each number with its worst."""
    head = ("variant", "robot", "length", "passed", *(f"{score}: mean (worst)" for score in SCORES))
    lines = []
    for (variant, robot, length), group in grouped(rows).items():
        passed = sum(row["passed"] == "True" for row in group)
        cells = []
        for mark, worst in zip(MARKS, (min, max, max), strict=True):
            values = [float(row[mark]) for row in group]
            cells.append(f"{statistics.mean(values):.3f} ({worst(values):.3f})")
        lines.append((escape(variant), escape(robot), said(length), f"{passed} of {len(group)}", *cells))
    return "\n".join(table(head, lines))


def each(rows: Iterable[Row]) -> str:
    """A line per trial, and one per variant, robot and length that counts."""
    head = ("variant", "robot", "length", "seed", "million steps", "exam", *SCORES, "boxes", "lint")
    lines: list[Sequence[str]] = []
    for (variant, robot, length), group in grouped(rows).items():
        what = (escape(variant), escape(robot), said(length))
        for row in sorted(group, key=lambda one: int(one["seed"])):
            verdict = "passed" if row["passed"] == "True" else "failed"
            scores = [f"{float(row[mark]):.3f}" for mark in MARKS]
            boxes = ", ".join(_box(one) for one in row["boxes"].split())
            lines.append(
                (*what, row["seed"], f"{int(row['steps']) / 1e6:.1f}", verdict, *scores, boxes, row["findings"])
            )
        passed = sum(row["passed"] == "True" for row in group)
        lines.append((*(f"**{one}**" for one in what), "", "", f"**{passed} of {len(group)} passed**", *[""] * 5))
    return "\n".join(table(head, lines))


def grouped(found: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Rows by variant, robot and length, in the order in which these first appear, the shorter lengths first."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in found:
        groups.setdefault((row["variant"], row["robot"], row["length"]), []).append(row)
    order = list(dict.fromkeys(key[:2] for key in groups))
    return dict(sorted(groups.items(), key=lambda one: (order.index(one[0][:2]), float(trial(one[1][0]).amount))))


def said(length: str) -> str:
    """A length as people write it."""
    number, _, unit = length.partition(" ")
    return f"{int(number) / 1e6:g} M steps" if unit == "steps" else f"{number} min" if unit else number


def _box(text: str) -> str:
    box, value = text.split("=")
    return f"{box} {float(value):.0%}"
