"""T2, T35–T37: densities against quadrature, sums and scipy, in float64 (KL by sampling: T25)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from walkies.mdp import Box, Discrete
from walkies.rl.distributions import Categorical, Normal, TanhNormal, log_tanh_slope
from walkies.rl.policy import Policy


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_normal_is_a_gaussian():
    """Density and entropy are scipy's, summed over components."""
    mean, std, x = np.array([0.3, -1.0]), np.array([0.5, 2.0]), np.array([0.1, 0.7])
    ours, theirs = Normal(jnp.array(mean), jnp.log(std)), stats.norm(mean, std)
    assert float(ours.log_prob(x)) == pytest.approx(theirs.logpdf(x).sum(), abs=1e-12)
    assert float(ours.entropy()) == pytest.approx(theirs.entropy().sum(), abs=1e-12)


def test_categorical_is_a_table():
    """Probabilities are the softmax of the logits; entropy is their sum."""
    logits = np.array([0.2, -1.0, 3.0])
    p = np.exp(logits) / np.exp(logits).sum()
    ours = Categorical(jnp.array(logits))
    np.testing.assert_allclose(jnp.exp(jax.vmap(ours.log_prob)(jnp.arange(3))), p, atol=1e-12)
    assert float(ours.entropy()) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)
    draws = Categorical(jnp.tile(jnp.array(logits), (20_000, 1))).sample(jax.random.key(0))
    np.testing.assert_allclose(np.bincount(draws, minlength=3) / 20_000, p, atol=0.015)


@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (1.5, 0.4), (-0.3, 2.0)])
def test_tanh_normal_is_a_density(mean, std):
    """T36: it integrates to 1 over (−1, 1) and its entropy is −∫ p log p. Control: without the slope neither holds."""
    ours = TanhNormal(jnp.array([mean]), jnp.log(jnp.array([std])))
    log_density = jax.jit(ours.log_prob)

    def integral(f):
        # Integrate over u, da = (1 − tanh² u) du: smooth, where the density itself may peak at ±1.
        slope = lambda u: 1.0 - np.tanh(u) ** 2  # noqa: E731
        return integrate.quad(
            lambda u: f(float(log_density(jnp.array([u])))) * slope(u), mean - 9 * std, mean + 9 * std
        )[0]

    assert integral(np.exp) == pytest.approx(1.0, abs=1e-6)
    assert float(ours.entropy()) == pytest.approx(-integral(lambda p: p * np.exp(p)), abs=2e-3)
    assert abs(float(ours.base.entropy()) - float(ours.entropy())) > 0.1


def test_log_tanh_slope_is_exact_far_out():
    """T36: finite value and gradient to |u| = 20 in float32. Control: log(1 − a² + 1e-6) is off by nats there."""
    for u in (0.0, 1.0, 8.0, 12.0, 20.0, -20.0):
        exact = -2.0 * np.logaddexp(u, -u) + 2.0 * np.log(2.0)
        single = jnp.float32(u)
        assert float(log_tanh_slope(single)) == pytest.approx(exact, abs=1e-5)
        assert float(jax.grad(log_tanh_slope)(single)) == pytest.approx(-2.0 * np.tanh(u), abs=1e-5)
    naive = [
        np.log(1.0 - np.tanh(u) ** 2 + 1e-6) - (2.0 * np.log(2.0) - 2.0 * np.logaddexp(u, -u)) for u in (8.0, 12.0)
    ]
    assert naive == pytest.approx([1.2, 8.8], abs=0.1)


@pytest.mark.parametrize("log_std", [-30.0, 0.0, 10.0])
def test_sigma_is_positive_for_every_parameter(log_std):
    """T35: exp cannot become negative. Control: a raw σ parameter does after one large step."""
    ours = Normal(jnp.zeros(1, jnp.float32), jnp.full(1, log_std, jnp.float32))
    assert np.isfinite(float(ours.log_prob(jnp.zeros(1, jnp.float32))))
    assert float(jnp.exp(ours.log_std)[0]) > 0.0
    raw_std = 0.1 - 1.0 * 0.2
    assert np.isnan(stats.norm(0.0, raw_std).logpdf(0.0))


def test_a_clipped_action_is_scored_unclipped():
    """T37: what leaves the box is clipped for the world, but its density is that of the sample.

    Control: scoring the clipped action biases the score, whose mean must be zero.
    """
    policy = Policy(1, Box(1, -1.0, 1.0))
    normal = Normal(jnp.full((100_000, 1), 0.9), jnp.zeros(1))
    samples = normal.sample(jax.random.key(0))
    actions = policy.action(samples)
    assert float(jnp.abs(actions).max()) == 1.0 < float(jnp.abs(samples).max())
    score = lambda x: float(jnp.mean(x - normal.mean))  # noqa: E731  (∂ log p / ∂ mean at σ = 1)
    assert abs(score(samples)) < 0.02
    assert score(actions) < -0.3


@pytest.mark.parametrize("bound", ["clip", "mean", "sample"])
def test_actions_stay_in_their_box(bound):
    """Every bound keeps to the box, reaches all of it, and a tanh mean is bounded before the noise."""
    policy = Policy(2, Box(1, -2.0, 6.0), hidden=(4,), bound=bound)
    params = policy.init(jax.random.key(0))
    params = params._replace(layers=[(1000.0 * w, b) for w, b in params.layers])
    distribution = policy.apply(params, jax.random.normal(jax.random.key(1), (500, 2)))
    actions = policy.action(distribution.sample(jax.random.key(2)))
    assert -2.0 <= actions.min() < -1.9 and 5.9 < actions.max() <= 6.0
    assert (float(jnp.abs(distribution.mode()).max()) <= 1.0) == (bound == "mean")
    centre = policy.action(jnp.zeros((1, 1)))
    assert float(centre[0, 0]) == (0.0 if bound == "clip" else 2.0)


def test_policy_says_what_is_wrong():
    """A misspelt activation or an impossible σ is named."""
    with pytest.raises(ValueError, match="swish"):
        Policy(1, Discrete(2), activation="swish")
    with pytest.raises(ValueError, match="initial_std"):
        Policy(1, Discrete(2), initial_std=0.0)
