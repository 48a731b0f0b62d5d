"""The gradient through the world against the horizon: exponential over bumps, a power where nothing deflects."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.lqr import double_integrator
from walkies.lab.ladder import explosion
from walkies.rl.pathwise.deterministic import pathwise_return

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def found():
    return explosion.explosion(horizon=800, rollouts=256)


def doubling(world, name="size"):
    """By what factor each doubling of the horizon multiplies a quantity: 100 → 200 → 400 → 800."""
    values = getattr(world, name)[np.array([100, 200, 400, 800]) - 1]
    return values[1:] / values[:-1]


def test_through_contact_it_explodes_and_elsewhere_it_does_not(found):
    """A power law h^p has the same factor 2^p at every doubling; over bumps the factors themselves grow."""
    bumps = doubling(found["ball over bumps"])
    assert bumps[1] > 1.2 * bumps[0] and bumps[2] > 2.0 * bumps[1] and bumps[2] > 100.0
    flat = doubling(found["ball on a flat floor"])
    np.testing.assert_allclose(flat[:2], 8.0, rtol=0.05)  # Σ t² grows as h³ …
    assert flat[2] < 2.0**4  # … until the noise has changed the energy, and with it the time between two bounces
    assert np.all(doubling(found["mass on a line"]) < 2.0**4)


def test_its_noise_overtakes_that_of_the_likelihood_ratio(found):
    """At short horizons the gradient through the world is far the better estimate; through contact not for long."""
    bumps, flat = found["ball over bumps"], found["ball on a flat floor"]
    assert bumps.pathwise_noise[49] < 0.1 * bumps.likelihood_ratio_noise[49]
    assert bumps.pathwise_noise[799] > bumps.likelihood_ratio_noise[799]
    assert flat.pathwise_noise[799] < flat.likelihood_ratio_noise[799], "control: without deflection it stays better"


def test_every_horizon_is_the_gradient_of_its_own_return():
    """One forward derivative for all horizons = `jax.grad` of `pathwise_return` for each."""
    env, rollouts, sigma = double_integrator(), 1, 0.5
    found = explosion.growth(env, 6, rollouts, KEY, sigma)
    start_key, noise_key, world_key = jax.random.split(KEY, 3)
    state = env.reset(start_key, rollouts)
    noise = sigma * jax.random.normal(noise_key, (6, rollouts, 1))
    for horizon in (1, 3, 6):

        def j(bias, horizon=horizon):
            return pathwise_return(env, explosion.push, bias, state, world_key, horizon, noise=noise[:horizon])

        assert found.size[horizon - 1] == pytest.approx(abs(float(jax.grad(j)(jnp.zeros(())))), rel=1e-4)


def test_the_picture_is_written(found, tmp_path):
    assert explosion.draw(found, tmp_path / "explosion.png").read_bytes()[:4] == b"\x89PNG"
