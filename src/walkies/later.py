"""Libraries that take long to import, imported when they are first used: `from walkies.later import jax, jnp, mujoco`.

A command's help, and the answer to a mistyped flag, need its flags and nothing else. What is imported on the way to
them takes these libraries from here and uses them within functions only; `tests/cli/test_quick.py` holds it to that.
Python 3.15 has this as `lazy import` (PEP 810).
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax as jax
    import jax.numpy as jnp
    import mujoco as mujoco
    import mujoco.batch
    from jax import Array as Array


class Later(ModuleType):
    """A module that is imported when one of its names is first asked for.

    Args:
        name: of the module.
        parts: modules inside it to import with it.
    """

    def __init__(self, name: str, *parts: str) -> None:
        super().__init__(name)
        self.__dict__["_parts"] = parts

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__.get("_module")
        if module is None:
            module = importlib.import_module(self.__name__)
            for part in self._parts:
                importlib.import_module(f"{self.__name__}.{part}")
            self.__dict__["_module"] = module
        return getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} would be set where nobody looks for it; import {self.__name__} itself to set it")


if not TYPE_CHECKING:
    jax, jnp, mujoco = Later("jax"), Later("jax.numpy"), Later("mujoco", "batch")
    Array = Any  # for annotations, which nobody evaluates
