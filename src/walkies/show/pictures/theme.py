"""One look for every picture: readable on light and dark pages, and by colour-blind eyes.

A picture brings its own white page, so that its text has the same contrast everywhere: at least 4.5:1 (WCAG 2.1,
1.4.3). Every colour has a contrast of at least 3:1 (1.4.11) to white, and to a near-black page too. The first two hues
are from Okabe and Ito (2008); the others lie as far from them and from each other as that contrast allows, for normal,
protanope and deuteranope eyes alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from walkies.files import writing

BLUE, VERMILLION, TEAL, VIOLET, CRIMSON, GREY = "#0072B2", "#D55E00", "#1EA5A5", "#4B3CFF", "#B42D3C", "#808080"
COLOURS = (BLUE, VERMILLION, TEAL, VIOLET, CRIMSON, GREY)
LIGHT_PAGE, DARK_PAGE = "#FFFFFF", "#0D1117"
PAGE, INK = LIGHT_PAGE, "#000000"
"""Behind a picture, and its text."""

WIDEST = 1600
"""Pixels of a picture's width, at most: a telephone shows a fourth of it."""

STYLE: dict[str, Any] = {
    "figure.facecolor": PAGE,
    "axes.facecolor": PAGE,
    "savefig.facecolor": PAGE,
    "savefig.dpi": 120,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.2,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


def ink(background: Any) -> str:
    """The colour of text on a colour, given as matplotlib takes it: white or black, whichever contrasts more."""
    from matplotlib.colors import to_rgb

    bent = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(background)]
    luminance = 0.2126 * bent[0] + 0.7152 * bent[1] + 0.0722 * bent[2]
    # Contrast is (lighter + 0.05) / (darker + 0.05); white and black contrast alike with a luminance of 0.179.
    return PAGE if luminance < 0.179 else INK


def words(text: str) -> str:
    """`text` for a picture as it stands: matplotlib takes $…$ for mathematics, and hides labels that begin with _."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


@contextmanager
def figure(rows: int = 1, columns: int = 1, width: float = 4.0, height: float = 2.6, **options: Any) -> Iterator[Any]:
    """A figure of rows × columns axes, `width` × `height` inches each, in the theme; closed afterwards.

    Yields (figure, axes), axes always a 2-D array. No window and no global state of matplotlib are involved.
    """
    import matplotlib
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}
    with matplotlib.rc_context(style):
        made = Figure(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasAgg(made)
        yield made, made.subplots(rows, columns, squeeze=False, **options)


def save(made: Any, path: Path) -> Path:
    """Write a figure as PNG, at most WIDEST pixels wide, whole or not at all; the path."""
    with writing(path) as part:
        made.savefig(part, format="png", dpi=min(STYLE["savefig.dpi"], WIDEST / made.get_figwidth()))
    return path
