"""Acting in NumPy draws the samples that the compiled policy would draw from the same noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.gymnasium import actor
from walkies.mdp import Box, Discrete
from walkies.rl import normalize
from walkies.rl.policy import Policy

BOX = Box(2, (-1.0, -3.0), (1.0, 0.5))
POLICIES = [
    Policy(5, Discrete(3), hidden=(8,), activation="relu"),
    Policy(5, BOX, hidden=(8, 8), initial_std=0.7),
    Policy(5, BOX, hidden=(8,), activation="elu", bound="mean", initial_std=0.5),
    Policy(5, BOX, hidden=(8,), bound="sample"),
    Policy(5, Box(2), hidden=(8,), bound="sample"),
]


def a_case(policy: Policy):
    """Parameters whose outputs are not near zero, statistics of something, and raw observations (4, 5)."""
    params = jax.tree.map(lambda x: x + 0.3, policy.init(jax.random.key(1)))
    seen = 3.0 + 2.0 * jax.random.normal(jax.random.key(2), (100, 5))
    observation = 3.0 + 2.0 * jax.random.normal(jax.random.key(3), (4, 5))
    return params, normalize.update(normalize.init(5), seen), np.asarray(observation)


@pytest.mark.parametrize("policy", POLICIES, ids=["discrete", "clip", "mean", "sample", "unbounded"])
def test_samples_and_actions_are_those_of_the_policy(policy):
    params, normalizer, observation = a_case(policy)
    act = actor.make_actor(policy, params, normalizer, jax.random.key(4), num_envs=4, horizon=3)
    noise = actor._noise(isinstance(policy.action_space, Discrete), jax.random.key(4), (3, 4, policy_size(policy)))
    for row in range(3):
        sample, action = act(observation, row)
        dist_params, log_prob = actor.score(policy, params, normalizer, observation, sample)
        distribution = policy.apply(params, normalizer(jnp.asarray(observation)))
        if isinstance(policy.action_space, Discrete):
            expected = jnp.argmax(dist_params + noise[row], axis=-1)
        else:
            expected = dist_params + jnp.exp(params.log_std) * noise[row]
        np.testing.assert_allclose(sample, expected, atol=2e-5)
        np.testing.assert_allclose(action, policy.action(jnp.asarray(sample)), atol=2e-6)
        np.testing.assert_allclose(log_prob, distribution.log_prob(jnp.asarray(sample)), atol=1e-5)
    assert not np.array_equal(act(observation, 0)[0], act(observation, 1)[0]), "rows have their own noise"


def policy_size(policy: Policy) -> int:
    space = policy.action_space
    return space.n if isinstance(space, Discrete) else space.size


def test_discrete_samples_have_the_probabilities_of_the_policy():
    policy = POLICIES[0]
    params, normalizer, observation = a_case(policy)
    same = np.repeat(observation[:1], 20_000, axis=0)
    act = actor.make_actor(policy, params, normalizer, jax.random.key(5), num_envs=20_000, horizon=1)
    frequency = np.bincount(act(same, 0)[0], minlength=3) / 20_000
    expected = jax.nn.softmax(policy.dist_params(params, normalizer(jnp.asarray(observation[0]))))
    np.testing.assert_allclose(frequency, expected, atol=4 * 0.5 / np.sqrt(20_000))


def test_the_clip_of_the_normalizer_holds_here_too():
    policy = POLICIES[1]
    params, normalizer, _ = a_case(policy)
    far, further = np.full((4, 5), 1e3, np.float32), np.full((4, 5), 2e3, np.float32)
    clipped = normalize.ClippedNormalizer(*normalizer)
    key = jax.random.key(6)
    act = actor.make_actor(policy, params, clipped, key, 4, 1)
    np.testing.assert_array_equal(act(far, 0)[0], act(further, 0)[0])
    dist_params = policy.dist_params(params, clipped(jnp.asarray(far)))
    np.testing.assert_allclose(actor.score(policy, params, clipped, far, np.zeros((4, 2)))[0], dist_params, atol=1e-6)
    free = actor.make_actor(policy, jax.tree.map(lambda x: 1e-3 * x, params), normalizer, key, 4, 1)
    assert not np.array_equal(free(far, 0)[0], free(further, 0)[0])
