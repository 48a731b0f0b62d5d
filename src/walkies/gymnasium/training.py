"""Learning in any Gymnasium vector environment: `walkies.rl.train` with a Python loop in the place of acting.

Acting crosses from Python to the compiled policy and back at every step; learning is the same compiled function. For
the published benchmarks, and for environments that exist only there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies.errors import UserError
from walkies.gymnasium.rollout import HostActors, rollout_host, start_host
from walkies.gymnasium.spec import shape_of
from walkies.rl import finite, networks, train
from walkies.rl.normalize import ClippedNormalizer
from walkies.rl.recipes import Recipe
from walkies.rl.record import Rollout
from walkies.rl.train import Metrics, TrainState

Array = jax.Array


class HostTraining(NamedTuple):
    """A training and where its environments are."""

    state: TrainState
    """Its `actors` are unused."""
    actors: HostActors


def init_host(recipe: Recipe, envs: Any, seed: int, clip_observations: bool = False) -> HostTraining:
    """The training before its first iteration; environment i is seeded with seed + i.

    clip_observations: keep normalised observations within ±normalize.OBSERVATION_CLIP.
    Raises UserError where the recipe and the environments do not fit together.
    """
    if recipe.num_envs != envs.num_envs:
        raise UserError(f"the recipe has num_envs = {recipe.num_envs}, the vector environment {envs.num_envs}")
    if recipe.whole_episodes and recipe.normalize_observations:
        raise UserError("whole_episodes leaves rows empty here, which would count as observations; set"
                        " normalize_observations to false")  # fmt: skip
    shape = shape_of(envs)
    train.steps_per_iteration(recipe, shape)  # raises where whole episodes have no end
    state = train.init(recipe, shape, jax.random.key(seed))
    if clip_observations:
        seen = state.normalizers
        clipped = (ClippedNormalizer(*seen.policy), ClippedNormalizer(*seen.critic))
        state = state._replace(normalizers=seen._replace(policy=clipped[0], critic=clipped[1]))
    return HostTraining(state, start_host(envs, seed))


def make_host_iteration(
    recipe: Recipe, envs: Any, watch: Callable[[Rollout], None] = lambda record: None
) -> Callable[[HostTraining], tuple[HostTraining, Metrics]]:
    """One iteration as a Python function: `recipe.horizon` steps in every environment, then learning.

    watch: called with what happened, before it is learned from; its `valid` is always given.
    The iteration raises UserError where an environment gives a number that is not finite, or learning comes to one; the
    training that it was called with is as it was.
    """
    shape = shape_of(envs)
    horizon = train.steps_per_iteration(recipe, shape)
    policy = train.make_policy(recipe, shape)
    learn = jax.jit(partial(train.learn, recipe, shape))

    @jax.jit
    def value(state: TrainState, observations: Array) -> Array:
        if not recipe.baseline:
            return jnp.zeros(observations.shape[:-1], observations.dtype)
        seen = state.normalizers.critic(observations)
        return networks.apply(state.learner.params.critic, seen, recipe.activation)[..., 0]

    def iterate(training: HostTraining) -> tuple[HostTraining, Metrics]:
        state, actors = training
        key, act_key, learn_key = jax.random.split(state.key, 3)
        actors, record = rollout_host(
            envs,
            policy,
            state.learner.params.policy,
            state.normalizers.policy,
            partial(value, state),
            actors,
            act_key,
            horizon,
            recipe.whole_episodes,
        )
        if record.valid is None:  # one compilation, whether or not a row of this rollout was a reset
            record = record._replace(valid=jnp.ones(record.rewards.shape, bool))
        watch(record)
        state, metrics = learn(state._replace(key=key), state.actors, state.discounted_return, record, learn_key)
        try:
            finite.refuse(jax.device_get(metrics), state.learner.params, int(state.iteration))
        except finite.Diverged as error:
            raise finite.Diverged(f"{error}. Nothing of this iteration was kept; {finite.REMEDY}") from error
        return HostTraining(state, actors), metrics

    return iterate


def run_host(
    recipe: Recipe, envs: Any, seed: int, iterations: int, report: Callable[[int, Metrics], None] = lambda i, m: None
) -> tuple[HostTraining, np.ndarray]:
    """Train for some iterations → the training, and the mean return of recent episodes after each (iterations,).

    report: called with the number of each iteration and its metrics.
    """
    training, iterate = init_host(recipe, envs, seed), make_host_iteration(recipe, envs)
    returns = np.zeros(iterations)
    for i in range(iterations):
        training, metrics = iterate(training)
        returns[i] = float(metrics["episode_return"])
        report(i, metrics)
    return training, returns
