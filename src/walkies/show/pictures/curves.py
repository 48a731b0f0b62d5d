"""The learning curves of one run, or of several with their spread, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from walkies.errors import UserError
from walkies.files import read_json
from walkies.judge.ranges import CONTROL_DT
from walkies.judge.report import marks_of, scale_of
from walkies.robots import folders, get_robot
from walkies.run import loggers
from walkies.run.folders import RunFolder
from walkies.show.pictures import theme


class Quantity(NamedTuple):
    """One panel of the picture."""

    title: str
    column: str
    label: str
    marked: bool = False
    """Whether the examination has a pass mark for the column, which is drawn across."""
    log: bool = False
    size: float = 1.0
    """What values are multiplied by."""


QUANTITIES = (
    Quantity("Reward", "reward", "per second", size=1.0 / CONTROL_DT),
    Quantity("Episode length", "episode_length", "control steps"),
    Quantity("Velocity error", "lin_vel_error", "m/s", marked=True),
    Quantity("Turn-rate error", "yaw_rate_error", "rad/s", marked=True),
    Quantity("Falls", "fell", "share of steps", log=True),
    Quantity("KL per update", "kl", "nats"),
    Quantity("Learning rate", "learning_rate", "", log=True),
    Quantity("Exploration", "std", "σ of actions"),
    Quantity("Speed", "steps_per_s", "control steps/s"),
)
COLUMNS_OF_PANELS = 3
STACK_ROWS = 2
"""Rows of panels that the stacked reward terms take."""
POINTS = 200
"""Points per curve; longer records are averaged over neighbouring rows."""


def draw(run: Path, *, x: Literal["steps", "seconds"] = "steps") -> Path:
    """Draw `run`/progress.csv as `run`/curves.png; the picture's path."""
    return draw_runs({run.name: [run]}, run / "curves.png", x=x)


def draw_runs(groups: Mapping[str, Sequence[Path]], out: Path, *, x: Literal["steps", "seconds"] = "steps") -> Path:
    """Draw groups of runs (name → folders that differ in their seed) on shared axes.

    A group of several is a mean with a band from its lowest to its highest seed; nothing is smoothed.

    Raises:
        UserError: a run has no curves, or no run has anything to draw.
    """
    data = {name: [loggers.read(run / "progress.csv") for run in runs] for name, runs in groups.items()}
    tables = [table for group in data.values() for table in group]
    shown = [q for q in QUANTITIES if any(np.isfinite(table.get(q.column, np.nan)).any() for table in tables)]
    if not shown or not any(x in table for table in tables):
        raise UserError(f"nothing to draw: {', '.join(groups)} have none of {', '.join(q.column for q in QUANTITIES)}")
    limits = _limits([run for runs in groups.values() for run in runs])
    columns = min(COLUMNS_OF_PANELS, len(shown))
    with theme.figure(-(-len(shown) // columns), columns) as (made, axes):
        for axis, quantity in zip(axes.flat, shown, strict=False):
            _panel(axis, quantity, data, x, limits.get(quantity.column) if quantity.marked else None)
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        for axis in axes.flat:
            axis.xaxis.set_major_formatter(_engineer())
        for axis in axes.flat[max(0, len(shown) - columns) : len(shown)]:
            axis.set_xlabel("control steps" if x == "steps" else "seconds")
        if len(groups) > 1:
            axes.flat[0].legend()
        return theme.save(made, out)


def draw_rewards(run: Path) -> Path | None:
    """Draw what each reward term gave per second of a training, as `run`/rewards.png; None where there are no terms.

    Above, the largest terms stacked, gains upward and costs downward, and their sum as a line; below, every term on a
    scale of its own, the largest first.
    """
    table = loggers.read(run / "progress.csv")
    terms = {name.removeprefix("reward/"): values for name, values in table.items() if name.startswith("reward/")}
    curves = {name: thin(table["steps"], values) for name, values in terms.items()}
    curves = {name: curve for name, curve in curves.items() if np.any(curve[1])}
    if not curves:
        return None
    order = by_size({name: values for name, (_, values) in curves.items()})
    columns = COLUMNS_OF_PANELS
    rows = STACK_ROWS - (-len(order) // columns)
    with theme.figure(rows, columns, height=1.8) as (made, axes):
        grid = axes[0, 0].get_gridspec()
        for axis in axes[:STACK_ROWS].flat:
            axis.remove()
        _stack(made.add_subplot(grid[:STACK_ROWS, :]), curves)
        small = list(axes[STACK_ROWS:].flat)
        for axis, name in zip(small, order, strict=False):
            axis.plot(*curves[name], color=theme.BLUE)
            axis.axhline(0.0, color=theme.GREY, linewidth=0.8)
            axis.set_title(theme.words(name.replace("_", " ")))
            axis.xaxis.set_major_formatter(_engineer())
        for axis in small[len(order) :]:
            axis.remove()
        for axis in small[max(0, len(order) - columns) : len(order)]:
            axis.set_xlabel("control steps")
        return theme.save(made, run / "rewards.png")


def by_size(terms: Mapping[str, np.ndarray]) -> list[str]:
    """Names of terms, the one that gave or cost most on average first."""
    return sorted(terms, key=lambda name: -float(np.mean(np.abs(terms[name]))))


def breakdown(terms: Mapping[str, np.ndarray], largest: int = len(theme.COLOURS) - 1) -> dict[str, np.ndarray]:
    """The `largest` terms by name, and all others added up under "N others"; together they are the sum of all.

    terms: name → (T,) what it gave at the same T points.
    """
    order = by_size(terms)
    shown = {name.replace("_", " "): np.asarray(terms[name], float) for name in order[:largest]}
    rest = order[largest:]
    return shown | ({f"{len(rest)} others": np.sum([terms[name] for name in rest], axis=0)} if rest else {})


def _stack(axis: Any, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw the terms (name → steps, values) one on the other."""
    from matplotlib.patheffects import withStroke

    start, end = max(x[0] for x, _ in curves.values()), min(x[-1] for x, _ in curves.values())
    steps = np.linspace(start, max(start, end), POINTS)
    parts = breakdown({name: np.interp(steps, *curve) for name, curve in curves.items()})
    above, below = np.zeros_like(steps), np.zeros_like(steps)
    for place, (name, values) in enumerate(parts.items()):
        colour = theme.COLOURS[place % len(theme.COLOURS)]
        gain, cost = above + np.clip(values, 0.0, None), below + np.clip(values, None, 0.0)
        axis.fill_between(steps, above, gain, color=colour, linewidth=0, label=theme.words(name))
        axis.fill_between(steps, below, cost, color=colour, linewidth=0)
        above, below = gain, cost
    total = np.sum(list(parts.values()), axis=0)
    seam = withStroke(linewidth=4.0, foreground=theme.PAGE)  # it is seen on every colour
    axis.plot(steps, total, color=theme.INK, linewidth=1.8, label="all together", path_effects=[seam])
    axis.set_title("Reward (per second)")
    axis.xaxis.set_major_formatter(_engineer())
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _engineer() -> Any:
    """Ticks as 5M, not 5000000."""
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="")


def thin(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` points of a curve: means over equal numbers of neighbouring finite samples."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= points:
        return x, y
    parts = np.array_split(np.arange(len(x)), points)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def band(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, mean, lowest, highest) of several curves, interpolated onto the stretch of x that all of them cover."""
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    shared = np.linspace(start, max(start, end), POINTS)
    values = np.stack([np.interp(shared, x, y) for x, y in curves])
    return shared, values.mean(0), values.min(0), values.max(0)


def _limits(runs: Sequence[Path]) -> dict[str, float]:
    """Pass marks by column that hold for the robots of all these runs."""
    found = [_marks(run) for run in runs]
    return {key: limit for key, limit in found[0].items() if all(one.get(key) == limit for one in found)}


def _marks(run: Path) -> dict[str, float]:
    """Pass marks of the examination of a run's robot, by key; none where the run does not say which robot it is."""
    folders.know_copy(run)
    try:
        robot = get_robot(read_json(RunFolder(run).config, "a run's configuration")["robot"])
    except (UserError, KeyError, TypeError):
        return {}
    return {mark.key: mark.limit for mark in marks_of(scale_of(robot)) if mark.limit is not None}


def _panel(
    axis: Any, quantity: Quantity, data: dict[str, list[dict[str, np.ndarray]]], x: str, mark: float | None
) -> None:
    for index, (name, tables) in enumerate(data.items()):
        there = [table for table in tables if quantity.column in table and x in table]
        curves = [thin(table[x], quantity.size * table[quantity.column]) for table in there]
        curves = [(along, values) for along, values in curves if len(along)]
        colour = theme.COLOURS[index % len(theme.COLOURS)]
        if len(curves) == 1:
            axis.plot(*curves[0], color=colour, label=theme.words(name))
        elif curves:
            shared, mean, low, high = band(curves)
            axis.fill_between(shared, low, high, color=colour, alpha=0.25, linewidth=0)
            axis.plot(shared, mean, color=colour, label=theme.words(f"{name} ({len(curves)} seeds)"))
    if mark is not None:
        axis.axhline(mark, color=theme.GREY, linestyle="--", linewidth=1)
        axis.annotate(
            f"pass mark {mark:g}", (1.0, mark), xycoords=("axes fraction", "data"), xytext=(-2, 2),
            textcoords="offset points", ha="right", va="bottom", fontsize="small",
        )  # fmt: skip
        axis.set_ylim(bottom=0)
    if quantity.log and any(line.get_ydata().max(initial=0) > 0 for line in axis.lines):
        axis.set_yscale("log")
    axis.set_title(f"{quantity.title} ({quantity.label})" if quantity.label else quantity.title)
