"""Adam with global-norm gradient clipping."""

from __future__ import annotations

from typing import Any

import jax
import optax

from walkies.accel import adam as native
from walkies.rl.recipes import Recipe

Array = jax.Array

DECAY = (0.9, 0.999)
"""Adam's β₁ and β₂ (Kingma & Ba 2015)."""


def start(recipe: Recipe, params: Any) -> Any:
    """Adam's state before its first step, for any PyTree of parameters."""
    return _optimizer(recipe).init(params)


def adam(recipe: Recipe, gradient: Any, params: Any, moments: Any, rate: Array) -> tuple[Any, Any]:
    """New parameters and state: global-norm gradient clipping, then one Adam step of size `rate` (Kingma & Ba 2015)."""

    def step(gradient: Any, params: Any, moments: Any, rate: Array) -> tuple[Any, Any]:
        direction, moments = _optimizer(recipe).update(gradient, moments)
        return jax.tree.map(lambda p, d: p - rate * d, params, direction), moments

    return native.faster(step, recipe.max_grad_norm, DECAY, recipe.adam_epsilon)(gradient, params, moments, rate)


def _optimizer(recipe: Recipe) -> optax.GradientTransformation:
    clip = optax.clip_by_global_norm(recipe.max_grad_norm)
    return optax.chain(clip, optax.scale_by_adam(*DECAY, eps=recipe.adam_epsilon))
