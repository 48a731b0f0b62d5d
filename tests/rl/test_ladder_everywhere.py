"""Every recipe runs on every environment, Pupper included, through one rollout code and one iteration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from toys import Counter
from walkies.envs.ball import BouncingBall
from walkies.envs.classic import CartPole, Pendulum
from walkies.envs.lqr import Threshold, double_integrator
from walkies.envs.probes import probes
from walkies.envs.tabular import random_tabular
from walkies.rl import train
from walkies.rl.recipes import RECIPES, Recipe
from walkies.rl.rollout import rollout
from walkies.rl.updates import Params, init_learner
from walkies.run.config import TrainConfig, build
from walkies.tasks.walk import WalkConfig

LIMIT = 6
"""Time limit, control steps, where one can be chosen: recipes of whole episodes run through it."""
UNOPTIMIZED = {"xla_backend_optimization_level": 0}
"""What runs once is not worth optimising: that would take longer than to run it."""
TINY = dict(num_envs=4, horizon=LIMIT, hidden=(4,), critic_hidden=(4,), minibatches=2, epochs=1, cg_iterations=2)

ENVIRONMENTS = {
    "tabular": lambda: replace(random_tabular(seed=3, states=3, terminal=1), time_limit=LIMIT),
    "double integrator": lambda: double_integrator(time_limit=LIMIT),
    "threshold": lambda: Threshold(time_limit=LIMIT),
    "ball": lambda: BouncingBall(time_limit=LIMIT),
    "cart-pole": lambda: CartPole(time_limit=LIMIT),
    "pendulum": lambda: Pendulum(time_limit=LIMIT),
    **{name: partial(lambda name: replace(probes(0.9)[name].mdp, time_limit=LIMIT), name) for name in probes(0.9)},
    "pupper": lambda: build(TrainConfig(task=WalkConfig(episode_seconds=0.02 * LIMIT))),
}


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def env(request):
    return ENVIRONMENTS[request.param]()


def outline(recipe: Recipe, env):
    """Shapes and types of a training's state before and after an iteration, and of what it reports; nothing is run."""
    state = train.shapes(recipe, env, jax.random.key(0, impl="rbg"))
    after, metrics = jax.eval_shape(partial(train.iterate, recipe, env), state)
    return state, after, metrics


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_program_for_every_environment(env, name):
    """An iteration is traced whole, and its state is one that the next iteration takes."""
    before, after, metrics = outline(replace(RECIPES[name], **TINY), env)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert all(value.shape == () for value in metrics.values())


def test_an_environment_that_is_none_is_no_program():
    """Control: a reward per environment and joint, or a state that grows, is noticed while tracing."""

    class Wide(Counter):
        def step(self, state, action, key):
            state, outcome = super().step(state, action, key)
            return state, outcome._replace(reward=outcome.reward[:, None] + action[:, :1] * np.ones((1, 3)))

    class Growing(Counter):
        def step(self, state, action, key):
            state, outcome = super().step(state, action, key)
            return state._replace(steps=np.concatenate([np.zeros(1)] * 2)), outcome

    recipe = replace(RECIPES["ppo"], **TINY)
    outline(recipe, Counter())
    for broken in (Wide(), Growing()):
        with pytest.raises((TypeError, ValueError)):
            outline(recipe, broken)


@pytest.fixture(scope="module")
def acted():
    """Pupper, the state of a training with statistics, and what a policy lived through, by the one rollout code."""
    env, recipe = ENVIRONMENTS["pupper"](), replace(RECIPES["ppo"], **TINY)
    state = train.init(recipe, env, jax.random.key(0, impl="rbg"))
    act = partial(rollout, env, train.make_policy(recipe, env), horizon=LIMIT, value=lambda seen: 0.0 * seen[:, 0])
    actors, record = jax.jit(act, compiler_options=UNOPTIMIZED)(
        params=state.learner.params.policy,
        normalize=state.normalizers.policy,
        actors=state.actors,
        key=jax.random.key(1, impl="rbg"),
    )
    return env, state._replace(iteration=state.iteration + 1), actors, record


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_learns_from_what_pupper_did(acted, name):
    """Every network of the recipe moves and stays finite. Control: from advantages of nothing no policy moves."""
    env, state, actors, record = acted
    recipe = replace(RECIPES[name], **TINY)
    params = Params(state.learner.params.policy, state.learner.params.critic if recipe.baseline else [])
    state = state._replace(learner=init_learner(recipe, params))
    learn = jax.jit(partial(train.learn, recipe, env), compiler_options=UNOPTIMIZED)

    def moved(record):
        """How far policy and value function moved, and the metrics."""
        after, metrics = learn(state, actors, state.discounted_return, record, jax.random.key(2))
        steps = (ravel_pytree(new)[0] - ravel_pytree(old)[0]
                 for new, old in zip(after.learner.params, params, strict=True))  # fmt: skip
        return [float(np.abs(step).max()) if step.size else None for step in steps], metrics

    (policy, critic), metrics = moved(record)
    assert np.isfinite(policy) and policy > 0.0
    assert critic is None if not recipe.baseline else np.isfinite(critic) and critic > 0.0
    assert np.isfinite([float(value) for value in metrics.values()]).all()
    assert 0 < float(metrics["samples"]) <= recipe.num_envs * LIMIT
    if not recipe.baseline:  # with a value function that knows nothing, advantages of no reward are not zero
        assert moved(record._replace(rewards=0.0 * record.rewards))[0] == [0.0, None]
