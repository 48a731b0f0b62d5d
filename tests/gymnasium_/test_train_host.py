"""Training in a Gymnasium vector: the same learning, through a Python loop, with reset rows that count for nothing."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from walkies.envs.classic import CartPole
from walkies.envs.probes import action_reward
from walkies.errors import UserError
from walkies.gymnasium.adapter import ToGymnasiumVector
from walkies.gymnasium.learning import env_spec, init, make_iteration, run
from walkies.mdp import Discrete
from walkies.rl.recipes import PPO
from walkies.rl.train import make_policy

RECIPE = replace(
    PPO, num_envs=16, horizon=16, hidden=(8,), critic_hidden=(8,), learning_rate=2e-2, critic_learning_rate=2e-2,
    minibatches=1, normalize_observations=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    """A probe whose episodes last one step, in NEXT_STEP mode: every second row is a reset."""
    envs = ToGymnasiumVector(action_reward().mdp, 16, autoreset_mode=AutoresetMode.NEXT_STEP)
    history = []
    training, returns = run(RECIPE, envs, 0, 20, lambda i, metrics: history.append(metrics))
    return envs, training, returns, history


def test_the_probe_is_solved_although_half_the_rows_are_resets(trained):
    envs, training, returns, _ = trained
    policy = make_policy(RECIPE, env_spec(envs))
    logits = policy.apply(training.state.learner.params.policy, np.ones((1, 1), np.float32)).logits
    assert float(jax.nn.softmax(logits)[0, 1]) > 0.95
    assert returns[0] < 0.5 < 0.9 < returns[-1]


def test_episodes_are_counted_once(trained):
    """16 environments × 16 rows hold 128 episodes of one step; rows in between are none."""
    *_, history = trained
    assert {float(metrics["episodes"]) for metrics in history} == {128.0}
    assert {float(metrics["episode_length"]) for metrics in history} == {1.0}


def test_the_outline_of_a_vector_environment():
    shape = env_spec(ToGymnasiumVector(CartPole(), 2))
    assert (shape.observation_size, shape.action_space) == (4, Discrete(2))
    with pytest.raises(UserError, match="rollout"):
        shape.step(None, None, None)


@pytest.mark.parametrize(("change", "message"), [({"num_envs": 3}, "num_envs"), ({"whole_episodes": True}, "whole")])
def test_what_the_loop_cannot_do_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        init(replace(RECIPE, **change), ToGymnasiumVector(CartPole(), 16), 0)


def test_numbers_that_are_not_finite_are_named_and_not_learned_from(trained):
    """Rewards of 1e30 are finite, their squares are not; the same training learns on from rewards of 1."""
    envs, training, *_ = trained
    iterate = make_iteration(RECIPE, envs)
    before = jax.device_get(training.state.learner)
    with pytest.MonkeyPatch.context() as patch:
        step = envs.step
        patch.setattr(envs, "step", lambda actions: [x * 1e30 if i == 1 else x for i, x in enumerate(step(actions))])
        said = r"diverged in iteration 21: .*value_loss.*Nothing of this iteration was kept; lower --recipe"
        with pytest.raises(UserError, match=said):
            iterate(training)
    jax.tree.map(np.testing.assert_array_equal, before, jax.device_get(training.state.learner))
    assert int(iterate(training)[0].state.iteration) == 21
