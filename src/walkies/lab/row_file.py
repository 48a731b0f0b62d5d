"""Finished rows of a measurement in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from walkies.errors import UserError
from walkies.files import read_text, write_text

Row = dict[str, str]


def read(file: Path, columns: Sequence[str], expected: str) -> list[Row]:
    """The finished rows.

    Args:
        expected: what the file is, for errors.

    Raises:
        UserError: it has other columns, or a row is incomplete.
    """
    if not file.exists():
        return []
    found = csv.DictReader(read_text(file, expected).splitlines())
    if tuple(found.fieldnames or ()) != tuple(columns):
        raise UserError(f"{file} has other columns than {', '.join(columns)}; move it away, or choose another --out")
    rows = list(found)
    if wrong := [at for at, row in enumerate(rows, 2) if None in row.values() or None in row]:
        raise UserError(f"{file}, line {wrong[0]}: expected {len(columns)} columns; remove the line")
    return rows


def append(file: Path, columns: Sequence[str], expected: str, row: Mapping[str, object]) -> None:
    """Add one row."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if not file.exists():
        writer.writeheader()
    writer.writerow(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, (read_text(file, expected) if file.exists() else "") + text.getvalue())
