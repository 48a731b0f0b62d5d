"""Python subprocesses of walkies: how they are started, and their environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import walkies


def python(*arguments: str) -> list[str]:
    """The command that starts this Python with `arguments`. It imports nothing from the working folder.

    Without -P a `numpy.py` in that folder would run: with `-c` and `-m` Python looks there first.
    """
    return [sys.executable, "-P", *arguments]


def environment(**changes: str) -> dict[str, str]:
    """Our environment with `changes`, in which a subprocess finds the running walkies."""
    ours = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # An empty name on this path, left by a colon at its end, means the working folder too.
    found = [str(Path(walkies.__file__).parents[1]), *filter(None, ours)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found), **changes}
