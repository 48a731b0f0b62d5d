"""Problems to compare on, and each recipe of the ladder brought to a problem's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

from walkies.errors import UserError
from walkies.mdp import Env
from walkies.rl.recipes import PPO, RECIPES, Recipe
from walkies.robots import DEFAULT
from walkies.run.folders import to_dict


class Problem(NamedTuple):
    """An environment and what all recipes share on it."""

    make: Callable[[], Env]
    base: Recipe
    """Sizes, discount, networks and the value function's settings, for every recipe."""
    step_size: float
    """Adam's, for recipes that take a single step per batch: they need longer ones than those that take many."""
    episodes: int
    """How many episodes make a batch of the recipes that learn from whole ones."""
    samples: int
    """How long to train where nothing else is asked for."""
    world: Mapping[str, Any] = {}
    """The environment's own settings, where it has some: results under others must not be mixed."""


EPISODE_SECONDS = 5.0
"""Time limit of Pupper's episodes here, s. Recipes that learn from whole episodes pay for each to its end, fallen or
not; at the 20 s of a real training most of their time would go into robots that lie on the ground."""
EFFORT_SHARE = 0.2
"""Of the weights of the costs of effort, for all of the training, so that the reward that is compared stays the same. A
real training begins with this share and raises it. The robot is the nominal one, unpushed: that is learned soonest."""

_SMALL = replace(
    PPO, num_envs=32, horizon=64, hidden=(64, 64), critic_hidden=(64, 64), learning_rate=1e-3, stagger=True
)  # fmt: skip


def _cart_pole() -> Problem:
    from walkies.envs.classic import CartPole

    return Problem(CartPole, _SMALL, step_size=3e-3, episodes=64, samples=300_000)


def _pendulum() -> Problem:
    from walkies.envs.classic import Pendulum

    base = replace(_SMALL, gamma=0.9, initial_std=1.0)
    return Problem(Pendulum, base, step_size=3e-3, episodes=32, samples=300_000)


def _double_integrator() -> Problem:
    from walkies.envs.lqr import double_integrator

    return Problem(double_integrator, replace(_SMALL, gamma=0.95), step_size=3e-3, episodes=32, samples=200_000)


def _walking() -> Problem:
    from walkies.run.config import WALKING_RECIPE, TrainConfig, build
    from walkies.tasks import randomization, rewards
    from walkies.tasks.curriculum import FULL, Curriculum
    from walkies.tasks.walk import WalkConfig

    weights = rewards.RewardWeights()
    light = replace(weights, **{name: EFFORT_SHARE * getattr(weights, name) for name in rewards.EFFORT})
    task = WalkConfig(
        rewards=light,
        effort=FULL,
        turning=FULL,
        randomization=randomization.NONE,
        curriculum=Curriculum(adaptive=False),
        episode_seconds=EPISODE_SECONDS,
    )
    # Fisher products need XLA's networks; the other recipes take the same, so that their times compare. None is told
    # that left and right are alike.
    base = replace(WALKING_RECIPE, networks="xla", symmetry="none")
    make = partial(build, TrainConfig(task=task))
    return Problem(make, base, step_size=5e-3, episodes=48, samples=1_000_000, world=to_dict(task))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    DEFAULT: _walking,
    "cart-pole": _cart_pole,
    "pendulum": _pendulum,
    "double-integrator": _double_integrator,
}


def get_problem(name: str) -> Problem:
    """The problem of that name.

    Raises:
        UserError: there is none.
    """
    if name not in PROBLEMS:
        raise UserError(f"there is no problem {name!r}; choose one of {', '.join(PROBLEMS)}")
    return PROBLEMS[name]()


def check_recipes(names: Iterable[str]) -> tuple[str, ...]:
    """The names, in the ladder's order.

    Raises:
        UserError: there is no recipe of such a name, or no name at all.
    """
    wanted = set(names)
    if unknown := sorted(wanted - set(RECIPES)):
        raise UserError(f"--recipes: there is no {', '.join(unknown)}; choose from {', '.join(RECIPES)}")
    if not wanted:
        raise UserError(f"--recipes: got none; choose from {', '.join(RECIPES)}")
    return tuple(name for name in RECIPES if name in wanted)


def settle(name: str, problem: Problem) -> Recipe:
    """The recipe of that name under a problem's settings: what makes it that recipe stays, all else is shared.

    Without a value function, returns are not standardized either: their mean would be a baseline in disguise.
    """
    recipe, plain = RECIPES[name], Recipe()
    own = {f.name: getattr(recipe, f.name) for f in fields(Recipe) if getattr(recipe, f.name) != getattr(plain, f.name)}
    own |= {"advantage": recipe.advantage, "objective": recipe.objective, "update": recipe.update}
    if recipe.update == "gradient_step":
        own["learning_rate"] = problem.step_size
    if recipe.whole_episodes:
        own["num_envs"] = problem.episodes
    if not recipe.baseline:
        own["normalize_advantage"] = "none"
    return replace(problem.base, **own)
