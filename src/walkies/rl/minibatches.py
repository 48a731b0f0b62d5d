"""Epochs of minibatches: each sample once per epoch, in a new order each time; and how the value function learns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from walkies.accel import random
from walkies.accel.rows import taker
from walkies.rl.batch import Batch
from walkies.rl.learner import Learner, adam
from walkies.rl.losses import critic_loss
from walkies.rl.recipes import Recipe
from walkies.rl.sizes import minibatch_size

Array = jax.Array


def epochs(
    update: Callable[[Any, Batch], tuple[Any, Any]], carry: Any, batch: Batch, key: Array, recipe: Recipe
) -> Any:
    """Apply `update` to every minibatch of every epoch; metrics come back as (epochs, minibatches).

    Each epoch has a new permutation and sees each sample exactly once.
    """
    take, count = taker(batch), batch.mask.shape[0]
    size = minibatch_size(recipe, count)

    def epoch(carry: Any, key: Array) -> tuple[Any, Any]:
        order = random.permutation(key, count).reshape(recipe.minibatches, size)
        return jax.lax.scan(lambda carry, part: update(carry, take(part)), carry, order)

    return jax.lax.scan(epoch, carry, jax.random.split(key, recipe.epochs))


def fit_critic(recipe: Recipe, learner: Learner, batch: Batch, key: Array) -> tuple[Learner, dict[str, Array]]:
    """Epochs of minibatches for the value function alone, for steps that move the policy once."""
    if not learner.params.critic:
        return learner, {}

    def update(carry: tuple, part: Batch) -> tuple[tuple, Array]:
        params, moments = carry
        loss, gradient = jax.value_and_grad(partial(critic_loss, recipe))(params, part)
        return adam(recipe, gradient, params, moments, learner.critic_learning_rate), loss

    before = (learner.params.critic, learner.moments.critic)
    (critic, moments), losses = epochs(update, before, batch, key, recipe)
    learner = learner._replace(
        params=learner.params._replace(critic=critic), moments=learner.moments._replace(critic=moments)
    )
    return learner, {"value_loss": jnp.mean(losses)}
