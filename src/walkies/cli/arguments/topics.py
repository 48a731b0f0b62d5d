"""Help by topic: a command's own flags first, the hundreds of numbers of its configuration on request.

    walkies train --help                  the most used flags, and the list of topics
    walkies train --help task.rewards     one topic
    walkies train --help all              everything

A topic is a record of the configuration, named by the path to it as in its flags.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from walkies import bounds
from walkies.errors import UserError

ALL = "all"
"""The topic of every flag."""


class Topic(NamedTuple):
    """One record among what a command takes."""

    kind: Any
    """Its type, with what is annotated to it."""
    default: Any
    about: str
    """What it is, in a line."""


def asked(arguments: Sequence[str]) -> str | None:
    """The topic that a line asks help about: empty if it names none, None if it does not ask for help."""
    for index, argument in enumerate(arguments):
        if argument in ("-h", "--help"):
            following = arguments[index + 1 : index + 2]
            return following[0].replace("-", "_") if following and not following[0].startswith("-") else ""
    return None


def topics(signature: inspect.Signature, hints: dict[str, Any], names: dict[str, str]) -> dict[str, Topic]:
    """Every record that a command takes, by its path; one whose fields stand alone, without a path, is none itself.

    Args:
        signature: of the command, with its defaults.
        hints: type of each parameter.
        names: of each parameter in flags.
    """
    return {
        path: topic
        for name, parameter in signature.parameters.items()
        for path, topic in _within(hints[name], parameter.default, names[name])
    }


def _within(hint: Any, value: Any, path: str, about: str = "") -> Iterator[tuple[str, Topic]]:
    kind = bounds.unwrapped(hint)[0]
    if not dataclasses.is_dataclass(kind):
        return
    if value is inspect.Parameter.empty:
        value = kind()  # type: ignore[operator]
    if path:
        first = (kind.__doc__ or "").partition("\n\n")[0]
        yield path, Topic(hint, value, about or " ".join(first.split()))
    for name, inner in bounds.fields_of(kind).items():  # type: ignore[arg-type]
        yield from _within(inner, getattr(value, name), bounds.joined(path, name))


def chosen(topic: str, found: dict[str, Topic], prog: str) -> Topic:
    """The topic of that name.

    Raises:
        UserError: there is none; the message suggests the nearest, or lists all topics.
    """
    if topic in found:
        return found[topic]
    near = difflib.get_close_matches(topic, [*found, ALL], n=1, cutoff=0.6)
    hint = f"Did you mean `{prog} --help {near[0]}`?" if near else f"There are: {', '.join([*found, ALL])}."
    raise UserError(f"--help {topic}: no such topic. {hint}")


def listed(topic: str, found: dict[str, Topic], prog: str) -> str:
    """A line for each topic directly below `topic` (empty: below the command); nothing where there is none."""
    inside = [name for name in found if name.rpartition(".")[0] == topic]
    if not inside:
        return ""
    longest = max(map(len, inside))
    abouts = {name: found[name].about for name in inside} | ({} if topic else {ALL: "every flag at once"})
    starts = {name: f"  {prog} --help {name:<{longest}}  " for name in abouts}
    return "\n".join(["More flags:", *(_hanging(starts[name], about) for name, about in abouts.items())])


def _hanging(start: str, text: str) -> str:
    """A text after a start, its lines below each other; below the start where there is no room beside it."""
    if width() - len(start) < READABLE:
        return start.rstrip() + "\n" + textwrap.indent(textwrap.fill(text, width() - 4), "    ")
    return textwrap.fill(text, width(), initial_indent=start, subsequent_indent=" " * len(start))


def width() -> int:
    """Characters in a line of help."""
    return shutil.get_terminal_size().columns


READABLE = 24
"""Characters in which a text can be read."""
