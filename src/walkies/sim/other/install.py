"""Engines that may not be installed."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from typing import Any

from walkies.errors import UserError

PACKAGES = {"mjx": "mujoco.mjx", "bullet": "pybullet", "dart": "dartpy"}
"""Simulator → the package that it needs besides walkies, which an extra of the simulator's name installs."""


def installs(name: str) -> str:
    """The command that installs what the simulator `name` needs."""
    return f"{sys.executable} -m pip install 'walkies[{name}]'"


def is_installed(name: str) -> bool:
    """Whether what the simulator `name` needs is there; nothing is imported but the packages around it."""
    if (package := PACKAGES.get(name)) is None:
        return True
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def needed(name: str) -> Any:
    """Import the package of the simulator `name`.

    Raises:
        UserError: it is not installed; the message has the command that installs it.
    """
    package = PACKAGES[name]
    try:
        # MJX prints that it has no Warp, which nobody asked for.
        with contextlib.redirect_stdout(None):
            return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"the simulator {name!r} needs the package {package}, which is not installed ({error}); install it with: "
            f"{installs(name)}"
        ) from error
