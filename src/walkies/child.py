"""Python subprocesses of walkies: how they are started, and their environment.

It imports the standard library alone: `walkies.sim.other.newton_child` reads it where walkies is not installed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path


def python(*arguments: str) -> list[str]:
    """The command that starts this Python with `arguments`. It imports nothing from the working folder.

    Without -P a `numpy.py` in that folder would run: with `-c` and `-m` Python looks there first.
    """
    return [sys.executable, "-P", *arguments]


def program(*arguments: str) -> list[str]:
    """The command that starts `walkies` with `arguments` as a child that ends with this process, however that ends."""
    code = f"from walkies import child; child.end_with({os.getpid()}); from walkies.cli import main; main()"
    return python("-c", code, *arguments)


PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2): the signal that a process gets when its parent ends."""


def end_with(parent: int) -> None:
    """Have this process killed once its parent, the process `parent`, is gone. Only Linux can; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before
            os.kill(os.getpid(), signal.SIGKILL)


def environment(**changes: str) -> dict[str, str]:
    """Our environment with `changes`, in which a subprocess finds the running walkies."""
    ours = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # An empty name on this path, left by a colon at its end, means the working folder too.
    found = [str(Path(__file__).parents[1]), *filter(None, ours)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found), **changes}
