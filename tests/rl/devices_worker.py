"""Runs in a process of its own, in which JAX sees four devices: trains on one, two and four, and saves what came of it.

The processor may have fewer cores: then threads of several devices take turns.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from toys import Target
from walkies.accel import library
from walkies.accel.cpu import use_cpu
from walkies.rl import devices, train
from walkies.rl.recipes import PPO, REINFORCE_BASELINE, TRPO, Recipe
from walkies.run.config import WALKING_RECIPE

COUNT = 4
SIZES = {"num_envs": 16, "groups": 4, "hidden": (8, 4), "critic_hidden": (4,), "symmetry": "none"}
RECIPES = {
    "native": replace(WALKING_RECIPE, **SIZES, horizon=6, minibatches=4),
    "jax": replace(PPO, **SIZES, horizon=6, normalize_reward=True, schedule="linear", symmetry_coefficient=0.0),
    "trpo": replace(TRPO, **SIZES, horizon=6, cg_iterations=3),
    "episodes": replace(REINFORCE_BASELINE, **SIZES),
    "two groups": replace(WALKING_RECIPE, **SIZES | {"groups": 2}, horizon=6, minibatches=4),
}


def trained(recipe: Recipe, count: int) -> tuple[list[np.ndarray], list[float]]:
    """The learner's arrays and the metrics after three iterations on so many devices."""
    devices.devices_for = lambda recipe: jax.local_devices()[:count]
    env = Target()
    state = train.init(recipe, env, jax.random.key(0))
    iterate = devices.make_iteration(recipe, env)
    assert (library.PPO_TARGET in iterate.lower(state).as_text()) == (recipe.networks == "native")
    for _ in range(3):
        state, metrics = iterate(state)
    assert len(state.discounted_return.sharding.device_set) == count
    return [np.asarray(x) for x in jax.tree.leaves(state._replace(key=None))], [float(x) for x in metrics.values()]


def main(file: Path) -> None:
    found = {}
    for name, recipe in RECIPES.items():
        for count in (1, 2, 4) if name != "two groups" else (1,):
            for again in (0, 1) if count == 2 else (0,):
                leaves, metrics = trained(recipe, count)
                found |= {f"{name}/{count}/{again}/{i}": leaf for i, leaf in enumerate([*leaves, np.array(metrics)])}
    np.savez(file, **found)


if __name__ == "__main__":
    use_cpu(COUNT, COUNT)
    main(Path(sys.argv[1]))
