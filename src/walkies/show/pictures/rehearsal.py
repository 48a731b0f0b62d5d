"""Heat maps of a rehearsal: where the robot survives, and where it still follows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from walkies.judge.rehearsal.report import FOLLOWS
from walkies.show.pictures import theme


def draw_sweeps(data: Mapping[str, Any], out: Path) -> Path:
    """One row per sweep, one field per value; left survival, right velocity error. The usual condition is framed."""
    axes = data["axes"]
    widest = max(len(axis["shown"]) for axis in axes)
    panels = (
        ("Survival", lambda c: c["survival"]["value"], "{:.0%}", 0.5, 1.0),
        ("Velocity error, m/s", lambda c: c["lin_vel_error"]["value"], "{:.2f}", 2 * FOLLOWS, 0.0),
    )
    height = 0.42 * len(axes) + 0.9
    with theme.figure(1, len(panels), width=1.05 * widest + 1.4, height=height, sharey=True) as (made, plots):
        for plot, (title, pick, form, worst, best) in zip(plots.flat, panels, strict=True):
            for row, axis in enumerate(axes):
                for column, (shown, cell) in enumerate(zip(axis["shown"], axis["cells"], strict=True)):
                    value = pick(cell)
                    text = shown + "\n" + ("–" if value is None else form.format(value))
                    _field(plot, column, row, value, worst, best, text, frame=column == axis["base"])
            plot.set_title(title)
            _bare(plot, widest, len(axes))
        plots.flat[0].set_yticks(range(len(axes)), [axis["label"] for axis in axes])
        return theme.save(made, out)


def draw_grid(data: Mapping[str, Any], out: Path) -> Path:
    """Survival over the first two axes, one small map for each combination of the last two."""
    first, second, third, fourth = data["axes"]
    shape = tuple(len(axis["shown"]) for axis in data["axes"])
    survival = np.array([cell["survival"]["value"] for cell in data["cells"]]).reshape(shape)
    with theme.figure(shape[2], shape[3], width=3.6, height=2.4, sharex=True, sharey=True) as (made, plots):
        for i, j in np.ndindex(shape[2], shape[3]):
            plot = plots[i, j]
            for row, column in np.ndindex(shape[0], shape[1]):
                value = float(survival[row, column, i, j])
                _field(plot, column, row, value, 0.5, 1.0, f"{value:.0%}")
            _bare(plot, shape[1], shape[0])
            plot.set_title(f"{third['shown'][i]}, {fourth['label']} {fourth['shown'][j]}")
            plot.set_xticks(range(shape[1]), second["shown"])
            plot.set_yticks(range(shape[0]), first["shown"])
        return theme.save(made, out)


def colour(value: float | None, worst: float, best: float) -> tuple[float, float, float]:
    """From vermillion at `worst` and beyond over grey to blue at `best` and beyond; grey where nothing is known."""
    from matplotlib.colors import to_rgb

    stops = [np.array(to_rgb(name)) for name in (theme.VERMILLION, theme.GREY, theme.BLUE)]
    share = 0.5 if value is None else float(np.clip((value - worst) / (best - worst), 0, 1))
    lower, upper = (stops[0], stops[1]) if share < 0.5 else (stops[1], stops[2])
    red, green, blue = lower + (upper - lower) * (2 * share - (share >= 0.5))
    return float(red), float(green), float(blue)


def _field(
    plot: Any, column: int, row: int, value: float | None, worst: float, best: float, text: str, frame: bool = False
) -> None:
    from matplotlib.patches import Rectangle

    edge = {"edgecolor": theme.INK, "linewidth": 2.5} if frame else {"edgecolor": "none"}
    fill = colour(value, worst, best)
    plot.add_patch(Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, facecolor=fill, **edge))
    plot.text(column, row, text, ha="center", va="center", color=theme.ink(fill), fontsize=7)


def _bare(plot: Any, columns: int, rows: int) -> None:
    plot.set_xlim(-0.6, columns - 0.4)
    plot.set_ylim(rows - 0.4, -0.6)
    plot.set_xticks([])
    plot.grid(False)
    for spine in plot.spines.values():
        spine.set_visible(False)
    plot.tick_params(length=0)
