"""`walkies doctor`: check whether this machine has what walkies needs, and if not, say what to do."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Literal, NamedTuple

from walkies.accel.cpu import available_cores, foreign_jax_settings, overruled
from walkies.errors import UserError
from walkies.show.rendering.gl import advice, gl_libraries
from walkies.terminal import console, say

JAX_VERSION = "0.10.1"
"""The only version of jax and jaxlib that walkies runs on: the next one computes wrong sums on CPUs."""
JAX_ROWS = 32769
"""Rows of a batch on which jax 0.10.2 computes wrong sums (8192 or 65537 rows are correct)."""
MIN_DISK = 1.0
"""GB: more than enough for a run with its checkpoints, curves and video, and for the compiled programs."""
MIN_PYTHON = (3, 11)
GL_TIMEOUT = 60
"""s that the first picture may take; a driver that hangs counts as missing."""

Status = Literal["ok", "note", "problem"]


class Finding(NamedTuple):
    """What one check found."""

    status: Status
    found: str
    advice: str = ""
    """What to do; empty if nothing needs to be done."""


def command(json: bool = False) -> int:
    """Check that this machine has what walkies needs: Python, JAX, the engine, a compiler, graphics, ffmpeg, disk.

    Prints a line for each check, and what to do about each failure. The exit status is 1 if anything is missing.

    Args:
        json: print one JSON object with all checks instead of a table.
    """
    results = {name: examine(check) for name, check in CHECKS.items()}
    problems = sum(result.status == "problem" for result in results.values())
    if json:
        say(dumps({name: result._asdict() for name, result in results.items()}, ensure_ascii=False, indent=2))
    else:
        _print(results, problems)
    return int(problems > 0)


def _print(results: dict[str, Finding], problems: int) -> None:
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "note": "yellow", "problem": "red"}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for whole in (True, True, False):  # the name and the status; what was found may be a long path
        table.add_column(no_wrap=whole, overflow="fold")
    for name, result in results.items():
        table.add_row(name, Text(result.status, colours[result.status]), result.found)
        if result.advice:
            table.add_row("", "", Text(result.advice, "bold"))
    out = console()
    out.print(table)
    out.print("All checks passed." if not problems else f"{problems} to fix.")


def examine(check: Callable[[], Finding]) -> Finding:
    """The result of a check; a check that raises is reported as a problem, not a crash."""
    try:
        return check()
    except UserError as error:
        return Finding("problem", str(error))
    except Exception as error:
        return Finding("problem", f"{type(error).__name__}: {error}", "Install walkies again: make clean && make setup")


def python() -> Finding:
    """Is Python new enough?"""
    found = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info < MIN_PYTHON:
        return Finding("problem", found, f"Install Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer.")
    return Finding("ok", found)


def cores() -> Finding:
    """How many cores can training use?"""
    allowed = available_cores()
    if allowed < 2:
        return Finding("note", "1 core", "Training takes about twice as long as on two cores; nothing else changes.")
    return Finding("ok", f"{allowed} cores")


def jax_settings() -> Finding:
    """Does the environment let JAX compute on the CPU in float32?"""
    foreign = overruled | foreign_jax_settings()
    if not foreign:
        return Finding("ok", "no variable asks for another device than the CPU, or for another type than float32")
    said = " ".join(f"{name}={value}" for name, value in foreign.items())
    found = f"{said}: commands of walkies compute on the CPU in float32 all the same, your own programs will not"
    return Finding("problem", found, f"unset {' '.join(foreign)}")


def jax_version() -> Finding:
    """Are jax and jaxlib the versions that the engine was built for?"""
    import jax
    import jaxlib

    found = f"jax {jax.__version__}, jaxlib {jaxlib.__version__}"
    if {jax.__version__, jaxlib.__version__} != {JAX_VERSION}:
        install = f"{sys.executable} -m pip install jax=={JAX_VERSION} jaxlib=={JAX_VERSION}"
        return Finding("problem", f"{found}, expected {JAX_VERSION} of both", install)
    return Finding("ok", f"{found}, on {jax.default_backend()}")


def jax_sums() -> Finding:
    """Does a compiled sum over a batch equal the exact one? (It does not in jax 0.10.2.)"""
    wrong = wrong_sums()
    if wrong:
        found = f"{wrong} of {JAX_ROWS} compiled sums are wrong: do not trust anything trained with this jax"
        return Finding("problem", found, f"{sys.executable} -m pip install jax=={JAX_VERSION} jaxlib=={JAX_VERSION}")
    return Finding("ok", f"{JAX_ROWS} compiled sums are exact")


def wrong_sums() -> int:
    """How many rows of `jit(vmap(r ↦ Σ (I₃ r)²))` differ from i², for rows (i, 0, 0) in float32."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    identity = jnp.eye(3, dtype=jnp.float32)
    first = np.arange(JAX_ROWS, dtype=np.float32)
    rows = np.stack([first, np.zeros_like(first), np.zeros_like(first)], axis=1)
    compiled = jax.jit(jax.vmap(lambda row: jnp.sum((identity @ row) ** 2)))(rows)
    return int((np.asarray(compiled) != first**2).sum())


def engine() -> Finding:
    """Does the native engine load, and for which instruction set?"""
    from walkies.accel.library import SWITCH, isa, lanes, network_isa, switched_on

    found = f"{isa()}, {lanes()} robots per instruction; networks by {network_isa()}"
    if not switched_on():
        advice = f"Training is slower than it could be: {SWITCH}=0 leaves all but the simulator to JAX. unset {SWITCH}"
        return Finding("note", found, advice)
    if isa() == "baseline" and platform.machine() in ("x86_64", "AMD64"):
        advice = "This CPU lacks AVX2 (or WALKIES_ISA forbids it): the engine is 2 to 4 times slower than it could be."
        return Finding("note", found, advice)
    return Finding("ok", found)


def compiler() -> Finding:
    """Is there a C++ compiler to rebuild the engine with?"""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and (path := shutil.which(name)):
            return Finding("ok", path)
    if importlib.util.find_spec("ziglang"):
        return Finding("ok", "Clang of the ziglang package")
    advice = f"Only needed to build the engine from source. Install one, or: {sys.executable} -m pip install ziglang"
    return Finding("note", "no C++ compiler", advice)


def physics() -> Finding:
    """Does the robot stand in MuJoCo?"""
    import mujoco

    from walkies.robots import DEFAULT, get_robot, load_model

    robot = get_robot(DEFAULT)
    model = load_model(robot, visuals=False)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_step(model, data, 250)
    found = f"MuJoCo {mujoco.__version__}, {robot.name} stands at {data.qpos[2]:.3f} m"
    if abs(data.qpos[2] - robot.standing_height) > 0.003:
        advice = f"It should stand at {robot.standing_height} m. Install walkies again: make clean && make setup"
        return Finding("problem", found, advice)
    return Finding("ok", found)


BALL = """<mujoco><visual><global offwidth="32" offheight="32"/></visual>
<worldbody><light pos="0 0 3"/><geom size="1"/></worldbody></mujoco>"""


def graphics() -> Finding:
    """Can MuJoCo render without a screen?"""
    import mujoco
    import numpy as np

    from walkies.show.rendering.camera import Camera, View

    try:
        with Camera(mujoco.MjModel.from_xml_string(BALL), (32, 32), GL_TIMEOUT) as camera:
            [picture] = camera.pictures([(np.zeros(0), View(distance=5.0))])
    except UserError:
        found = f"no GL library draws here (tried {', '.join(gl_libraries())})"
        return Finding("note", found, f"Training works without; videos need one: {advice()}")
    if not picture.any():
        return Finding("note", f"{camera.library} draws, but all in black", "Videos would be black: update its driver.")
    return Finding("ok", f"MuJoCo draws with {camera.library}")


def ffmpeg() -> Finding:
    """Is ffmpeg available to write videos?"""
    import imageio_ffmpeg

    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        advice = f"Videos need it: {sys.executable} -m pip install --force-reinstall imageio-ffmpeg"
        return Finding("note", "no ffmpeg", advice)
    return Finding("ok", f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()} ({Path(path).name})")


def disk() -> Finding:
    """Is there enough disk space for a run?"""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    found = f"{free:.1f} GB free in {Path.cwd()}"
    if free < MIN_DISK:
        return Finding("problem", found, f"A run needs about {MIN_DISK:g} GB: make room, or give --out another disk.")
    return Finding("ok", found)


CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": python,
    "CPU": cores,
    "JAX's settings": jax_settings,
    "JAX": jax_version,
    "JAX's sums": jax_sums,
    "native engine": engine,
    "C++ compiler": compiler,
    "MuJoCo": physics,
    "graphics": graphics,
    "ffmpeg": ffmpeg,
    "disk": disk,
}
