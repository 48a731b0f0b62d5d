"""JSON files as typed records: content is checked against the expected record once, here.

A record is a `NamedTuple` or a `TypedDict`; its annotations define the expected shape. Code that uses it needs no
further checks, and a damaged file gives a one-sentence error that names the file, the field, what was found and what
was expected.
"""

from __future__ import annotations

import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from walkies.errors import UserError
from walkies.files import read_json, shown

T = TypeVar("T")
LARGEST = 2**53
"""Largest whole number that is read: beyond it not every integer is a float."""


def read(path: Path | str, kind: type[T], expected: str) -> T:
    """The JSON file `path` as a `kind`.

    Args:
        kind: a NamedTuple or TypedDict, or list, dict or tuple of such and of bool, int, float, str, None.
        expected: what the file should be and what to do otherwise, for the error.

    Raises:
        UserError: it cannot be read, is not JSON, or is not such a record; one sentence that names the file.
    """
    return build(read_json(path, expected), kind, str(path), expected)


def build(content: Any, kind: type[T], name: str, expected: str) -> T:
    """JSON data that came from `name` as a `kind`; fields that `kind` does not know are dropped.

    Raises:
        UserError: the data has another shape.
    """
    try:
        return _build(content, kind, "")
    except _Misfit as misfit:
        raise UserError(f"{name} is damaged ({misfit}); expected {expected}") from None


class _Misfit(Exception):
    """What does not fit, in words for an error message."""


def _build(content: Any, kind: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return content
    if origin in (typing.Union, types.UnionType):
        (kind,) = (one for one in arguments if one is not type(None))  # only None is ever joined to a kind
        return None if content is None else _build(content, kind, where)
    if origin is list:
        return [_build(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(_the(list, content, where))]
    if origin is dict:
        return {key: _build(item, arguments[1], _in(where, key)) for key, item in _the(dict, content, where).items()}
    if origin is tuple:
        return _tuple(content, arguments, where)
    if typing.is_typeddict(kind) or hasattr(kind, "_fields"):
        return _record(content, kind, where)
    return _the(kind, content, where)


def _record(content: Any, kind: Any, where: str) -> Any:
    named = hasattr(kind, "_fields")
    if named and isinstance(content, list):
        return kind(*_tuple(content, tuple(typing.get_type_hints(kind).values()), where))
    content = _the(dict, content, where)
    optional = kind._field_defaults if named else kind.__optional_keys__
    found = {}
    for name, hint in typing.get_type_hints(kind).items():
        if name in content:
            found[name] = _build(content[name], hint, _in(where, name))
        elif name not in optional:
            raise _Misfit(f"{_in(where, name)} is missing")
    return kind(**found)


def _tuple(content: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    items = _the(list, content, where)
    if kinds[-1:] == (Ellipsis,):
        kinds = kinds[:1] * len(items)
    if len(items) != len(kinds):
        raise _Misfit(f"{where or 'it'} has {len(items)} items where {len(kinds)} belong")
    return tuple(_build(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(items, kinds, strict=True)))


WORDS = {
    bool: "true or false", int: "a whole number", float: "a finite number", str: "text", list: "a list",
    dict: "an object",
}  # fmt: skip


def _the(kind: Any, content: Any, where: str) -> Any:
    """`content` as a plain `kind`. A whole number is a float too; true and false are no numbers."""
    fits = type(content) is kind or (type(content) is int and kind is float)
    if type(content) is int:
        fits &= abs(content) <= LARGEST
    elif type(content) is float:  # 1e999 is JSON, and read as infinity
        fits &= math.isfinite(content)
    if not fits:
        raise _Misfit(f"{where or 'it'}: got {shown(content)} where {WORDS[kind]} belongs")
    return float(content) if kind is float else content


def _in(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
