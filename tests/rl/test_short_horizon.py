"""Short-horizon learning through the world: its gradient against the plain pathwise one, and learning on LQR."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.classic import CartPole
from walkies.envs.lqr import double_integrator, linear_return, optimal_gain
from walkies.errors import UserError
from walkies.rl import networks, train
from walkies.rl.pathwise.deterministic import pathwise_return
from walkies.rl.pathwise.short_horizon import SHORT_HORIZON, make_iteration, window_loss

# Linear networks: no hidden layer, so that the best policy is within reach and compilation is quick.
RECIPE = replace(
    SHORT_HORIZON, num_envs=32, horizon=8, gamma=0.9, hidden=(), critic_hidden=(16,), bound="clip", epochs=4,
    initial_std=0.1, learning_rate=3e-2, critic_learning_rate=1e-2, stagger=False, normalize_observations=False,
)  # fmt: skip
ENV = double_integrator()


def test_the_window_is_the_pathwise_return_with_a_value_at_the_end():
    """Value and gradient, with the noise nearly gone so that both follow the same path; without V they differ."""
    state = jax.jit(partial(train.init, replace(RECIPE, initial_std=1e-6), ENV))(jax.random.key(0))
    params, critic = state.learner.params
    policy = train.make_policy(RECIPE, ENV)

    def value(observations):
        return networks.apply(critic, observations, RECIPE.activation)[..., 0]

    def plain(params, end):
        act = lambda params, observation, noise: policy.dist_params(params, observation)  # noqa: E731
        start = state.actors.state
        return -pathwise_return(ENV, act, params, start, jax.random.key(0), RECIPE.horizon, RECIPE.gamma, value=end)

    window = partial(window_loss, RECIPE, ENV, state, jax.random.key(1))
    (loss, _), gradient = jax.jit(jax.value_and_grad(window, has_aux=True))(params)
    expected, expected_gradient = jax.jit(jax.value_and_grad(partial(plain, end=value)))(params)
    expected, expected_gradient = jax.tree.map(lambda x: x / RECIPE.horizon, (expected, expected_gradient))  # per step
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    for mine, theirs in zip(gradient.layers[0], expected_gradient.layers[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    assert abs(float(plain(params, None) / RECIPE.horizon - expected)) > 1e-3


def test_learning_finds_a_gain_as_good_as_the_best():
    """From a policy that does nothing to within 5% of the Riccati solution's return."""
    iteration = make_iteration(RECIPE, ENV)
    state = train.init(RECIPE, ENV, jax.random.key(0))
    for _ in range(150):
        state, metrics = iteration(state)
    weights, bias = state.learner.params.policy.layers[0]
    value = partial(linear_return, ENV, horizon=100, gamma=RECIPE.gamma)
    best, learned, nothing = (value(g).value for g in (optimal_gain(ENV, RECIPE.gamma), -weights.T, np.zeros((1, 2))))
    assert learned > best - 0.05 * abs(best) > nothing
    assert float(jnp.abs(bias).max()) < 0.1 and np.isfinite(float(metrics["gradient_norm"]))


def test_discrete_actions_have_no_path():
    with pytest.raises(UserError, match="continuous"):
        make_iteration(RECIPE, CartPole())
    with pytest.raises(UserError, match="value"):
        make_iteration(replace(RECIPE, baseline=False), ENV)
