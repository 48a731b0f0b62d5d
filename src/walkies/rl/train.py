"""One iteration (act, estimate advantages, update, refresh statistics) as one compiled function of one PyTree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies import renamed
from walkies.errors import UserError
from walkies.mdp import Env
from walkies.rl import finite, normalize, objectives, sizes, symmetry
from walkies.rl.objectives import Batch, masked_variance
from walkies.rl.policy import Policy
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import EpisodeState, Rollout, rollout, start
from walkies.rl.samples.batches import make_batch, mirror_of, values
from walkies.rl.samples.summary import Normalizers, Summary, joined, summarize
from walkies.rl.updates import UPDATES, Learner, Params, init_learner

Array = jax.Array
Metrics = dict[str, Array]


class TrainState(NamedTuple):
    """The complete state of a training: saved and loaded, it resumes bit for bit."""

    learner: Learner
    normalizers: Normalizers
    actors: EpisodeState
    discounted_return: Array
    """(num_envs,) Σ γ^k r back to the episode's start; carried for the reward scale."""
    key: Array
    iteration: Array
    """() int32."""
    episode_return: Array
    """() mean return of the last iteration in which an episode ended."""
    episode_length: Array
    """() mean length of those episodes."""
    curriculum: Any = None
    """The curriculum of a `walkies.mdp.ChangingEnv`; None if it has none."""


def make_policy(recipe: Recipe, env: Env) -> Policy:
    """The policy that `recipe` trains on `env`."""
    mirror = getattr(env, "mirror", None)
    return Policy(
        observation_size=env.observation_size,
        action_space=env.action_space,
        hidden=recipe.hidden,
        activation=recipe.activation,
        networks=recipe.networks,
        bound=recipe.bound,
        initial_std=recipe.initial_std,
        architecture=recipe.architecture,
        **({} if mirror is None else {"mirror": mirror.mirror_action}),
    )


def init(recipe: Recipe, env: Env, key: Array) -> TrainState:
    """The state before the first iteration."""
    if isinstance(key, jax.core.Tracer):  # part of somebody's program
        return _init(recipe, env, key)
    return make_init(recipe, env)(key)


def make_init(recipe: Recipe, env: Env) -> Callable[[Array], TrainState]:
    """The compiled `init`: random key → state. Several seeds share the compilation."""
    # Run once or few times: to optimise the program would take longer than to run it.
    return jax.jit(partial(_init, recipe, env), compiler_options={"xla_backend_optimization_level": 0})


def shapes(recipe: Recipe, env: Env, key: Array) -> TrainState:
    """Shapes and types of `init`'s state, for reading a checkpoint; nothing is computed."""
    return jax.eval_shape(partial(_init, recipe, env), key)


def _init(recipe: Recipe, env: Env, key: Array) -> TrainState:
    policy_key, critic_key, env_key, key = jax.random.split(key, 4)
    policy = make_policy(recipe, env)
    critic = objectives.critic_network(recipe).init(critic_key, env.privileged_size, 1) if recipe.baseline else []
    curriculum = env.begin() if hasattr(env, "begin") else None
    actors = start(_changed(env, jnp.float32(0.0), curriculum), env_key, recipe.num_envs, recipe.stagger)
    dtype = actors.episode_return.dtype
    params = Params(policy.init(policy_key), critic)
    if (r := _reflection(recipe, env)) is not None:
        params = symmetry.project(params, r, symmetry.NEW)
    state = TrainState(
        learner=init_learner(recipe, params),
        normalizers=Normalizers(*(normalize.init(n, dtype) for n in (env.observation_size, env.privileged_size, 1))),
        actors=actors,
        discounted_return=jnp.zeros(recipe.num_envs, dtype),
        key=key,
        iteration=jnp.zeros((), jnp.int32),
        episode_return=jnp.zeros((), dtype),
        episode_length=jnp.zeros((), dtype),
        curriculum=curriculum,
    )
    return jax.tree.map(strip_weak_type, state)


def strip_weak_type(x: Array) -> Array:
    """The same without weak_type: an iteration's result has none, and so it is not compiled twice."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.extended) else jnp.asarray(x, x.dtype)


def make_iteration(
    recipe: Recipe, env: Env, report: Callable[[Metrics], Any] = dict
) -> Callable[[TrainState], tuple[TrainState, Any]]:
    """The compiled iteration. Its argument's memory is reused for its result: keep only what it returns.

    report: what it returns of the metrics.

    Raises:
        UserError: the recipe's sizes fit neither each other nor this machine.
    """
    sizes.refuse(recipe, env, steps_per_iteration(recipe, env))

    def iteration(state: TrainState) -> tuple[TrainState, Any]:
        state, metrics = iterate(recipe, env, state)
        return state, report(metrics)

    return jax.jit(iteration, donate_argnums=0)


def iterate(recipe: Recipe, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
    """One iteration: num_envs × horizon samples, then learning from them.

    If observations or rewards are normalized, the first iteration only gathers statistics: nothing is learned from
    inputs of unknown scale.
    """
    key, act_keys, learn_key = split(recipe, state.key)
    actors, discounted, batch, summary = act(recipe, env, state, state.actors, state.discounted_return, act_keys)
    state = state._replace(actors=actors, discounted_return=discounted, key=key)
    return improve(recipe, env, state, batch, joined(summary), learn_key)


def split(recipe: Recipe, key: Array) -> tuple[Array, Array, Array]:
    """The next iteration's key, keys to act with (groups, 2), and the key to learn with."""
    key, *acting, learn_key = jax.random.split(key, 4)
    if recipe.groups > 1:
        acting = [jax.random.split(one, recipe.groups) for one in acting]
    return key, jnp.stack(acting, axis=-1).reshape(recipe.groups, 2), learn_key


def act(
    recipe: Recipe, env: Env, state: TrainState, actors: EpisodeState, discounted: Array, keys: Array
) -> tuple[EpisodeState, Array, Batch, Summary]:
    """Act in groups of environments, one for each row of `keys` (groups, 2).

    The environments are in `actors` and `discounted`, and not those of `state`, of which only what was learned is used.

    Returns:
        The episode state and the running discounted return (num_envs,) at the end, the batch, and a summary of which
        every leaf leads with the groups.
    """
    world = _changed(env, _steps_so_far(recipe, env, state), state.curriculum)
    one = partial(_act_in_group, recipe, world, state)
    groups = keys.shape[0]
    if groups == 1:
        actors, discounted, batch, summary = one((actors, discounted, keys[0]))
        return actors, discounted, batch, jax.tree.map(lambda leaf: leaf[None], summary)
    apart = lambda leaf: leaf.reshape(groups, -1, *leaf.shape[1:])  # noqa: E731
    together = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
    *ended, summary = jax.lax.map(one, (*jax.tree.map(apart, (actors, discounted)), keys))
    actors, discounted, batch = jax.tree.map(together, tuple(ended))
    return actors, discounted, batch, summary


def _act_in_group(
    recipe: Recipe, world: Env, state: TrainState, given: tuple[EpisodeState, Array, Array]
) -> tuple[EpisodeState, Array, Batch, Summary]:
    actors, discounted, (start_key, act_key) = given
    steps, policy = steps_per_iteration(recipe, world), make_policy(recipe, world)
    if recipe.whole_episodes:
        actors, discounted = start(world, start_key, discounted.shape[0], stagger=False), jnp.zeros_like(discounted)
    actors, record = rollout(
        world,
        policy,
        state.learner.params.policy,
        state.normalizers.policy,
        partial(values, recipe, state),
        actors,
        act_key,
        steps,
        recipe.resets,
        recipe.time_limits,
    )
    batch = make_batch(recipe, world, policy, state, record)
    summary, discounted = summarize(recipe, state, record, discounted)
    return actors, discounted, batch, summary


def _steps_so_far(recipe: Recipe, env: Env, state: TrainState) -> Array:
    return state.iteration.astype(jnp.float32) * (recipe.num_envs * steps_per_iteration(recipe, env))


def _changed(env: Env, steps: Array, curriculum: Any) -> Any:
    """The environment after `steps` () control steps of training (`walkies.mdp.ChangingEnv`)."""
    if not hasattr(env, "at"):
        return env
    return env.at(steps) if curriculum is None else env.at(steps, curriculum)


def learn(
    recipe: Recipe, env: Env, state: TrainState, actors: Any, discounted: Array, record: Rollout, key: Array
) -> tuple[TrainState, Metrics]:
    """The part of an iteration after acting, for who acts in a way of his own.

    Of `env` nothing that acts is used; if it has a curriculum, it advances. actors, discounted: the episode state at
    the end of acting, and the running discounted return (num_envs,) at its beginning.
    """
    batch = make_batch(recipe, env, make_policy(recipe, env), state, record)
    summary, discounted = summarize(recipe, state, record, discounted)
    return improve(recipe, env, state._replace(actors=actors, discounted_return=discounted), batch, summary, key)


def improve(
    recipe: Recipe, env: Env, state: TrainState, batch: Batch, summary: Summary, key: Array
) -> tuple[TrainState, Metrics]:
    """Update, and count what `summary` says. The environments in `state` are only passed on."""
    world: Any = _changed(env, _steps_so_far(recipe, env, state), state.curriculum)
    policy = make_policy(recipe, world)
    learner, metrics = UPDATES[recipe.update](recipe, policy, _scheduled(recipe, state), batch, key)
    r = _reflection(recipe, world)
    if r is not None:
        learner = learner._replace(params=symmetry.project(learner.params, r))
    state, metrics = finish_iteration(recipe, state, learner, summary, batch, metrics)
    if r is not None:
        n = state.normalizers
        of = symmetry.of_normalizer
        state = state._replace(normalizers=n._replace(policy=of(n.policy, r.policy), critic=of(n.critic, r.critic)))
    if state.curriculum is not None:
        steps_now = recipe.num_envs * steps_per_iteration(recipe, world)
        curriculum, told = world.advance(state.curriculum, summary.metrics, steps_now)
        state, metrics = state._replace(curriculum=curriculum), metrics | told
    return state, metrics


def _reflection(recipe: Recipe, env: Env) -> symmetry.Reflection | None:
    """Under which both networks are equivariant; None if the recipe does not ask for it."""
    return symmetry.reflection(env, mirror_of(recipe, env)) if recipe.symmetry == "equivariant" else None


def finish_iteration(
    recipe: Recipe, state: TrainState, learner: Learner, summary: Summary, batch: Batch, metrics: Metrics
) -> tuple[TrainState, Metrics]:
    """The state after an iteration that led to `learner`: statistics refreshed, episodes counted."""
    if recipe.normalize_observations or recipe.normalize_reward:
        # Not `where`, of which XLA would compile a function for each array.
        learner = jax.lax.cond(state.iteration > 0, lambda: learner, lambda: state.learner)

    old, seen = state.normalizers, summary.seen
    normalizers = old
    if recipe.normalize_observations:
        normalizers = normalizers._replace(
            policy=normalize.merge(old.policy, seen.policy), critic=normalize.merge(old.critic, seen.critic)
        )
    if recipe.normalize_reward:
        merged = normalize.merge(old.discounted_return, seen.discounted_return)
        normalizers = normalizers._replace(discounted_return=merged)

    ended = summary.episodes
    mean_return, mean_length = (
        jnp.where(ended > 0, total / jnp.maximum(ended, 1), previous)
        for total, previous in (
            (summary.episode_returns, state.episode_return),
            (summary.episode_lengths, state.episode_length),
        )
    )
    metrics = summary.metrics | metrics
    metrics |= {
        "reward": summary.reward,
        "episode_return": mean_return,
        "episode_length": mean_length,
        "episodes": ended,
        "terminations": summary.terminations,
        "samples": jnp.sum(batch.mask) / (2 if recipe.symmetry == "augment" else 1),
        "learning_rate": learner.learning_rate,
        "largest_parameter": finite.largest(learner.params),
    }
    if recipe.baseline:
        unexplained = masked_variance(batch.target - batch.value, batch.mask)
        total = jnp.maximum(masked_variance(batch.target, batch.mask), 1e-12)
        metrics["explained_variance"] = 1.0 - unexplained / total
    if learner.params.policy.log_std.size:
        metrics["std"] = jnp.mean(jnp.exp(learner.params.policy.log_std))
    state = state._replace(
        learner=learner,
        normalizers=normalizers,
        iteration=state.iteration + 1,
        episode_return=mean_return,
        episode_length=mean_length.astype(state.episode_length.dtype),
    )
    return state, {name: value.astype(jnp.float32) for name, value in metrics.items()}


def steps_per_iteration(recipe: Recipe, env: Env) -> int:
    """Control steps of each environment in one iteration."""
    if not recipe.whole_episodes:
        return recipe.horizon
    if env.time_limit is None:
        raise UserError("whole_episodes needs an environment with a time_limit; this one has none")
    return env.time_limit


def _scheduled(recipe: Recipe, state: TrainState) -> Learner:
    """The learner with this iteration's learning rates."""
    learner = state.learner
    if recipe.schedule != "linear":
        return learner
    left = jnp.maximum(0.0, 1.0 - state.iteration / recipe.anneal_iterations)
    return learner._replace(
        learning_rate=(recipe.learning_rate * left).astype(learner.learning_rate.dtype),
        critic_learning_rate=(recipe.critic_learning_rate * left).astype(learner.critic_learning_rate.dtype),
    )


renamed.names(globals(), account="finish_iteration")
