"""A training state on its way between processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def packed(state: Any) -> list[np.ndarray]:
    """The leaves as NumPy arrays, random keys as their data."""
    return [np.asarray(_data(leaf)) for leaf in jax.tree.leaves(state)]


def share(state: Any) -> list[np.ndarray | None]:
    """What this process alone has of a state that lies on several, and the first of them for all: the leaves, of those
    that are divided the own rows, and None for what the first process gives."""
    first = jax.process_index() == 0

    def own(leaf: Any) -> np.ndarray | None:
        if leaf.is_fully_replicated:
            return np.asarray(leaf) if first else None
        return np.asarray(leaf.addressable_shards[0].data)

    return [own(_data(leaf)) for leaf in jax.tree.leaves(state)]


def together(shares: Sequence[list[np.ndarray | None]]) -> list[np.ndarray]:
    """The leaves of the whole state from the `share` of every process, in their order."""

    def whole(first: Any, *others: Any) -> np.ndarray:
        return first if not others or others[0] is None else np.concatenate([first, *others])

    return [whole(*parts) for parts in zip(*shares, strict=True)]


def unpacked(leaves: Sequence[np.ndarray], like: Any) -> Any:
    """The state with the structure of `like` (arrays or ShapeDtypeStructs)."""
    there, structure = jax.tree.flatten(like)
    whole = [
        jax.random.wrap_key_data(jnp.asarray(leaf)) if _is_key(one) else np.array(leaf)
        for leaf, one in zip(leaves, there, strict=True)
    ]
    assert [leaf.dtype for leaf in whole] == [leaf.dtype for leaf in there]
    return jax.tree.unflatten(structure, whole)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
