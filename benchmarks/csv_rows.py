"""Tables of finished rows, which a benchmark that was stopped goes on with; and the walkies commands that make them."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def read(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The finished rows of a table; exits where it has other columns."""
    if not table.exists():
        return []
    with table.open() as file:
        found = csv.DictReader(file)
        if tuple(found.fieldnames or ()) != tuple(columns):
            sys.exit(f"{table} has other columns than {', '.join(columns)}: it is of an older program; move it away")
        return list(found)


def append(table: Path, columns: Sequence[str], row: Mapping[str, object]) -> None:
    """Add one row to a table and to standard output."""
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


def walkies(*arguments: str, statuses: Sequence[int] = (0,), cwd: Path | None = None) -> str:
    """Standard output of one walkies command, called from `cwd`; exits where it ends with another status than these."""
    program = [sys.executable, "-P", "-c", "from walkies.cli import main; main()", *arguments]
    done = subprocess.run(program, text=True, stdout=subprocess.PIPE, cwd=cwd)
    if done.returncode not in statuses:
        sys.exit(f"walkies {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


def judged(*arguments: str, cwd: Path | None = None) -> str:
    """Standard output of one walkies command; a verdict, which is status 1, is no failure of it."""
    return walkies(*arguments, statuses=(0, 1), cwd=cwd)


def commit() -> str:
    """Of the program that the rows are of."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, check=True, text=True, capture_output=True).stdout.strip()
