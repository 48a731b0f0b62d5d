"""Epochs of minibatches: every sample of a batch once per epoch, in a new random order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from walkies.accel.random import faster_permutation
from walkies.accel.rows import faster_taker
from walkies.rl.objectives import Batch
from walkies.rl.recipes import Recipe
from walkies.rl.sizes import minibatch_size

Array = jax.Array


def epochs(
    update: Callable[[Any, Batch], tuple[Any, Any]], carry: Any, batch: Batch, key: Array, recipe: Recipe
) -> Any:
    """Apply `update` to every minibatch of every epoch; metrics come back as (epochs, minibatches).

    Each epoch has a new permutation and sees each sample exactly once.
    """
    take = taker(batch)
    return over_rows(lambda carry, rows: update(carry, take(rows)), carry, orders(key, batch.mask.shape[0], recipe))


def over_rows(update: Callable[[Any, Array], tuple[Any, Any]], carry: Any, orders: Array) -> Any:
    """Apply `update` to every row (size,) of `orders` (epochs, minibatches, size)."""
    return jax.lax.scan(lambda carry, order: jax.lax.scan(update, carry, order), carry, orders)


def taker(batch: Batch) -> Callable[[Array], Batch]:
    """Gives the samples of some rows (size,) of a batch."""
    return faster_taker(lambda batch: lambda rows: jax.tree.map(lambda leaf: leaf[rows], batch))(batch)


def orders(key: Array, count: int, recipe: Recipe) -> Array:
    """Sample indices of each minibatch (epochs, minibatches, size), int32: all `count` of them in each epoch."""
    shape = (recipe.minibatches, minibatch_size(recipe, count))
    draw = lambda key: faster_permutation(permutation)(key, count).reshape(shape)  # noqa: E731
    return jax.lax.map(draw, jax.random.split(key, recipe.epochs))


def permutation(key: Array, count: int) -> Array:
    """0 … count − 1 in random order (count,), int32.

    One sort of words, random bits above and the index below (`jax.random.permutation` sorts pairs twice).
    """
    width = (count - 1).bit_length()
    words = (jax.random.bits(key, (count,), jnp.uint32) >> width << width) | jnp.arange(count, dtype=jnp.uint32)
    return (jnp.sort(words) & ((1 << width) - 1)).astype(jnp.int32)
