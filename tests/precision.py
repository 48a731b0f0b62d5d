"""JAX's 64-bit mode for a test, in every thread.

`jax.enable_x64(True)` speaks for the thread that calls it; a callback (MuJoCo's simulator) may run in another one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
