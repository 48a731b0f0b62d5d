"""Sizes of a training that fit neither each other nor the machine are refused before anything is compiled."""

from dataclasses import replace
from functools import partial

import jax
import pytest

from walkies.envs.classic import CartPole, Pendulum
from walkies.errors import UserError
from walkies.rl import sizes, train
from walkies.rl.recipes import PPO, REINFORCE
from walkies.rl.rollout import rollout

RECIPE = replace(PPO, num_envs=6, horizon=10, minibatches=4, hidden=(8,), critic_hidden=(4,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minibatches": 7}, "60 samples per iteration .* minibatches = 7 equal parts"),
        ({"time_limits": "rollout_end", "horizon": 502}, "horizon 502 is more than the 500 steps of an episode"),
        ({"num_envs": 10**7, "horizon": 10**6}, "10,000,000 environments × 1,000,000 steps, .* GiB; take fewer env"),
        ({"hidden": (65536, 65536, 65536)}, r"layers of \(65536, 65536, 65536\) and \(4,\), would take at least"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    """Control: the recipe without the change."""
    train.make_iteration(RECIPE, CartPole())
    with pytest.raises(UserError, match=message):
        train.make_iteration(replace(RECIPE, **changes), CartPole())


@pytest.mark.parametrize(
    "changes",
    [
        {"minibatches": 60},
        {"time_limits": "rollout_end", "horizon": 500},
        {"update": "gradient_step", "baseline": False, "advantage": "reward_to_go", "minibatches": 7},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_just_fits_is_not(changes):
    """Without a value function a single step needs no minibatches."""
    train.make_iteration(replace(RECIPE, **changes), CartPole())


def test_mirrored_samples_are_divided_too():
    train.make_iteration(replace(RECIPE, minibatches=8, symmetry="augment"), CartPole())
    with pytest.raises(UserError, match="minibatches = 8"):
        train.make_iteration(replace(RECIPE, minibatches=8), CartPole())


def held(recipe, env):
    """What an iteration holds at least at one moment: its record, the batch made of it, what learns, and gradients."""

    def iteration(state, key):
        policy = train.make_policy(recipe, env)
        params, normalizer = state.learner.params.policy, state.normalizers.policy
        value, steps = partial(train.values, recipe, state), train.steps_per_iteration(recipe, env)
        _, record = rollout(env, policy, params, normalizer, value, state.actors, key, steps)
        return record, train.make_batch(recipe, env, policy, state, record), state.learner, state.learner.params

    state = train.shapes(recipe, env, jax.random.key(0))
    return jax.eval_shape(iteration, state, jax.random.key(1))


@pytest.mark.parametrize("env", [CartPole(), Pendulum()], ids=["discrete", "continuous"])
@pytest.mark.parametrize(
    "recipe", [RECIPE, replace(RECIPE, hidden=(512, 512)), replace(REINFORCE, num_envs=6, hidden=(8, 8))],
    ids=["samples", "networks", "whole episodes"],
)  # fmt: skip
def test_the_estimate_of_memory_is_close_and_never_too_much(env, recipe):
    there = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(held(recipe, env)))
    assert 0.7 * there < sizes.needed(recipe, env, train.steps_per_iteration(recipe, env)) <= there
