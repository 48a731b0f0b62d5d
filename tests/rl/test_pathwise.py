"""T5: the gradient through the world, and its bridge to the likelihood-ratio gradient."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.lqr import LQR, Threshold, double_integrator, linear_return, optimal_gain
from walkies.mdp import Outcome
from walkies.rl.advantages import reward_to_go
from walkies.rl.distributions import Normal
from walkies.rl.pathwise.deterministic import pathwise_return, unroll

KEY = jax.random.key(0)
GAMMA = 0.95


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def linear(gain, observation, noise):
    """a = −K s, plus σ ε where there is any."""
    action = -observation @ gain.T
    return action if noise is None else action + noise


def starting_at(env: LQR, states) -> LQR:
    """The problem whose initial distribution is exactly this sample of states (num_envs, n)."""
    states = np.asarray(states)
    return dataclasses.replace(env, mean=states.mean(axis=0), cov=np.cov(states.T, bias=True))


@pytest.fixture(scope="module")
def smooth():
    """A double integrator, 30 starting states, a gain that is not the best."""
    with jax.enable_x64(True):
        env = double_integrator()
        states = env.reset(jax.random.key(1), 30)
        return starting_at(env, states), states, np.array([[0.7, 0.4]])


def test_pathwise_gradient_is_the_closed_form(smooth):
    """T5a: differentiating the rollout = closed form = finite difference, on LQR."""
    env, states, gain = smooth
    horizon = 25

    def j(gain):
        return pathwise_return(env, linear, gain, states, KEY, horizon, GAMMA)

    exact = linear_return(env, gain, horizon, GAMMA)
    value, gradient = jax.jit(jax.value_and_grad(j))(jnp.asarray(gain))
    assert float(value) == pytest.approx(exact.value, rel=1e-12)
    np.testing.assert_allclose(gradient, exact.gradient, rtol=1e-10)

    def closed(gain):
        return linear_return(env, gain, horizon, GAMMA).value

    difference = [(closed(gain + 1e-5 * e) - closed(gain - 1e-5 * e)) / 2e-5 for e in np.eye(2)[:, None, :]]
    np.testing.assert_allclose(gradient[0], difference, rtol=1e-7)


def test_cutting_the_state_breaks_the_gradient(smooth):
    """T5c, control: with `stop_gradient` on the state the gradient forgets what an action does to the future."""
    env, states, gain = smooth

    class Cut(LQR):
        def step(self, state, action, key):
            return super().step(jax.lax.stop_gradient(state), action, key)

    cut = Cut(**{field.name: getattr(env, field.name) for field in dataclasses.fields(env)})
    gradient = jax.jit(jax.grad(lambda k: pathwise_return(cut, linear, k, states, KEY, 25, GAMMA)))(jnp.asarray(gain))
    exact = linear_return(env, gain, 25, GAMMA).gradient
    assert np.max(np.abs(np.asarray(gradient) - exact)) > 0.1 * np.max(np.abs(exact))


@pytest.fixture(scope="module")
def both_gradients(smooth):
    """σ → (likelihood-ratio gradient, reparametrized gradient, closed form), over all noise by Gauss–Hermite products.

    Exact: everything integrated is a polynomial of degree at most 4 in each of the three draws.
    """
    with jax.enable_x64(True):
        env, states, gain = smooth
        states, horizon = states[:4], 3
        env = starting_at(env, states)
        nodes, mass = np.polynomial.hermite_e.hermegauss(5)

        def product(axis):
            return np.stack(np.meshgrid(*[axis] * horizon, indexing="ij")).reshape(horizon, -1)

        grid, mass = product(nodes), product(mass / mass.sum()).prod(axis=0)
        # Every state meets every sequence of draws.
        noise = jnp.asarray(np.tile(grid, 4)[..., None])
        weight = jnp.asarray(np.tile(mass, 4) / 4)
        start = jnp.repeat(states, grid.shape[1], axis=0)

        def value(gain, sigma):
            rewards = unroll(env, linear, gain, start, KEY, horizon, sigma * noise).rewards
            return weight @ (GAMMA ** jnp.arange(horizon) @ rewards)

        def score_loss(gain, path, sigma):
            log_prob = Normal(-path.states @ gain.T, jnp.log(sigma)[None]).log_prob(path.actions)
            zeros, done = jnp.zeros_like(path.rewards), jnp.arange(horizon)[:, None] == horizon - 1
            done = jnp.broadcast_to(done, zeros.shape)
            psi = reward_to_go(path.rewards, zeros, zeros, done, done, GAMMA)
            return weight @ (GAMMA ** jnp.arange(horizon) @ (psi * log_prob))

        @jax.jit
        def gradients(sigma):
            path = unroll(env, linear, gain, start, KEY, horizon, sigma * noise)
            return jax.grad(score_loss)(jnp.asarray(gain), path, sigma), jax.grad(value)(jnp.asarray(gain), sigma)

        return lambda sigma: (*gradients(jnp.asarray(sigma)), linear_return(env, gain, horizon, GAMMA, sigma).gradient)


@pytest.mark.parametrize("sigma", [1.0, 0.3, 1e-2])
def test_likelihood_ratio_equals_reparametrized(both_gradients, sigma):
    """T5b: the two gradients of one stochastic policy agree at every σ, and with the closed form."""
    ratio, reparametrized, exact = both_gradients(sigma)
    np.testing.assert_allclose(ratio, exact, rtol=1e-8)
    np.testing.assert_allclose(reparametrized, exact, rtol=1e-10)


def test_small_noise_leads_to_the_deterministic_gradient(both_gradients):
    """T5b: as σ → 0 the likelihood-ratio gradient tends, as σ², to the deterministic policy's. Control: σ = 1."""
    deterministic = both_gradients(1e-6)[2]
    distances = [np.max(np.abs(both_gradients(sigma)[0] - deterministic)) for sigma in (1.0, 0.1, 0.01)]
    assert distances[0] > 1e-3
    np.testing.assert_allclose(distances[0] / np.array(distances[1:]), [1e2, 1e4], rtol=1e-3)


def test_a_step_shaped_reward_has_no_gradient_through_the_world():
    """T5d: on a threshold the pathwise gradient is exactly 0. Control: the likelihood ratio sees the way up."""
    env, horizon, sigma = Threshold(), 20, 1.0
    start = env.reset(jax.random.key(2), 4000)
    noise = sigma * jax.random.normal(jax.random.key(3), (horizon, 4000, 1))

    def act(bias, observation, drawn):
        return bias + drawn

    @jax.jit
    def both(bias):
        through = jax.grad(lambda b: pathwise_return(env, act, b, start, KEY, horizon, noise=noise))(bias)
        path = unroll(env, act, bias, start, KEY, horizon, noise)

        def score(bias):
            log_prob = Normal(jnp.full_like(path.actions, 0.0) + bias, jnp.zeros(1)).log_prob(path.actions)
            return jnp.sum(log_prob, axis=0) * jnp.sum(path.rewards, axis=0)

        return through, jax.jacfwd(score)(bias)

    through, per_rollout = both(jnp.asarray(0.3))
    mean, error = float(per_rollout.mean()), float(per_rollout.std() / np.sqrt(4000))
    assert float(through) == 0.0
    assert mean > 5 * error > 0.0


def test_an_ended_episode_earns_nothing_more():
    """A terminal state stops rewards and the value at the end; the negative control is the same world without end."""

    class Ending(Threshold):
        ends = True

        def step(self, state, action, key):
            following, outcome = super().step(state, action, key)
            beyond = (following[:, 0] > 0.5) & self.ends
            return following, Outcome(jnp.ones_like(outcome.reward), beyond, {})

    def value(ends):
        env = Ending()
        object.__setattr__(env, "ends", ends)
        state = jnp.array([[0.45, 1.0], [0.0, 0.0]])
        at_end = {"gamma": 0.5, "value": lambda observation: jnp.full(len(observation), 8.0)}
        return pathwise_return(env, lambda *_: jnp.zeros((2, 1)), None, state, KEY, 3, **at_end)

    assert float(value(True)) == pytest.approx((1.0 + 1.75 + 1.0) / 2)
    assert float(value(False)) == pytest.approx(1.75 + 1.0)


def test_ascending_the_pathwise_gradient_finds_the_best_gain():
    """Plain gradient ascent through the world reaches the Riccati solution, with a value at the end for the rest."""
    env = double_integrator()
    best = optimal_gain(env, GAMMA)
    state = env.reset(KEY, 16)

    @jax.jit
    def ascend(gain, _):
        return gain + 0.1 * jax.grad(lambda k: pathwise_return(env, linear, k, state, KEY, 100, GAMMA))(gain), None

    gain, _ = jax.lax.scan(ascend, jnp.array([[0.7, 0.4]]), None, 1000)
    np.testing.assert_allclose(gain, best, rtol=2e-2)
