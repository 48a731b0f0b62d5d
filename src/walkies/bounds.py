"""The range of every number that a user can give: defined once, in the type of its field; one function checks all.

    learning_rate: Annotated[float, Between(0.0, 10.0)] = 3e-4
    minutes: Annotated[float | None, Between(0.0, 1e6, "(]")] = None
    hidden: Annotated[tuple[int, ...], Between(1, 65536), AtMost(16)] = (128, 128)

A range holds for every number of its value: the items of a tuple, the fields of a record. Ranges only refuse what
cannot be intended, so they are wide; NaN and infinity lie in none. Records check relations between their numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

from walkies.errors import UserError
from walkies.files import shown


@dataclasses.dataclass(frozen=True)
class Between:
    """An interval of numbers, open or closed at either end."""

    low: float
    high: float
    ends: Literal["[]", "(]", "[)", "()"] = "[]"
    """Square where the end belongs to the range."""
    note: str = ""
    """An additional remark."""

    def __contains__(self, value: float) -> bool:
        above = self.low <= value if self.ends[0] == "[" else self.low < value
        return above and (value <= self.high if self.ends[1] == "]" else value < self.high)

    def __str__(self) -> str:
        low, high = written(float(self.low)), written(float(self.high))
        above = f"{low} or more" if self.ends[0] == "[" else f"more than {low}"
        below = f"at most {high}" if self.ends[1] == "]" else f"less than {high}"
        text = f"from {low} to {high}" if self.ends == "[]" else f"{above} and {below}"
        return f"{text}; {self.note}" if self.note else text


@dataclasses.dataclass(frozen=True)
class AtMost:
    """A maximal number of items of a tuple."""

    items: int

    def __str__(self) -> str:
        return f"at most {self.items} numbers"


ABOUT = "about"
"""Key of a field's metadata under which it has a description; its text is the field's help."""

Seed = Annotated[int, Between(0, 2**32 - 1)]
"""Random seed: 32 bits, accepted by every generator."""
Share = Annotated[float, Between(0.0, 1.0)]
"""A probability, or a fraction."""


class Fault(NamedTuple):
    """A number that is refused."""

    path: str
    """Names of fields from the outermost to the number's, joined by dots."""
    given: Any
    expected: str


def flag(path: str) -> str:
    """The flag that a field is at the command line: `task.action_scale` is --task.action-scale."""
    return f"--{path.replace('_', '-')}"


def refuse(value: Any, hint: Any, path: str = "", name: Callable[[str], str] = flag) -> None:
    """Refuse a value with a number outside its range, or that is not a number.

    Args:
        value: a number, a tuple of numbers, or a record (dataclass), nested to any depth.
        hint: its type, with ranges.
        path: its own name, for errors; empty for a record whose fields are named alone.
        name: what a path is called in errors.

    Raises:
        UserError: the first such number, what was given and what was expected.
    """
    for fault in faults(value, hint, path):
        raise UserError(f"{name(fault.path)}: got {written(fault.given)}, expected {fault.expected}")


def faults(value: Any, hint: Any, path: str = "", within: Between | None = None) -> Iterator[Fault]:
    """Every number of a value that lies outside its range; `within` is that of a number which has none of its own."""
    hint, within, most = unwrapped(hint, within)
    kinds = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is not None:
            yield from faults(value, next(kind for kind in kinds if kind is not type(None)), path, within)
    elif typing.get_origin(hint) is tuple:
        if most is not None and len(value) > most.items:
            yield Fault(path, value, str(most))
        each = [kinds[0]] * len(value) if kinds[1:] == (Ellipsis,) else kinds
        for item, kind in zip(value, each, strict=True):
            yield from faults(item, kind, path, within)
    elif dataclasses.is_dataclass(value):
        for inner, kind in fields_of(type(value)).items():  # type: ignore[arg-type]
            yield from faults(getattr(value, inner), kind, joined(path, inner), within)
    elif hint in (int, float) and not _is_number(value, hint, within):
        whole = "a whole number " if hint is int else ""
        yield Fault(path, value, "a finite number" if within is None else f"{whole}{within}")


def _is_number(value: Any, kind: type, within: Between | None) -> bool:
    """Whether a value is a finite number of that kind within a range."""
    wanted = numbers.Integral if kind is int else numbers.Real
    if not isinstance(value, wanted) or isinstance(value, bool):  # True is a number to Python, and to nobody else
        return False
    return math.isfinite(value) if within is None else value in within  # type: ignore[operator]


def unwrapped(hint: Any, within: Between | None = None) -> tuple[Any, Between | None, AtMost | None]:
    """A type without what is annotated to it, the range that is (the innermost; else `within`), and the length."""
    if typing.get_origin(hint) is not Annotated:
        return hint, within, None
    hint, *notes = typing.get_args(hint)
    ranges = [note for note in notes if isinstance(note, Between)]
    lengths = [note for note in notes if isinstance(note, AtMost)]
    return hint, ranges[0] if ranges else within, lengths[0] if lengths else None


@functools.cache
def fields_of(record: type) -> dict[str, Any]:
    """The type of each field of a dataclass, with what is annotated to it."""
    hints = typing.get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def joined(path: str, name: str) -> str:
    """The path of a field `name` of the record at `path`."""
    return f"{path}.{name}" if path else name


def written(value: Any) -> str:
    """A number as people write it: 5, 0.25, 1e30; anything else as errors show it."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool | numbers.Integral):
        return shown(value)
    short, exact = f"{value:g}", repr(float(value)).removesuffix(".0")
    text = short if float(short) == value else exact
    return text.replace("e+", "e").replace("e0", "e").replace("e-0", "e-")
