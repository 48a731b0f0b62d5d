"""Values of a policy's JSON document: what kind they are, how to describe them, and what is wrong with one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from walkies.errors import UserError
from walkies.files import shown

MAX_PROBLEMS = 100
"""Of one file; a file with more is not a policy, and nobody reads them."""
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
