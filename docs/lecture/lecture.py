"""Runs the lecture's pages and helps their cells.

    python docs/lecture/lecture.py                 # run every page, draw its pictures, refresh the printed results
    python docs/lecture/lecture.py 08-gae.md       # one page

A page's ```python cells run in order in one namespace. A ```text block behind a cell holds what the cell printed:
``text`` alone must come out the same everywhere and with any effort, of ``text measured`` everything but the numbers.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
FAST = "WALKIES_LECTURE_FAST"
"""Set to anything: little effort and no pictures, to see that every cell runs."""
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text(?P<measured> measured)?\n(?P<printed>.*?)^```\n)?", re.M | re.S
)


class Cell(NamedTuple):
    """One runnable cell of a page."""

    code: str
    printed: str | None
    """What the page says that it prints; None where it says nothing."""
    measured: bool
    """Numbers that it prints may differ from run to run."""
    line: int
    """Of the page, where the code begins."""


def often(count: int) -> int:
    """`count`, or a twentieth of it (at least 1) where pages are only checked."""
    return max(1, count // 20) if FAST in os.environ else count


def rounded(x: Any, digits: int) -> Any:
    """x for printing: float64, rounded, without negative zeros."""
    import numpy as np

    return np.round(np.asarray(x, float), digits) + 0.0


def plot(name: str, curves: Mapping[str, Any], title: str, x: str, y: str = "", **axis_options: Any) -> None:
    """Draw name → (x, y) curves into pictures/`name`.png beside this file; axis_options as in matplotlib's `set`."""
    if FAST in os.environ:
        return
    from walkies.show.pictures import theme

    with theme.figure(1, 1, width=5.2, height=3.0) as (figure, axes):
        axis = axes[0, 0]
        for label, (along, values) in curves.items():
            axis.plot(along, values, label=label)
        axis.set(title=title, xlabel=x, ylabel=y, **axis_options)
        axis.legend()
        theme.save(figure, HERE / "pictures" / f"{name}.png")


def cells(page: Path) -> list[Cell]:
    """The runnable cells of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Cell(found["code"], found["printed"], bool(found["measured"]), text[: found.start()].count("\n") + 2)
        for found in BLOCK.finditer(text)
    ]


def run(page: Path) -> list[str]:
    """Run a page's cells in one namespace → what each of them printed. Errors name the page's line."""
    namespace: dict[str, Any] = {"__name__": page.stem}
    outputs = []
    for cell in cells(page):
        program = compile("\n" * (cell.line - 1) + cell.code, str(page), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, namespace)
        outputs.append(printed.getvalue())
    return outputs


def worded(text: str) -> str:
    """`text` with its numbers left out."""
    return re.sub(r"[\d.,]*\d", "#", text)


def refreshed(text: str, outputs: list[str]) -> str:
    """A page's text with the printed results replaced; a cell that prints gets a block if it has none."""
    rest = iter(outputs)

    def replace(found: re.Match[str]) -> str:
        printed = next(rest)
        block = f"```python\n{found['code']}```\n"
        return block + (f"\n```text{found['measured'] or ''}\n{printed}```\n" if printed else "")

    return BLOCK.sub(replace, text)


def pages() -> list[Path]:
    """All pages, in the lecture's order."""
    return sorted(HERE.glob("[0-9][0-9]-*.md"))


def main(names: list[str]) -> None:
    """Run pages and write them again with what their cells printed."""
    for page in [HERE / name for name in names] or pages():
        print(page.name, flush=True)
        page.write_text(refreshed(page.read_text(encoding="utf-8"), run(page)), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.modules["lecture"] = sys.modules["__main__"]  # cells import this very module
    main(sys.argv[1:])
