"""Results of `walkies rehearse`, read from the files in the run's folder, for the run's report."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

from walkies import records
from walkies.estimates import Share
from walkies.markdown import escape as plain
from walkies.markdown import table
from walkies.show import page

SWEEPS, GRID, BOX = "rehearsal", "grid", "box-"
"""What the files are called, without their ending."""
EXPECTED = "what `walkies rehearse` writes; run it again"


class Box(NamedTuple):
    """Robots drawn from a box of conditions (`walkies rehearse RUN --box NAME`)."""

    box: str
    """Its name."""
    robots: int
    seconds: float
    survival: Share
    required: float
    """Share that must survive."""
    passed: bool


class _Axis(NamedTuple):
    verdict: str


class _Sweeps(NamedTuple):
    axes: list[_Axis]


class Margins(NamedTuple):
    """A run's rehearsals; missing ones are empty or None."""

    boxes: tuple[Box, ...] = ()
    """By name."""
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
    boxes = tuple(records.read(path, Box, EXPECTED) for path in sorted(folder.glob(f"{BOX}*.json")))
    sweeps = folder / f"{SWEEPS}.json"
    axes = records.read(sweeps, _Sweeps, EXPECTED).axes if sweeps.is_file() else []
    verdicts = tuple(axis.verdict for axis in axes)
    titles = {SWEEPS: "One condition after the other", GRID: "Conditions together"}
    pictures = ((title, folder / f"{name}.png") for name, title in titles.items())
    return Margins(boxes, verdicts, tuple((title, path) for title, path in pictures if path.is_file()))


def in_short(margins: Margins) -> str:
    """'course 99% (passed), harsh 97% (passed)'; what was not drawn from a box is not a number."""
    return ", ".join(
        f"{box.box} {box.survival.value:.0%} ({'passed' if box.passed else 'failed'})" for box in margins.boxes
    )


def html(margins: Margins, title: str = "Rehearsal") -> str:
    """The rehearsals as a section of a page."""
    parts = [
        f"<section><h2>{escape(title)}</h2><p>The policy in the robot's own control loop, under conditions not seen in "
        "training. Intervals are 95%.</p>"
    ]
    if margins.boxes:
        parts.append(page.table(HEAD, [_row(box) for box in margins.boxes]))
    if margins.verdicts:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in margins.verdicts)
        parts.append(f"<ul>{items}</ul>")
    return "".join(parts) + "</section>" + "".join(page.picture(title, path) for title, path in margins.pictures)


def markdown(margins: Margins, run: Path) -> list[str]:
    """The same as lines of Markdown for a file in `run`."""
    lines = ["## Rehearsal", ""]
    if margins.boxes:
        lines += [*table(HEAD, [[plain(cell) for cell in _row(box)] for box in margins.boxes]), ""]
    lines += [f"- {plain(sentence)}" for sentence in margins.verdicts]
    for title, path in margins.pictures:
        lines += ["", f"![{title}]({path.relative_to(run).as_posix()})"]
    return lines


HEAD = ["box", "robots", "survival", "required", ""]


def _row(box: Box) -> list[str]:
    share = box.survival
    survival = f"{share.value:.0%} ({share.low:.0%} … {share.high:.0%})"
    verdict = "passed" if box.passed else "failed"
    return [box.box, f"{box.robots} of {box.seconds:g} s", survival, f"{box.required:.0%}", verdict]
