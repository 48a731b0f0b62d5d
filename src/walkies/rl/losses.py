"""What the two networks minimise on a batch: the policy its objective, the value function its squared error."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from walkies.accel import networks as faster
from walkies.rl import networks
from walkies.rl.batch import Batch, masked_mean
from walkies.rl.objectives import METRICS, OBJECTIVES, Terms, clipped_value_loss, value_loss
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.recipes import Recipe

Array = jax.Array


def policy_loss(
    recipe: Recipe, policy: Policy, old: PolicyParams, params: PolicyParams, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """The objective's mean () over a batch whose samples were drawn under `old`, and what to know about it."""
    distribution = policy.distribution(params, batch.policy_observation)
    kl = policy.wrap(old, batch.head).kl(distribution)
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


def critic_loss(recipe: Recipe, params: networks.Layers, batch: Batch) -> Array:
    """Mean squared error () of the value function, halved; with `value_clip` the larger of two."""
    network = faster.chosen(recipe.networks)
    value = network(params, batch.critic_observation, recipe.activation)[..., 0]
    if recipe.value_clip is None:
        return masked_mean(value_loss(value, batch.target), batch.mask)
    return masked_mean(clipped_value_loss(value, batch.target, batch.value, recipe.value_clip), batch.mask)


def _asymmetry(policy: Policy, params: PolicyParams, mirrored: Array, batch: Batch) -> Array:
    """Mean squared distance () between actions of mirrored states and mirrored actions (Yu, Turk & Liu 2018, eq. 3)."""
    there = policy.head(params, mirrored)
    here = policy.mirror(policy.head(params, batch.policy_observation))
    return masked_mean(jnp.sum(jnp.square(there - here), axis=-1), batch.mask)
