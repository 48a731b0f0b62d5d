"""T26, T27, T29, T33, T34, T38: how parameters move."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from toys import Counter, Target
from walkies.rl import normalize, train, updates
from walkies.rl.objectives import METRICS, OBJECTIVES, Batch, Terms, policy_loss, standardize
from walkies.rl.recipes import PPO, RECIPES, VPG, Recipe
from walkies.rl.rollout import rollout

SMALL = replace(PPO, num_envs=16, horizon=8, hidden=(8,), critic_hidden=(8,), learning_rate=3e-2)


def acted(recipe: Recipe, env, update_between: bool = False):
    """Policy, train state and a batch from the real acting path, with statistics that are not the identity."""
    state = train.init(recipe, env, jax.random.key(0))
    seen = 3.0 + 2.0 * jax.random.normal(jax.random.key(1), (50, env.observation_size))
    state = state._replace(
        normalizers=state.normalizers._replace(policy=normalize.update(state.normalizers.policy, seen))
    )
    policy = train.make_policy(recipe, env)

    @jax.jit
    def act(state):
        actors = state.actors
        _, record = rollout(
            env, policy, state.learner.params.policy, state.normalizers.policy, None, actors, state.key, recipe.horizon,
            time_limits="rollout_end",
        )  # fmt: skip
        if update_between:
            merged = normalize.update(state.normalizers.policy, record.observations.policy)
            state = state._replace(normalizers=state.normalizers._replace(policy=merged))
        return train.make_batch(recipe, env, policy, state, record)

    return policy, state, act(state)


@pytest.mark.parametrize("symmetry", ["none", "augment"])
def test_the_first_minibatch_starts_at_ratio_one(symmetry):
    """T27: through the acting path, with normalised observations, |ρ − 1| ≤ 1e-6 and KL = 0, mirrored samples included.

    Control: statistics merged between acting and learning make it another policy.
    """
    recipe = replace(SMALL, symmetry=symmetry)

    def worst(update_between):
        policy, state, batch = acted(recipe, Target(), update_between)
        distribution = policy.apply(state.learner.params.policy, batch.policy_observation)
        kl = policy.distribution(state.learner.params.policy, batch.dist_params).kl(distribution)
        return float(jnp.abs(jnp.exp(distribution.log_prob(batch.sample) - batch.log_prob) - 1.0).max()), kl

    ratio_error, kl = worst(update_between=False)
    assert ratio_error <= 1e-6 and float(jnp.abs(kl).max()) <= 1e-12
    assert worst(update_between=True)[0] > 1e-4


@pytest.fixture(scope="module")
def first_batch():
    """A policy, its state and one real batch, from which every recipe shall learn."""
    return acted(replace(SMALL, normalize_advantage="batch"), Counter(lifetimes=(3,)))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("step", updates.UPDATES)
def test_what_means_nothing_is_not_reported(first_batch, objective, step):
    """A clip fraction where something is clipped, not where the same number is the price of the KL; a value loss where
    there is a value function."""
    policy, _, batch = first_batch
    for baseline in (True, False):
        recipe = replace(
            PPO, **small_sizes(), objective=objective, update=step, baseline=baseline, advantage="reward_to_go"
        )
        learner = train.shapes(recipe, Counter(), jax.random.key(0)).learner
        _, metrics = jax.eval_shape(partial(updates.UPDATES[step], recipe, policy), learner, batch, jax.random.key(0))
        assert ("clip_fraction" in metrics) == (objective == "clipped")
        assert ("value_loss" in metrics) == baseline
        assert {"policy_loss", "kl", "entropy"} <= set(metrics)


def test_the_clip_fraction_counts_ratios_beyond_the_clip():
    ratios = np.array([0.5, 0.79, 0.81, 1.0, 1.19, 1.21, 3.0])
    terms = Terms(*(jnp.asarray(x, jnp.float32) for x in (np.log(ratios), np.zeros(7), np.ones(7), np.zeros(7))))
    outside = METRICS["clipped"]["clip_fraction"](terms, 0.2)
    np.testing.assert_array_equal(outside, [1, 1, 0, 0, 0, 1, 1])
    # Control: the same ratios under another ε.
    assert METRICS["clipped"]["clip_fraction"](terms, 0.5).sum() == 1


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_its_first_step_along_one_gradient(first_batch, name):
    """T26, through each recipe's own step: from one batch all of them get the gradient of Σ A log π.

    What Adam was given shows in its first moment; the natural step, its damping large, is the gradient's direction.
    Control: after the first step the objectives are no longer one (where it is not `score` itself).
    """
    policy, state, batch = first_batch
    shared = dict(epochs=1, minibatches=1, max_grad_norm=1e9, damping=1e6, normalize_advantage="batch")
    recipe = replace(RECIPES[name], **{**small_sizes(), **shared})
    start = state.learner.params.policy

    def score_gradient(params):
        """∇ mean of −A log π at `params`, with A standardized as every recipe here does."""
        advantage = standardize(batch.advantage, batch.mask)
        log_prob = lambda p: policy.apply(p, batch.policy_observation).log_prob(batch.sample)  # noqa: E731
        return ravel_pytree(jax.grad(lambda p: -jnp.mean(advantage * log_prob(p)))(params))[0]

    learner, _ = jax.jit(partial(updates.UPDATES[recipe.update], recipe, policy))(
        state.learner, batch, jax.random.key(0)
    )
    expected = jax.jit(score_gradient)(start)
    if recipe.update == "natural_step":
        moved = ravel_pytree(start)[0] - ravel_pytree(learner.params.policy)[0]
        cosine = float(moved @ expected / jnp.linalg.norm(moved) / jnp.linalg.norm(expected))
        assert cosine == pytest.approx(1.0, abs=1e-5)
    else:
        given = ravel_pytree(optax.tree.get(learner.moments.policy, "mu"))[0] / 0.1
        np.testing.assert_allclose(given, expected, atol=1e-6)

    later = jax.tree.map(lambda x: x + 0.1, start)
    loss = partial(policy_loss, recipe, policy, start)
    standard = batch._replace(advantage=standardize(batch.advantage, batch.mask))
    after = ravel_pytree(jax.jit(lambda p: jax.grad(loss, has_aux=True)(p, standard)[0])(later))[0]
    same = float(jnp.abs(after - jax.jit(score_gradient)(later)).max()) < 1e-6
    assert same == (recipe.objective == "score")


def test_one_epoch_of_one_minibatch_is_the_policy_gradient():
    """T29: with an ε that clips nothing, PPO's one step is VPG's. Control: a second epoch is a second step."""
    whole = dict(epochs=1, minibatches=1, normalize_advantage="batch", lam=0.95, objective_coefficient=1e9)
    ppo, vpg = (replace(recipe, **{**small_sizes(), **whole}) for recipe in (PPO, VPG))
    policy, state, batch = acted(ppo, Counter(lifetimes=(3,)))

    def stepped(recipe):
        step = jax.jit(partial(updates.UPDATES[recipe.update], recipe, policy))
        return ravel_pytree(step(state.learner, batch, jax.random.key(2))[0].params)[0]

    np.testing.assert_allclose(stepped(ppo), stepped(vpg), atol=1e-6)
    assert float(jnp.abs(stepped(replace(ppo, epochs=2)) - stepped(vpg)).max()) > 1e-3


def small_sizes() -> dict:
    return dict(num_envs=16, horizon=8, hidden=(8,), critic_hidden=(8,), learning_rate=3e-2)


@pytest.mark.parametrize("count, parts", [(12, 3), (1000, 4), (1024, 2)])
def test_minibatches_partition_the_batch(count, parts):
    """T34: each sample once per epoch, in another order each epoch. Control: one permutation for all would not do."""
    batch = numbered(count)
    recipe = replace(PPO, epochs=5, minibatches=parts)

    def advantages(carry, part):
        return carry, part.advantage

    _, seen = jax.jit(lambda key: updates.epochs(advantages, 0, batch, key, recipe))(jax.random.key(0))
    assert seen.shape == (5, parts, count // parts)
    for epoch in seen:
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(count))
    orders = {tuple(epoch.ravel()) for epoch in np.asarray(seen)}
    assert len(orders) == 5
    with pytest.raises(ValueError, match="minibatches"):
        updates.epochs(lambda c, p: (c, p), 0, batch, jax.random.key(0), replace(recipe, minibatches=7))


def numbered(count: int) -> Batch:
    """A batch whose rows can be told apart, with a column of integers."""
    row = jnp.arange(count, dtype=jnp.float32)
    wide = jnp.stack([row, -row], axis=1)
    return Batch(wide, wide[:, :1], None, row.astype(jnp.int32) % 5, wide, row, row, row, row, jnp.ones(count))


def test_the_kl_stop_stops():
    """T33: once a minibatch exceeds the limit, the policy stays as it is, bit for bit, for the rest of the iteration.

    The value function goes on learning. Control: without the stop the policy goes on too.
    """
    policy, state, batch = acted(SMALL, Counter(lifetimes=(3,)))
    batch = batch._replace(advantage=batch.advantage + jnp.sign(batch.sample[:, 0]))

    def learned(epochs, stop_kl):
        recipe = replace(SMALL, epochs=epochs, stop_kl=stop_kl)
        step = jax.jit(partial(updates.minibatch_epochs, recipe, policy))
        learner, metrics = step(state.learner, batch, jax.random.key(3))
        return ravel_pytree(learner.params.policy)[0], ravel_pytree(learner.params.critic)[0], float(metrics["kl"])

    # The same permutations come first, whatever the number of epochs.
    short, long = learned(1, 1e-9), learned(4, 1e-9)
    free_short, free_long = learned(1, None), learned(4, None)
    assert free_long[2] > 1e-3
    np.testing.assert_array_equal(short[0], long[0])
    assert np.abs(free_short[0] - free_long[0]).max() > 1e-2
    assert np.abs(short[1] - long[1]).max() > 1e-2
    # Exactly one step was taken: the first minibatch has KL 0, the second is too far. Adam's first step is the rate.
    moved = np.abs(short[0] - ravel_pytree(state.learner.params.policy)[0]).max()
    assert moved == pytest.approx(SMALL.learning_rate, rel=0.05)


@pytest.mark.parametrize(
    "kl, factor",
    [
        (0.0, 1.0),
        (1e-9, 1.5),
        (0.0049, 1.5),
        (0.0051, 1.0),
        (0.01, 1.0),
        (0.0199, 1.0),
        (0.0201, 1 / 1.5),
        (1.0, 1 / 1.5),
    ],
)
def test_the_step_size_follows_the_kl(kl, factor):
    """T33: the table around a target of 0.01, and its bounds."""
    recipe = replace(PPO, schedule="kl", target_kl=0.01, min_learning_rate=1e-5, max_learning_rate=1e-2)
    assert float(updates.adapt_learning_rate(recipe, jnp.float32(1e-3), jnp.float32(kl))) == pytest.approx(
        1e-3 * factor
    )
    for bound in (1e-5, 1e-2):
        rate = float(updates.adapt_learning_rate(recipe, jnp.float32(bound), jnp.float32(kl)))
        assert rate == pytest.approx(np.clip(bound * factor, 1e-5, 1e-2))


def test_the_step_size_follows_the_kl_through_the_trainer():
    """T33: impossible targets drive the step size to its bounds, in real iterations; a constant schedule stays."""
    bounds = replace(SMALL, schedule="kl", min_learning_rate=1e-3, max_learning_rate=1e-1)
    for recipe, expected in (
        (replace(bounds, target_kl=1e-7), 1e-3),
        (replace(bounds, target_kl=10.0), 1e-1),
        (replace(bounds, schedule="constant"), 3e-2),
    ):
        iteration, state = train.make_iteration(recipe, Target()), train.init(recipe, Target(), jax.random.key(0))
        for _ in range(3):
            state, metrics = iteration(state)
        assert float(metrics["learning_rate"]) == pytest.approx(expected)


def test_a_long_gradient_keeps_its_direction():
    """T38: the whole tree is scaled by one factor before Adam; element-wise clipping (the control) turns it.

    Adam's first moment after one step is (1 − β₁) times what it was given, which shows what that was.
    """
    gradient = {"a": jnp.array([30.0, 0.4]), "b": jnp.array([[-0.1]])}
    flat = ravel_pytree(gradient)[0]
    _, moments = updates.adam(replace(PPO, max_grad_norm=1.0), gradient, gradient, updates.start(PPO, gradient), 1e-3)
    ours = ravel_pytree(optax.tree.get(moments, "mu"))[0] / 0.1
    cosine = lambda x: float(x @ flat / jnp.linalg.norm(x) / jnp.linalg.norm(flat))  # noqa: E731
    assert float(jnp.linalg.norm(ours)) == pytest.approx(1.0) and cosine(ours) == pytest.approx(1.0)
    element_wise, _ = optax.clip(1.0).update(gradient, optax.clip(1.0).init(gradient))
    assert cosine(ravel_pytree(element_wise)[0]) < 0.95


def test_policy_and_value_function_are_limited_apart():
    """A hopeless value function leaves the policy's first step as long as ever."""
    policy, state, batch = acted(replace(SMALL, max_grad_norm=0.1), Counter(lifetimes=(3,)))
    recipe = replace(SMALL, epochs=1, minibatches=1, max_grad_norm=0.1)
    step = jax.jit(partial(updates.minibatch_epochs, recipe, policy))
    near = step(state.learner, batch, jax.random.key(0))[0].params.policy
    far = step(state.learner, batch._replace(target=batch.target + 1e6), jax.random.key(0))[0].params.policy
    np.testing.assert_array_equal(ravel_pytree(near)[0], ravel_pytree(far)[0])
