"""What acting leaves behind: where each environment is now, and a record of what happened."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies.mdp import Observation

Array = jax.Array


class Actors(NamedTuple):
    """The environments and how far each is in its episode; lives from one rollout to the next."""

    state: Any
    """State of the environment, leaves (num_envs, …)."""
    age: Array
    """(num_envs,) int32 steps on the clock of the time limit; staggered at the start."""
    length: Array
    """(num_envs,) int32 steps really taken in this episode."""
    episode_return: Array
    """(num_envs,) undiscounted sum of rewards in this episode."""


class Rollout(NamedTuple):
    """What happened, (time, num_envs, …)."""

    observations: Observation
    samples: Array
    """What the policy drew and is scored on; the environment received `policy.action(sample)`."""
    log_probs: Array
    heads: Array
    """The observation-dependent parameters of the acting distributions, for KL(old ‖ new)."""
    rewards: Array
    terminated: Array
    """bool: the state reached is terminal."""
    truncated: Array
    """bool: the episode was cut by the time limit, not by the world. Never together with `terminated`."""
    cut_values: Array | None
    """V of the state reached, where truncated. None where only the last row can be: `last` is that state then."""
    last: Observation
    """What is seen after the last row, (num_envs, …): the state reached, or the new episode if `cut_values` has it."""
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

    def next_values(self, values: Array) -> Array:
        """v' (time, num_envs) of the states really reached.

        values: (time + 1, num_envs), V of `observations` and then of `last`.
        """
        following = values[1:]
        return following if self.cut_values is None else jnp.where(self.truncated, self.cut_values, following)
