"""`walkies completion`: a script with which the shell completes commands, flags and their values.

The script holds the words themselves: asking walkies at every key would import JAX each time.
"""

from __future__ import annotations

import inspect
import shlex
import typing
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal

import tyro

from walkies import bounds
from walkies.cli import COMMANDS, load
from walkies.cli.arguments.flags import flag_name
from walkies.errors import UserError
from walkies.robots import names
from walkies.terminal import say

TAKES_A_ROBOT = ("train", "explain", "excite", "robot check", "robot view")
"""Commands whose argument is the name of a robot."""

SCRIPT = r"""# Completes the commands of walkies, their flags, and the values of flags that have a list of them.
_walkies_words() {
  case "$1" in
CASES
  esac
}

_walkies() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" command="" longer="" found="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    longer="${command:+$command }${COMP_WORDS[i]}"
    [[ -n "$(_walkies_words "$longer")" ]] || break
    command="$longer"
  done
  found="$(_walkies_words "$command")"
  if [[ "$previous" == --* && -n "$(_walkies_words "$command $previous")" ]]; then
    found="$(_walkies_words "$command $previous")"
  elif [[ "$current" != -* ]]; then
    found=" $found "
    while [[ "$found" == *" --"* ]]; do  # flags are offered once a word begins with "-"
      longer="${found#*" --"}"
      found="${found%%" --"*} ${longer#* }"
    done
  fi
  COMPREPLY=($(compgen -W "$found" -- "$current"))
}

complete -o default -F _walkies walkies
"""
"""For bash. Words that nothing fits are completed as names of files, by bash itself."""
FOR_ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"
"""With which zsh reads a script for bash."""


def command(shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional]) -> None:
    """Print a script that completes the commands of walkies in your shell; docs/show.md says how to install it.

    Args:
        shell: the shell that will read the script.
    """
    say((FOR_ZSH if shell == "zsh" else "") + script())


def script() -> str:
    """The script for bash."""
    cases = [f'    {shlex.quote(words)}) echo "{" ".join(found)}" ;;' for words, found in table().items()]
    return SCRIPT.replace("CASES", "\n".join(cases)).rstrip("\n")


def table() -> dict[str, list[str]]:
    """What may follow the words typed so far: of a group its next words, of a command its arguments and flags, and of a
    command and a flag the values that the flag can have."""
    found: dict[str, list[str]] = {"": list(dict.fromkeys(name.split()[0] for name in COMMANDS))}
    for name in COMMANDS:
        words = name.split()
        for length in range(1, len(words)):
            after = found.setdefault(" ".join(words[:length]), [])
            after += [words[length]] if words[length] not in after else []
    for name in COMMANDS:
        try:
            function = load(name)
        except UserError:  # it needs a package that is not installed
            continue
        known = flags(function)
        first = names() if name in TAKES_A_ROBOT else arguments(function)
        found[name] = [*first, *known, "--help"]
        found |= {f"{name} {flag}": list(values) for flag, values in known.items() if values}
    return found


def arguments(function: Callable[..., Any]) -> list[str]:
    """The words that may stand for a command's first argument, where there is a list of them."""
    hints = typing.get_type_hints(function, include_extras=True)
    alone = [name for name, one in inspect.signature(function).parameters.items() if _stands_alone(one, hints[name])]
    return [word for name in alone for word in _values(hints[name])]


def flags(function: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    """Flag → values that it can have, empty where they are not listed; of all records that a command takes too."""
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        flag: values
        for name, one in inspect.signature(function).parameters.items()
        if not _stands_alone(one, hints[name])
        for flag, values in _flags(hints[name], flag_name(name, hints[name]))
    }


def _stands_alone(one: inspect.Parameter, hint: Any) -> bool:
    """Whether a parameter is typed without a flag."""
    return one.kind is one.POSITIONAL_ONLY or _positional(hint)


def _positional(hint: Any) -> bool:
    notes = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return any(note is tyro.conf.Positional for note in notes)


def _flags(hint: Any, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    kind = bounds.unwrapped(hint)[0]
    if is_dataclass(kind):
        for name, inner in bounds.fields_of(kind).items():  # type: ignore[arg-type]
            if not _positional(inner):
                yield from _flags(inner, bounds.joined(path, name))
        return
    yield bounds.flag(path), _values(hint)
    if kind is bool:
        parent, _, name = path.rpartition(".")
        yield bounds.flag(bounds.joined(parent, f"no-{name}")), ()


def _values(hint: Any) -> tuple[str, ...]:
    """The words of a Literal, also where it may be None instead."""
    kind = bounds.unwrapped(hint)[0]
    kinds = [kind, *typing.get_args(kind)]
    return tuple(str(word) for one in kinds if typing.get_origin(one) is Literal for word in typing.get_args(one))
