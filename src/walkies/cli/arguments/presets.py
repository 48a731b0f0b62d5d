"""Preset tasks on a command line: `--preset` sets the numbers that other flags then change.

A flag always wins, even if its value is that of plain walking; a finished record cannot tell the difference
(`walkies.tasks.gait.presets.with_preset`).
"""

from __future__ import annotations

from collections.abc import Sequence

from walkies.tasks.gait.presets import PRESETS
from walkies.tasks.walk import WalkConfig

FLAG = "--preset"


def taken(arguments: Sequence[str]) -> tuple[WalkConfig | None, list[str]]:
    """The preset that the arguments name last, and the arguments without it; None and all arguments if there is none
    of that name."""
    found, rest, at = None, list[str](), 0
    while at < len(arguments):
        name, equals, value = arguments[at].partition("=")
        length = 1 if equals else 2
        if not equals and at + 1 < len(arguments):
            value = arguments[at + 1]
        if name == FLAG and value in PRESETS:
            found = PRESETS[value]
        else:
            length = 1
            rest.append(arguments[at])
        at += length
    return found, rest
