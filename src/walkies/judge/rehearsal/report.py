"""Results of a rehearsal, as numbers with intervals and as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from walkies.estimates import Estimate, Share, mean, wilson
from walkies.judge.rehearsal.cells import Row
from walkies.judge.rehearsal.conditions import Axis, Box, Condition

HOLDS = 0.9
"""Share of robots that must survive for a condition to hold."""
FOLLOWS = 0.15
"""m/s: with a larger mean velocity error the robot no longer follows commands."""
TELLING = 2.0
"""Standard errors by which the fallen robots' mean must lie off the mean of all to be worth a sentence."""


class Summary(NamedTuple):
    """The robots of one cell."""

    robots: int
    fallen: int
    survival: Share
    lin_vel_error: Estimate
    """m/s, over the time each robot walked"""
    yaw_rate_error: Estimate
    """rad/s"""
    power: Estimate
    """W"""


class Turn(NamedTuple):
    """How fast robots turn on the spot."""

    commanded: float
    """rad/s"""
    reached: Estimate
    """rad/s, over the time from `SETTLE` after the command on"""
    fallen: int
    """robots"""


def summarize(rows: Sequence[Row]) -> Summary:
    """Survival and means of some robots."""
    fallen = sum(row.cause != "" for row in rows)
    means = (mean([getattr(row, name) for row in rows]) for name in ("lin_vel_error", "yaw_rate_error", "power"))
    return Summary(len(rows), fallen, wilson(len(rows) - fallen, len(rows)), *means)


def verdict(axis: Axis, cells: Sequence[Summary]) -> str:
    """One sentence: how far to either side of the base the robot holds, and where it still follows."""
    good = [cell.survival.value >= HOLDS for cell in cells]
    if not good[axis.base]:
        return f"{axis.label}: falls already at {axis.show(axis.values[axis.base])}, the usual conditions"
    first = last = axis.base
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(good) - 1 and good[last + 1]:
        last += 1
    parts = []
    if first > 0:
        held = f"holds down to {axis.show(axis.values[first])}, " if first < axis.base else ""
        parts.append(f"{held}falls at {_falls(axis, cells, first - 1)}")
    if last < len(good) - 1:
        held = f"holds up to {axis.show(axis.values[last])}, " if last > axis.base else ""
        parts.append(f"{held}falls at {_falls(axis, cells, last + 1)}")
    if not parts:
        parts.append(f"holds from {axis.show(axis.values[0])} to {axis.show(axis.values[-1])}, all that was tried")
    poor = [i for i in range(first, last + 1) if (cells[i].lin_vel_error.value or 0.0) > FOLLOWS]
    below, above = [i for i in poor if i < axis.base], [i for i in poor if i > axis.base]
    if axis.base in poor:
        parts.append(f"but misses commands by more than {FOLLOWS:g} m/s even as usual")
    else:
        ends = [axis.show(axis.values[i]) for i in (below[-1:] + above[:1])]
        if ends:
            parts.append(f"but misses commands by more than {FOLLOWS:g} m/s from {' and '.join(ends)} on")
    return f"{axis.label}: " + "; ".join(parts)


def _falls(axis: Axis, cells: Sequence[Summary], index: int) -> str:
    return f"{axis.show(axis.values[index])} ({cells[index].fallen} of {cells[index].robots})"


def in_common(box: Box, conditions: Sequence[Condition], rows: Sequence[Row]) -> list[str]:
    """What the fallen robots have in common: conditions whose mean over them differs from the mean over all robots."""
    fell = np.array([row.cause != "" for row in rows])
    found = []
    for name in box.ranges:
        values = np.array([getattr(condition, name) for condition in conditions])
        if not fell.any() or values.std() == 0:
            continue
        off = (values[fell].mean() - values.mean()) / (values.std() / np.sqrt(fell.sum()))
        if abs(off) >= TELLING:
            found.append((abs(off), f"{name.replace('_', ' ')} {values[fell].mean():.3g}, of all {values.mean():.3g}"))
    return [text for _, text in sorted(found, reverse=True)]


def sweeps(results: Mapping[str, Sequence[Summary]], axes: Sequence[Axis]) -> dict[str, Any]:
    """The one-dimensional sweeps as JSON data: per axis its values, their summaries and a verdict."""
    return {
        "axes": [
            {
                "name": axis.name,
                "label": axis.label,
                "base": axis.base,
                "values": [_finite(value) for value in axis.values],
                "shown": [axis.show(value) for value in axis.values],
                "cells": [as_json(cell) for cell in results[axis.name]],
                "verdict": verdict(axis, results[axis.name]),
            }
            for axis in axes
        ]
    }


def as_json(cell: Summary) -> dict[str, Any]:
    """A summary as JSON data."""
    numbers = cell._asdict()
    return {key: value._asdict() if isinstance(value, Share | Estimate) else value for key, value in numbers.items()}


def sweeps_markdown(data: Mapping[str, Any]) -> str:
    """The sweeps for people."""
    lines = ["# Rehearsal", "", _about(data), "", "## Conclusions", ""]
    lines += [f"- {axis['verdict']}" for axis in data["axes"]]
    for axis in data["axes"]:
        lines += [
            "",
            f"## {axis['label'][0].upper()}{axis['label'][1:]}",
            "",
            *_table(axis["shown"], axis["cells"], axis["base"]),
        ]
    return "\n".join(lines) + "\n"


def box_report(
    box: Box, conditions: Sequence[Condition], rows: Sequence[Row], turn: Turn | None = None
) -> dict[str, Any]:
    """A box as JSON data."""
    cell = summarize(rows)
    falls = [
        {**row._asdict(), **{name: getattr(condition, name) for name in box.ranges}}
        for row, condition in zip(rows, conditions, strict=True)
        if row.cause
    ]
    return {
        "box": box.name,
        "about": box.about,
        "ranges": {name: list(ends) for name, ends in box.ranges.items()},
        "required": box.required,
        "passed": cell.survival.value >= box.required,
        **as_json(cell),
        **({} if turn is None else {"turn": {**turn._asdict(), "reached": turn.reached._asdict()}}),
        "in_common": in_common(box, conditions, rows),
        "falls": falls,
    }


def box_markdown(data: Mapping[str, Any]) -> str:
    """A box for people."""
    lines = [
        f"# Rehearsal in the box “{data['box']}”: {'PASSED' if data['passed'] else 'FAILED'}",
        "",
        f"{data['about'][0].upper()}{data['about'][1:]}. {_about(data)}",
        "",
        f"Survival {_percent(data['survival'])}; {data['required']:.0%} is required.",
        "",
        *_table(["all"], [data], None),
        *_turned(data),
        "",
        "| condition | from | to |",
        "|---|---|---|",
        *(f"| {name.replace('_', ' ')} | {low:.3g} | {high:.3g} |" for name, (low, high) in data["ranges"].items()),
    ]
    if data["falls"]:
        lines += ["", f"## Falls: {len(data['falls'])}", ""]
        lines += [f"- the fallen have {text}" for text in data["in_common"]]
        names = list(data["ranges"])
        lines += ["", "| seed | after | cause | " + " | ".join(name.replace("_", " ") for name in names) + " |"]
        lines.append("|---" * (3 + len(names)) + "|")
        for fall in data["falls"]:
            numbers = " | ".join(f"{fall[name]:.3g}" for name in names)
            lines.append(f"| {fall['seed']} | {fall['fell_at']:.1f} s | {fall['cause']} | {numbers} |")
    return "\n".join(lines) + "\n"


def _turned(data: Mapping[str, Any]) -> list[str]:
    if "turn" not in data:
        return []
    turn = data["turn"]
    fell = f"; {turn['fallen']} fell" if turn["fallen"] else ""
    said = f"Commanded to turn on the spot at {turn['commanded']:g} rad/s, robots turn at"
    return ["", f"{said} {_spread(turn['reached'], '.2f')} rad/s{fell}."]


def grid_markdown(data: Mapping[str, Any]) -> str:
    """The full grid for people: one line per combination."""
    labels = [axis["label"] for axis in data["axes"]]
    lines = ["# Rehearsal over the full grid", "", _about(data), ""]
    lines += [f"| {' | '.join(labels)} | survival | m/s | rad/s | W |", "|---" * (len(labels) + 4) + "|"]
    for point in data["cells"]:
        lines.append(f"| {' | '.join(point['shown'])} | {_numbers(point)} |")
    return "\n".join(lines) + "\n"


def _about(data: Mapping[str, Any]) -> str:
    return (
        f"{data['robots']} robots of {data['seconds']:g} s each, seeds from {data['seeds'][0]}, through the robot's "
        "own control loop in MuJoCo; what is not named is as usual: floor μ 0.8, 15.4 ms from controller to motors, "
        "an IMU 19.2 ms late, sensor noise, 520/10 actions a second, steps of 1/1040 s. "
        "Intervals are 95%: Wilson's for survival, normal for means over robots."
    )


def _table(shown: Sequence[str], cells: Sequence[Mapping[str, Any]], base: int | None) -> list[str]:
    lines = ["| | survival | velocity error, m/s | yaw rate error, rad/s | power, W |", "|---|---|---|---|---|"]
    for i, (name, data) in enumerate(zip(shown, cells, strict=True)):
        lines.append(f"| {f'**{name}**' if i == base else name} | {_numbers(data)} |")
    return lines


def _numbers(data: Mapping[str, Any]) -> str:
    means = (_spread(data[name], form) for name, form in _MEANS.items())
    return " | ".join([_percent(data["survival"]), *means])


_MEANS = {"lin_vel_error": ".3f", "yaw_rate_error": ".3f", "power": ".1f"}


def _spread(estimate: Mapping[str, float | None], form: str) -> str:
    if estimate["value"] is None:
        return "–"
    half = "" if estimate["high"] is None else f" ± {estimate['high'] - estimate['value']:{form}}"
    return f"{estimate['value']:{form}}{half}"


def _percent(estimate: Mapping[str, float | None]) -> str:
    return f"{estimate['value']:.0%} ({estimate['low']:.0%} … {estimate['high']:.0%})"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
