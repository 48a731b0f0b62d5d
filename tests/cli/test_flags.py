"""Every number that a command takes has a range, which its help says, and is refused outside it before work begins."""

import dataclasses
import inspect
import math
import re
import types
import typing
from typing import Annotated, Any, NamedTuple

import pytest

from walkies import bounds, cli
from walkies.bounds import Between
from walkies.cli.arguments import flags
from walkies.errors import UserError

NEEDED = {"completion": ["bash"], "train": [], "replay": ["log", "policy"], "lab study": ["file"]} | {
    name: ["target"]
    for name in (
        "motion capture",
        "motion check",
        "robot add",
        "robot check",
        "robot view",
        "exam",
        "play",
        "share",
        "film",
        "rehearse",
        "lint",
        "export",
        "report",
    )
}
"""Arguments without which a command's line is not complete."""


class Number(NamedTuple):
    """A number that a command takes."""

    path: tuple[str, ...]
    """From the parameter inwards."""
    flag: str
    kind: type
    within: Between | None
    items: int
    """Of the tuple that it stands in, at least; 0 where it stands alone."""


def numbers(function):
    """All numbers of a command's signature. Looks at types alone, so that what is None at first is found too."""
    return [
        number
        for name, hint in typing.get_type_hints(function, include_extras=True).items()
        if name != "return"
        for number in _numbers(hint, (name,), flags.flag_name(name, hint), None, 0)
    ]


def _numbers(hint, path, name, within, items):
    hint, *notes = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    within = next((note for note in notes if isinstance(note, Between)), within)
    kinds = [kind for kind in typing.get_args(hint) if kind is not Ellipsis]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for kind in kinds:
            yield from _numbers(kind, path, name, within, items)
    elif typing.get_origin(hint) is tuple:
        yield from _numbers(kinds[0], path, name, within, len(kinds))
    elif dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        for field in dataclasses.fields(hint):
            inner = f"{name}.{field.name}" if name else field.name
            yield from _numbers(hints[field.name], (*path, field.name), inner, within, items)
    elif hint in (int, float):
        yield Number(path, f"--{name}".replace("_", "-"), hint, within, items)


def outside(number):
    """Numbers that are none, and those next to the range."""
    return [math.nan, math.inf, -math.inf, *_ends(number, outwards=True)]


def inside(number):
    """The first and the last number of the range."""
    return _ends(number, outwards=False)


def _ends(number, outwards):
    low, high, ends = number.within.low, number.within.high, number.within.ends
    closed = (ends[0] == "[") != outwards, (ends[1] == "]") != outwards
    if number.kind is int:
        low, high = math.ceil(low), math.floor(high)
        return [low if closed[0] else low - 1, high if closed[1] else high + 1]
    away = -math.inf if outwards else math.inf
    return [low if closed[0] else math.nextafter(low, away), high if closed[1] else math.nextafter(high, -away)]


def put(value: Any, path: tuple[str, ...], number: Any) -> Any:
    """What a line says, with another number at a path."""
    if not path:
        return number
    inner = {**value.values, path[0]: put(value.values[path[0]], path[1:], number)}
    return flags.Unmade(value.kind, inner)


def refusal(function, given, number, value):
    """What is said of a line that gives a number this value; nothing where it is accepted."""
    name, *inner = number.path
    value = (value,) * number.items if number.items else value
    arguments = {**given.arguments, name: put(given.arguments.get(name), tuple(inner), value)}
    try:
        flags.made(function, inspect.BoundArguments(given.signature, arguments))
    except UserError as error:
        return str(error)
    return ""


def unbounded(function):
    """Flags of numbers that have no range."""
    return [number.flag for number in numbers(function) if number.within is None]


@pytest.fixture(scope="module", params=cli.COMMANDS)
def command(request):
    """A command's name, its function, and what a line without flags says to it; the function never runs."""
    function = cli.load(request.param)
    return request.param, function, flags.read(function, request.param, NEEDED.get(request.param, []))


def test_every_number_is_refused_outside_its_range_and_nowhere_else(command):
    _, function, given = command
    assert unbounded(function) == []
    flags.made(function, given)  # the defaults lie within
    for number in numbers(function):
        for value in outside(number):
            said = refusal(function, given, number, value)
            assert said.startswith(f"{number.flag}: got {bounds.written(value)}, expected "), (number, value)
            assert said.endswith(str(number.within)), (number, value)
        for value in inside(number):
            assert f"{number.flag}: got" not in refusal(function, given, number, value), (number, value)


def test_every_number_of_the_help_is_looked_at_and_its_range_is_there(command, capsys):
    """tyro and this test find the same numbers, each by itself."""
    name, function, _ = command
    assert cli.run([*name.split(), "--help", "all"]) == 0
    said = capsys.readouterr().out
    text = " ".join(said.replace("│", " ").split())
    assert {number.flag for number in numbers(function)} == set(
        re.findall(r"(--[\w.-]+) [^-\s]*\b(?:INT|FLOAT)\b", said)
    )
    assert [number.flag for number in numbers(function) if str(number.within) not in text] == []


@dataclasses.dataclass(frozen=True)
class Inner:
    """A record of a made-up command."""

    free: float = 1.0
    kept: Annotated[float, Between(0.0, 2.0, "(]")] = 1.0


def made_up(inner: Inner = Inner(), sizes: tuple[int, ...] = (), share: bounds.Share | None = None) -> None:
    """Do nothing."""


def test_a_number_without_a_range_would_be_noticed():
    assert unbounded(made_up) == ["--inner.free", "--sizes"]
    for wrong in ("nan", "inf", "-inf"):
        with pytest.raises(UserError, match=rf"--inner\.free: got {wrong}, expected a finite number"):
            flags.parse(made_up, "made up", ["--inner.free", wrong])
    assert flags.parse(made_up, "made up", ["--inner.free", "-1e30"]).args[0] == Inner(free=-1e30)


def test_a_command_is_not_begun_with_a_number_out_of_range(monkeypatch, capsys):
    """Nor is a record made of one, which would not know the flag; control: the same line with a number in range."""
    begun = []

    def command(inner: Inner = Inner(), seed: bounds.Seed = 0) -> None:
        """Begin."""
        begun.append((inner.kept, seed))

    monkeypatch.setattr(cli, "load", lambda name: command)
    assert cli.run(["train", "--inner.kept", "0"]) == cli.run(["train", "--seed", str(2**32)]) == 2
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "walkies: --inner.kept: got 0, expected more than 0 and at most 2",
        "walkies: --seed: got 4294967296, expected a whole number from 0 to 4294967295",
    ]
    assert cli.run(["train", "--inner.kept", "2", "--seed", str(2**32 - 1)]) == 0
    assert begun == [(2.0, 2**32 - 1)]


def test_a_record_that_refuses_its_values_is_named_by_its_flags(capsys):
    assert cli.run(["train", "--recipe.no-baseline"]) == 2
    assert capsys.readouterr().err.startswith("walkies: --recipe: advantage gae needs a value function")
    shares = ["--task.commands.zero-probability", "0.6", "--task.commands.axis-probability", "0.5"]
    assert cli.run(["explain", *shares]) == 2
    assert capsys.readouterr().err.startswith("walkies: --task.commands: zero_probability 0.6 and axis_probability 0.5")
