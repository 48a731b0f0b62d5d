"""Learning in any Gymnasium vector environment: `walkies.rl.train` with a Python loop for acting.

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

from walkies import renamed
from walkies.errors import UserError
from walkies.gymnasium.rollout import VectorState, rollout, start
from walkies.gymnasium.spec import env_spec
from walkies.rl import finite, train
from walkies.rl.normalize import ClippedNormalizer
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import Rollout
from walkies.rl.train import Metrics, TrainState

Array = jax.Array


class VectorTraining(NamedTuple):
    """A training and the state of its environments."""

    state: TrainState
    """Its `actors` are unused."""
    actors: VectorState


def init(recipe: Recipe, envs: Any, seed: int, clip_observations: bool = False) -> VectorTraining:
    """The training before its first iteration; environment i is seeded with seed + i.

    clip_observations: keep normalised observations within ±normalize.OBSERVATION_CLIP.
    Raises UserError if the recipe and the environments do not fit together.
    """
    if recipe.num_envs != envs.num_envs:
        raise UserError(f"the recipe has num_envs = {recipe.num_envs}, the vector environment {envs.num_envs}")
    if recipe.whole_episodes and recipe.normalize_observations:
        raise UserError("whole_episodes leaves rows empty here, which would count as observations; set"
                        " normalize_observations to false")  # fmt: skip
    spec = env_spec(envs)
    train.steps_per_iteration(recipe, spec)  # raises where whole episodes have no end
    state = train.init(recipe, spec, jax.random.key(seed))
    if clip_observations:
        seen = state.normalizers
        clipped = (ClippedNormalizer(*seen.policy), ClippedNormalizer(*seen.critic))
        state = state._replace(normalizers=seen._replace(policy=clipped[0], critic=clipped[1]))
    return VectorTraining(state, start(envs, seed))


def make_iteration(
    recipe: Recipe, envs: Any, watch: Callable[[Rollout], None] = lambda record: None
) -> Callable[[VectorTraining], tuple[VectorTraining, Metrics]]:
    """One iteration as a Python function: `recipe.horizon` steps in every environment, then learning.

    watch: called with what happened, before it is learned from; its `valid` is always given.
    The iteration raises UserError where an environment gives a number that is not finite, or learning comes to one; the
    training that it was called with is as it was.
    """
    spec = env_spec(envs)
    horizon = train.steps_per_iteration(recipe, spec)
    policy = train.make_policy(recipe, spec)
    learn = jax.jit(partial(train.learn, recipe, spec))

    value = jax.jit(partial(train.values, recipe))

    def iterate(training: VectorTraining) -> tuple[VectorTraining, Metrics]:
        state, actors = training
        key, act_key, learn_key = jax.random.split(state.key, 3)
        actors, record = rollout(
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
        return VectorTraining(state, actors), metrics

    return iterate


def run(
    recipe: Recipe, envs: Any, seed: int, iterations: int, report: Callable[[int, Metrics], None] = lambda i, m: None
) -> tuple[VectorTraining, np.ndarray]:
    """Train for some iterations → the training, and the mean return of recent episodes after each (iterations,).

    report: called with the number of each iteration and its metrics.
    """
    training, iterate = init(recipe, envs, seed), make_iteration(recipe, envs)
    returns = np.zeros(iterations)
    for i in range(iterations):
        training, metrics = iterate(training)
        returns[i] = float(metrics["episode_return"])
        report(i, metrics)
    return training, returns


renamed.names(
    globals(), HostTraining="VectorTraining", init_host="init", make_host_iteration="make_iteration", run_host="run",
    shape_of="env_spec",
)  # fmt: skip
