"""Finite MDPs: all rollouts can be listed and all values solved for, so estimators are checked without sampling."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies.mdp import Array, Discrete, Key, Observation, Outcome


@dataclass(frozen=True, eq=False)
class Tabular:
    """A finite MDP with S states and A actions, as an `Env` whose state is an integer array (num_envs,).

    Raises ValueError where shapes disagree or a row of probabilities does not sum to one.
    """

    initial: np.ndarray
    """ρ₀, (S,)."""
    transition: np.ndarray
    """p(s′ | s, a), (S, A, S)."""
    reward: np.ndarray
    """r(s, a, s′), (S, A, S)."""
    terminal: np.ndarray
    """(S,) bool. A terminal state is never left and has value 0."""
    features: np.ndarray
    """The observation of each state, (S, observation_size)."""
    time_limit: int | None = None

    def __post_init__(self) -> None:
        states, actions = self.transition.shape[:2]
        expected = {
            "initial": (states,),
            "transition": (states, actions, states),
            "reward": (states, actions, states),
            "terminal": (states,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if self.features.ndim != 2 or len(self.features) != states:
            raise ValueError(f"features has shape {self.features.shape}, expected ({states}, observation_size)")
        for name in ("initial", "transition"):
            table = getattr(self, name)
            if np.any(table < 0.0) or not np.allclose(table.sum(axis=-1), 1.0):
                raise ValueError(f"every row of {name} must be a probability distribution over the {states} states")

    @property
    def num_states(self) -> int:
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        return self.transition.shape[1]

    @property
    def observation_size(self) -> int:
        return self.features.shape[1]

    @property
    def privileged_size(self) -> int:
        return self.observation_size

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.num_actions)

    def reset(self, key: Key, num_envs: int) -> Array:
        return jax.random.categorical(key, jnp.log(jnp.asarray(self.initial, float)), shape=(num_envs,))

    def observe(self, state: Array) -> Observation:
        seen = jnp.asarray(self.features, float)[state]
        return Observation(seen, seen)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        following = jax.random.categorical(key, jnp.log(jnp.asarray(self.transition, float))[state, action])
        reward = jnp.asarray(self.reward, float)[state, action, following]
        return following, Outcome(reward, jnp.asarray(self.terminal)[following], {})


def tabular(
    transition: Any, reward: Any, initial: Any = None, terminal: Any = None, features: Any = None, **options: Any
) -> Tabular:
    """A `Tabular` with defaults: start uniform over non-terminal states, nothing terminal, one-hot observations.

    transition: (S, A, S). reward: (S,), (S, A) or (S, A, S): what a step from s, by a, to s′ brings.
    """
    transition = np.asarray(transition, float)
    states, actions, _ = transition.shape
    reward = np.asarray(reward, float)
    reward = np.broadcast_to(reward.reshape(reward.shape + (1,) * (3 - reward.ndim)), (states, actions, states))
    terminal = np.zeros(states, bool) if terminal is None else np.asarray(terminal, bool)
    if initial is None:
        initial = ~terminal / np.sum(~terminal)
    features = np.eye(states) if features is None else np.asarray(features, float)
    return Tabular(np.asarray(initial, float), transition, reward, terminal, features, **options)


def random_tabular(seed: int, states: int = 2, actions: int = 2, terminal: int = 0) -> Tabular:
    """A random MDP: Dirichlet(1) probabilities, standard normal rewards; the last `terminal` states are terminal."""
    rng = np.random.default_rng(seed)
    return tabular(
        transition=rng.dirichlet(np.ones(states), size=(states, actions)),
        reward=rng.normal(size=(states, actions, states)),
        initial=np.append(rng.dirichlet(np.ones(states - terminal)), np.zeros(terminal)),
        terminal=np.arange(states) >= states - terminal,
    )


class Listing(NamedTuple):
    """All rollouts of a finite MDP, (time, num_rollouts) each; a rollout that has ended stays where it is."""

    states: np.ndarray
    """(time + 1, num_rollouts) int."""
    actions: np.ndarray
    rewards: np.ndarray
    """0 after the end."""
    terminated: np.ndarray
    """True at the step that reaches a terminal state."""
    valid: np.ndarray
    """False after the end."""


def enumerate_rollouts(mdp: Tabular, horizon: int) -> Listing:
    """All rollouts of `horizon` steps with positive probability under a policy that may take any action.

    No action leaves a terminal state: the steps after it are listed once, as action 0 and reward 0, and not `valid`.
    Costs (S·A)^horizon: meant for a handful of states and steps.
    """
    rollouts: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((int(s),), ()) for s in np.flatnonzero(mdp.initial)]
    for _ in range(horizon):
        longer = []
        for states, actions in rollouts:
            here = states[-1]
            if mdp.terminal[here]:
                longer.append(((*states, here), (*actions, 0)))
                continue
            for action, following in itertools.product(range(mdp.num_actions), range(mdp.num_states)):
                if mdp.transition[here, action, following] > 0.0:
                    longer.append(((*states, following), (*actions, action)))
        rollouts = longer
    path = np.array([states for states, _ in rollouts]).T
    choices = np.array([actions for _, actions in rollouts], int).reshape(len(rollouts), horizon).T
    valid = ~mdp.terminal[path[:-1]]
    rewards = np.where(valid, mdp.reward[path[:-1], choices, path[1:]], 0.0)
    return Listing(path, choices, rewards, valid & mdp.terminal[path[1:]], valid)


class Values(NamedTuple):
    """V of every state and Q of every state and action; with a horizon, the leading axis is the time step."""

    v: Array
    """(horizon + 1, S), or (S,) for the infinite horizon."""
    q: Array
    """(horizon, S, A), or (S, A)."""


def evaluate(mdp: Tabular, policy: Array, gamma: float, horizon: int | None = None) -> Values:
    """V^π and Q^π by dynamic programming, differentiable in the policy (Sutton & Barto 2018, eq. 4.4).

    Args:
        policy: π(a | s), (S, A).
        gamma: discount; below 1 (or every policy must terminate) for the infinite horizon.
        horizon: number of steps, or None for the infinite horizon, solved as (I − γP^π) V = r^π.
    """
    transition, going = jnp.asarray(mdp.transition, float), jnp.asarray(~mdp.terminal, float)
    reward = jnp.sum(transition * jnp.asarray(mdp.reward, float), axis=-1) * going[:, None]

    def action_values(v: Array) -> Array:
        return reward + gamma * going[:, None] * (transition @ (going * v))

    if horizon is None:
        flow = jnp.einsum("sa,sat->st", policy, transition) * going[:, None] * going[None, :]
        v = jnp.linalg.solve(jnp.eye(mdp.num_states) - gamma * flow, jnp.sum(policy * reward, axis=-1))
        return Values(v, action_values(v))
    v = [jnp.zeros(mdp.num_states)]
    q: list[Array] = []
    for _ in range(horizon):
        q.insert(0, action_values(v[0]))
        v.insert(0, jnp.sum(policy * q[0], axis=-1))
    return Values(jnp.stack(v), jnp.stack(q))


def expected_return(mdp: Tabular, policy: Array, gamma: float, horizon: int | None = None) -> Array:
    """J(π) = E Σ_t γ^t r_t from the initial-state distribution; a scalar, differentiable in the policy (S, A)."""
    v = evaluate(mdp, policy, gamma, horizon).v
    return jnp.asarray(mdp.initial, float) @ (v if horizon is None else v[0])
