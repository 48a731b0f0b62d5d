"""Values of a policy's JSON document: their type, a description for messages, and problems."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from walkies.errors import UserError
from walkies.files import shown

MAX_PROBLEMS = 100
"""Most problems listed for one file; a file with more is not a policy."""
MAX_NUMBER = 3.4e38
"""About the largest float32."""
MAX_SIZE = 1_000_000
"""Inputs or outputs of a layer."""


class PolicyFileError(UserError):
    """A policy file that cannot be used: the message names the file, the key, what was found and what was expected."""


@dataclass(frozen=True)
class Problem:
    """One thing for which walkies cannot run a policy file."""

    code: str
    """Stable name of the kind of fault."""
    key: str
    """Where in the document, such as `layers[2].weights[0]`."""
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.key}: got {self.got}, expected {self.expected}"


def is_finite(value: Any) -> bool:
    """Whether `value` is a JSON number (not a boolean) that is finite as float32, as the robot stores it."""
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER  # False for NaN; whole numbers have no end


def all_finite(values: list[Any]) -> bool:
    """Whether `is_finite` holds for every one of them, quickly: a policy has up to millions."""
    if not set(map(type, values)) <= {int, float}:
        return False
    try:
        return bool(np.all(np.abs(np.array(values, np.float64)) <= MAX_NUMBER))
    except OverflowError:  # a whole number that no float holds
        return False


def are_numbers(value: Any, count: int) -> bool:
    """Whether `value` is a list of so many finite numbers."""
    return isinstance(value, list) and len(value) == count and all(is_finite(item) for item in value)


def whole(value: Any) -> int | None:
    """The whole number that `value` is, also where it is written 36.0, as the robot's parser reads it; else None."""
    return int(value) if is_finite(value) and value == int(value) else None


def size(value: Any) -> int | None:
    """The number of inputs or outputs that a shape, such as [null, 36], ends with; None where it is no such shape."""
    last = whole(value[-1]) if isinstance(value, list) and value else None
    return last if last is not None and 1 <= last <= MAX_SIZE else None


def describe(value: Any) -> str:
    """A short text for an error message, whatever the value."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    return shown(json.dumps(value) if isinstance(value, str) else str(value))


def is_span(value: Any) -> TypeGuard[Sequence[float]]:
    """Whether `value` is a pair of finite numbers, the lower one first."""
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(is_finite, value)) and value[0] <= value[1]


def describe_span(value: Any) -> str:
    """As `describe`, but a pair is told with both its values."""
    return " … ".join(map(describe, value)) if isinstance(value, list) and len(value) == 2 else describe(value)


def is_table(value: Any, columns: int, rows: int | None = None) -> bool:
    """Whether `value` is a list of so many rows (None: at least one) of `columns` finite numbers."""
    if not isinstance(value, list) or not value or (rows is not None and len(value) != rows):
        return False
    return all(isinstance(row, list) and len(row) == columns and all_finite(row) for row in value)


def require_numbers(
    block: dict[str, Any], key: str, names: Iterable[str], found: list[Problem], positive: Iterable[str] = ()
) -> bool:
    """Adds a problem for each of `names` that is no finite number in the object at `key`, or not above zero where it
    must be; whether there is none."""
    before, above = len(found), tuple(positive)
    for name in names:
        value: Any = block.get(name)
        if not is_finite(value) or (name in above and not value > 0):
            got = describe(value) if name in block else "nothing"
            expected = "a number above 0" if name in above else "a finite number"
            found.append(Problem("bad-block", f"{key}.{name}", got, expected))
    return len(found) == before


def require_table(
    block: dict[str, Any], key: str, name: str, columns: int, rows: int | None, found: list[Problem]
) -> None:
    """Adds a problem if `name` is no table of finite numbers in the object at `key`."""
    if not is_table(block.get(name), columns, rows):
        got = describe(block[name]) if name in block else "nothing"
        expected = f"{'rows' if rows is None else rows} × {columns} finite numbers"
        found.append(Problem("bad-block", f"{key}.{name}", got, expected))
