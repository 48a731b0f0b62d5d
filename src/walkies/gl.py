"""Rendering without a screen: which OpenGL libraries MuJoCo may use, and which packages bring them. Imports nothing."""

from __future__ import annotations

import os
import sys

GL_PACKAGES = "libegl1 libgl1-mesa-dri"
"""Debian and Ubuntu packages with which MuJoCo renders without a screen."""


def gl_libraries() -> list[str]:
    """Values of MUJOCO_GL to try, in order: the user's own alone, else what works without a screen here."""
    if chosen := os.environ.get("MUJOCO_GL"):
        return [chosen]
    return ["egl", "osmesa"] if sys.platform == "linux" else ["cgl"]
