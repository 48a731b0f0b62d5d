"""What a reinforcement-learning problem is: a Markov decision process, batched and pure.

An MDP is a set of states and actions, an initial-state distribution ρ₀(s), a transition p(s′ | s, a), a reward
r(s, a, s′) and a set of terminal states (Sutton & Barto 2018, ch. 3). `Env` is exactly that, for a batch of
independent copies. Two things are deliberately *not* part of it, because they are not part of the problem:

- **Time limits.** Stopping after 1000 steps is a choice of the experimenter; the world goes on. An `Env` only says
  `terminated`; the rollout (`walkies.rl.rollout`) adds `truncated`, and bootstraps there (Pardo et al. 2018).
- **Resetting.** A terminal state is the end. The rollout starts the next episode.

Arrays lead with the environment axis, `(num_envs, …)`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

import jax

Array = jax.Array
Key = jax.Array
S = TypeVar("S")


class Box(NamedTuple):
    """Continuous space: vectors of `size` numbers, each within [low, high] (floats or arrays of that size)."""

    size: int
    low: Any = -float("inf")
    high: Any = float("inf")


class Discrete(NamedTuple):
    """Discrete space: integers 0 … n−1."""

    n: int


Space = Box | Discrete


class Observation(NamedTuple):
    """What is seen of a state: `policy` is what the agent acts on, `critic` what training may also know.

    policy: (num_envs, observation_size). critic: (num_envs, privileged_size); where nothing is privileged, the same array.
    """

    policy: Array
    critic: Array


class Outcome(NamedTuple):
    """What a transition brings besides the next state.

    reward: (num_envs,). terminated: (num_envs,) bool, true where the next state is terminal (worth 0 from then on).
    metrics: named (num_envs,) arrays, for the curves only.
    """

    reward: Array
    terminated: Array
    metrics: dict[str, Array]


class Env(Protocol[S]):
    """A batch of independent copies of one MDP as three pure functions, jittable and free of hidden state."""

    observation_size: int
    """Length of `Observation.policy`."""
    privileged_size: int
    """Length of `Observation.critic`."""
    action_space: Space
    """What `step` takes: (num_envs, size) floats for `Box`, (num_envs,) ints for `Discrete`."""
    time_limit: int | None
    """Steps after which an experimenter usually stops an episode; applied by the rollout, never by the MDP."""

    def reset(self, key: Key, num_envs: int) -> S:
        """Draw `num_envs` states from the initial-state distribution ρ₀."""
        ...

    def observe(self, state: S) -> Observation:
        """What is seen of `state`. A function of the state alone: sensor noise already drawn is part of the state."""
        ...

    def step(self, state: S, action: Array, key: Key) -> tuple[S, Outcome]:
        """Draw s′ ~ p(· | s, a) for every copy, with its reward and whether s′ is terminal. Never resets."""
        ...


def select(mask: Array, on_true: S, on_false: S) -> S:
    """Per-environment choice between two PyTrees of (num_envs, …) arrays; mask: (num_envs,) bool."""

    def pick(a: Array, b: Array) -> Array:
        return jax.numpy.where(mask.reshape(mask.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, on_true, on_false)
