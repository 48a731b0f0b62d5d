"""Drawing without a screen: which OpenGL libraries MuJoCo may use, and loading one only when something is drawn.

MuJoCo loads the library that MUJOCO_GL names while it is itself imported, and where that library is missing the import
fails, although physics never needs one. `import walkies` puts it off until the first picture.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from types import ModuleType
from typing import Any

GL_PACKAGES = "libegl1 libgl1-mesa-dri libopengl0"
"""Debian and Ubuntu packages with which MuJoCo renders without a screen; PyOpenGL loads the last."""
CONTEXTS = "mujoco.rendering.classic.gl_context"
"""MuJoCo's module that loads the library."""


def gl_libraries() -> list[str]:
    """Values of MUJOCO_GL to try, in order: the user's own alone, else what works without a screen here."""
    if chosen := os.environ.get("MUJOCO_GL"):
        return [chosen]
    return ["egl", "osmesa"] if sys.platform == "linux" else ["cgl"]


def advice() -> str:
    """What to do if nothing renders: unset the user's own choice, and install a library."""
    install = f"install one with: sudo apt-get install {GL_PACKAGES} (Debian, Ubuntu)"
    if chosen := os.environ.get("MUJOCO_GL"):
        return f"unset MUJOCO_GL, which is {chosen!r}, so that others are tried; if none works, {install}"
    return install


def postpone() -> None:
    """Until something is drawn, put a module in the place of MuJoCo's that loads nothing; no effect after its import.

    The real one is loaded under whatever MUJOCO_GL is by then, and what it raises is raised then.
    """
    if CONTEXTS not in sys.modules:
        stand_in = ModuleType(CONTEXTS, "Loads MuJoCo's own module when the first context is made.")
        vars(stand_in)["GLContext"] = _make_context
        sys.modules[CONTEXTS] = stand_in


def _make_context(width: int, height: int) -> Any:
    """MuJoCo's own GLContext of this size in pixels."""
    return _contexts().GLContext(width, height)


@cache
def _contexts() -> ModuleType:
    stand_in = sys.modules.pop(CONTEXTS)
    try:
        return importlib.import_module(CONTEXTS)
    finally:
        sys.modules.setdefault(CONTEXTS, stand_in)
