"""What `walkies rehearse` found about a run, read from the files it left in the run's folder, for the run's report."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from walkies.errors import UserError
from walkies.show import page

SWEEPS, GRID, BOX = "rehearsal", "grid", "box-"
"""What the files are called, without their ending."""


class Margins(NamedTuple):
    """A run's rehearsals; what there was none of is empty or None."""

    boxes: tuple[dict[str, Any], ...] = ()
    """Robots drawn from a box of conditions (`walkies rehearse RUN --box NAME`), by name."""
    verdicts: tuple[str, ...] = ()
    """One sentence per condition that was turned up (`walkies rehearse RUN`)."""
    pictures: tuple[tuple[str, Path], ...] = ()
    """(title, file) of the sweeps and of the grid."""

    def __bool__(self) -> bool:
        return any(self)


NONE = Margins()


def read(folder: Path) -> Margins:
    """The rehearsals in a run's `rehearsal` folder; empty where there is no such folder.

    Raises:
        UserError: a file there is not what `walkies rehearse` writes.
    """
    boxes = tuple(_box(path) for path in sorted(folder.glob(f"{BOX}*.json")))
    sweeps = folder / f"{SWEEPS}.json"
    verdicts = tuple(str(axis["verdict"]) for axis in _content(sweeps, "axes")["axes"]) if sweeps.is_file() else ()
    titles = {SWEEPS: "One condition after the other", GRID: "Conditions together"}
    pictures = ((title, folder / f"{name}.png") for name, title in titles.items())
    return Margins(boxes, verdicts, tuple((title, path) for title, path in pictures if path.is_file()))


def in_short(margins: Margins) -> str:
    """'course 99% (passed), harsh 97% (passed)'; what was not drawn from a box is not a number."""
    return ", ".join(
        f"{box['box']} {box['survival']['value']:.0%} ({'passed' if box['passed'] else 'failed'})"
        for box in margins.boxes
    )


def html(margins: Margins, title: str = "Rehearsal") -> str:
    """The rehearsals as a section of a page."""
    parts = [
        f"<section><h2>{escape(title)}</h2><p>The policy in the robot's own control loop, under what training did not "
        "have. Intervals are 95%.</p>"
    ]
    if margins.boxes:
        parts.append(page.table(["box", "robots", "survival", "asked for", ""], [_row(box) for box in margins.boxes]))
    if margins.verdicts:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in margins.verdicts)
        parts.append(f"<ul>{items}</ul>")
    return "".join(parts) + "</section>" + "".join(page.picture(title, path) for title, path in margins.pictures)


def markdown(margins: Margins, run: Path) -> list[str]:
    """The same as lines of Markdown for a file in `run`."""
    lines = ["## Rehearsal", ""]
    if margins.boxes:
        lines += ["| box | robots | survival | asked for | |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(_row(box))} |" for box in margins.boxes]
        lines.append("")
    lines += [f"- {sentence}" for sentence in margins.verdicts]
    for title, path in margins.pictures:
        lines += ["", f"![{title}]({path.relative_to(run).as_posix()})"]
    return lines


def _row(box: dict[str, Any]) -> list[str]:
    share = box["survival"]
    survival = f"{share['value']:.0%} ({share['low']:.0%} … {share['high']:.0%})"
    robots = f"{box['robots']} of {box['seconds']:g} s"
    return [box["box"], robots, survival, f"{box['required']:.0%}", "passed" if box["passed"] else "failed"]


def _box(path: Path) -> dict[str, Any]:
    box = _content(path, "box", "robots", "seconds", "survival", "required", "passed")
    if not isinstance(box["survival"], dict) or not {"value", "low", "high"} <= box["survival"].keys():
        raise UserError(f"{path}: survival without value, low and high; `walkies rehearse` writes it anew")
    return box


def _content(path: Path, *keys: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); `walkies rehearse` writes it anew") from error
    missing = [key for key in keys if key not in content] if isinstance(content, dict) else list(keys)
    if missing:
        raise UserError(f"{path}: no {', '.join(missing)} in it; `walkies rehearse` writes it anew")
    return content
