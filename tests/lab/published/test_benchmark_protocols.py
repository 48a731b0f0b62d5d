"""What the public settings mean, in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.lab.published import protocols
from walkies.lab.published.protocols import ACTION_SIZES, PROTOCOLS, Published, rows
from walkies.rl import normalize, train
from walkies.rl.distributions import Normal
from walkies.rl.trpo.natural_step import natural_step

ANNEALED = [protocol for protocol in PROTOCOLS if protocol.recipe.schedule == "linear"]


@pytest.mark.parametrize("protocol", ANNEALED, ids=lambda protocol: f"{protocol.name}-{protocol.env}")
def test_the_step_size_falls_linearly_in_samples_to_the_end_of_training(protocol):
    """At the start of an update after n samples it is rate · (1 − n / N), N the samples of the whole training."""
    recipe, batch = protocol.recipe, protocol.recipe.num_envs * protocol.recipe.horizon
    learner = SimpleNamespace(learning_rate=jnp.zeros(()), critic_learning_rate=jnp.zeros(()))
    learner._replace = lambda **new: SimpleNamespace(**new)
    updates = protocol.steps // batch
    assert updates * batch == protocol.steps
    rounding = 2e-7 * recipe.learning_rate  # of 1 − n / N in float32; the last step is five hundred times as large
    for update in (0, 1, updates // 2, updates - 1):
        got = train._scheduled(recipe, SimpleNamespace(learner=learner, iteration=jnp.asarray(update)))
        expected = recipe.learning_rate * (1.0 - update * batch / protocol.steps)
        assert float(got.learning_rate) == pytest.approx(expected, abs=rounding)
        assert float(got.critic_learning_rate) == pytest.approx(expected, abs=rounding)
    assert expected > 1000 * rounding


def test_clipped_statistics_equal_plain_ones_within_the_limit_and_stop_there():
    x = jax.random.normal(jax.random.key(0), (200, 3)) * 5.0 + 2.0
    plain, clipped = (normalize.update(start, x) for start in (normalize.init(3), clipped_start()))
    assert isinstance(clipped, normalize.ClippedNormalizer)
    np.testing.assert_array_equal(plain(x), clipped(x))
    far = plain.mean + 11.0 / plain.scale
    np.testing.assert_allclose(clipped(far), 10.0)
    np.testing.assert_allclose(clipped(2.0 * plain.mean - far), -10.0)
    np.testing.assert_allclose(plain(far), 11.0, rtol=1e-4)


def clipped_start() -> normalize.ClippedNormalizer:
    return normalize.ClippedNormalizer(*normalize.init(3))


def test_a_deviation_with_divisor_n_becomes_the_standard_error_of_the_mean():
    seeds = np.array([2100.0, 2300.0, 2750.0])
    published = Published.of_seeds(seeds.mean(), seeds.std(), 3, "")
    assert published.standard_error == pytest.approx(seeds.std(ddof=1) / np.sqrt(3))
    # sb3-contrib's ± is the deviation divided by √3 already.
    contrib = protocols._contrib(0.0, seeds.std() / np.sqrt(3))
    assert contrib.standard_error == pytest.approx(published.standard_error)


def test_minibatches_have_the_published_sizes():
    sizes = {
        (protocol.name, protocol.env): protocol.recipe.num_envs * protocol.recipe.horizon / protocol.recipe.minibatches
        for protocol in PROTOCOLS
    }
    assert sizes["ppo-cleanrl", "Hopper-v4"] == 64
    assert sizes["ppo-cleanrl", "CartPole-v1"] == 128
    assert sizes["trpo-contrib", "Hopper-v4"] == sizes["trpo-zoo", "Hopper-v4"] == 128
    assert sizes["trpo-zoo", "CartPole-v1"] == 512


class MeanNormal(Normal):
    """A Gaussian whose KL is the mean over its components, as sb3-contrib takes it."""

    def kl(self, other):
        return super().kl(other) / self.mean.shape[-1]


@pytest.mark.parametrize("env", ["Hopper-v4"])
def test_a_trust_region_of_the_mean_over_components_is_that_of_the_sum_times_their_number(env):
    """sb3-contrib's δ and damping, brought into nats of the whole action, make the very same step.

    Negative control: its numbers taken literally make one of a d-th of the KL.
    """
    with jax.enable_x64(True):
        size, nominal = ACTION_SIZES[env], protocols.CONTRIB_TRPO
        keys = jax.random.split(jax.random.key(0), 4)
        seen = jax.random.normal(keys[0], (256, 4))
        params = (0.3 * jax.random.normal(keys[1], (4, size)), jnp.full(size, -0.4))
        sample = Normal(seen @ params[0], params[1]).sample(keys[2])
        old = Normal(seen @ params[0], params[1]).log_prob(sample)
        advantage = jax.random.normal(keys[3], (256,)) + sample[:, 0]

        def step(kind, recipe):
            return natural_step(
                lambda p: -jnp.mean(jnp.exp(Normal(seen @ p[0], p[1]).log_prob(sample) - old) * advantage),
                lambda p: kind(seen @ p[0], p[1]),
                params,
                recipe.target_kl,
                recipe.damping,
                recipe.cg_iterations,
            )

        theirs, in_means = step(MeanNormal, nominal)
        ours, in_sums = step(Normal, protocols.mean_kl(nominal, env))
        for a, b, start in zip(theirs, ours, params, strict=True):
            np.testing.assert_allclose(a - start, b - start, rtol=1e-6, atol=1e-12)
        assert float(in_sums.kl) == pytest.approx(size * float(in_means.kl), rel=1e-6)
        _, literal = step(Normal, nominal)
        assert float(literal.kl) < 1.3 * float(in_sums.kl) / size


def test_action_sizes_are_those_of_the_environments():
    for env, size in ACTION_SIZES.items():
        assert gymnasium.make(env).action_space.shape == (size,)


def test_rows_are_unique_and_can_be_chosen():
    keys = [row.key for row in rows()]
    assert len(keys) == len(set(keys))
    assert {row.seed for row in rows(["ppo-cleanrl_Hopper"])} == {1, 2, 3}
    assert len(rows(["HalfCheetah", "ppo-sb3"])) == 4
    with pytest.raises(UserError, match="ppo-cleanrl_Hopper-v4,"):
        rows(["Hoper"])


def test_one_row_of_each_protocol_is_timed():
    chosen = protocols.first_seeds(rows(["ppo-sb3", "trpo-sb3"]))
    assert [row.key for row in chosen] == [
        "ppo-sb3_Hopper-v4_1", "trpo-sb3-contrib_Hopper-v4_1", "trpo-sb3-zoo_CartPole-v1_1",
    ]  # fmt: skip


def test_rows_are_found_by_the_names_that_the_page_prints():
    """Blanks for underscores, seeds in brackets; a seed that there is not is refused."""
    assert rows(["ppo-cleanrl Hopper"]) == rows(["ppo-cleanrl_Hopper"])
    assert [row.key for row in rows(["trpo-zoo Walker2d-v4 (2, 3)"])] == [
        "trpo-zoo_Walker2d-v4_2", "trpo-zoo_Walker2d-v4_3",
    ]  # fmt: skip
    assert [row.key for row in rows([" ppo-sb3  Hopper-v4 (1)"])] == ["ppo-sb3_Hopper-v4_1"]
    for wrong in ("ppo-cleanrl Hopper-v4 (4)", "cleanrl-ppo Hopper"):
        with pytest.raises(UserError, match="no row of the benchmark"):
            rows([wrong])
