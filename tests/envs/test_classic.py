"""Cart-pole and pendulum against Gymnasium's, step by step from the same states, in float64."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.classic import CartPole, Pendulum


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def theirs(name, states, actions):
    """One step of Gymnasium's environment from each state: next states, observations, rewards, terminated."""
    env = gymnasium.make(name).unwrapped
    rows = []
    for state, action in zip(states, actions, strict=True):
        env.reset()
        env.state = state
        observation, reward, terminated, _, _ = env.step(action)
        rows.append((np.asarray(env.state), observation, reward, terminated))
    return [np.array(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_same_step_as_gymnasium(name):
    """State, observation, reward and termination from 300 states that reach beyond every limit."""
    rng = np.random.default_rng(0)
    if name == "CartPole-v1":
        env = CartPole()
        states, actions = rng.normal(size=(300, 4)) * [1.5, 2.0, 0.15, 2.0], rng.integers(0, 2, 300)
    else:
        env = Pendulum()
        states, actions = rng.normal(size=(300, 2)) * [6.0, 5.0], 2.0 * rng.normal(size=(300, 1))
    following, outcome = jax.jit(env.step)(jnp.asarray(states), jnp.asarray(actions), jax.random.key(0))
    state, observation, reward, terminated = theirs(name, states, actions)
    np.testing.assert_allclose(following, state, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(env.observe(following).policy, observation, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(outcome.reward, reward, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(outcome.terminated, terminated)
    assert len(np.unique(terminated)) == (2 if name == "CartPole-v1" else 1)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_same_problem_as_gymnasium(name):
    """Initial states fill the same box; spaces and time limits are the same."""
    env = CartPole() if name == "CartPole-v1" else Pendulum()
    spec = gymnasium.make(name)
    assert spec.spec.max_episode_steps == env.time_limit
    assert spec.observation_space.shape == (env.observation_size,)
    mine = np.asarray(env.reset(jax.random.key(0), 5000))
    high = np.full(4, 0.05) if name == "CartPole-v1" else np.array([np.pi, 1.0])
    assert np.all(np.abs(mine) <= high)
    np.testing.assert_allclose(mine.std(axis=0), high / np.sqrt(3), rtol=0.05)  # uniform
    np.testing.assert_allclose(mine.mean(axis=0) / high, 0.0, atol=0.05)
