"""Check, before anything is compiled, that the sizes of a training fit each other and the machine."""

from __future__ import annotations

import itertools
import math

from walkies import memory
from walkies.errors import UserError
from walkies.mdp import Discrete, Env, Sizes, map_shapes
from walkies.rl.recipes import Recipe

FLOAT = 4
"""Bytes of a number."""
COPIES = 2
"""Of every sample: as it was seen, which the statistics take in after learning, and as it is learned from."""
SCALARS = 4
"""Numbers of a sample, at least, besides observations, action and distribution: log-probability, reward, return, …"""
PER_PARAMETER = 4
"""Numbers: itself, its gradient, and Adam's two moments."""


def refuse(recipe: Recipe, env: Env, steps: int) -> None:
    """Refuse a training whose sizes do not fit; steps: of each environment in an iteration.

    Raises:
        UserError: names the sizes, and what would fit.
    """
    limit = env.time_limit
    if recipe.time_limits == "rollout_end" and limit is not None and steps > limit:
        raise UserError(
            f"horizon {steps} is more than the {limit} steps of an episode, which time_limits rollout_end ends only "
            f"with a rollout; expected at most {limit}, or time_limits exact"
        )
    if recipe.num_envs % recipe.groups:
        raise UserError(
            f"num_envs {recipe.num_envs} cannot be divided into groups = {recipe.groups} of equal size; change one of "
            "the two"
        )
    if recipe.update == "minibatch_epochs" or recipe.baseline:
        minibatch_size(recipe, recipe.num_envs * steps * (2 if recipe.symmetry == "augment" else 1))
    what = f"{recipe.num_envs:,} environments × {steps:,} steps, layers of {recipe.hidden} and {recipe.critic_hidden},"
    remedy = "take fewer environments (num_envs), a shorter horizon, smaller networks or less history"
    memory.refuse(needed(recipe, env, steps), what, remedy)


def minibatch_size(recipe: Recipe, samples: int) -> int:
    """Samples of a minibatch, of so many in an iteration.

    Raises:
        UserError: they cannot be divided equally.
    """
    if samples % recipe.minibatches:
        raise UserError(
            f"{samples} samples per iteration (num_envs × horizon) cannot be split into minibatches = "
            f"{recipe.minibatches} equal parts; change one of the three"
        )
    return samples // recipe.minibatches


def needed(recipe: Recipe, env: Env, steps: int) -> int:
    """Lower bound of a training's memory in bytes: its samples and its networks, which grow with its settings.

    Networks of other architectures count as dense ones. Activations, the environments and XLA's own copies come on top:
    Pupper's default task takes three times its samples.
    """
    space = env.action_space
    actions, outputs = (1, space.n) if isinstance(space, Discrete) else (space.size, space.size)
    seen, privileged = _numbers(env.observation_size), _numbers(env.privileged_size)
    sample = seen + privileged + actions + outputs + SCALARS
    samples = recipe.num_envs * steps * sample * COPIES
    critic = (privileged, *recipe.critic_hidden, 1) if recipe.baseline else ()
    networks = ((seen, *recipe.hidden, outputs), critic)
    parameters = sum((n + 1) * m for network in networks for n, m in itertools.pairwise(network))
    return FLOAT * (samples + PER_PARAMETER * parameters)


def _numbers(sizes: Sizes) -> int:
    """How many numbers an observation has."""
    counts: list[int] = []
    map_shapes(lambda shape: counts.append(math.prod(shape)), sizes)
    return sum(counts)
