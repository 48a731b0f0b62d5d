"""The rows of a measurement, made one after the other: what `study`, `ablate` and `benchmark` share.

A measurement takes hours and is stopped in between. So a row is kept as soon as it is finished, the same command makes
those that are missing, and at any time it can be listed which these are.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import dumps
from pathlib import Path

from walkies.run.folders import locked
from walkies.terminal import say


@dataclass(frozen=True)
class Row:
    """One row."""

    name: str
    finished: Callable[[], bool]
    """Whether it is there."""
    make: Callable[[], object]
    """Make it, and keep it last of all; goes on with what an earlier call left behind."""
    note: Callable[[], str] = str
    """What the list says of it, besides whether it is finished."""


def make(rows: Sequence[Row], folder: Path) -> None:
    """Make the rows that are missing. `folder` belongs to this process meanwhile.

    Raises:
        LockedRun: another process makes rows in `folder`.
    """
    with locked(folder):
        missing = [row for row in rows if not row.finished()]
        done = len(rows) - len(missing)
        seconds: list[float] = []
        with counted(rows):
            for row in missing:
                say(f"{done + 1} of {len(rows)}: {row.name}{_left(seconds, len(rows) - done)}", sys.stderr)
                started = time.monotonic()
                row.make()
                seconds.append(time.monotonic() - started)
                done += 1


@contextmanager
def counted(rows: Sequence[Row]) -> Iterator[None]:
    """If the block is stopped by Ctrl-C, say how many rows are finished."""
    try:
        yield
    except KeyboardInterrupt:
        done = sum(row.finished() for row in rows)
        say(f"{done} of {len(rows)} rows are finished; the same command makes the others", sys.stderr)
        raise


def listing(rows: Sequence[Row], as_json: bool = False) -> str:
    """A line for each row, and how many are finished; or the same as a JSON list."""
    state = [(row, row.finished()) for row in rows]
    if as_json:
        return dumps([{"row": row.name, "finished": there, "note": row.note()} for row, there in state], indent=2)
    width = max((len(row.name) for row in rows), default=0)
    lines = [
        f"{row.name:<{width}}  {'finished' if there else 'missing '}  {row.note()}".rstrip() for row, there in state
    ]
    return "\n".join([*lines, f"{sum(there for _, there in state)} of {len(rows)} rows finished"])


def _left(seconds: Sequence[float], rows: int) -> str:
    """How long so many rows take if they take as long as those before."""
    return f" (about {statistics.median(seconds) * rows / 60:.0f} minutes left)" if seconds else ""
