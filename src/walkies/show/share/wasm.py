"""The engine for browsers: a file of the package, which a checkout builds from `native/` when it is first needed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from walkies import child
from walkies.errors import UserError
from walkies.terminal import say

ENGINE = Path(__file__).with_name("engine.wasm")
NATIVE = Path(__file__).resolve().parents[4] / "native"
"""The engine's source, where this is a checkout."""
BUILD = Path("wasm") / "build.py"
"""Builds it; within NATIVE."""


def engine_wasm(engine: Path = ENGINE, native: Path = NATIVE) -> bytes:
    """The engine's code. In a checkout it is built where it is missing or older than its source.

    Raises:
        UserError: it is missing, and cannot be built here.
    """
    if is_current(engine, native):
        return engine.read_bytes()
    build = native / BUILD
    if not build.is_file():
        raise UserError(
            f"the engine for browsers is not in this installation of walkies; expected {engine}. Install walkies from "
            "a wheel (`make wheel` builds one), or run it from a checkout"
        )
    if importlib.util.find_spec("ziglang") is None:
        raise UserError(
            f"the engine for browsers must be built, and its compiler is missing; expected the Python package ziglang: "
            f"pip install -c constraints.txt ziglang, in {native.parent}"
        )
    say("Building the engine for browsers, once; it takes a minute or two …", sys.stderr)
    done = subprocess.run(child.python(str(build), str(engine)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"the engine for browsers was not built ({build}): {done.stderr.strip()[-500:]}")
    return engine.read_bytes()


def is_current(engine: Path, native: Path) -> bool:
    """Whether it is there, and no file of its source has changed since."""
    if not engine.is_file():
        return False
    sources = [path for folder in ("common", "engine", "wasm") for path in (native / folder).glob("*")]
    return all(path.stat().st_mtime <= engine.stat().st_mtime for path in sources)
