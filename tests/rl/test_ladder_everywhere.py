"""Every recipe runs on every environment, Pupper included, through one rollout code and one iteration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import cycle

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
from walkies.experiment import TrainConfig, build
from walkies.rl import train
from walkies.rl.recipes import RECIPES, Recipe
from walkies.tasks.walk import WalkConfig

LIMIT = 6
"""Time limit, control steps, where one can be chosen: recipes of whole episodes run through it."""
TINY = dict(num_envs=4, horizon=4, hidden=(4,), critic_hidden=(4,), minibatches=2, epochs=1, cg_iterations=2)

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


def really_run(recipe: Recipe, env) -> None:
    """Two iterations: the first gathers statistics, in the second every network learns, and all stays finite."""
    key = jax.random.key(0, impl="rbg")
    options = {"xla_backend_optimization_level": 0}  # run twice: to optimise would take longer than to run
    state = train.init(recipe, env, key)
    iterate = jax.jit(partial(train.iterate, recipe, env), compiler_options=options)
    before = state.learner.params
    for _ in range(2):
        state, metrics = iterate(state)
    for old, new in zip(before, state.learner.params, strict=True):
        old, new = (np.asarray(ravel_pytree(tree)[0]) for tree in (old, new))
        assert np.isfinite(new).all() and (old.size == 0 or np.abs(new - old).max() > 0.0)
    assert np.isfinite([float(value) for value in metrics.values()]).all()
    assert 0 < float(metrics["samples"]) <= recipe.num_envs * train.steps_per_iteration(recipe, env)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_learns_on_pupper(name):
    really_run(replace(RECIPES[name], **TINY), ENVIRONMENTS["pupper"]())


OTHERS = [place for place in ENVIRONMENTS if place != "pupper"]


@pytest.mark.parametrize(("place", "name"), zip(OTHERS, cycle(RECIPES), strict=False))
def test_something_is_learned_everywhere(place, name):
    """Each other environment once, the recipes in turn."""
    really_run(replace(RECIPES[name], **TINY), ENVIRONMENTS[place]())
