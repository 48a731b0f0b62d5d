"""Tiny deterministic environments whose every number a test can predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from walkies.mdp import Box, Discrete, Observation, Outcome


class CounterState(NamedTuple):
    steps: jnp.ndarray
    lifetime: jnp.ndarray
    action: jnp.ndarray


@dataclass(frozen=True)
class Counter:
    """Counts its steps. Copy i of a reset dies after `lifetimes[i]` steps (0: never); reward and dynamics are exact.

    Observation: (steps, 7): a number that moves and one that never does. Critic: (steps, lifetime, last action).
    """

    lifetimes: tuple[int, ...] = (0,)
    time_limit: int | None = None
    reward: float = 1.0
    dies_at_limit: int | None = None

    observation_size = 2
    privileged_size = 3
    action_space = Box(1, -1.0, 1.0)

    def reset(self, key, num_envs):
        lifetime = jnp.resize(jnp.asarray(self.lifetimes, jnp.float32), (num_envs,))
        return CounterState(jnp.zeros(num_envs), lifetime, jnp.zeros(num_envs))

    def observe(self, state):
        policy = jnp.stack([state.steps, jnp.full_like(state.steps, 7.0)], axis=-1)
        return Observation(policy, jnp.stack([state.steps, state.lifetime, state.action], axis=-1))

    def step(self, state, action, key):
        steps = state.steps + 1
        dead = (state.lifetime > 0) & (steps >= state.lifetime)
        if self.dies_at_limit is not None:
            dead = dead | (steps >= self.dies_at_limit)
        reward = jnp.full_like(steps, self.reward)
        return CounterState(steps, state.lifetime, action[:, 0]), Outcome(reward, dead, {"steps": steps})


class MirrorOf:
    """Left and right of `Target`: everything changes sign."""

    @staticmethod
    def mirror_observation(observation):
        return Observation(-observation.policy, -observation.critic)

    @staticmethod
    def mirror_action(action):
        return -action


@dataclass(frozen=True)
class Target:
    """One number x in [−1, 1] is seen, −(a − sign x)² is earned, and a new x comes. Left–right symmetric."""

    time_limit: int | None = 8
    one_sided: bool = False
    mirror = MirrorOf()

    observation_size = 1
    privileged_size = 1
    action_space = Box(1)

    def reset(self, key, num_envs):
        return jax.random.uniform(key, (num_envs, 1), minval=0.3 if self.one_sided else -1.0)

    def observe(self, state):
        return Observation(state, state)

    def step(self, state, action, key):
        reward = -jnp.square(action - jnp.sign(state))[:, 0]
        return self.reset(key, state.shape[0]), Outcome(reward, jnp.zeros(state.shape[0], bool), {})


@dataclass(frozen=True)
class Bandit:
    """One state, two choices, worth 0 and 1; ends at once."""

    time_limit: int | None = 1

    observation_size = 1
    privileged_size = 1
    action_space = Discrete(2)

    def reset(self, key, num_envs):
        return jnp.zeros((num_envs, 1))

    def observe(self, state):
        return Observation(state, state)

    def step(self, state, action, key):
        return state, Outcome(action.astype(jnp.float32), jnp.ones(state.shape[0], bool), {})
