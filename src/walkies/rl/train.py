"""One iteration (act, estimate advantages, update, refresh statistics) as one compiled function of one PyTree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies import renamed
from walkies.errors import UserError
from walkies.mdp import Env, Observation
from walkies.rl import finite, normalize, objectives, sizes, symmetry
from walkies.rl.advantages import ADVANTAGES, discounted_sums
from walkies.rl.normalize import Normalizer
from walkies.rl.objectives import Batch, masked_variance
from walkies.rl.policy import Policy
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import EpisodeState, Rollout, rollout, start
from walkies.rl.updates import UPDATES, Learner, Params, init_learner

Array = jax.Array
Metrics = dict[str, Array]

REWARD_CLIP = 10.0
"""Scaled rewards are clipped to ± this (Stable-Baselines3's VecNormalize)."""


class Normalizers(NamedTuple):
    """Frozen within an iteration."""

    policy: Normalizer
    critic: Normalizer
    discounted_return: Normalizer
    """(1,): of the running discounted return; only its standard deviation is used, to scale rewards."""


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


def make_iteration(recipe: Recipe, env: Env) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
    """The compiled iteration. Its argument's memory is reused for its result: keep only what it returns.

    Raises:
        UserError: the recipe's sizes fit neither each other nor this machine.
    """
    sizes.refuse(recipe, env, steps_per_iteration(recipe, env))
    return jax.jit(partial(iterate, recipe, env), donate_argnums=0)


def iterate(recipe: Recipe, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
    """One iteration: num_envs × horizon samples, then learning from them.

    If observations or rewards are normalized, the first iteration only gathers statistics: nothing is learned from
    inputs of unknown scale.
    """
    steps_now = recipe.num_envs * steps_per_iteration(recipe, env)
    world: Any = _changed(env, state.iteration.astype(jnp.float32) * steps_now, state.curriculum)
    policy = make_policy(recipe, world)
    key, start_key, act_key, learn_key = jax.random.split(state.key, 4)
    actors, discounted = state.actors, state.discounted_return
    if recipe.whole_episodes:
        actors, discounted = start(world, start_key, recipe.num_envs, stagger=False), jnp.zeros_like(discounted)
    actors, record = rollout(
        world,
        policy,
        state.learner.params.policy,
        state.normalizers.policy,
        partial(values, recipe, state),
        actors,
        act_key,
        steps_per_iteration(recipe, world),
        recipe.resets,
        recipe.time_limits,
    )
    state, metrics = learn(recipe, world, state._replace(key=key), actors, discounted, record, learn_key)
    if state.curriculum is not None:
        curriculum, told = world.advance(state.curriculum, record.metrics, steps_now)
        state, metrics = state._replace(curriculum=curriculum), metrics | told
    return state, metrics


def _changed(env: Env, steps: Array, curriculum: Any) -> Any:
    """The environment after `steps` () control steps of training (`walkies.mdp.ChangingEnv`)."""
    if not hasattr(env, "at"):
        return env
    return env.at(steps) if curriculum is None else env.at(steps, curriculum)


def learn(
    recipe: Recipe, env: Env, state: TrainState, actors: Any, discounted: Array, record: Rollout, key: Array
) -> tuple[TrainState, Metrics]:
    """The part of an iteration after acting: estimate advantages, update, finish.

    Of `env` only its sizes, its action space and its mirror are used. actors, discounted: the episode state at the end
    of acting, and the running discounted return (num_envs,) at its beginning.
    """
    policy = make_policy(recipe, env)
    batch = make_batch(recipe, env, policy, state, record)
    learner, metrics = UPDATES[recipe.update](recipe, policy, _scheduled(recipe, state), batch, key)
    r = _reflection(recipe, env)
    if r is not None:
        learner = learner._replace(params=symmetry.project(learner.params, r))
    state, metrics = finish_iteration(recipe, state, learner, actors, discounted, record, batch, metrics)
    if r is not None:
        n = state.normalizers
        of = symmetry.of_normalizer
        state = state._replace(normalizers=n._replace(policy=of(n.policy, r.policy), critic=of(n.critic, r.critic)))
    return state, metrics


def _reflection(recipe: Recipe, env: Env) -> symmetry.Reflection | None:
    """Under which both networks are equivariant; None if the recipe does not ask for it."""
    return symmetry.reflection(env, _mirror_of(recipe, env)) if recipe.symmetry == "equivariant" else None


def finish_iteration(
    recipe: Recipe,
    state: TrainState,
    learner: Learner,
    actors: Any,
    discounted: Array,
    record: Rollout,
    batch: Batch,
    metrics: Metrics,
) -> tuple[TrainState, Metrics]:
    """The state after an iteration that led to `learner`: statistics refreshed, episodes counted."""
    if recipe.normalize_observations or recipe.normalize_reward:
        # Not `where`, of which XLA would compile a function for each array.
        learner = jax.lax.cond(state.iteration > 0, lambda: learner, lambda: state.learner)

    normalizers = state.normalizers
    if recipe.normalize_observations:
        normalizers = normalizers._replace(
            policy=normalize.update(normalizers.policy, record.observations.policy),
            critic=normalize.update(normalizers.critic, record.observations.critic),
        )
    if recipe.normalize_reward:
        history = discounted_returns(discounted, record, recipe.gamma)
        normalizers = normalizers._replace(
            discounted_return=normalize.update(normalizers.discounted_return, history[..., None])
        )
        discounted = jnp.where(record.done[-1], 0.0, history[-1])

    ended = jnp.sum(record.done)
    mean_return, mean_length = (
        jnp.where(ended > 0, jnp.sum(total) / jnp.maximum(ended, 1), previous)
        for total, previous in (
            (record.episode_returns, state.episode_return),
            (record.episode_lengths, state.episode_length),
        )
    )
    metrics = record.metrics | metrics
    metrics |= {
        "reward": jnp.mean(record.rewards),
        "episode_return": mean_return,
        "episode_length": mean_length,
        "episodes": ended,
        "terminations": jnp.sum(record.terminated),
        "samples": jnp.sum(batch.mask[: record.rewards.size]),
        "learning_rate": learner.learning_rate,
        "largest_parameter": finite.largest(learner.params),
    }
    if recipe.baseline:
        unexplained = masked_variance(batch.target - batch.value, batch.mask)
        total = jnp.maximum(masked_variance(batch.target, batch.mask), 1e-12)
        metrics["explained_variance"] = 1.0 - unexplained / total
    if learner.params.policy.log_std.size:
        metrics["std"] = jnp.mean(jnp.exp(learner.params.policy.log_std))
    state = TrainState(learner, normalizers, actors, discounted, state.key, state.iteration + 1, mean_return,
        mean_length.astype(state.episode_length.dtype), state.curriculum)  # fmt: skip
    return state, {name: value.astype(jnp.float32) for name, value in metrics.items()}


def steps_per_iteration(recipe: Recipe, env: Env) -> int:
    """Control steps of each environment in one iteration."""
    if not recipe.whole_episodes:
        return recipe.horizon
    if env.time_limit is None:
        raise UserError("whole_episodes needs an environment with a time_limit; this one has none")
    return env.time_limit


def make_batch(recipe: Recipe, env: Env, policy: Policy, state: TrainState, record: Rollout) -> Batch:
    """The batch to learn from `record`, one row per sample, mirror images last."""
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
        mirrored = _mirror_of(recipe, env).mirror_observation(record.observations)
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


def _mirror_of(recipe: Recipe, env: Env) -> Any:
    mirror = getattr(env, "mirror", None)
    if mirror is None:
        raise UserError(f"symmetry is {recipe.symmetry!r}, but this environment has no mirror; choose 'none'")
    return mirror


def _mirror(policy: Policy, state: TrainState, observations: Observation, batch: Batch) -> Batch:
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


def values(recipe: Recipe, state: TrainState, observations: Any) -> Array:
    """V (…,) of raw critic observations, arrays (…, *shape); zero without a value function."""
    normalizer = state.normalizers.critic
    if not recipe.baseline:
        return jnp.zeros(normalizer.leading(observations), normalizer.samples.dtype)
    return objectives.values(recipe, state.learner.params.critic, normalizer(observations))


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


def discounted_returns(before: Array, record: Rollout, gamma: float) -> Array:
    """R_t = r_t + γ R_{t−1} within each episode (time, num_envs); a reward belongs to the episode that it ends.

    before: (num_envs,) R of the row before the first, 0 where that ended an episode.
    """
    first = jnp.concatenate([jnp.zeros_like(record.done[:1]), record.done[:-1]])
    rewards = record.rewards.at[0].add(gamma * before)
    # Forwards in time is backwards on the flipped arrays; "done" there is "the previous row was another episode".
    return discounted_sums(rewards[::-1], first[::-1], gamma)[::-1]


renamed.names(globals(), account="finish_iteration")
