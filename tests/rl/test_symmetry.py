"""Equivariant networks: what they say of a mirrored observation is the mirror image."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toys import Target
from walkies.errors import UserError
from walkies.mdp import Observation
from walkies.rl import networks, normalize, symmetry, train
from walkies.rl.recipes import PPO
from walkies.run.config import TrainConfig, build

IN = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]], np.float32)
OUT = np.array([[0, -1], [-1, 0]], np.float32)


def layers(seed: int = 0, sizes=(4, 8, 6, 2)) -> networks.Layers:
    drawn = networks.init(jax.random.key(seed), sizes)
    return [(w, b + jnp.linspace(-1.0, 1.0, len(b))) for w, b in drawn]


def error(layers: networks.Layers) -> float:
    x = jax.random.normal(jax.random.key(1), (50, 4))
    of = lambda x: networks.apply(layers, x, "elu")  # noqa: E731
    return float(jnp.abs(of(x @ IN) - of(x) @ OUT).max())


def test_projected_layers_are_equivariant_and_stay_what_they_are():
    """Control: layers as they are drawn."""
    once = symmetry.symmetric(layers(), IN, OUT)
    assert error(layers()) > 0.1 and error(once) < 1e-5
    for again, first in zip(jax.tree.leaves(symmetry.symmetric(once, IN, OUT)), jax.tree.leaves(once), strict=True):
        np.testing.assert_allclose(again, first, atol=1e-7)


def test_a_sample_counts_twice():
    """At equivariant weights the projected gradient is that of both sides. Control: other weights."""
    x, y = jax.random.normal(jax.random.key(2), (20, 4)), jax.random.normal(jax.random.key(3), (20, 2))

    def gradients(at):
        loss = lambda layers, x, y: jnp.mean(jnp.square(networks.apply(layers, x, "tanh") - y))  # noqa: E731
        both = jax.grad(loss)(at, jnp.concatenate([x, x @ IN]), jnp.concatenate([y, y @ OUT]))
        pairs = zip(
            jax.tree.leaves(symmetry.symmetric(jax.grad(loss)(at, x, y), IN, OUT)), jax.tree.leaves(both), strict=True
        )
        return max(float(jnp.abs(one - other).max()) for one, other in pairs)

    assert gradients(symmetry.symmetric(layers(), IN, OUT)) < 1e-5 < 1e-2 < gradients(layers())


def test_drawn_weights_keep_their_size():
    wide = layers(sizes=(4, 64, 64, 2))
    drawn, kept = (float(jnp.std(each[1][0])) for each in (wide, symmetry.symmetric(wide, IN, OUT, symmetry.NEW)))
    assert kept == pytest.approx(drawn, rel=0.1)
    assert float(jnp.std(symmetry.symmetric(wide, IN, OUT)[1][0])) < 0.8 * drawn, "control: a plain mean is smaller"


def test_moments_are_those_of_both_sides():
    x = jax.random.normal(jax.random.key(4), (300, 4)) * jnp.arange(1.0, 5.0) + jnp.arange(4.0)
    seen = normalize.update(normalize.init(4, jnp.float32), x)
    both = jnp.concatenate([x, x @ IN])
    mirrored = symmetry.of_normalizer(seen, IN)
    np.testing.assert_allclose(mirrored.mean, both.mean(0), atol=1e-4)
    np.testing.assert_allclose(mirrored.variance, both.var(0), rtol=1e-4)
    assert not np.allclose(seen.mean, both.mean(0), atol=0.1)


@pytest.mark.parametrize("recipe, small", [("equivariant", True), ("none", False)])
def test_a_real_robot_learns_equivariantly(recipe, small):
    """After two iterations the whole policy, its normalizer included, mirrors. Control: without it, it does not."""
    config = TrainConfig()
    config = replace(config, recipe=replace(config.recipe, num_envs=16, horizon=8, minibatches=2, epochs=2,
                                            hidden=(16, 8), critic_hidden=(8,), symmetry=recipe))  # fmt: skip
    env = build(config)
    state, iterate = train.init(config.recipe, env, jax.random.key(0)), train.make_iteration(config.recipe, env)
    for _ in range(3):
        state, _ = iterate(state)
    policy, x = train.make_policy(config.recipe, env), jax.random.normal(jax.random.key(5), (20, env.observation_size))
    seen = env.mirror.mirror_observation(Observation(x, jnp.zeros((20, env.privileged_size)))).policy
    of = lambda x: policy.dist_params(state.learner.params.policy, state.normalizers.policy(x))  # noqa: E731
    error = float(jnp.abs(of(seen) - env.mirror.mirror_action(of(x))).max())
    assert (error < 1e-4) == small, error


def test_what_cannot_be_equivariant_is_refused():
    recipe = replace(PPO, num_envs=4, horizon=4, hidden=(8,), critic_hidden=(8,), symmetry="equivariant")

    class Askew(Target):
        class mirror:
            mirror_observation = staticmethod(lambda o: Observation(2.0 * o.policy, o.critic))
            mirror_action = staticmethod(lambda a: -a)

    with pytest.raises(UserError, match="mirrored twice"):
        train.init(recipe, Askew(), jax.random.key(0))
    with pytest.raises(UserError, match="width 7; expected even"):
        train.init(replace(recipe, hidden=(7,)), Target(), jax.random.key(0))
    with pytest.raises(UserError, match="dense"):
        replace(recipe, architecture="convolutional")
