"""The linear-quadratic closed form against the simulated environment, the best gain against perturbations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.lqr import LQR, double_integrator, linear_return, optimal_gain

GAMMA, HORIZON = 0.95, 15
GAIN = np.array([[0.7, 0.4]])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_closed_form_is_the_mean_of_simulated_returns():
    """With noise in the world and in the policy, and a start off centre: within five standard errors."""
    env = double_integrator(noise=0.3, mean=np.array([1.0, -0.5]))
    count, sigma = 20_000, 0.4

    @jax.jit
    def returns(key):
        start, key = jax.random.split(key)

        def step(state, key):
            act, world = jax.random.split(key)
            action = -state @ GAIN.T + sigma * jax.random.normal(act, (count, 1))
            state, outcome = env.step(state, action, world)
            return state, outcome.reward

        _, rewards = jax.lax.scan(step, env.reset(start, count), jax.random.split(key, HORIZON))
        return GAMMA ** jnp.arange(HORIZON) @ rewards

    sample = np.asarray(returns(jax.random.key(0)))
    error = 5 * sample.std() / np.sqrt(count)
    exact = linear_return(env, GAIN, HORIZON, GAMMA, sigma).value
    assert abs(sample.mean() - exact) < error
    for missing in (double_integrator(mean=env.mean), double_integrator(noise=0.3)):
        assert abs(linear_return(missing, GAIN, HORIZON, GAMMA, sigma).value - exact) > error


def test_closed_form_gradients_are_finite_differences():
    env = double_integrator(noise=0.3, mean=np.array([1.0, -0.5]))
    sigma, h = 0.4, 1e-5
    exact = linear_return(env, GAIN, HORIZON, GAMMA, sigma)
    for i, bump in enumerate(h * np.eye(2)[:, None, :]):
        up, down = (linear_return(env, GAIN + s * bump, HORIZON, GAMMA, sigma).value for s in (1, -1))
        assert exact.gradient[0, i] == pytest.approx((up - down) / (2 * h), rel=1e-7)
    up, down = (linear_return(env, GAIN, HORIZON, GAMMA, sigma + s * h).value for s in (1, -1))
    assert exact.sigma_gradient == pytest.approx((up - down) / (2 * h), rel=1e-7)


def test_nothing_beats_the_best_gain():
    env = double_integrator()
    best = optimal_gain(env, GAMMA)
    value = linear_return(env, best, 2000, GAMMA).value
    for change in 0.01 * np.array([[[1, 0]], [[-1, 0]], [[0, 1]], [[0, -1]]]):
        assert linear_return(env, best + change, 2000, GAMMA).value < value
    np.testing.assert_allclose(linear_return(env, best, 2000, GAMMA).gradient, 0.0, atol=1e-8)


def test_a_world_that_cannot_be_steered_has_no_best_gain():
    stuck = double_integrator(a=np.diag([1.5, 1.0]), b=np.array([[0.0], [1.0]]))
    with pytest.raises(ValueError, match="stabilizable"):
        optimal_gain(stuck, 1.0, limit=500)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="cov"):
        double_integrator(cov=np.eye(3))
    assert isinstance(double_integrator(), LQR)
