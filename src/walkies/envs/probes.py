"""Five probe environments with exact answers, each of which tests one part of a learner (after Andy Jones).

If the first fails, the value loss is wrong; the second, the network's input; the third, the discount; the fourth, the
policy gradient; the fifth, the dependence of the action on the observation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.envs.tabular import Tabular, tabular


class Probe(NamedTuple):
    """A probe and its expected solution."""

    mdp: Tabular
    observations: np.ndarray
    """(n, observation_size): every observation of a state that is not terminal."""
    values: np.ndarray
    """(n,): the optimal value of each."""
    actions: np.ndarray | None
    """(n,): the best action in each; None if all are equal."""


def _one_step(features: list[float], reward: np.ndarray) -> Tabular:
    """Start in any state with equal chance, act once, end. reward: (len(features), actions)."""
    starts, actions = reward.shape
    transition = np.zeros((starts + 1, actions, starts + 1))
    transition[:, :, -1] = 1.0
    return tabular(
        transition,
        np.vstack([reward, np.zeros(actions)]),
        terminal=np.arange(starts + 1) == starts,
        features=np.array([*features, 0.0])[:, None],
    )


def constant_reward() -> Probe:
    """One observation, one step, reward 1: V = 1."""
    return Probe(_one_step([1.0], np.ones((1, 2))), np.array([[1.0]]), np.array([1.0]), None)


def observation_reward() -> Probe:
    """One step whose reward is the observation, −1 or 1: V(o) = o."""
    seen = np.array([-1.0, 1.0])
    return Probe(_one_step([-1.0, 1.0], np.stack([seen, seen], axis=1)), seen[:, None], seen, None)


def delayed_reward(gamma: float) -> Probe:
    """Two steps, reward 1 at the end of the second: V = γ, then 1."""
    transition = np.zeros((3, 2, 3))
    transition[0, :, 1] = transition[1, :, 2] = transition[2, :, 2] = 1.0
    mdp = tabular(
        transition,
        np.array([0.0, 1.0, 0.0]),
        initial=[1.0, 0.0, 0.0],
        terminal=[False, False, True],
        features=[[-1.0], [1.0], [0.0]],
    )
    return Probe(mdp, np.array([[-1.0], [1.0]]), np.array([gamma, 1.0]), None)


def action_reward() -> Probe:
    """One step; action 0 brings −1, action 1 brings 1: V = 1 once learned."""
    return Probe(_one_step([1.0], np.array([[-1.0, 1.0]])), np.array([[1.0]]), np.array([1.0]), np.array([1]))


def matching_reward() -> Probe:
    """One step; 1 for action 0 at observation −1 and action 1 at observation 1, else −1: V = 1 once learned."""
    reward = np.array([[1.0, -1.0], [-1.0, 1.0]])
    return Probe(_one_step([-1.0, 1.0], reward), np.array([[-1.0], [1.0]]), np.array([1.0, 1.0]), np.array([0, 1]))


def probes(gamma: float) -> dict[str, Probe]:
    """All five by name, easiest first."""
    return {
        "constant_reward": constant_reward(),
        "observation_reward": observation_reward(),
        "delayed_reward": delayed_reward(gamma),
        "action_reward": action_reward(),
        "matching_reward": matching_reward(),
    }
