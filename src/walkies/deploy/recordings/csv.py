"""Rows of a recording from CSV, as terminals, spreadsheets and editors leave such files.

Read is UTF-8, with or without a byte order mark, UTF-16 with one, and text in older encodings, since all that counts is
ASCII. Quotes mean nothing, blank rows are passed over, and so are empty cells at the end of a row.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from walkies.errors import UserError
from walkies.files import is_number, refuse_pointer, shown

HEADER = ("time", "topic", "values")


def long_rows(path: Path) -> Iterator[tuple[str, float, list[float]]]:
    """(topic, time, values) of a file of rows `time,topic,value,value,…` under that header.

    Raises:
        UserError: the file or a row of it is not of this form; the message says which line.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    if tuple(name.strip().lower() for name in header[:2]) != HEADER[:2]:
        raise UserError(f'{path}: got the header "{shown(",".join(header))}", expected time,topic,values…')
    for line, cells in rows:
        if len(cells) < 3:
            raise UserError(f"{path}:{line}: got {len(cells)} cells, expected time,topic,value,value,…")
        time, *values = _numbers(path, line, [cells[0], *cells[2:]])
        yield cells[1].strip(), time, values


def topic_rows(path: Path, topic: str) -> Iterator[tuple[str, float, list[float]]]:
    """(topic, time, values) of a file of rows `time,value,value,…` of one topic, under any header.

    Raises:
        UserError: likewise.
    """
    rows = _rows(path)
    next(rows, None)
    for line, cells in rows:
        time, *values = _numbers(path, line, cells)
        yield topic, time, values


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number of the line and cells of every row that is not blank."""
    refuse_pointer(path, "a log as CSV")
    with path.open("rb") as file:
        start = file.read(2)
    encoding = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    with path.open(encoding=encoding, errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            cells = line.replace('"', "").split(",")
            while cells and not cells[-1].strip():
                cells.pop()
            if cells:
                yield number, cells


def _numbers(path: Path, line: int, cells: list[str]) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        wrong = next(cell for cell in cells if not is_number(cell)).strip()
        got = f'"{shown(wrong)}"' if wrong else "an empty cell"
        raise UserError(f"{path}:{line}: got {got}, expected a number") from None
