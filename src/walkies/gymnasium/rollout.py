"""Acting in any Gymnasium vector environment: the same record as in `walkies.rl.rollout`, filled by a Python loop.

Gymnasium's three autoreset modes treat the step at which an episode ends in three ways:

- SAME_STEP returns the new episode's first observation; the state really reached is in `infos["final_obs"]`.
- NEXT_STEP returns the state reached and spends the following step on the reset: that row is not a transition. It stays
  in the record, so that arrays stay rectangular, but is not `valid`.
- DISABLED leaves the reset to the caller, so here it happens at once.

All three give the same transitions, values and advantages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies import renamed
from walkies.errors import UserError
from walkies.gymnasium import numbers
from walkies.gymnasium.actor import make_actor, score
from walkies.gymnasium.adapter import into_box
from walkies.mdp import Observation
from walkies.rl.normalize import Normalizer
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.rollout import Rollout

Array = jax.Array

MODES = ("NextStep", "SameStep", "Disabled")
"""Values of gymnasium.vector.AutoresetMode."""


class VectorState(NamedTuple):
    """State of each environment; carried from one rollout to the next. NumPy arrays."""

    observation: np.ndarray
    """(num_envs, size) float32: what is seen now."""
    ended: np.ndarray
    """(num_envs,) bool: the next step is spent on a reset (NEXT_STEP only)."""
    length: np.ndarray
    """(num_envs,) int32 steps in this episode."""
    episode_return: np.ndarray
    """(num_envs,) undiscounted sum of rewards in this episode."""


def start(envs: Any, seed: int | None = None) -> VectorState:
    """Reset every environment of a gymnasium.vector.VectorEnv. Raises UserError for observations not finite."""
    observation, _ = envs.reset(seed=seed)
    n = envs.num_envs
    seen = np.asarray(observation, np.float32)
    numbers.refuse_observations(seen)
    return VectorState(seen, np.zeros(n, bool), np.zeros(n, np.int32), np.zeros(n))


def autoreset_mode(envs: Any) -> str:
    """One of MODES. Raises UserError where the environment does not say."""
    mode = envs.metadata.get("autoreset_mode")
    name = getattr(mode, "value", mode)
    if name not in MODES:
        raise UserError(f'metadata["autoreset_mode"] is {mode!r}; expected one of {", ".join(MODES)}')
    return str(name)


def rollout(
    envs: Any,
    policy: Policy,
    params: PolicyParams,
    normalizer: Normalizer,
    value: Callable[[Array], Array],
    actors: VectorState,
    key: Array,
    horizon: int,
    whole_episodes: bool = False,
) -> tuple[VectorState, Rollout]:
    """Act for `horizon` steps in every environment of a gymnasium.vector.VectorEnv.

    normalizer: of observations, frozen for the whole rollout. value: raw observations (…, size) → V (…,); called once.
    whole_episodes: start new episodes, and stop acting once every environment has ended its first one; the rows up to
    `horizon` are then no transitions.
    Returns the actors and a Rollout whose `valid` is None where every row is a transition. Raises UserError for
    rewards and observations that are not finite.
    """
    # Long: one loop over time in NumPy, whose every line needs the ones before it.
    mode, contained = autoreset_mode(envs), into_box(envs.single_action_space)
    if whole_episodes:
        actors = start(envs)
    unfinished = np.ones(envs.num_envs, bool)
    act = make_actor(policy, params, normalizer, key, envs.num_envs, horizon)
    rows: list[tuple[np.ndarray, ...]] = []
    for t in range(horizon):
        observation, ended = actors.observation, actors.ended
        sample, action = act(observation, t)
        following, reward, terminated, truncated, infos = envs.step(contained(action))
        valid = ~ended
        terminated, truncated = np.asarray(terminated) & valid, np.asarray(truncated) & ~terminated & valid
        done = terminated | truncated
        reached = following = np.asarray(following, np.float32)
        if mode == "SameStep" and done.any():
            reached = following.copy()
            for i in np.flatnonzero(done):
                reached[i] = infos["final_obs"][i]
        elif mode == "Disabled" and done.any():
            # One environment may hand out the same array again.
            reached = following.copy()
            following = np.array(envs.reset(options={"reset_mask": done})[0], np.float32)
        numbers.refuse_observations(following)
        if reached is not following:
            # The state in which a world ended is never looked at, and may well be why it did.
            numbers.refuse_observations(reached, truncated)
        reward = numbers.rewards(reward, valid)
        length = actors.length + valid.astype(np.int32)
        total = actors.episode_return + reward
        rows.append(
            (observation, sample, reward.astype(np.float32), terminated,
             truncated, reached, np.where(done, total, 0.0).astype(np.float32), np.where(done, length, 0), valid)
        )  # fmt: skip
        waits = done if mode == "NextStep" else np.zeros_like(done)
        actors = VectorState(following, waits, np.where(done, 0, length), np.where(done, 0.0, total))
        unfinished &= ~done
        if whole_episodes and not unfinished.any():
            break

    columns = [_padded(np.stack([np.asarray(row[i]) for row in rows]), horizon) for i in range(len(rows[0]))]
    observation, sample, reward, terminated, truncated, reached, returns, lengths, valid = columns
    dist_params, log_prob = score(policy, params, normalizer, observation, sample)
    cut_values = jnp.where(truncated, value(jnp.asarray(reached)), 0.0) if truncated.any() else jnp.zeros_like(reward)
    last = jnp.asarray(actors.observation)
    return actors, Rollout(
        observations=Observation(jnp.asarray(observation), jnp.asarray(observation)),
        samples=jnp.asarray(sample),
        log_probs=log_prob,
        dist_params=dist_params,
        rewards=jnp.asarray(reward),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        cut_values=cut_values,
        last=Observation(last, last),
        episode_returns=jnp.asarray(returns),
        episode_lengths=jnp.asarray(lengths),
        metrics={},
        valid=None if valid.all() else jnp.asarray(valid),
    )


def _padded(column: np.ndarray, horizon: int) -> np.ndarray:
    """`column` (rows, num_envs, …) with zeros behind it, (horizon, num_envs, …): shapes that are compiled once."""
    missing = horizon - len(column)
    return column if not missing else np.concatenate([column, np.zeros((missing, *column.shape[1:]), column.dtype)])


renamed.names(globals(), HostActors="VectorState", start_host="start", rollout_host="rollout")
