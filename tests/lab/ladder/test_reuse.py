"""Worth of old samples: the effective share in closed form, and a batch that has not aged at all."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.lqr import double_integrator
from walkies.lab.ladder import reuse
from walkies.rl import train
from walkies.rl.recipes import PPO


def share(log_weights, counts=None):
    log_weights = jnp.asarray(log_weights, jnp.float32)
    return float(reuse.effective_share(log_weights, jnp.ones_like(log_weights) if counts is None else counts))


def test_effective_share_in_closed_form():
    """Equal weights: 1. One that rules n: 1/n. Log-normal weights: 1 / E w² · (E w)² = exp(−σ²)."""
    assert share([3.0] * 7) == pytest.approx(1.0)
    assert share([50.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    draws = 0.7 * np.random.default_rng(0).normal(size=200_000)
    assert share(draws) == pytest.approx(np.exp(-0.49), rel=0.02)
    assert share(draws + 1000.0) == pytest.approx(np.exp(-0.49), rel=0.02), "a common factor is nothing"


def test_masked_samples_do_not_count():
    counts = jnp.array([1.0, 1.0, 0.0])
    assert share([0.0, 0.0, 9.0], counts) == pytest.approx(1.0)
    assert share([0.0, 0.0, 9.0]) < 0.4, "control: counted, the third would rule"


@pytest.fixture(scope="module")
def ages():
    recipe = replace(PPO, num_envs=64, horizon=8, hidden=(8,), critic_hidden=(8,), learning_rate=3e-3)
    env = double_integrator(time_limit=8)
    iterate, state = train.make_iteration(recipe, env), train.init(recipe, env, jax.random.key(0))
    for _ in range(3):
        state, _ = iterate(state)
    return reuse.measure(recipe, env, state, (0, 1, 10), episodes=64, seed=0)


def test_a_batch_of_age_zero_is_worth_all_of_itself(ages):
    fresh = ages[0]
    assert fresh.kl == pytest.approx(0.0, abs=1e-6) and fresh.clipped == 0.0
    assert fresh.effective_steps == pytest.approx(1.0, abs=1e-5)
    assert fresh.effective_episodes == pytest.approx(1.0, abs=1e-5)
    assert fresh.cosine_weighted == pytest.approx(fresh.cosine_unweighted, abs=1e-4), "ρ = 1: the same gradient"


def test_samples_age(ages):
    """Whole episodes lose their worth sooner than steps: their weight is a product of 8 ratios."""
    _, young, old = ages
    assert 0.0 < young.kl < old.kl
    assert old.effective_steps < young.effective_steps < 1.0
    assert young.effective_episodes < young.effective_steps and old.effective_episodes < old.effective_steps
