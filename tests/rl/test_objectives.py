"""T26, T28, T30–T32: the objectives and the loss around them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.rl.distributions import Normal
from walkies.rl.objectives import (
    OBJECTIVES,
    Terms,
    clipped,
    clipped_value_loss,
    kl_penalty,
    score,
    standardize,
    surrogate,
    value_loss,
)
from walkies.rl.recipes import RECIPES


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def terms_at(theta, noise, advantage, log_prob_shift=0.0) -> Terms:
    """A scalar Gaussian policy with θ = (mean, log σ), acting at θ₀ = (0.3, −0.2)."""
    old = Normal(jnp.array([0.3]), jnp.array([-0.2]))
    sample = old.mean + jnp.exp(old.log_std) * noise[:, None]
    new = Normal(theta[:1], theta[1:])
    return Terms(new.log_prob(sample), old.log_prob(sample) + log_prob_shift, advantage, old.kl(new))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("coefficient", [0.01, 0.2, 5.0])
def test_all_objectives_share_the_first_gradient(name, coefficient):
    """T26: at θ_old every objective has the policy gradient, whatever its coefficient. Control: not so elsewhere."""
    noise, advantage = np.random.default_rng(0).normal(size=(2, 50))

    def gradient(objective, theta, value):
        return jax.grad(lambda theta: jnp.mean(objective(terms_at(theta, noise, advantage), value)))(theta)

    start = jnp.array([0.3, -0.2])
    np.testing.assert_allclose(gradient(OBJECTIVES[name], start, coefficient), gradient(score, start, 0.0), atol=1e-12)
    if name != "score":
        moved = start + 0.1
        difference = gradient(OBJECTIVES[name], moved, coefficient) - gradient(score, moved, 0.0)
        assert np.abs(difference).max() > 1e-3


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("ratio", [0.5, 0.95, 1.05, 1.5])
def test_where_clipping_stops_the_gradient(advantage, ratio):
    """T28: gone where the ratio has already moved the wanted way beyond ε, whole in the other corners and between.

    Control: the ratio clipped without the minimum stops in all four corners.
    """

    def slope(objective):
        terms = lambda log_prob: Terms(log_prob, jnp.zeros(()), jnp.asarray(advantage), jnp.zeros(()))  # noqa: E731
        return float(jax.grad(lambda log_prob: objective(terms(log_prob)))(jnp.log(ratio)))

    stopped = (advantage > 0 and ratio > 1.2) or (advantage < 0 and ratio < 0.8)
    assert slope(lambda terms: clipped(terms, 0.2)) == pytest.approx(0.0 if stopped else -advantage * ratio)
    careless = slope(lambda terms: -terms.advantage * jnp.clip(jnp.exp(terms.log_prob), 0.8, 1.2))
    assert (careless == 0.0) == (ratio in (0.5, 1.5))


def test_kl_penalty_is_the_surrogate_and_a_price():
    """The price is β per nat of KL(old ‖ new), with its gradient."""
    noise, advantage = np.random.default_rng(1).normal(size=(2, 5))
    terms = terms_at(jnp.array([0.5, 0.1]), noise, advantage)
    np.testing.assert_allclose(kl_penalty(terms, 3.0) - surrogate(terms), 3.0 * terms.kl, atol=1e-12)


def test_standardize():
    """T30: invariant to a A + b for a > 0, mean 0 and σ 1 (ddof 0), masked rows left out before the moments.

    Control: with the padding counted the advantages are others.
    """
    x = np.random.default_rng(2).normal(size=20)
    ones = jnp.ones(20)
    result = standardize(x, ones)
    np.testing.assert_allclose([result.mean(), result.std()], [0.0, 1.0], atol=1e-7)
    np.testing.assert_allclose(standardize(5.0 * x - 3.0, ones), result, atol=1e-6)
    mask = jnp.arange(20) < 15
    padded = jnp.where(mask, x, 1e6)
    np.testing.assert_allclose(standardize(padded, mask * 1.0)[:15], standardize(x[:15], ones[:15]), atol=1e-9)
    assert np.abs(standardize(padded, ones)[:15] - standardize(x[:15], ones[:15])).max() > 0.1


@pytest.mark.parametrize("x", [[2.0], [3.0, 3.0, 3.0]])
def test_standardize_has_no_nan(x):
    """T30: a single sample or a constant one says nothing: 0, not NaN."""
    assert np.asarray(standardize(jnp.asarray(x), jnp.ones(len(x)))).tolist() == [0.0] * len(x)


def test_clipped_value_loss():
    """T31: the larger of two losses; no gradient where the clipped one is larger; not scale-free, so off by default.

    Control: the plain loss scales with the reward's square.
    """
    old, target, clip = 0.0, 0.6, 0.2
    for value in (-0.5, -0.1, 0.1, 0.3, 0.9, 1.5):
        loss = lambda v: clipped_value_loss(v, target, old, clip)  # noqa: E731
        limited = value_loss(np.clip(value, -clip, clip), target)
        assert float(loss(value)) == pytest.approx(max(value_loss(value, target), limited))
        assert (float(jax.grad(loss)(value)) == 0.0) == bool(limited > value_loss(value, target))
    assert clipped_value_loss(3.0, 6.0, 0.0, clip) != pytest.approx(100 * clipped_value_loss(0.3, 0.6, 0.0, clip))
    assert value_loss(3.0, 6.0) == pytest.approx(100 * value_loss(0.3, 0.6))
    assert all(recipe.value_clip is None for recipe in RECIPES.values())


def test_kl_estimators_agree_near_the_old_policy():
    """T32: −log ρ (k1) and ρ − 1 − log ρ (k3) estimate the analytic KL; k3 ≥ 0 per sample and varies less.

    Controls: k1 is negative for some samples, and the ratio upside down estimates something else.
    """
    noise = np.random.default_rng(3).normal(size=200_000)
    terms = terms_at(jnp.array([0.33, -0.22]), noise, jnp.zeros_like(noise))
    log_ratio = terms.log_prob - terms.old_log_prob
    k1, k3, exact = -log_ratio, jnp.exp(log_ratio) - 1.0 - log_ratio, float(terms.kl)
    for k in (k1, k3):
        assert abs(k.mean() - exact) < 5 * k.std() / np.sqrt(len(noise))
    assert abs(log_ratio.mean() - exact) > 5 * k1.std() / np.sqrt(len(noise))
    assert k3.min() >= 0.0 > k1.min()
    assert k3.std() < 0.1 * k1.std()
