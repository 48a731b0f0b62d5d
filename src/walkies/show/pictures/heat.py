"""A table as a heat map: a coloured field with its number for every cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from walkies.show.pictures import theme
from walkies.show.pictures.rehearsal import colour


def heat(
    plot: Any, values: Sequence[Sequence[float | None]], rows: Sequence[str], columns: Sequence[str],
    said: Callable[[float], str], falls: bool = False,
) -> None:  # fmt: skip
    """Draw lines of values into `plot`, the colours from the worst to the best of them.

    Args:
        values: a sequence for each of `rows`, a value for each of `columns`; None where nothing is known.
        said: how a value is written.
        falls: smaller is better.
    """
    from matplotlib.patches import Rectangle

    known = [value for line in values for value in line if value is not None]
    worst, best = (max(known), min(known)) if falls else (min(known), max(known))
    if best == worst:
        best += -1e-6 if falls else 1e-6
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            shade = colour(value, worst, best)
            plot.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, facecolor=shade, edgecolor="none"))
            text = "–" if value is None else said(value)
            plot.text(x, y, text, ha="center", va="center", color=theme.ink(shade), fontsize=8)
    plot.set_xlim(-0.6, len(columns) - 0.4)
    plot.set_ylim(len(rows) - 0.4, -0.6)
    plot.set_xticks(range(len(columns)), columns)
    plot.set_yticks(range(len(rows)), rows)
    plot.xaxis.tick_top()
    plot.tick_params(length=0)
    plot.grid(False)
    for spine in plot.spines.values():
        spine.set_visible(False)
