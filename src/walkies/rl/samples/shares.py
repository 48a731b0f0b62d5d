"""A batch of which each of several processes has a share: means over all of them.

Every process computes gradients on its own share, and all take the step of their mean: data-parallel learning. The mean
of a few numbers is the same in every process, and so the learners stay the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

Tree = TypeVar("Tree")

FEW = 4
"""Shares of which each gets all others whole and takes the mean itself: one round of messages. Gloo's mean takes two
rounds, of parts, which is less to send where there are more shares."""

_axis: ContextVar[str | None] = ContextVar("axis", default=None)


@contextmanager
def apart(axis: str) -> Iterator[None]:
    """What is traced within the block has shares of its batch along this axis of a `jax.shard_map`."""
    before = _axis.set(axis)
    try:
        yield
    finally:
        _axis.reset(before)


def are_apart() -> bool:
    """Whether what is traced now has only a share of its batch."""
    return _axis.get() is not None


def average(tree: Tree) -> Tree:
    """The mean of arrays over all shares, by one exchange; without shares the arrays themselves."""
    if (axis := _axis.get()) is None:
        return tree
    flat, back = ravel_pytree(jax.tree.map(jnp.float32, tree))
    if jax.lax.axis_size(axis) <= FEW:
        mean = jnp.mean(jax.lax.all_gather(flat, axis), axis=0)
    else:
        mean = jax.lax.pmean(flat, axis)
    return jax.tree.map(lambda value, like: value.astype(like.dtype), back(mean), tree)
