"""Finished rows in a CSV file, which a study that was stopped goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from walkies.errors import UserError
from walkies.lab import row_file
from walkies.lab.row_file import Row
from walkies.lab.study.plan import Plan, Trial, planned

NUMBERS = ("survival", "lin_vel_error", "yaw_rate_error", "lin_vel_mark", "yaw_rate_mark")
"""Of the examination, and its pass marks."""
COLUMNS = (
    *Trial._fields,
    *("flags", "steps", "seconds", "passed", *NUMBERS, "episodes", "exam_seed", "boxes", "findings"),
    *("commit", "machine", "date"),
)
EXPECTED = "the rows of a study"


def read(table: Path) -> list[Row]:
    """The finished rows of a table.

    Raises:
        UserError: it has other columns, or a row is incomplete.
    """
    return row_file.read(table, COLUMNS, EXPECTED)


def of_plan(plan: Plan, table: Path) -> list[Row]:
    """The finished rows of a plan's trials.

    Raises:
        UserError: one was made with other flags or another examination than the plan has now.
    """
    wanted = set(planned(plan))
    found = [row for row in read(table) if trial(row) in wanted]
    for row in found:
        now = {"flags": plan.variants[row["variant"]], "episodes": plan.episodes, "exam_seed": plan.exam_seed}
        if other := [name for name, value in now.items() if row[name] != str(value)]:
            raise UserError(
                f"{table}: {row['variant']}, seed {row['seed']}, {row['length']} was made with {other[0]} "
                f"{row[other[0]]!r}, not {now[other[0]]!r}; give the variant another name, or choose another --out"
            )
    return found


def there(table: Path) -> set[Trial]:
    """The trials whose rows are finished."""
    return {trial(row) for row in read(table)}


def append(table: Path, row: Mapping[str, object]) -> None:
    """Add one row."""
    row_file.append(table, COLUMNS, EXPECTED, row)


def trial(row: Mapping[str, str]) -> Trial:
    """Which trial a row is of."""
    return Trial(row["variant"], row["robot"], int(row["seed"]), row["length"])
