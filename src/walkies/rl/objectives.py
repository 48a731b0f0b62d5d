"""What is minimised: four losses per sample that share one gradient at the policy the samples came from.

ρ = π_θ(a | s) / π_old(a | s). A is the weight of `walkies.rl.advantages`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Terms(NamedTuple):
    """What an objective is made of, per sample (samples,)."""

    log_prob: Array
    """log π_θ(a | s): carries the gradient."""
    old_log_prob: Array
    """log π_old(a | s)."""
    advantage: Array
    kl: Array
    """KL(π_old(· | s) ‖ π_θ(· | s)), nats: carries a gradient too."""


def score(terms: Terms, coefficient: float = 0.0) -> Array:
    """−A log π_θ (samples,): its gradient is the policy gradient (Williams 1992), at the policy that acted only."""
    return -terms.advantage * terms.log_prob


def surrogate(terms: Terms, coefficient: float = 0.0) -> Array:
    """−A ρ (samples,): the mean of A ρ is the new policy's advantage on the old one's states (Schulman et al. 2015)."""
    return -terms.advantage * ratio(terms)


def clipped(terms: Terms, coefficient: float = 0.2) -> Array:
    """−min(A ρ, A clip(ρ, 1 − ε, 1 + ε)) (samples,), ε = coefficient (Schulman et al. 2017, eq. 7)."""
    rho = ratio(terms)
    limited = jnp.clip(rho, 1.0 - coefficient, 1.0 + coefficient)
    return -jnp.minimum(terms.advantage * rho, terms.advantage * limited)


def kl_penalty(terms: Terms, coefficient: float = 1.0) -> Array:
    """−A ρ + β KL (samples,), β = coefficient (Schulman et al. 2017, eq. 8)."""
    return surrogate(terms) + coefficient * terms.kl


def ratio(terms: Terms) -> Array:
    """ρ (samples,)."""
    return jnp.exp(terms.log_prob - terms.old_log_prob)


def outside_clip(terms: Terms, coefficient: float) -> Array:
    """Whether ρ lies outside [1 − ε, 1 + ε], 0 or 1 (samples,), ε = coefficient."""
    return (jnp.abs(ratio(terms) - 1.0) > coefficient).astype(terms.log_prob.dtype)


def value_loss(value: Array, target: Array) -> Array:
    """½ (v − target)² (samples,)."""
    return 0.5 * jnp.square(value - target)


def clipped_value_loss(value: Array, target: Array, old_value: Array, clip: float) -> Array:
    """The larger of the loss of v and of v kept within ± clip of its old value (samples,). Not scale-free."""
    limited = old_value + jnp.clip(value - old_value, -clip, clip)
    return jnp.maximum(value_loss(value, target), value_loss(limited, target))


OBJECTIVES = {"score": score, "surrogate": surrogate, "clipped": clipped, "kl_penalty": kl_penalty}

METRICS: dict[str, dict[str, Callable[[Terms, float], Array]]] = {"clipped": {"clip_fraction": outside_clip}}
"""What an objective alone has to report, as means over samples: of its coefficient it knows the meaning."""
