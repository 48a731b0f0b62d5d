"""A training state on its way between processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def packed(state: Any) -> list[np.ndarray]:
    """The leaves as NumPy arrays, random keys as their data."""
    return [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in jax.tree.leaves(state)]


def unpacked(leaves: Sequence[np.ndarray], like: Any) -> Any:
    """The state with the structure of `like` (arrays or ShapeDtypeStructs)."""
    there, structure = jax.tree.flatten(like)
    whole = [
        jax.random.wrap_key_data(jnp.asarray(leaf)) if _is_key(one) else np.array(leaf)
        for leaf, one in zip(leaves, there, strict=True)
    ]
    assert [leaf.dtype for leaf in whole] == [leaf.dtype for leaf in there]
    return jax.tree.unflatten(structure, whole)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
