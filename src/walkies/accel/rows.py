"""Rows of many arrays at once: taken as a minibatch, or replaced where episodes end.

The native library copies whole rows of all arrays in one call; without it, or elsewhere than on a CPU, the caller's
definition does the same, array by array.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from walkies.accel import library
from walkies.accel.threads import most_threads

Array = jax.Array
T = TypeVar("T")


Taker = Callable[[T], Callable[[Array], T]]
"""tree → (rows (rows,) int32 → those rows of every leaf (samples, …) of it)."""
Select = Callable[[Array, T, T], T]
"""(mask (rows,), tree, other) → rows of `tree` where the mask holds, of `other` elsewhere."""


def faster_taker(definition: Taker) -> Taker:
    """`definition`, by the native library where it fits."""

    def taker(tree: T) -> Callable[[Array], T]:
        if not _native():
            return definition(tree)
        leaves, structure = jax.tree.flatten(tree)

        def take(rows: Array) -> T:
            shapes = [jax.ShapeDtypeStruct((*rows.shape, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
            call = jax.ffi.ffi_call(library.ROWS_TARGET, shapes, vmap_method="sequential")
            return jax.tree.unflatten(structure, call(rows, *leaves, threads=most_threads()))

        return take

    return taker


def faster_select(definition: Select) -> Select:
    """`definition`, by the native library where it fits: then in place, where memory allows."""

    def select(mask: Array, by: T, tree: T) -> T:
        alike = jax.tree.map(
            lambda a, b: a.shape == b.shape and a.shape[:1] == mask.shape and a.dtype == b.dtype, by, tree
        )
        plain = all(isinstance(x.dtype, jnp.dtype) for x in jax.tree.leaves(tree))
        fits = plain and _native() and jax.tree.all(alike)
        return _replace(definition, mask, by, tree) if fits else definition(mask, by, tree)

    return select


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _replace(definition: Select, mask: Array, by: T, tree: T) -> T:
    leaves, structure = jax.tree.flatten(tree)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    here = {1 + len(leaves) + i: i for i in range(len(leaves))}
    call = jax.ffi.ffi_call(library.REPLACE_TARGET, shapes, vmap_method="sequential", input_output_aliases=here)
    return jax.tree.unflatten(structure, call(mask, *jax.tree.leaves(by), *leaves))


@_replace.defjvp
def _derivative(definition: Select, primals: tuple, tangents: tuple) -> tuple:
    mask, by, tree = primals
    # Integers have tangents of their own empty type.
    return definition(mask, by, tree), jax.tree.map(
        lambda a, b: a if a.dtype == jax.dtypes.float0 else definition(mask, a, b), *tangents[1:]
    )


def _native() -> bool:
    return jax.default_backend() == "cpu" and library.available()
