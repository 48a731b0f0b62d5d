"""Engines that may not be installed."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from walkies.errors import UserError

PACKAGES = {"mjx": "mujoco.mjx", "bullet": "pybullet", "dart": "dartpy"}
"""Simulator → the package that it needs besides walkies, which an extra of the simulator's name installs."""

NEWTON = "WALKIES_NEWTON"
"""Environment variable: the Python of the environment that has Newton; without it the one in `newton_folder`."""
NEWTON_PACKAGES = ("newton==1.8.0", "mujoco==3.17.0", "mujoco-warp==3.17.0")
"""What is in that environment: it cannot be in walkies' own, beside MuJoCo 4."""


def installs(name: str) -> str:
    """The command that installs what the simulator `name` needs."""
    if name == "newton":
        folder = newton_folder()
        pip = f"{folder / 'bin' / 'python'} -m pip install {' '.join(NEWTON_PACKAGES)}"
        return f"{sys.executable} -m venv {folder} && {pip}"
    return f"{sys.executable} -m pip install 'walkies[{name}]'"


def is_installed(name: str) -> bool:
    """Whether what the simulator `name` needs is there; nothing is imported but the packages around it."""
    if name == "newton":
        return _has_newton(_newton_path())
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


def newton_folder() -> Path:
    """Where Newton's environment is unless NEWTON says otherwise: a folder of the user's data."""
    # A relative path is to be ignored (XDG Base Directory Specification).
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "share") / "walkies" / "newton"


def newton_python() -> Path:
    """The Python that has Newton.

    Raises:
        UserError: there is none; the message has the command that installs it.
    """
    python = _newton_path()
    if not _has_newton(python):
        named = f"{NEWTON} names {python}, which is" if os.environ.get(NEWTON) else f"{python} is"
        unset = f"unset {NEWTON} and " if os.environ.get(NEWTON) else ""
        raise UserError(
            f"the simulator 'newton' needs an environment of its own, and {named} no Python with Newton; "
            f"{unset}install it with: {installs('newton')}"
        )
    return python


def _newton_path() -> Path:
    return Path(os.environ.get(NEWTON) or newton_folder() / "bin" / "python")


@functools.cache
def _has_newton(python: Path) -> bool:
    """Whether a Python finds Newton and its solver; nothing of them is imported."""
    code = "import importlib.util as u; raise SystemExit(not (u.find_spec('newton') and u.find_spec('mujoco_warp')))"
    try:
        done = subprocess.run([str(python), "-I", "-c", code], stdin=subprocess.DEVNULL, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0
