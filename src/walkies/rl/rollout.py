"""Acting: a policy in a batch of environments for a fixed number of steps, as one `lax.scan`.

Episodes are managed here. An `Env` neither resets nor has a time limit; here a terminated environment starts its next
episode, and a time limit truncates without treating the state as terminal: the rollout keeps the value of the state
that was reached (Pardo et al. 2018).

Time limits come in two kinds. "exact" truncates an episode at the exact step; the value of the state it reached must
then be computed inside the scan. "rollout_end" truncates only at the end of a rollout: an episode that would exceed the
limit during the next rollout ends with this one. The bootstrap is then the value of the last observation, which is
needed anyway; with randomly staggered ages the truncations spread evenly over iterations.

Resets come in two kinds. "step" draws a new initial state for each environment at each step and uses it where an
episode ended. "rollout" draws one per environment for the whole rollout, which is much cheaper if drawing is expensive;
only an environment that ends twice within one rollout starts twice from the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from walkies import renamed
from walkies.accel.rows import faster_select
from walkies.mdp import Env, Observation, select
from walkies.rl.policy import Policy, PolicyParams

Array = jax.Array
Resets = Literal["step", "rollout"]
TimeLimits = Literal["exact", "rollout_end"]


class EpisodeState(NamedTuple):
    """The environments and the progress of their episodes; carried from one rollout to the next."""

    state: Any
    """State of the environment, leaves (num_envs, …)."""
    age: Array
    """(num_envs,) int32 steps on the clock of the time limit; staggered at the start."""
    length: Array
    """(num_envs,) int32 steps taken in this episode."""
    episode_return: Array
    """(num_envs,) undiscounted sum of rewards in this episode."""


class Rollout(NamedTuple):
    """What happened, (time, num_envs, …)."""

    observations: Observation
    samples: Array
    """The policy's samples, whose log-probability counts; the environment received `policy.action(sample)`."""
    log_probs: Array
    dist_params: Array
    """The observation-dependent parameters of the acting distributions, for KL(old ‖ new)."""
    rewards: Array
    terminated: Array
    """bool: the state reached is terminal."""
    truncated: Array
    """bool: the episode was truncated by the time limit. Never together with `terminated`."""
    cut_values: Array | None
    """V of the state reached, where truncated. None if only the last row can be: `last` is that state then."""
    last: Observation
    """Observation after the last row, (num_envs, …): the state reached, or the new episode if `cut_values` has it."""
    episode_returns: Array
    """Undiscounted return of the episode that ended here, else 0."""
    episode_lengths: Array
    """int32 length of the episode that ended here, else 0."""
    metrics: dict[str, Array]
    """Mean () of each quantity that the environment reports."""
    valid: Array | None = None
    """bool: false in a row that is no transition (`walkies.gymnasium.rollout`). None: every row is one."""

    @property
    def done(self) -> Array:
        """The next row belongs to another episode."""
        return self.terminated | self.truncated

    @property
    def critic_observations(self) -> Any:
        """Of every row and then of `last`, (time + 1, num_envs, …)."""
        return jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), self.observations.critic, self.last.critic)

    def next_values(self, values: Array) -> Array:
        """v' (time, num_envs) of the states reached.

        values: (time + 1, num_envs), V of `critic_observations`.
        """
        following = values[1:]
        return following if self.cut_values is None else jnp.where(self.truncated, self.cut_values, following)


def start(env: Env, key: Array, num_envs: int, stagger: bool) -> EpisodeState:
    """New environments. stagger: ages uniform over the time limit, so that not all are truncated at once."""
    reset_key, age_key = jax.random.split(key)
    zeros = jnp.zeros(num_envs, jnp.int32)
    age = (
        jax.random.randint(age_key, (num_envs,), 0, env.time_limit, jnp.int32) if stagger and env.time_limit else zeros
    )
    state = env.reset(reset_key, num_envs)
    numbers = [x.dtype for x in jax.tree.leaves(env.observe(state).policy) if jnp.issubdtype(x.dtype, jnp.floating)]
    return EpisodeState(state, age, zeros, jnp.zeros(num_envs, numbers[0] if numbers else float))


def rollout(
    env: Env,
    policy: Policy,
    params: PolicyParams,
    normalize: Any,
    value: Callable[[Any], Array],
    actors: EpisodeState,
    key: Array,
    horizon: int,
    resets: Resets = "step",
    time_limits: TimeLimits = "exact",
) -> tuple[EpisodeState, Rollout]:
    """Act for `horizon` steps in every environment.

    normalize: raw policy observations → normalized ones, frozen for the whole rollout.
    value: raw critic observations (num_envs, …) → V (num_envs,); called only where "exact" time limits cut.
    """
    # Long: a loop, its step and its restart, which share what stays the same over a rollout.
    num_envs = actors.age.shape[0]
    limit = env.time_limit
    exact = limit is not None and time_limits == "exact"
    reset_key, step_key, last_key = jax.random.split(key, 3)
    spare = env.reset(reset_key, num_envs) if resets == "rollout" else None
    quantities: list[str] = []  # known once `step` is traced

    def restart(actors: EpisodeState, done: Array, key: Array) -> EpisodeState:
        state = env.reset(key, num_envs) if spare is None else spare
        zeros = jnp.zeros_like(actors.age)
        return faster_select(select)(
            done, EpisodeState(state, zeros, zeros, jnp.zeros_like(actors.episode_return)), actors
        )

    def step(actors: EpisodeState, key: Array) -> tuple[EpisodeState, tuple[Rollout, Array]]:
        act_key, world_key, restart_key = jax.random.split(key, 3)
        observation = env.observe(actors.state)
        dist_params = policy.dist_params(params, normalize(observation.policy), observation.action_mask)
        distribution = policy.distribution(params, dist_params)
        sample = distribution.sample(act_key)
        state, outcome = env.step(actors.state, policy.action(sample), world_key)
        reached = EpisodeState(state, actors.age + 1, actors.length + 1, actors.episode_return + outcome.reward)
        if exact and limit is not None:
            truncated = ~outcome.terminated & (reached.age >= limit)
            cut_values = jax.lax.cond(
                jnp.any(truncated), lambda: value(env.observe(state).critic), lambda: jnp.zeros_like(outcome.reward)
            )
        else:
            truncated, cut_values = jnp.zeros_like(outcome.terminated), None
        row = Rollout(
            observations=observation,
            samples=sample,
            log_probs=distribution.log_prob(sample),
            dist_params=dist_params,
            rewards=outcome.reward,
            terminated=outcome.terminated,
            truncated=truncated,
            cut_values=cut_values,
            last=jax.tree.map(lambda x: x[:0], observation),  # known only after the scan
            episode_returns=reached.episode_return,
            episode_lengths=reached.length,
            metrics={},  # kept as one array: XLA would compile a function for each
        )
        quantities[:] = sorted(outcome.metrics)
        means = [jnp.mean(outcome.metrics[name]) for name in quantities]
        return restart(reached, row.done, restart_key), (row, jnp.array(means))

    actors, (rows, means) = jax.lax.scan(step, actors, jax.random.split(step_key, horizon))
    last = env.observe(actors.state)
    if limit is not None and not exact:
        cut = ~rows.terminated[-1] & (actors.age + horizon > limit)
        rows = rows._replace(truncated=rows.truncated.at[-1].set(cut))
        actors = restart(actors, cut, last_key)
    return actors, rows._replace(
        last=last,
        episode_returns=jnp.where(rows.done, rows.episode_returns, 0.0),
        episode_lengths=jnp.where(rows.done, rows.episode_lengths, 0),
        metrics=dict(zip(quantities, jnp.mean(means, axis=0), strict=True)),
    )


renamed.names(globals(), Actors="EpisodeState")
