"""One iteration as a whole: what it learns, what it leaves out, what it must not depend on."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toys import Bandit, Counter, Target
from walkies.rl import networks, train
from walkies.rl.recipes import PPO, RECIPES, REINFORCE, Recipe
from walkies.rl.rollout import rollout
from walkies.rl.samples.summary import discounted_returns, summarize

SMALL = replace(PPO, num_envs=32, horizon=8, hidden=(8,), critic_hidden=(8,))


def learn(recipe: Recipe, env, iterations: int, seed: int = 0):
    iteration, state = train.make_iteration(recipe, env), train.init(recipe, env, jax.random.key(seed, impl="rbg"))
    for _ in range(iterations):
        state, metrics = iteration(state)
    assert iteration._cache_size() == 1, "one program: the second iteration must not compile again"
    return state, {name: float(value) for name, value in metrics.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_learns_the_better_choice(name):
    """A bandit with choices worth 0 and 1: every rung of the ladder ends near 1 from 0.5."""
    recipe = replace(RECIPES[name], num_envs=64, horizon=4, hidden=(8,), critic_hidden=(8,), learning_rate=3e-2)
    _, metrics = learn(recipe, Bandit(), 25)
    assert metrics["reward"] > 0.9
    assert metrics["episode_length"] == 1.0


def value_at(state: train.TrainState, recipe: Recipe, observation) -> np.ndarray:
    seen = state.normalizers.critic(jnp.asarray(observation, jnp.float32))
    return np.asarray(networks.apply(state.learner.params.critic, seen, recipe.activation)[..., 0])


@pytest.mark.parametrize("kind", ["exact", "rollout_end", "death"])
def test_a_time_limit_does_not_lower_the_value(kind):
    """T13: reward 1 for ever, γ = 0.8, a limit of 8: V → 1/(1 − γ) = 5. Control: where the limit is death, V(7) → 1."""
    options = dict(gamma=0.8, lam=0.5, critic_learning_rate=1e-2, learning_rate=0.0)
    if kind == "rollout_end":
        options |= dict(time_limits=kind, stagger=True)
    recipe = replace(SMALL, **options)
    env = Counter(dies_at_limit=8) if kind == "death" else Counter(time_limit=8)
    state, _ = learn(recipe, env, 150)
    values = value_at(state, recipe, [[s, 0.0, 0.0] for s in range(8)])
    if kind == "death":
        assert values[7] == pytest.approx(1.0, abs=0.5) and values[0] == pytest.approx((1 - 0.8**8) / 0.2, abs=0.5)
    else:
        np.testing.assert_allclose(values, 5.0, atol=0.25)


def test_the_first_iteration_only_looks():
    """Before anything is known about the inputs nothing is learned, bit for bit; then the statistics are those seen."""
    recipe = replace(SMALL, normalize_reward=True)
    env = Counter(lifetimes=(3, 5, 0))
    before = train.init(recipe, env, jax.random.key(0))
    kept = jax.tree.map(np.asarray, before.learner)
    iteration = train.make_iteration(recipe, env)
    state, _ = iteration(before)
    for old, new in zip(jax.tree.leaves(kept), jax.tree.leaves(state.learner), strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(state.normalizers.policy.samples) == 32 * 8
    assert np.asarray(state.normalizers.policy.scale)[1] == 0.0, "7 is a constant"
    kept = np.asarray(state.learner.params.policy.layers[0][0])
    state, _ = iteration(state)
    assert (np.asarray(state.learner.params.policy.layers[0][0]) != kept).any()


def test_reward_scale_counts_the_last_reward_in_its_episode():
    """Episodes of 3 rewards of 1 at γ = 0.99: discounted returns so far are 1, 1.99, 2.9701, over and over, across
    iterations. Control: cleared before the last reward, they would leak into the next episode: 1, 1.99, 1, 1.99 …
    """
    recipe = replace(SMALL, num_envs=1, horizon=4, minibatches=1)
    env = Counter(lifetimes=(3,))
    state = train.init(recipe, env, jax.random.key(0))
    policy = train.make_policy(recipe, env)
    act = jax.jit(
        lambda actors, key: rollout(env, policy, state.learner.params.policy, lambda x: x, None, actors, key, 4)
    )
    actors, before, seen = state.actors, state.discounted_return, []
    for i in range(3):
        actors, record = act(actors, jax.random.key(i))
        history = discounted_returns(before, record, recipe.gamma)
        before = jnp.where(record.done[-1], 0.0, history[-1])
        seen += history[:, 0].tolist()
    assert seen == pytest.approx([1.0, 1.99, 2.9701] * 4)


def test_whole_episodes_count_only_first_episodes():
    """REINFORCE starts afresh each iteration and leaves out what follows the first end."""
    recipe = replace(REINFORCE, num_envs=2, hidden=(4,))
    env = Counter(lifetimes=(3, 0), time_limit=6)
    state = train.init(recipe, env, jax.random.key(0))
    policy = train.make_policy(recipe, env)

    @jax.jit
    def act(state):
        _, record = rollout(
            env, policy, state.learner.params.policy, state.normalizers.policy, lambda x: x[..., 0], state.actors,
            state.key, train.steps_per_iteration(recipe, env),
        )  # fmt: skip
        return train.make_batch(recipe, env, policy, state, record)

    mask = np.asarray(act(state).mask).reshape(6, 2)
    np.testing.assert_array_equal(mask.T, [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    with pytest.raises(ValueError, match="time_limit"):
        train.steps_per_iteration(recipe, Counter())


def explained_variance(recipe: Recipe, corrupt: float = 0.0) -> float | None:
    """The metric of one iteration, with `corrupt` added to the targets of rows that do not count."""
    env = Counter(lifetimes=(3, 5), time_limit=8)
    state = train.init(recipe, env, jax.random.key(0))

    @jax.jit
    def reported(state):
        policy, params = train.make_policy(recipe, env), state.learner.params.policy
        value = lambda seen: train.values(recipe, state, seen)  # noqa: E731
        _, record = rollout(env, policy, params, state.normalizers.policy, value, state.actors, state.key, 8)
        batch = train.make_batch(recipe, env, policy, state, record)
        batch = batch._replace(target=batch.target + corrupt * (1.0 - batch.mask))
        summary, _ = summarize(recipe, state, record, state.discounted_return)
        return train.finish_iteration(recipe, state, state.learner, summary, batch, {})[1], batch

    metrics, batch = reported(state)
    if "explained_variance" in metrics:
        counts = np.asarray(batch.mask) > 0
        residual, target = (np.asarray(x)[counts] for x in (batch.target - batch.value, batch.target))
        expected = 1.0 - residual.var() / target.var()
        assert float(metrics["explained_variance"]) == pytest.approx(expected, abs=1e-4)
    return metrics.get("explained_variance")


def test_explained_variance_is_of_a_value_function_on_samples_that_count():
    """Not reported without a baseline; rows after an episode's end are nothing to it, whatever they hold."""
    whole = replace(SMALL, num_envs=8, whole_episodes=True)
    assert float(explained_variance(whole)) == float(explained_variance(whole, corrupt=1e3))
    assert explained_variance(replace(whole, advantage="reward_to_go", baseline=False)) is None
    # Control: where every row counts, it is there too.
    assert explained_variance(replace(SMALL, num_envs=8)) is not None


def mirror_error(state: train.TrainState, recipe: Recipe) -> float:
    policy = train.make_policy(recipe, Target())
    x = jnp.linspace(0.3, 1.0, 21)[:, None]
    mean = lambda x: policy.dist_params(state.learner.params.policy, state.normalizers.policy(x))  # noqa: E731
    return float(jnp.abs(mean(-x) + mean(x)).mean())


def test_mirrored_samples_teach_the_other_side():
    """Only right-hand states are ever seen: either use of the mirror teaches the left too, without it is not."""
    errors = {}
    for symmetry in ("none", "augment", "loss", "equivariant"):
        recipe = replace(
            SMALL, symmetry=symmetry, learning_rate=1e-2, gamma=0.5, initial_std=0.5, normalize_observations=False
        )
        errors[symmetry] = mirror_error(learn(recipe, Target(one_sided=True), 40)[0], recipe)
    assert errors["augment"] < 0.5 * errors["none"]
    assert errors["loss"] < 0.5 * errors["none"]
    assert errors["equivariant"] < 1e-6
    with pytest.raises(ValueError, match="mirror"):
        learn(replace(SMALL, symmetry="augment"), Bandit(), 1)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(advantage="gae", baseline=False), "value function"),
        (dict(gamma=1.1), "gamma"),
        (dict(whole_episodes=True, update="natural_step"), "whole_episodes"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        replace(PPO, **options)
