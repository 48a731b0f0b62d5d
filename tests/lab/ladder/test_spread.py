"""Noise of the gradient: the statistic against known distributions, and what is measured against exact gradients."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from walkies.envs.tabular import Tabular, evaluate, expected_return, random_tabular
from walkies.lab.ladder import gradients
from walkies.rl import train
from walkies.rl.recipes import RECIPES, Recipe

STEPS = 4


def test_spread_of_known_gaussians():
    """tr Σ and ‖μ‖² of N(μ, Σ), μ short beside the noise. Control: the plain ‖mean‖² counts noise as signal."""
    rng = np.random.default_rng(0)
    mean, deviation, count = np.array([0.3, -0.4, 0.0]), np.array([1.0, 2.0, 3.0]), 50
    draws = [mean + deviation * rng.normal(size=(count, 3)) for _ in range(4000)]
    found = [gradients.spread(draw, 10.0) for draw in draws]
    signals = np.array([one.signal for one in found])
    error = signals.std() / np.sqrt(len(signals))
    assert abs(signals.mean() - 0.25) < 5.0 * error
    assert np.mean([one.noise for one in found]) == pytest.approx(14.0, rel=0.02)
    naive = np.mean([np.sum(draw.mean(axis=0) ** 2) for draw in draws])
    assert naive - 0.25 > 20.0 * error


def test_no_signal_is_said_to_be_none():
    """Opposite batches: the mean is zero, so there is nothing to be seen; with equal ones there is no noise."""
    assert gradients.spread(np.array([[1.0], [-1.0]]), 10.0).samples_needed is None
    assert gradients.spread(np.array([[1.0], [1.0]]), 10.0).samples_needed == 0.0


@pytest.fixture(scope="module")
def measured():
    """Gradients of the ladder on a random MDP of 3 states, episodes of 4 steps, γ = 1, and what they should be."""
    env = random_tabular(seed=3, states=3)
    env = Tabular(**{**vars(env), "time_limit": STEPS})
    shared = dict(num_envs=16, horizon=STEPS, hidden=(), critic_hidden=(), gamma=1.0, normalize_observations=False)
    recipes = {name: replace(recipe, **shared) for name, recipe in RECIPES.items()}
    state = train.init(recipes["ppo"], env, jax.random.key(0))
    found, samples = jax.jit(lambda key: gradients.gradients(recipes, env, state, 4, 2000, key))(jax.random.key(1))

    def mean_reward(params):
        policy = train.make_policy(recipes["ppo"], env)
        choices = jnp.exp(policy.apply(params, jnp.asarray(env.features, jnp.float32)).log_probs)
        return expected_return(env, choices, 1.0, STEPS) / STEPS

    exact = ravel_pytree(jax.grad(mean_reward)(state.learner.params.policy))[0]
    return {name: np.asarray(rows, np.float64) for name, rows in found.items()}, np.asarray(samples), np.asarray(exact)


@pytest.mark.parametrize("name", ["reinforce", "reinforce_baseline", "a2c"])
def test_the_mean_over_batches_is_the_exact_gradient(measured, name):
    """Within 5 standard errors of the derivative of dynamic programming. Control: half of it is not."""
    found, samples, exact = measured
    rows = found[name]
    np.testing.assert_array_equal(samples, 4 * STEPS)
    error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    moving = error > 0.0
    assert np.all(np.abs(rows.mean(axis=0) - exact)[moving] < 5.0 * error[moving])
    assert np.max(np.abs(rows.mean(axis=0) - 0.5 * exact)[moving] / error[moving]) > 5.0


def test_recipes_share_their_gradient_where_they_share_their_weight(measured):
    """T26 on real batches: NPG, TRPO and PPO have one gradient; another λ (the control) has another."""
    found = measured[0]
    np.testing.assert_allclose(found["trpo"], found["ppo"], atol=1e-6)
    np.testing.assert_allclose(found["npg"], found["ppo"], atol=1e-6)
    assert np.max(np.abs(found["a2c"] - found["ppo"])) > 1e-2


def test_reward_to_go_is_less_noisy_than_the_full_return(measured):
    found = measured[0]
    recipes = {name: gradients.spread(rows, 16.0) for name, rows in found.items()}
    assert recipes["reinforce_baseline"].noise < 0.8 * recipes["reinforce"].noise
    assert recipes["ppo"].noise < recipes["a2c"].noise, "a smaller λ is less noisy still"


def test_chunks_are_put_together(measured):
    """`measure` rounds batches up to whole chunks and knows the number of samples of one."""
    env = Tabular(**{**vars(random_tabular(seed=3, states=3)), "time_limit": STEPS})
    recipe: Recipe = replace(
        RECIPES["ppo"], num_envs=16, horizon=STEPS, hidden=(), critic_hidden=(), gamma=1.0, normalize_observations=False
    )  # fmt: skip
    state = train.init(recipe, env, jax.random.key(0))
    found = gradients.measure({"ppo": recipe}, env, {"now": state}, episodes=4, batches=150, chunk=100)["now"]["ppo"]
    assert found.samples == 4 * STEPS
    all_rows = gradients.spread(measured[0]["ppo"], 16.0)
    assert found.noise == pytest.approx(all_rows.noise, rel=0.3)


def test_dynamic_programming_sees_the_same_lengths():
    """The fixture's premise: no state is terminal, so every episode has exactly 4 steps."""
    env = random_tabular(seed=3, states=3)
    assert not env.terminal.any() and evaluate(env, jnp.full((3, 2), 0.5), 1.0, STEPS).v.shape == (STEPS + 1, 3)
