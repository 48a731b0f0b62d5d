"""Rows of many arrays at once: taken as a minibatch, or replaced where episodes end.

The native library copies whole rows of all arrays in one call; without it, or elsewhere than on a CPU, XLA does the
same array by array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from walkies.accel import library
from walkies.mdp import select

Array = jax.Array
T = TypeVar("T")


def taker(tree: T) -> Callable[[Array], T]:
    """A function from rows (rows,) int32 to those rows of every leaf (samples, …) of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    if _native():

        def take(rows: Array) -> T:
            shapes = [jax.ShapeDtypeStruct((*rows.shape, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
            call = jax.ffi.ffi_call(library.ROWS_TARGET, shapes, vmap_method="sequential")
            return jax.tree.unflatten(structure, call(rows, *leaves))

        return take
    return lambda rows: jax.tree.map(lambda leaf: leaf[rows], tree)


def replace(mask: Array, by: T, tree: T) -> T:
    """`tree` with the rows of `by` where `mask` (rows,) holds: `walkies.mdp.select`, in place where memory allows."""
    alike = jax.tree.map(lambda a, b: a.shape == b.shape and a.shape[:1] == mask.shape and a.dtype == b.dtype, by, tree)
    plain = all(isinstance(x.dtype, jnp.dtype) for x in jax.tree.leaves(tree))
    return _replace(mask, by, tree) if plain and _native() and jax.tree.all(alike) else select(mask, by, tree)


@jax.custom_jvp
def _replace(mask: Array, by: T, tree: T) -> T:
    leaves, structure = jax.tree.flatten(tree)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    here = {1 + len(leaves) + i: i for i in range(len(leaves))}
    call = jax.ffi.ffi_call(library.REPLACE_TARGET, shapes, vmap_method="sequential", input_output_aliases=here)
    return jax.tree.unflatten(structure, call(mask, *jax.tree.leaves(by), *leaves))


@_replace.defjvp
def _derivative(primals: tuple, tangents: tuple) -> tuple:
    mask, by, tree = primals
    # Integers have tangents of their own empty type.
    return select(mask, by, tree), jax.tree.map(
        lambda a, b: a if a.dtype == jax.dtypes.float0 else select(mask, a, b), *tangents[1:]
    )


def _native() -> bool:
    return jax.default_backend() == "cpu" and library.available()
