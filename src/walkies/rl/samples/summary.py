"""What an iteration keeps of its rollouts besides the batch: statistics of what was seen, and counts for the curves.

Environments may act in groups (`Recipe.groups`), each with a summary of its own; `joined` puts them together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies.rl import normalize
from walkies.rl.advantages import discounted_sums
from walkies.rl.normalize import Normalizer
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import Rollout

Array = jax.Array


class Normalizers(NamedTuple):
    """Frozen within an iteration."""

    policy: Normalizer
    critic: Normalizer
    discounted_return: Normalizer
    """(1,): of the running discounted return; only its standard deviation is used, to scale rewards."""


class Summary(NamedTuple):
    """What learning needs of a rollout besides its batch; of several groups, every leaf leads with these."""

    seen: Normalizers
    """Statistics of this rollout alone; of what is not normalized, none."""
    reward: Array
    """() mean."""
    episodes: Array
    """() int32: how many ended."""
    episode_returns: Array
    """() their sum."""
    episode_lengths: Array
    """() int32, their sum."""
    terminations: Array
    """() int32"""
    metrics: dict[str, Array]
    """Mean () of each quantity that the environment reports."""


def discounted_returns(before: Array, record: Rollout, gamma: float) -> Array:
    """R_t = r_t + γ R_{t−1} within each episode (time, num_envs); a reward belongs to the episode that it ends.

    before: (num_envs,) R of the row before the first, 0 where that ended an episode.
    """
    first = jnp.concatenate([jnp.zeros_like(record.done[:1]), record.done[:-1]])
    rewards = record.rewards.at[0].add(gamma * before)
    # Forwards in time is backwards on the flipped arrays; "done" there is "the previous row was another episode".
    return discounted_sums(rewards[::-1], first[::-1], gamma)[::-1]


def summarize(recipe: Recipe, state: Any, record: Rollout, discounted: Array) -> tuple[Summary, Array]:
    """The summary of a rollout, and the running discounted return (num_envs,) at its end; discounted: at its start."""
    seen = Normalizers(*(n.empty() for n in state.normalizers))
    if recipe.normalize_observations:
        seen = seen._replace(
            policy=normalize.moments(state.normalizers.policy, record.observations.policy),
            critic=normalize.moments(state.normalizers.critic, record.observations.critic),
        )
    if recipe.normalize_reward:
        history = discounted_returns(discounted, record, recipe.gamma)
        old = state.normalizers.discounted_return
        seen = seen._replace(discounted_return=normalize.moments(old, history[..., None]))
        discounted = jnp.where(record.done[-1], 0.0, history[-1])
    summary = Summary(
        seen=seen,
        reward=jnp.mean(record.rewards),
        episodes=jnp.sum(record.done),
        episode_returns=jnp.sum(record.episode_returns),
        episode_lengths=jnp.sum(record.episode_lengths),
        terminations=jnp.sum(record.terminated),
        metrics=record.metrics,
    )
    return summary, discounted


def joined(summaries: Summary) -> Summary:
    """One summary of groups of equally many environments; every leaf leads with the groups."""
    parts = [jax.tree.map(lambda leaf, i=i: leaf[i], summaries.seen) for i in range(summaries.reward.shape[0])]
    seen = parts[0]
    for part in parts[1:]:
        seen = Normalizers(*map(normalize.merge, seen, part))
    mean = lambda leaf: jnp.mean(leaf, axis=0)  # noqa: E731
    total = lambda leaf: jnp.sum(leaf, axis=0)  # noqa: E731
    return Summary(
        seen=seen,
        reward=mean(summaries.reward),
        episodes=total(summaries.episodes),
        episode_returns=total(summaries.episode_returns),
        episode_lengths=total(summaries.episode_lengths),
        terminations=total(summaries.terminations),
        metrics=jax.tree.map(mean, summaries.metrics),
    )
