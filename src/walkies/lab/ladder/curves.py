"""One recipe trained with one seed, examined at equal distances: a row of the comparison."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies.mdp import Env
from walkies.rl import train
from walkies.rl.normalize import Normalizer
from walkies.rl.policy import PolicyParams
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import Rollout, rollout, start
from walkies.rl.train import TrainState

Array = jax.Array

EXAM_EPISODES = 64
"""Episodes behind each point of a curve; they cost no samples and no time of the training."""
EXAM_SEED = 20_000
"""Of the examination's own randomness: the same for all recipes, apart from every training's seed."""


class Point(NamedTuple):
    """How far a training is, and how good."""

    samples: int
    """Control steps learned from so far."""
    seconds: float
    """Wall-clock time of the training so far, compilation and examinations left out."""
    cpu_seconds: float
    """Processor time of the same, over all threads: what other programs on the machine do not change."""
    episode_return: float
    """Mean undiscounted return of EXAM_EPISODES whole episodes under the stochastic policy."""
    error: float
    """Its standard error."""
    episode_length: float
    """Mean length of those episodes, control steps."""


def first_episodes(record: Rollout) -> Array:
    """1 in the rows (time, num_envs) of each environment's first episode, its last row included, else 0."""
    return (jnp.cumsum(record.done, axis=0) - record.done == 0).astype(record.rewards.dtype)


def whole_episodes(recipe: Recipe, env: Env, state: TrainState, count: int, key: Array) -> Rollout:
    """`count` environments followed from new initial states for the whole time limit, under the state's policy."""
    return episodes_of(recipe, env, state.learner.params.policy, state.normalizers.policy, count, key)


def episodes_of(
    recipe: Recipe, env: Env, params: PolicyParams, normalizer: Normalizer, count: int, key: Array
) -> Rollout:
    """The same for a policy's parameters and the statistics of what it sees."""
    start_key, act_key = jax.random.split(key)
    actors = start(env, start_key, count, stagger=False)
    limit = env.time_limit
    assert limit is not None, "every problem of the comparison has a time limit"
    _, record = rollout(
        env,
        train.make_policy(recipe, env),
        params,
        normalizer,
        lambda observation: jnp.zeros(observation.shape[0], observation.dtype),
        actors,
        act_key,
        limit,
        recipe.resets,
        "rollout_end",
    )
    return record


class Programs(NamedTuple):
    """What a recipe's trainings share, compiled once for all seeds."""

    init: Callable[[Array], TrainState]
    iterate: Callable[[TrainState], tuple[TrainState, train.Metrics]]
    """Reuses its argument's memory."""
    compile_seconds: float
    """What `iterate` took to compile, wall clock."""


Exam = Callable[[TrainState], tuple[Array, Array, Array]]


def make_exam(recipe: Recipe, env: Env) -> Exam:
    """The examination: state → (mean return, its standard error, mean length) of EXAM_EPISODES episodes.

    It is compiled once, for all recipes that have the policy and the `resets` of `recipe`.
    """

    @jax.jit
    def examine(params: PolicyParams, normalizer: Normalizer) -> tuple[Array, Array, Array]:
        key = jax.random.key(EXAM_SEED, impl="rbg")
        record = episodes_of(recipe, env, params, normalizer, EXAM_EPISODES, key)
        counts = first_episodes(record)
        returns = jnp.sum(record.rewards * counts, axis=0)
        return jnp.mean(returns), jnp.std(returns, ddof=1) / EXAM_EPISODES**0.5, jnp.mean(jnp.sum(counts, axis=0))

    return lambda state: examine(state.learner.params.policy, state.normalizers.policy)


def compile_recipe(recipe: Recipe, env: Env) -> Programs:
    """The recipe's programs; the iteration is compiled here, the first state with the first seed."""
    shapes = train.shapes(recipe, env, jax.random.key(0, impl="rbg"))
    begun = time.perf_counter()
    iterate = jax.jit(partial(train.iterate, recipe, env), donate_argnums=0).lower(shapes).compile()
    return Programs(train.make_init(recipe, env), iterate, time.perf_counter() - begun)


def train_row(
    programs: Programs,
    exam: Exam,
    seed: int,
    samples: int,
    points: int,
    report: Callable[[Point], None] = lambda point: None,
) -> list[Point]:
    """Train until `samples` control steps were learned from → the curve, `points` + 1 points.

    The first point is before any training, the last after it. report: called with each point.
    """
    state = programs.init(jax.random.key(seed, impl="rbg"))
    done, seconds, cpu, curve = 0, 0.0, 0.0, []

    def examine() -> None:
        mean, error, length = (float(x) for x in exam(state))
        curve.append(Point(done, round(seconds, 3), round(cpu, 3), mean, error, length))
        report(curve[-1])

    examine()
    for mark in range(1, points + 1):
        wall_begun, cpu_begun = time.perf_counter(), time.process_time()
        while done < samples * mark / points:
            state, metrics = programs.iterate(state)
            done += int(metrics["samples"])
        seconds += time.perf_counter() - wall_begun
        cpu += time.process_time() - cpu_begun
        examine()
    return curve


def train_until(recipe: Recipe, env: Env, seed: int, marks: list[int]) -> list[TrainState]:
    """The states of one training after its first iteration and once each of `marks` (samples, ascending) is passed.

    After the first iteration the observations' scale is known and nothing has been learned.
    """
    state: Any = train.init(recipe, env, jax.random.key(seed, impl="rbg"))
    iterate = jax.jit(lambda state: train.iterate(recipe, env, state))  # keeps its argument, which is returned
    state, metrics = iterate(state)
    states, done = [state], int(metrics["samples"])
    for mark in marks:
        while done < mark:
            state, metrics = iterate(state)
            done += int(metrics["samples"])
        states.append(state)
    return states
