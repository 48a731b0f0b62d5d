"""Finite MDPs: dynamic programming against enumeration, the sampled environment against its own tables, the probes."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.probes import probes
from walkies.envs.tabular import enumerate_rollouts, evaluate, expected_return, random_tabular, tabular

GAMMA = 0.8


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_infinite_horizon_is_the_limit_of_the_finite():
    mdp = random_tabular(1, states=4, actions=3, terminal=1)
    policy = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(3), size=4))
    finite, endless = evaluate(mdp, policy, GAMMA, 150), evaluate(mdp, policy, GAMMA)
    np.testing.assert_allclose(finite.v[0], endless.v, atol=1e-12)
    np.testing.assert_allclose(finite.q[0], endless.q, atol=1e-12)
    assert endless.v[-1] == 0.0 and not endless.q[-1].any()  # a terminal state is worth nothing
    np.testing.assert_allclose(jnp.sum(policy * endless.q, axis=1), endless.v, atol=1e-12)
    assert np.abs(finite.v[148] - endless.v).max() > 0.1  # two steps are not forever


def test_enumeration_ends_where_episodes_end():
    rollouts = enumerate_rollouts(random_tabular(2, states=3, terminal=1), 3)
    ended = rollouts.states[:-1] == 2
    np.testing.assert_array_equal(~rollouts.valid, ended)
    assert not rollouts.rewards[ended].any() and np.all(rollouts.states[1:][ended] == 2)
    assert rollouts.terminated.sum(axis=0).max() == 1
    np.testing.assert_array_equal(rollouts.terminated.any(axis=0), rollouts.states[-1] == 2)


def test_sampled_steps_follow_the_tables():
    """Frequencies of next states, mean rewards and terminations of `step`, within five standard errors."""
    mdp, n = random_tabular(3, states=3, terminal=1), 20_000
    state, action = jnp.full(n, 1), jnp.full(n, 0)
    following, outcome = jax.jit(mdp.step)(state, action, jax.random.key(0))
    expected = mdp.transition[1, 0]
    frequency = np.bincount(np.asarray(following), minlength=3) / n
    assert np.all(np.abs(frequency - expected) < 5 * np.sqrt(expected * (1 - expected) / n))
    np.testing.assert_array_equal(outcome.reward, mdp.reward[1, 0][np.asarray(following)])
    np.testing.assert_array_equal(outcome.terminated, np.asarray(following) == 2)
    starts = np.bincount(np.asarray(mdp.reset(jax.random.key(1), n)), minlength=3) / n
    assert np.all(np.abs(starts - mdp.initial) <= 5 * np.sqrt(0.25 / n)) and starts[2] == 0.0


@pytest.mark.parametrize("name", probes(GAMMA))
def test_probe_values_are_those_of_dynamic_programming(name):
    """The values and actions that a probe claims are the best policy's, by trying every deterministic policy."""
    probe = probes(GAMMA)[name]
    mdp, states = probe.mdp, np.flatnonzero(~probe.mdp.terminal)
    np.testing.assert_array_equal(mdp.observe(jnp.asarray(states)).policy, probe.observations)
    tables = [np.eye(2)[list(choice)] for choice in itertools.product([0, 1], repeat=mdp.num_states)]
    values = np.array(jax.jit(jax.vmap(lambda table: evaluate(mdp, table, GAMMA).v))(jnp.array(tables)))[:, states]
    best = values.max(axis=0)
    np.testing.assert_allclose(best, probe.values, atol=1e-12)
    if probe.actions is None:
        np.testing.assert_allclose(values, np.tile(best, (len(tables), 1)), atol=1e-12)
    else:
        for table, value in zip(tables, values, strict=True):
            assert np.allclose(value, best) == np.array_equal(table[states].argmax(axis=1), probe.actions)


def test_expected_return_is_differentiable():
    mdp = random_tabular(4)
    theta = jax.random.normal(jax.random.key(0), (2, 2))
    j = jax.jit(lambda t: expected_return(mdp, jax.nn.softmax(t), GAMMA))
    slope, h = jax.jit(jax.grad(j))(theta)[0, 1], 1e-6
    bump = jnp.zeros((2, 2)).at[0, 1].set(h)
    assert float(slope) == pytest.approx(float(j(theta + bump) - j(theta - bump)) / (2 * h), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial": [0.5, 0.6]}, "initial"),
        ({"transition": np.full((2, 2, 2), 0.4)}, "transition"),
        ({"features": np.ones((3, 1))}, "features"),
        ({"terminal": [False]}, "terminal"),
    ],
)
def test_tables_that_are_no_mdp_are_refused(change, message):
    good = {"transition": np.full((2, 2, 2), 0.5), "reward": np.zeros(2), "initial": [0.5, 0.5]}
    tabular(**good)
    with pytest.raises(ValueError, match=message):
        tabular(**(good | change))
