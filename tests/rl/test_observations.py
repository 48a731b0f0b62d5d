"""Observations are PyTrees of arrays, actions may be masked, and a network is a record behind a protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.classic import CartPole, Pendulum
from walkies.errors import UserError
from walkies.mdp import Discrete, Env, Observation, Outcome, map_shapes
from walkies.rl import distributions, networks, normalize, sizes, train
from walkies.rl.distributions import Categorical, masked
from walkies.rl.pathwise import short_horizon
from walkies.rl.pathwise.short_horizon import SHORT_HORIZON
from walkies.rl.policy import Policy
from walkies.rl.recipes import PPO, RECIPES, TRPO, Recipe
from walkies.rl.rollout import rollout, start

SMALL: dict[str, Any] = dict(num_envs=8, horizon=8, hidden=(8,), critic_hidden=(8,))


@dataclass(frozen=True)
class InADict:
    """Another environment, whose vectors are seen as dictionaries of one array."""

    env: Env

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "env"), name)

    @property
    def observation_size(self) -> dict:
        return {"seen": self.env.observation_size}

    @property
    def privileged_size(self) -> dict:
        return {"known": (self.env.privileged_size,)}

    def observe(self, state: Any) -> Observation:
        seen = self.env.observe(state)
        return Observation({"seen": seen.policy}, {"known": seen.critic})


def program(recipe: Recipe, env: Env, iterate: Any) -> str:
    """What an iteration is compiled from, without the names of its arguments and results."""
    state = train.shapes(recipe, env, jax.random.key(0))
    text = jax.jit(partial(iterate, recipe, env)).lower(state).as_text()
    return re.sub(r'jax\.result_info = "[^"]*"', "", text)


@pytest.mark.parametrize(
    ("recipe", "env", "iterate"),
    [
        (replace(PPO, **SMALL, networks="native", normalize_reward=True), CartPole(), train.iterate),
        (replace(PPO, **SMALL, bound="mean", time_limits="rollout_end"), Pendulum(), train.iterate),
        (replace(TRPO, **SMALL), Pendulum(), train.iterate),
        (replace(RECIPES["reinforce"], **SMALL), CartPole(time_limit=10), train.iterate),
        (replace(SHORT_HORIZON, **SMALL), Pendulum(), short_horizon.iterate),
    ],
    ids=["ppo", "ppo-box", "trpo", "reinforce", "short-horizon"],
)
def test_a_dictionary_of_one_vector_trains_as_the_vector(recipe, env, iterate):
    """Its iteration is the same program, so the training is the same bit for bit. Control: another γ is another one."""
    flat = program(recipe, env, iterate)
    assert program(recipe, InADict(env), iterate) == flat
    assert program(replace(recipe, gamma=0.9 * recipe.gamma), env, iterate) != flat


def test_both_trainings_begin_with_the_same_numbers():
    states = [train.init(replace(PPO, **SMALL), env, jax.random.key(0)) for env in (CartPole(), InADict(CartPole()))]
    flat, tree = (jax.tree.leaves(state._replace(key=jax.random.key_data(state.key))) for state in states)
    for a, b in zip(flat, tree, strict=True):
        np.testing.assert_array_equal(a, b)


@dataclass(frozen=True)
class Look:
    """An image (8, 8, 1) is bright on one side, the vector says whether bright is right; to say the side earns 1."""

    time_limit: int | None = 4
    action_space = Discrete(2)
    observation_size = {"eyes": (8, 8, 1), "body": 2}  # noqa: RUF012
    privileged_size = 1

    def reset(self, key, num_envs):
        return jax.random.randint(key, (num_envs, 2), 0, 2)

    def observe(self, state):
        bright = jnp.arange(8)[None, None, :, None] // 4 == state[:, 0, None, None, None]
        eyes = jnp.broadcast_to(bright, (state.shape[0], 8, 8, 1)).astype(jnp.float32)
        body = jnp.stack([2.0 * state[:, 1] - 1.0, jnp.ones(state.shape[0])], axis=-1)
        return Observation({"eyes": eyes, "body": body}, (state[:, :1] ^ state[:, 1:]).astype(jnp.float32))

    def step(self, state, action, key):
        right = (action == state[:, 0] ^ state[:, 1]).astype(jnp.float32)
        return self.reset(key, state.shape[0]), Outcome(right, jnp.zeros(state.shape[0], bool), {})


@dataclass(frozen=True)
class Eyes:
    """One convolution over the image, its mean over places beside the vector, then a dense network."""

    hidden: tuple[int, ...]
    activation: str
    implementation: str

    @property
    def dense(self):
        return networks.Dense(self.hidden, self.activation)

    def init(self, key, sizes, outputs, output_gain=1.0):
        if not isinstance(sizes, dict):  # the critic sees a vector
            return {"dense": self.dense.init(key, sizes, outputs, output_gain)}
        eye, rest = jax.random.split(key)
        kernel = 0.3 * jax.random.normal(eye, (8, 8, sizes["eyes"][-1], 4))
        return {"kernel": kernel, "dense": self.dense.init(rest, sizes["body"] + 4, outputs, output_gain)}

    def apply(self, params, observation):
        if "kernel" not in params:
            return self.dense.apply(params["dense"], observation)
        image = observation["eyes"].reshape(-1, 8, 8, 1)
        seen = jax.lax.conv_general_dilated(image, params["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))  # fmt: skip  # noqa: E501
        seen = jnp.tanh(seen).reshape(*observation["body"].shape[:-1], 4)
        return self.dense.apply(params["dense"], [observation["body"], seen])


LOOKING = replace(
    PPO, num_envs=64, horizon=8, hidden=(16,), critic_hidden=(8,), learning_rate=1e-2, architecture="eyes", gamma=0.5
)


def test_an_image_and_a_vector_train_a_network_of_ones_own(monkeypatch):
    """To tell the side takes both. Natural gradients go through the network too, as far as to be traced."""
    monkeypatch.setitem(networks.ARCHITECTURES, "eyes", Eyes)
    state, iterate = train.init(LOOKING, Look(), jax.random.key(0)), train.make_iteration(LOOKING, Look())
    for _ in range(30):
        state, metrics = iterate(state)
    assert float(metrics["reward"]) > 0.9  # by chance, and by either alone: 0.5
    assert state.normalizers.policy.origin["eyes"].shape == (8, 8, 1)
    natural = replace(TRPO, num_envs=16, horizon=4, hidden=(8,), critic_hidden=(8,), architecture="eyes")
    assert "convolution" in program(natural, Look(), train.iterate)


def test_what_a_network_cannot_take_is_said():
    with pytest.raises(UserError, match=r"a dense network takes vectors.*\(8, 8, 1\)"):
        train.init(replace(LOOKING, architecture="dense"), Look(), jax.random.key(0))
    with pytest.raises(UserError, match="architecture is 'ears'; choose one of dense"):
        train.init(replace(LOOKING, architecture="ears"), Look(), jax.random.key(0))


def test_gymnasium_is_handed_vectors_only():
    adapter = pytest.importorskip("walkies.gymnasium.adapter")
    with pytest.raises(UserError, match=r"arrays \{'eyes': \(8, 8, 1\), 'body': 2\}; expected one vector"):
        adapter.ToGymnasium(Look())
    assert adapter.ToGymnasium(CartPole()).observation_space.shape == (4,)  # control


def test_a_dense_network_takes_vectors_one_behind_the_other():
    dense = networks.Dense((4,))
    params = dense.init(jax.random.key(0), {"a": 2, "b": (3,)}, 1)
    x = jax.random.normal(jax.random.key(1), (6, 5))
    together = networks.apply(params, x, "tanh")
    np.testing.assert_array_equal(dense.apply(params, {"a": x[:, :2], "b": x[:, 2:]}), together)
    assert not np.array_equal(dense.apply(params, {"a": x[:, 3:], "b": x[:, :3]}), together)  # control


def test_shapes_of_a_tree():
    tree = {"eyes": (8, 8, 1), "body": 3, "clock": (), "feet": [2, (2, 3)]}
    assert map_shapes(lambda shape: "×".join(map(str, shape)), tree) == {
        "eyes": "8×8×1", "body": "3", "clock": "", "feet": ["2", "2×3"],
    }  # fmt: skip
    assert map_shapes(len, 3) == 1 and map_shapes(len, (3, 4)) == 2
    assert sizes.needed(LOOKING, Look(), 8) > 4 * 64 * 8 * 2 * (64 + 2 + 1)


def test_each_array_of_a_tree_is_normalized_as_if_alone():
    """Moments and outputs, of an image, a vector and whole numbers, clipped or not."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = {
        "image": 3.0 + jax.random.normal(keys[0], (5, 7, 4, 4, 1)),
        "vector": 100.0 * jax.random.normal(keys[1], (5, 7, 3)),
        "board": jax.random.randint(keys[2], (5, 7, 2), 0, 3),
    }
    shapes = {"image": (4, 4, 1), "vector": 3, "board": (2,)}
    for kind in (normalize.Normalizer, normalize.ClippedNormalizer):
        whole = kind(*normalize.init(shapes))
        whole = normalize.update(normalize.update(whole, x), jax.tree.map(lambda leaf: leaf[:2], x))
        assert whole.leading(x) == (5, 7) and float(whole.samples) == 49.0
        for name, leaf in x.items():
            alone = kind(*normalize.init(shapes[name]))
            alone = normalize.update(normalize.update(alone, leaf), leaf[:2])
            np.testing.assert_array_equal(alone(leaf), whole(x)[name])
            flat = np.concatenate([leaf, leaf[:2]]).reshape(49, -1).astype(np.float64)
            np.testing.assert_allclose(whole.mean[name].ravel(), flat.mean(axis=0), rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(whole.variance[name].ravel(), flat.var(axis=0), rtol=1e-4)


@dataclass(frozen=True)
class Doors:
    """Five doors, of which some are open at random; door i is worth i. To go through a closed one is worth −100."""

    time_limit: int | None = 4
    masked: bool = True
    action_space = Discrete(5)
    observation_size = 5
    privileged_size = 5

    def reset(self, key, num_envs):
        open_ = jax.random.bernoulli(key, 0.4, (num_envs, 5))
        return open_.at[:, 0].set(True)

    def observe(self, state):
        seen = state.astype(jnp.float32)
        return Observation(seen, seen, state if self.masked else None)

    def step(self, state, action, key):
        allowed = jnp.take_along_axis(state, action[:, None], axis=1)[:, 0]
        reward = jnp.where(allowed, action.astype(jnp.float32), -100.0)
        return self.reset(key, state.shape[0]), Outcome(reward, jnp.zeros(state.shape[0], bool), {"closed": ~allowed})


def test_an_invalid_action_is_never_taken():
    """In 20,000 steps, and every valid one is. Control: without the mask closed doors are tried."""
    for is_masked in (True, False):
        env = Doors(masked=is_masked)
        policy = Policy(5, env.action_space, hidden=(4,))
        params, actors = policy.init(jax.random.key(0)), start(env, jax.random.key(1), 500, stagger=False)
        act = jax.jit(lambda a, env=env, p=policy, w=params: rollout(env, p, w, lambda x: x, lambda x: x[:, 0], a, jax.random.key(2), 40))  # noqa: E501  # fmt: skip
        _, record = act(actors)
        taken = jnp.take_along_axis(record.observations.policy, record.samples[..., None], axis=-1)
        assert bool((taken == 1.0).all()) is is_masked
        assert set(np.unique(record.samples)) == set(range(5))
        assert bool(jnp.isfinite(record.log_probs).all())


@pytest.mark.parametrize("name", ["reinforce", "trpo", "ppo"])
def test_recipes_learn_behind_a_mask(name):
    """Numbers stay finite, no invalid action is taken, and the best open door is found more often than by chance."""
    recipe = replace(RECIPES[name], **SMALL | dict(num_envs=64, horizon=4), learning_rate=3e-2)
    state, iterate = train.init(recipe, Doors(), jax.random.key(0)), train.make_iteration(recipe, Doors())
    rewards = []
    for _ in range(20):
        state, metrics = iterate(state)
        assert float(metrics["closed"]) == 0.0 and all(np.isfinite(value) for value in metrics.values())
        rewards.append(float(metrics["reward"]))
    assert np.mean(rewards[-3:]) > np.mean(rewards[:2]) + 0.2


def test_masked_probabilities_by_hand():
    """Log-probability, entropy, KL and the gradient of each: those of the valid logits alone, and 0 by the others."""
    rng = np.random.default_rng(0)
    logits, other = (jnp.asarray(rng.normal(size=4), jnp.float32) for _ in range(2))
    valid = jnp.array([True, False, True, True])
    keep = np.flatnonzero(valid)

    def quantities(make):
        return {
            "log_prob": lambda x: make(x).log_prob(jnp.int32(2)),
            "entropy": lambda x: make(x).entropy(),
            "kl": lambda x: make(other).kl(make(x)),
            "reverse": lambda x: make(x).kl(make(other)),
        }

    by_mask = quantities(lambda x: Categorical(masked(x, valid)))
    alone = quantities(lambda x: Categorical(x[keep]))
    alone["log_prob"] = lambda x: Categorical(x[keep]).log_prob(jnp.int32(1))  # choice 2 is the second valid one
    for name, quantity in by_mask.items():
        value, gradient = jax.value_and_grad(quantity)(logits)
        expected, expected_gradient = jax.value_and_grad(alone[name])(logits)
        assert float(value) == pytest.approx(float(expected), abs=1e-6), name
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)
        assert float(gradient[1]) == 0.0
    p = np.exp(np.asarray(logits, np.float64)[keep])
    p /= p.sum()
    assert float(by_mask["entropy"](logits)) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-6)
    # Controls: an infinite logit would be NaN, and without the mask the numbers are others.
    infinite = jnp.where(valid, logits, -jnp.inf)
    assert np.isnan(float(Categorical(infinite).entropy()))
    assert float(Categorical(logits).entropy()) != pytest.approx(float(by_mask["entropy"](logits)), abs=1e-3)
    assert masked(logits, None) is logits and distributions.INVALID < -1e8
