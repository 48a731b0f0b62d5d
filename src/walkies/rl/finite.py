"""Numbers that are not finite: seen, and named, before anything is made of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def everywhere(tree: Any) -> Array:
    """Whether all numbers of a PyTree are finite: () bool, compilable."""
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if _has_fractions(leaf)]))


def which(tree: Any) -> list[str]:
    """The leaves of a PyTree that hold a number which is not finite, by their paths, such as `policy.layers.0.1`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, leaf in leaves
        if _has_fractions(leaf) and not jnp.all(jnp.isfinite(leaf))
    ]


def _has_fractions(leaf: Any) -> bool:
    """Whether it holds numbers that could be other than finite; whole numbers, bools and random keys could not."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
