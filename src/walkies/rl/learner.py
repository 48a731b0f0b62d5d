"""All that learning changes — parameters, Adam's state, step sizes — and the Adam step that changes it.

Policy and value function share no parameters, so each has its own gradient, norm limit and Adam: a long gradient of the
value function never shortens a step of the policy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from walkies.accel import adam as faster
from walkies.rl import networks
from walkies.rl.policy import PolicyParams
from walkies.rl.recipes import Recipe

Array = jax.Array


class Params(NamedTuple):
    """θ and φ. critic: empty without a value function."""

    policy: PolicyParams
    critic: networks.Layers


class Learner(NamedTuple):
    """All that learning changes."""

    params: Params
    moments: Params
    """Adam's state, for each of the two."""
    learning_rate: Array
    """() of the policy."""
    critic_learning_rate: Array
    """()"""
    stopped: Array
    """() bool: the KL stop has ended this iteration's policy steps."""


def init_learner(recipe: Recipe, params: Params) -> Learner:
    """A learner that has not learned."""
    dtype = params.policy.log_std.dtype
    return Learner(
        params,
        Params(start(recipe, params.policy), start(recipe, params.critic)),
        jnp.asarray(recipe.learning_rate, dtype),
        jnp.asarray(recipe.critic_learning_rate, dtype),
        jnp.asarray(False),
    )


def start(recipe: Recipe, params: Any) -> Any:
    """Adam's state before its first step, for any PyTree of parameters."""
    return _optimizer(recipe).init(params)


def adam(recipe: Recipe, gradient: Any, params: Any, moments: Any, rate: Array) -> tuple[Any, Any]:
    """One Adam step of size `rate` (Kingma & Ba 2015) on the norm-limited gradient: new parameters and state."""
    if faster.fits(gradient, params):
        return faster.step(gradient, params, moments, rate, recipe.max_grad_norm, recipe.adam_epsilon)
    direction, moments = _optimizer(recipe).update(gradient, moments)
    return jax.tree.map(lambda p, d: p - rate * d, params, direction), moments


def _optimizer(recipe: Recipe) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(recipe.max_grad_norm),
        optax.scale_by_adam(*faster.DECAY, eps=recipe.adam_epsilon),
    )
