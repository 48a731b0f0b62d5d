"""From a command line to a command's arguments: tyro reads them, their ranges are checked, then records are made.

In this order, so that an error names the flag: a record that refuses a number does not know which flag it came from.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple, NoReturn, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from walkies import bounds, renamed
from walkies.cli.arguments import topics
from walkies.errors import UserError


class Unmade(NamedTuple):
    """A record before it is made."""

    kind: type
    values: dict[str, Any]
    """By field; some may be unmade records too."""


Start = Callable[[Sequence[str]], tuple[dict[str, Any], list[str]]]
"""A command's arguments → defaults of its parameters, in place of those of its signature, and what is left to read."""
F = TypeVar("F", bound=Callable[..., Any])


def starting_from(start: Start) -> Callable[[F], F]:
    """A decorator of a command whose defaults depend on what is asked for."""

    def decorate(function: F) -> F:
        function.__start__ = start  # type: ignore[attr-defined]
        return function

    return decorate


def parse(function: Callable[..., Any], prog: str, arguments: Sequence[str]) -> inspect.BoundArguments:
    """The arguments that a command is to be called with.

    Raises:
        UserError: a number is outside its range, or a record refuses its values.
        SystemExit: help was asked for, or tyro cannot read the line; it has said why.
    """
    return made(function, read(function, prog, arguments))


def read(function: Callable[..., Any], prog: str, arguments: Sequence[str]) -> inspect.BoundArguments:
    """The values on a command line, unchecked; records are still `Unmade`."""
    signature = inspect.signature(function)
    if (start := getattr(function, "__start__", None)) is not None:
        defaults, arguments = start(arguments)
        parameters = signature.parameters.values()
        signature = signature.replace(
            parameters=[one.replace(default=defaults.get(one.name, one.default)) for one in parameters]
        )

    hints = _hints(function)
    if (topic := topics.asked(arguments)) not in (None, topics.ALL):
        _print_help(function.__doc__ or "", signature, hints, prog, topic)

    def receive(*args: Any, **kwargs: Any) -> inspect.BoundArguments:
        return signature.bind(*args, **kwargs)

    receive.__doc__ = _flowing(function.__doc__ or "")
    receive.__signature__ = signature  # type: ignore[attr-defined]
    receive.__annotations__ = {name: _described(hint) for name, hint in hints.items()}
    about = _wrapped(receive.__doc__)
    return tyro.cli(receive, prog=prog, description=about, args=_today(function, arguments), registry=_registry())


def _print_help(about: str, signature: inspect.Signature, hints: dict[str, Any], prog: str, topic: str) -> NoReturn:
    """Print the flags of a topic, or a command's own flags if it is empty, and the topics below it; then exit.

    Raises:
        SystemExit: always, with status 0.
        UserError: there is no such topic.
    """
    names = {name: flag_name(name, hints[name]) for name in signature.parameters}
    found = topics.topics(signature, hints, names)
    parameters = list(signature.parameters.values())
    if topic:
        kind, default, about = topics.chosen(topic, found, prog)
        hints = {"record": Annotated[kind, tyro.conf.arg(name=topic)]}
        parameters = [inspect.Parameter("record", inspect.Parameter.KEYWORD_ONLY, default=default)]

    def receive() -> None: ...

    receive.__doc__ = _flowing(about)
    about = "\n\n".join(filter(None, (_wrapped(receive.__doc__), topics.listed(topic, found, prog))))
    receive.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    receive.__annotations__ = {name: _hidden(_described(hint), names.get(name)) for name, hint in hints.items()}
    tyro.cli(receive, prog=prog, description=about, args=["--help"], registry=_registry(hidden=True))
    raise SystemExit(0)


def _today(function: Callable[..., Any], arguments: Sequence[str]) -> list[str]:
    """The arguments with today's names of flags; of each old one a line says which that is."""
    old: dict[str, str] = {}
    for name, hint in _hints(function).items():
        old |= _old_flags(bounds.unwrapped(hint)[0], flag_name(name, hint))
    found: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        now = old.get(name.replace("_", "-")) if name.startswith("--") else None
        if now is not None:
            print(f"walkies: {name} is now {now}; the old name will be removed after one release", file=sys.stderr)
        found.append(argument if now is None else now + equals + value)
    return found


def _old_flags(kind: Any, path: str) -> dict[str, str]:
    """Old flag → new flag of each renamed field of a record and its parts."""
    if not dataclasses.is_dataclass(kind):
        return {}
    found = {
        bounds.flag(bounds.joined(path, old)): bounds.flag(bounds.joined(path, new))
        for old, new in renamed.old_fields(kind).items()
    }
    for name, hint in bounds.fields_of(kind).items():  # type: ignore[arg-type]
        found |= _old_flags(bounds.unwrapped(hint)[0], bounds.joined(path, name))
    return found


def made(function: Callable[..., Any], given: inspect.BoundArguments) -> inspect.BoundArguments:
    """The same with numbers checked and records made."""
    hints = _hints(function)
    values = {name: _made(value, hints[name], flag_name(name, hints[name])) for name, value in given.arguments.items()}
    return inspect.BoundArguments(given.signature, values)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function, include_extras=True)


def flag_name(parameter: str, hint: Any) -> str:
    """The name that a parameter has in flags: its own, unless `tyro.conf.arg` gives it another."""
    notes = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    names = [name for note in notes if isinstance(name := getattr(note, "name", None), str)]
    return names[-1] if names else parameter


def _made(value: Any, hint: Any, path: str) -> Any:
    """A value whose numbers are checked, and whose records are then made, from the innermost outwards."""
    if not isinstance(value, Unmade):
        bounds.refuse(value, hint, path)
        return value
    kinds, within = bounds.fields_of(value.kind), bounds.unwrapped(hint)[1]
    values = {
        name: _made(inner, kinds[name] if within is None else Annotated[kinds[name], within], bounds.joined(path, name))
        for name, inner in value.values.items()
    }
    try:
        return value.kind(**values)
    except UserError as error:
        raise UserError(f"{bounds.flag(path)}: {error}" if path else str(error)) from error


def _flowing(text: str) -> str:
    """A docstring without the line breaks of its source: a terminal breaks paragraphs, and entries of Args, itself."""
    lines: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        indent = len(line) - len(line.lstrip())
        goes_on = bool(line and lines and lines[-1]) and lines[-1] != "Args:" and (indent == 0 or indent > ENTRY)
        if goes_on:
            lines[-1] += f" {line.lstrip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    """The description in a docstring without line breaks, wrapped; tyro leaves lines alone that begin with a space, and
    puts two empty ones between them where there is one."""
    wrapper = textwrap.TextWrapper(topics.width(), initial_indent="  ", subsequent_indent="  ")
    about = text.partition("\n\nArgs:")[0]
    return "\n".join(wrapper.fill(line) for line in about.split("\n") if line)


ENTRY = 4
"""Spaces before an entry of Args; the lines that continue it have more."""


def _hidden(hint: Any, path: str | None = None) -> Any:
    """A type that help leaves out if it is a record; not one whose fields stand alone, without a path."""
    record = dataclasses.is_dataclass(bounds.unwrapped(hint)[0])
    return Annotated[hint, tyro.conf.Suppress] if path and record else hint


def _registry(hidden: bool = False) -> ConstructorRegistry:
    """How tyro treats dataclasses: as it does anyway, but with ranges in the help, and it leaves the making to us.

    Args:
        hidden: records within records are left out, for help.
    """
    registry, asking = ConstructorRegistry(), False

    def described(kind: Any, spec: StructFieldSpec) -> StructFieldSpec:
        """The field with what its metadata say of it as its help, where they do; else its docstring."""
        about = next(
            (one.metadata.get(bounds.ABOUT) for one in dataclasses.fields(kind) if one.name == spec.name), None
        )
        if about is not None:
            return dataclasses.replace(spec, helptext=str(about))
        text = spec.helptext  # read from the source where it is a function, which takes its time
        return dataclasses.replace(spec, helptext=lambda: _flowing((text() if callable(text) else text) or ""))

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal asking
        if asking or not dataclasses.is_dataclass(info.type):
            return None
        asking = True  # tyro itself, whose own rule then answers
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            asking = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        fields = tuple(_with_range(described(info.type, one)) for one in spec.fields)
        if hidden:
            fields = tuple(dataclasses.replace(one, type=_hidden(one.type, one.name)) for one in fields)
        return StructConstructorSpec(partial(_unmade, info.type), fields)

    return registry


def _unmade(kind: type, **values: Any) -> Unmade:
    return Unmade(kind, values)


def _with_range(field: StructFieldSpec) -> StructFieldSpec:
    """A field whose help says its range: beside the default, or, where it is a record's, in the record's own text."""
    kind, within, _ = bounds.unwrapped(field.type)
    if within is None or not dataclasses.is_dataclass(kind):
        return dataclasses.replace(field, type=_described(field.type))
    text = field.helptext
    return dataclasses.replace(field, helptext=lambda: f"{(text() if callable(text) else text) or ''} (each {within})")


def _described(hint: Any) -> Any:
    """A type whose range, where it has one, is in the help beside the default."""
    if text := _range(hint):
        return Annotated[hint, tyro.conf.arg(help_behavior_hint=lambda default: f"({text}; default: {default})")]
    return hint


def _range(hint: Any, within: bounds.Between | None = None) -> str:
    """The range of a number, or of each of several, in words; nothing where there is none."""
    hint, within, most = bounds.unwrapped(hint, within)
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _range(kinds[0], within)
    if typing.get_origin(hint) is tuple and (text := _range(kinds[0], within)):
        return f"each {text}" + (f", {most}" if most else "")
    return str(within or "")
