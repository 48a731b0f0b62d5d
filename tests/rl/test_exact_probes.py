"""T41: the learner on five probes whose answers are known exactly, through the same iteration that trains a robot."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.probes import probes
from walkies.rl import networks
from walkies.rl.recipes import PPO
from walkies.rl.train import init, make_iteration, make_policy

GAMMA = 0.7
RECIPE = replace(
    PPO, num_envs=64, horizon=8, gamma=GAMMA, hidden=(), critic_hidden=(), learning_rate=3e-2,
    critic_learning_rate=3e-2, minibatches=2, epochs=4, normalize_observations=False,
)  # fmt: skip
ITERATIONS = 60


def learn(name, iterations=ITERATIONS):
    """Values (n,) and the probability of action 1 (n,), at each of the probe's observations, after learning."""
    probe = probes(GAMMA)[name]
    iteration = make_iteration(RECIPE, probe.mdp)
    state = init(RECIPE, probe.mdp, jax.random.key(0))
    # Orthogonal weights of one input are ±1, by chance the answers; from zeros they have to be learned.
    params = state.learner.params
    params = params._replace(critic=jax.tree.map(jnp.zeros_like, params.critic))
    state = state._replace(learner=state.learner._replace(params=params))
    for _ in range(iterations):
        state, _ = iteration(state)
    seen = jnp.asarray(probe.observations, jnp.float32)
    params = state.learner.params
    values = networks.apply(params.critic, seen, RECIPE.activation)[..., 0]
    chances = jax.nn.softmax(make_policy(RECIPE, probe.mdp).apply(params.policy, seen).logits)[:, 1]
    return probe, np.asarray(values), np.asarray(chances)


@pytest.mark.parametrize("name", probes(GAMMA))
def test_probe_is_solved(name):
    """T41: values and choices of each probe.

    Controls: before learning some answer is wrong by more than 0.3; values without the discount are told apart.
    """
    probe, values, chances = learn(name)
    np.testing.assert_allclose(values, probe.values, atol=0.1)
    if probe.actions is not None:
        np.testing.assert_allclose(chances, probe.actions, atol=0.1)
    if name == "delayed_reward":  # control: an undiscounted value is told apart
        assert np.abs(values - probes(1.0)[name].values).max() > 0.2
    _, values, chances = learn(name, iterations=0)
    wrong = [np.abs(values - probe.values).max()]
    wrong += [] if probe.actions is None else [np.abs(chances - probe.actions).max()]
    assert max(wrong) > 0.3
