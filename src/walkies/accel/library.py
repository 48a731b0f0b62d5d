"""The native shared library: found, loaded, and registered with XLA as custom calls."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import numpy as np

from walkies.errors import UserError
from walkies.later import jax

LIBRARY = "libwalkies_native.so"

EDITION = 3
"""Of what custom calls take and give: the number that the library of this code gives (`walkies_edition`)."""

TARGETS = {"float32": "walkies_terrain_physics_float32", "float64": "walkies_terrain_physics_float64"}
"""Name of the custom call that steps physics, in each precision; also the library's symbol."""

NETWORK_TARGETS = ("walkies_network_forward", "walkies_network_backward")
"""Custom calls of neural networks; also the library's symbols."""

NETWORK_ISA = "walkies_network_isa"
"""The library's function that names what multiplies the networks' matrices."""

ROWS_TARGET, REPLACE_TARGET = "walkies_rows", "walkies_replace_rows"
"""Custom calls that take rows of several arrays, and that replace some; also the library's symbols."""

RANDOM_TARGET = "walkies_random"
"""Custom call that draws random numbers; also the library's symbol."""

PERMUTATION_TARGET = "walkies_permutation"
"""Custom call that draws a random order; also the library's symbol."""

ADAM_TARGET = "walkies_adam"
"""Custom call of Adam's step; also the library's symbol."""

PPO_TARGET = "walkies_ppo"
"""Custom call of all minibatches of PPO's update, or of the gradient of one; also the library's symbol."""

SWITCH = "WALKIES_ACCEL"
"""Environment variable: 0 computes everything but the native simulator by its definition in JAX."""
SETTINGS = {"": True, "1": True, "0": False}
"""Its values."""


def _candidates() -> list[Path]:
    """Where the library may lie, best first."""
    named = os.environ.get("WALKIES_NATIVE_LIB")
    if named:
        return [Path(named)]
    # In a wheel it lies in the package; in an editable install, under the same name in the environment's own folder.
    import walkies

    folders = [*(Path(folder) / "accel" for folder in walkies.__path__), *_installed()]
    return [folder / LIBRARY for folder in dict.fromkeys(folders)]


def _installed() -> list[Path]:
    """Folders of the environment into which an editable install puts compiled parts."""
    import site
    import sysconfig

    roots = [sysconfig.get_path("platlib"), *site.getsitepackages()]
    return [Path(root) / "walkies" / "accel" for root in dict.fromkeys(roots)]


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library, its custom calls registered.

    Raises:
        UserError: it was not found or does not load, or `WALKIES_ISA` names an instruction set that is unknown or that
            this processor lacks.
    """
    candidates = _candidates()
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise UserError(
            "the native engine's library was not found at "
            + " or ".join(str(path) for path in candidates)
            + "; build it with `pip install -e .` in the project's folder, or use the simulator 'mujoco'"
        )
    try:
        loaded = ctypes.CDLL(str(found))
    except OSError as error:
        raise UserError(
            f"the native engine's library {found} does not load ({error}); build it again with `pip install -e .`"
        ) from error
    if (edition := loaded.walkies_edition() if hasattr(loaded, "walkies_edition") else 1) != EDITION:
        raise UserError(
            f"the native engine's library {found} does not fit this code (its custom calls are of edition {edition}, "
            f"and this is {EDITION}); build it again with `pip install -e .`"
        )
    loaded.walkies_isa.restype = ctypes.c_char_p
    isa = loaded.walkies_isa().decode()
    if isa.startswith("error: "):
        raise UserError(isa.removeprefix("error: "))
    more = (ROWS_TARGET, REPLACE_TARGET, RANDOM_TARGET, PERMUTATION_TARGET, ADAM_TARGET, PPO_TARGET)
    targets = (*TARGETS.values(), *NETWORK_TARGETS, *more)
    if missing := [name for name in (*targets, NETWORK_ISA) if not hasattr(loaded, name)]:
        raise UserError(
            f"the native engine's library {found} is older than this code (it has no {', '.join(missing)}); build it "
            "again with `pip install -e .`"
        )
    getattr(loaded, NETWORK_ISA).restype = ctypes.c_char_p
    for target in targets:
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(loaded, target)), platform="cpu")
    return loaded


@functools.cache
def available() -> bool:
    """Whether the library may replace definitions: it is installed, runs on this processor, and SWITCH allows it.

    Raises:
        UserError: SWITCH has another value than those in SETTINGS.
    """
    if not switched_on():
        return False
    try:
        library()
    except UserError:
        return False
    return True


def switched_on() -> bool:
    """What SWITCH says.

    Raises:
        UserError: another value than those in SETTINGS.
    """
    value = os.environ.get(SWITCH, "")
    if value not in SETTINGS:
        raise UserError(f"{SWITCH} is {value!r}; expected 0 or 1")
    return SETTINGS[value]


def isa() -> str:
    """The instruction set that the engine uses here: `avx512`, `avx2` or `baseline`."""
    return library().walkies_isa().decode()


def network_isa() -> str:
    """The instructions for matrix products of networks: `amx`, the matrix tiles of newer x86 servers, or as `isa`.

    Tiles multiply numbers with eight-bit mantissas; three products of split numbers give results accurate to 1e-5 of
    the largest instead of 1e-6. Setting `WALKIES_ISA` turns them off, whatever its value.
    """
    return getattr(library(), NETWORK_ISA)().decode()


def lanes() -> int:
    """Robots per vector in float32."""
    return int(library().walkies_lanes())


def constants_attribute(constants: np.ndarray) -> np.ndarray:
    """Model constants in the form in which a custom call takes them."""
    return np.ascontiguousarray(constants, dtype=np.float64)
