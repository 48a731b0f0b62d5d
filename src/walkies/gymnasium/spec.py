"""The specification of a Gymnasium vector environment: what learning needs of an `Env` in which it does not act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from walkies import renamed
from walkies.errors import UserError
from walkies.gymnasium.adapter import from_gymnasium_space
from walkies.mdp import Box, Key, Observation, Outcome, Space

Array = jax.Array


@dataclass(frozen=True)
class EnvSpec:
    """The specification of an `Env`, as learning needs it. Acting happens elsewhere, so it cannot be stepped."""

    observation_size: int
    privileged_size: int
    action_space: Space
    time_limit: int | None = None

    def reset(self, key: Key, num_envs: int) -> Array:
        """States that only say what an observation looks like: zeros (num_envs, observation_size)."""
        return jnp.zeros((num_envs, self.observation_size))

    def observe(self, state: Array) -> Observation:
        return Observation(state, state)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        raise UserError("this environment lives in Gymnasium; act in it by walkies.gymnasium.rollout")


def env_spec(envs: Any) -> EnvSpec:
    """The outline of a gymnasium.vector.VectorEnv. Raises UserError for spaces that are not flat.

    Its time limit is the one that the environment was registered with, if it was; Gymnasium applies it itself.
    """
    seen = from_gymnasium_space(envs.single_observation_space, "observation")
    if not isinstance(seen, Box):
        raise UserError(
            f"observations are {envs.single_observation_space}; expected a one-dimensional Box."
            " Wrap the environment, for example in gymnasium.wrappers.FlattenObservation."
        )
    limit = getattr(envs.spec, "max_episode_steps", None)
    return EnvSpec(seen.size, seen.size, from_gymnasium_space(envs.single_action_space), limit)


renamed.names(globals(), Shape="EnvSpec", shape_of="env_spec")
