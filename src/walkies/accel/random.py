"""Random numbers of JAX's default generator (threefry, partitionable), drawn on a CPU by one custom call each.

XLA draws them one by one on one core while the other waits, which would cost training more than a tenth of its time.
Here the numbers equal those of the function of the same name in `jax.random` for the same key; the tests compare them.
If the native library does not apply (another generator, double precision, no CPU, no library), `jax.random` itself is
used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from walkies.accel import library
from walkies.accel.threads import most_threads
from walkies.later import Array, jax, jnp

Permutation = Callable[[Array, int], Array]
"""(key, count) → 0 … count − 1 in random order (count,), int32."""

KINDS = {"uniform": 1, "normal": 2}
"""Codes of the custom call."""


def uniform(key: Array, shape: tuple[int, ...], minval: float = 0.0, maxval: float = 1.0) -> Array:
    """Uniform numbers (*shape) in [minval, maxval), as `jax.random.uniform`."""
    if not _fits(key, float):
        return jax.random.uniform(key, shape, minval=minval, maxval=maxval)
    numbers = _numbers("uniform", key, shape)
    if (minval, maxval) == (0.0, 1.0):
        return numbers
    low, high = np.float32(minval), np.float32(maxval)
    return jnp.maximum(low, numbers * (high - low) + low)


def normal(key: Array, shape: tuple[int, ...], dtype: jnp.dtype | type = float) -> Array:
    """Standard normal numbers (*shape), as `jax.random.normal` to 3e-5, and nearer the exact value in the tails."""
    if not _fits(key, dtype):
        return jax.random.normal(key, shape, dtype)
    return _numbers("normal", key, shape)


def faster_permutation(definition: Permutation) -> Permutation:
    """`definition`, one sort of words with random bits above and the index below, by the native library where it fits.

    The same order, bit for bit.
    """

    def chosen(key: Array, count: int) -> Array:
        if not _fits(key, jnp.float32):
            return definition(key, count)
        shape = jax.ShapeDtypeStruct((count,), jnp.int32)
        call = jax.ffi.ffi_call(library.PERMUTATION_TARGET, shape, vmap_method="sequential")
        return call(jax.random.key_data(key), threads=most_threads())

    return chosen


def _fits(key: Array, dtype: jnp.dtype | type) -> bool:
    """Whether the native library draws numbers of this type for such a key."""
    return (
        jax.dtypes.canonicalize_dtype(dtype) == jnp.float32
        and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        and jax.random.key_impl(key) == "threefry2x32"
        and jax.default_backend() == "cpu"
        and library.available()
    )


def _numbers(kind: str, key: Array, shape: tuple[int, ...]) -> Array:
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    call = jax.ffi.ffi_call(library.RANDOM_TARGET, result, vmap_method="sequential")
    return call(jax.random.key_data(key), kind=np.int64(KINDS[kind]), threads=most_threads())
