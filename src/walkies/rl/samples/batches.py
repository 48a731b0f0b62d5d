"""From a rollout to the batch that is learned from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from walkies.errors import UserError
from walkies.mdp import Env, Observation
from walkies.rl import objectives
from walkies.rl.advantages import ADVANTAGES
from walkies.rl.objectives import Batch
from walkies.rl.policy import Policy
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import Rollout

Array = jax.Array

REWARD_CLIP = 10.0
"""Scaled rewards are clipped to ± this (Stable-Baselines3's VecNormalize)."""


def make_batch(recipe: Recipe, env: Env, policy: Policy, state: Any, record: Rollout) -> Batch:
    """The batch to learn from `record`, one row per sample; of each step its mirror images last."""
    v = values(recipe, state, record.critic_observations)
    rewards = record.rewards
    if recipe.normalize_reward:
        rewards = jnp.clip(rewards * state.normalizers.discounted_return.scale, -REWARD_CLIP, REWARD_CLIP)
    outcome = (v[:-1], record.next_values(v), record.terminated, record.done)
    advantages = ADVANTAGES[recipe.advantage](rewards, *outcome, recipe.gamma, recipe.lam)
    # The value target is what the baseline was subtracted from; for full_return the return from here on.
    if recipe.advantage == "full_return":
        targets = ADVANTAGES["reward_to_go"](rewards, *outcome, recipe.gamma) + v[:-1]
    else:
        targets = advantages + v[:-1]
    mask = jnp.ones_like(rewards)
    if recipe.whole_episodes:
        mask = (jnp.cumsum(record.done, axis=0) - record.done == 0).astype(rewards.dtype)
    if record.valid is not None:
        mask = mask * record.valid

    mirrored = None
    if recipe.symmetry in ("augment", "loss"):
        mirrored = mirror_of(recipe, env).mirror_observation(record.observations)
    batch = Batch(
        policy_observation=state.normalizers.policy(record.observations.policy),
        critic_observation=state.normalizers.critic(record.observations.critic),
        mirrored_observation=state.normalizers.policy(mirrored.policy)
        if mirrored and recipe.symmetry == "loss"
        else None,
        sample=record.samples,
        dist_params=record.dist_params,
        log_prob=record.log_probs,
        advantage=advantages,
        target=targets,
        value=v[:-1],
        mask=mask,
        action_mask=record.observations.action_mask,
    )
    if mirrored and recipe.symmetry == "augment":
        batch = jax.tree.map(lambda *a: jnp.concatenate(a, axis=1), batch, _mirror(policy, state, mirrored, batch))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batch)


def mirror_of(recipe: Recipe, env: Env) -> Any:
    """The environment's mirror.

    Raises:
        UserError: it has none.
    """
    mirror = getattr(env, "mirror", None)
    if mirror is None:
        raise UserError(f"symmetry is {recipe.symmetry!r}, but this environment has no mirror; choose 'none'")
    return mirror


def _mirror(policy: Policy, state: Any, observations: Observation, batch: Batch) -> Batch:
    """The batch of the mirrored robots: same rewards, but the old policy's log-probability of the mirrored pairs.

    A policy that is not symmetric yet gives the mirrored action another density than the original, and the ratio must
    start at 1 for both.
    """
    seen = state.normalizers.policy(observations.policy)
    dist_params = policy.dist_params(state.learner.params.policy, seen, observations.action_mask)
    sample = policy.mirror(batch.sample)
    return batch._replace(
        policy_observation=seen,
        critic_observation=state.normalizers.critic(observations.critic),
        sample=sample,
        dist_params=dist_params,
        log_prob=policy.distribution(state.learner.params.policy, dist_params).log_prob(sample),
        action_mask=observations.action_mask,
    )


def values(recipe: Recipe, state: Any, observations: Any) -> Array:
    """V (…,) of raw critic observations, arrays (…, *shape); zero without a value function."""
    normalizer = state.normalizers.critic
    if not recipe.baseline:
        return jnp.zeros(normalizer.leading(observations), normalizer.samples.dtype)
    return objectives.values(recipe, state.learner.params.critic, normalizer(observations))
