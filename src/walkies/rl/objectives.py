"""Objectives: four policy losses with the same gradient at the policy that acted, and the value loss.

ρ = π_θ(a | s) / π_old(a | s). A is the advantage estimate of `walkies.rl.advantages`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies.rl import networks
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.recipes import Recipe

Array = jax.Array


class Batch(NamedTuple):
    """Samples to learn from, (samples, …). Observations are normalized."""

    policy_observation: Any
    critic_observation: Any
    mirrored_observation: Any
    """Policy observation of the mirrored state; None unless the symmetry loss needs it."""
    sample: Array
    dist_params: Array
    """Parameters of the acting distribution: `policy.dist_params` under π_old."""
    log_prob: Array
    """log π_old(a | s)."""
    advantage: Array
    target: Array
    """Value target."""
    value: Array
    """V_old."""
    mask: Array
    """1 for samples that count, 0 for those after the end of a whole episode."""
    action_mask: Array | None = None
    """(samples, n) of `mdp.Observation`."""


class Terms(NamedTuple):
    """Ingredients of an objective, per sample (samples,)."""

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


OBJECTIVES = {"score": score, "surrogate": surrogate, "clipped": clipped, "kl_penalty": kl_penalty}

METRICS: dict[str, dict[str, Callable[[Terms, float], Array]]] = {"clipped": {"clip_fraction": outside_clip}}
"""Metrics of one objective only, as means over samples: it knows the meaning of its coefficient."""


def policy_loss(
    recipe: Recipe, policy: Policy, old: PolicyParams, params: PolicyParams, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """The objective's mean () over a batch whose samples were drawn under `old`, and its metrics."""
    distribution = policy.apply(params, batch.policy_observation, batch.action_mask)
    kl = policy.distribution(old, batch.dist_params).kl(distribution)
    terms = Terms(distribution.log_prob(batch.sample), batch.log_prob, batch.advantage, kl)
    loss = masked_mean(OBJECTIVES[recipe.objective](terms, recipe.objective_coefficient), batch.mask)
    entropy = masked_mean(distribution.entropy(), batch.mask)
    if recipe.entropy_coefficient:
        loss = loss - recipe.entropy_coefficient * entropy
    if batch.mirrored_observation is not None:
        loss = loss + recipe.symmetry_coefficient * _asymmetry(policy, params, batch.mirrored_observation, batch)
    own = {
        name: masked_mean(metric(terms, recipe.objective_coefficient), batch.mask)
        for name, metric in METRICS.get(recipe.objective, {}).items()
    }
    return loss, {"policy_loss": loss, "kl": masked_mean(kl, batch.mask), "entropy": entropy} | own


def _asymmetry(policy: Policy, params: PolicyParams, mirrored: Any, batch: Batch) -> Array:
    """Mean squared distance () between actions of mirrored states and mirrored actions (Yu, Turk & Liu 2018, eq. 3)."""
    there = policy.dist_params(params, mirrored)
    here = policy.mirror(policy.dist_params(params, batch.policy_observation))
    return masked_mean(jnp.sum(jnp.square(there - here), axis=-1), batch.mask)


def critic_network(recipe: Recipe) -> networks.Network:
    """The value function's network, with one output."""
    return networks.make(recipe.architecture, recipe.critic_hidden, recipe.activation, recipe.networks)


def values(recipe: Recipe, params: Any, observations: Any) -> Array:
    """V_φ (…,) of normalized critic observations, arrays (…, *shape): the one place that applies the value function."""
    return critic_network(recipe).apply(params, observations)[..., 0]


def critic_loss(recipe: Recipe, params: Any, batch: Batch) -> Array:
    """Half the mean squared error () of the value function; with `value_clip` the larger of two."""
    value = values(recipe, params, batch.critic_observation)
    if recipe.value_clip is None:
        return masked_mean(value_loss(value, batch.target), batch.mask)
    return masked_mean(clipped_value_loss(value, batch.target, batch.value, recipe.value_clip), batch.mask)


def value_loss(value: Array, target: Array) -> Array:
    """½ (v − target)² (samples,)."""
    return 0.5 * jnp.square(value - target)


def clipped_value_loss(value: Array, target: Array, old_value: Array, clip: float) -> Array:
    """The larger of the losses of v and of v clipped to V_old ± clip (samples,). Not scale-free."""
    limited = old_value + jnp.clip(value - old_value, -clip, clip)
    return jnp.maximum(value_loss(value, target), value_loss(limited, target))


def standardize(x: Array, mask: Array) -> Array:
    """(x − mean) / (σ + 1e-8) over the samples that count, (samples,); ddof 0, and 0 for a single sample."""
    centred = (x - masked_mean(x, mask)) * mask
    return centred / (jnp.sqrt(masked_mean(centred * centred, mask)) + 1e-8)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean () of x (samples,) over the samples that count; 0 if none does."""
    return jnp.sum(x * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def masked_variance(x: Array, mask: Array) -> Array:
    """Variance () of x (samples,) over the samples that count, ddof 0; 0 if none does."""
    return masked_mean(jnp.square(x - masked_mean(x, mask)), mask)


def mean(x: Array, mask: Array | None) -> Array:
    """Mean () of x (samples,): of all where there is no mask, else of the samples that count."""
    return jnp.mean(x) if mask is None else masked_mean(x, mask)
