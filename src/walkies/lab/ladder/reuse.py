"""How long do samples stay useful? A batch is kept while the policy that drew it learns on from newer ones.

    ρ = π_now(a | s) / π_then(a | s)        effective share of n weighted samples = (Σ ρ)² / (n Σ ρ²)

Reweighting whole episodes (the product of all their ratios) is what an unbiased estimate would need; reweighting single
steps is what TRPO and PPO do, and it leaves the states where they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from walkies.lab.ladder.curves import whole_episodes
from walkies.lab.ladder.gradients import batch_of, gradient_of, plain
from walkies.mdp import Env
from walkies.rl import train
from walkies.rl.objectives import masked_mean, policy_loss
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import Rollout
from walkies.rl.train import TrainState

Array = jax.Array

REFERENCE = 8
"""The gradient to compare with comes from so many times the episodes."""


class Age(NamedTuple):
    """What a batch is worth after some iterations of learning. All but the first are scalars."""

    iterations: int
    kl: float
    """Mean KL(then ‖ now), nats."""
    effective_steps: float
    """Effective share of samples, each weighted by its own ρ."""
    effective_episodes: float
    """Effective share of episodes, each weighted by the product of its ρ."""
    clipped: float
    """Share of samples with |ρ − 1| > 0.2."""
    cosine_weighted: float
    """Between the gradient of Σ ρ A on the old samples and the true one of today."""
    cosine_unweighted: float
    """The same for Σ log π A, which pretends that today's policy had drawn them."""
    cosine_fresh: float
    """The same for as many fresh samples: no estimate from so few can be expected to do better."""


def effective_share(log_weights: Array, counts: Array) -> Array:
    """(Σ w)² / (n Σ w²) of weights w = exp(log_weights), both (n,), where counts is 1; (). From 1 (equal) to 1/n."""
    shifted = jnp.where(counts > 0, log_weights, -jnp.inf)
    weights = jnp.exp(shifted - jnp.max(shifted))
    return jnp.sum(weights) ** 2 / (jnp.sum(counts) * jnp.sum(weights**2))


def worth(recipe: Recipe, env: Env, then: TrainState, record: Rollout, now: TrainState, key: Array) -> dict[str, Array]:
    """The fields of an `Age` but the first, for whole episodes `record` drawn under `then` and a policy `now`."""
    policy = train.make_policy(recipe, env)
    old = batch_of(recipe, env, then, record)
    seen = now.normalizers.policy(record.observations.policy)
    old = old._replace(policy_observation=seen.reshape(old.policy_observation.shape))
    distribution = policy.apply(now.learner.params.policy, old.policy_observation, old.action_mask)
    then_distribution = policy.distribution(then.learner.params.policy, old.dist_params)
    log_ratio = jnp.where(old.mask > 0, distribution.log_prob(old.sample) - old.log_prob, 0.0)
    per_episode = log_ratio.reshape(record.rewards.shape).sum(axis=0)

    def weighted(objective: str) -> Array:
        chosen = replace(plain(recipe), objective=objective)  # type: ignore[arg-type]
        loss = partial(policy_loss, chosen, policy, then.learner.params.policy, batch=old)
        gradient, _ = jax.grad(lambda params: loss(params=params), has_aux=True)(now.learner.params.policy)
        return -ravel_pytree(gradient)[0]

    few_key, many_key = jax.random.split(key)
    episodes = record.rewards.shape[1]
    few, many = (
        gradient_of(recipe, env, now, batch_of(recipe, env, now, whole_episodes(recipe, env, now, count, k)))
        for count, k in ((episodes, few_key), (REFERENCE * episodes, many_key))
    )
    return {
        "kl": masked_mean(then_distribution.kl(distribution), old.mask),
        "effective_steps": effective_share(log_ratio, old.mask),
        "effective_episodes": effective_share(per_episode, jnp.ones_like(per_episode)),
        "clipped": masked_mean((jnp.abs(jnp.exp(log_ratio) - 1.0) > 0.2).astype(old.mask.dtype), old.mask),
        "cosine_weighted": cosine(weighted("surrogate"), many),
        "cosine_unweighted": cosine(weighted("score"), many),
        "cosine_fresh": cosine(few, many),
    }


def cosine(a: Array, b: Array) -> Array:
    """Of the angle between two vectors (n,); ()."""
    return a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b))


def measure(
    recipe: Recipe,
    env: Env,
    then: TrainState,
    ages: Sequence[int],
    episodes: int,
    seed: int,
    report: Callable[[Age], None] = lambda age: None,
) -> list[Age]:
    """An `Age` for each number of iterations in `ages` (ascending) by which the policy in `then` learns on."""
    act_key, *keys = jax.random.split(jax.random.key(seed, impl="rbg"), 1 + len(ages))
    record = jax.jit(lambda state, key: whole_episodes(recipe, env, state, episodes, key))(then, act_key)
    judge = jax.jit(partial(worth, recipe, env))
    iterate = jax.jit(lambda state: train.iterate(recipe, env, state))
    now, found = then, []
    for age, key in zip(ages, keys, strict=True):
        while int(now.iteration) < int(then.iteration) + age:
            now, _ = iterate(now)
        found.append(Age(age, **{name: float(value) for name, value in judge(then, record, now, key).items()}))
        report(found[-1])
    return found
