"""Runs in a process of its own, in which JAX sees four devices: trains on one, two and four, and saves what came of it;
or with MJX on one and on so many: devices_worker.py FILE [mjx COUNT].

The processor may have fewer cores: then threads of several devices take turns.
"""

from __future__ import annotations

import collections
import functools
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from toys import Target
from walkies.accel import library, ppo
from walkies.accel.cpu import use_cpu
from walkies.rl import train
from walkies.rl.recipes import A2C, PPO, REINFORCE_BASELINE, TRPO, Recipe
from walkies.run import devices
from walkies.run.config import WALKING_RECIPE, TrainConfig, expanded
from walkies.run.folders import RunFolder
from walkies.run.training import Training

COUNT = 4
SIZES = {"num_envs": 16, "groups": 4, "hidden": (8, 4), "critic_hidden": (4,), "symmetry": "none"}
RECIPES = {
    "native": replace(WALKING_RECIPE, **SIZES, horizon=6, minibatches=4),
    "jax": replace(PPO, **SIZES, horizon=6, normalize_reward=True, schedule="linear", symmetry_coefficient=0.0),
    "native networks": replace(A2C, **SIZES, horizon=6, networks="native", objective="clipped"),
    "trpo": replace(TRPO, **SIZES, horizon=6, cg_iterations=3),
    "episodes": replace(REINFORCE_BASELINE, **SIZES),
    "two groups": replace(WALKING_RECIPE, **SIZES | {"groups": 2}, horizon=6, minibatches=4),
}


DEVICES = {name: (1, 2) for name in RECIPES} | {"native": (1, 2, 4), "jax": (1, 4), "two groups": (1,)}


@functools.cache
def iteration_of(recipe: Recipe, count: int):
    return devices.make_iteration(recipe, Target())


def trained(recipe: Recipe, count: int) -> tuple[list[np.ndarray], list[float]]:
    """The learner's arrays and the metrics after three iterations on so many devices."""
    devices.devices_for = lambda recipe: jax.local_devices()[:count]
    state = devices.place(recipe, train.init(recipe, Target(), jax.random.key(0)))
    iterate = iteration_of(recipe, count)
    native = recipe.networks == "native" and recipe.update == "minibatch_epochs"
    assert (library.PPO_TARGET in iterate.lower(state).as_text()) == native
    for _ in range(3):
        state, metrics = iterate(state)
    assert len(state.discounted_return.sharding.device_set) == count
    return [np.asarray(x) for x in jax.tree.leaves(state._replace(key=None))], [float(x) for x in metrics.values()]


compiled: collections.Counter[str] = collections.Counter()
"""How often XLA compiled each program."""


def listen(event: str, _: float, **about: str) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        compiled[about["fun_name"]] += 1


def walked(folder: Path, count: int) -> tuple[list[np.ndarray], list[float]]:
    """Of robots that begin to walk, with all that their task and its recipe have: after two iterations, a checkpoint,
    and two iterations of a training that goes on from there. Everything is compiled once."""
    devices.devices_for = lambda recipe: jax.local_devices()[:count]
    config = expanded(TrainConfig(recipe=replace(WALKING_RECIPE, num_envs=32, groups=4, horizon=4, minibatches=4)))
    folder = RunFolder(folder / str(count))
    training = Training(config, ahead=True)
    for _ in range(2):
        training.advance()
    training.save(folder)
    resumed = Training(config, folder.latest_checkpoint())
    resumed.iteration = training.iteration
    for _ in range(2):
        metrics = resumed.advance()
        training.advance()
    assert resumed.steps == training.steps == 4 * 32 * 4
    assert compiled.pop("jit(iteration)") == 1
    assert len(resumed.state.discounted_return.sharding.device_set) == count
    leaves, straight = (
        [np.asarray(x) for x in jax.tree.leaves(one.state._replace(key=None))] for one in (resumed, training)
    )
    for a, b in zip(leaves, straight, strict=True):
        np.testing.assert_array_equal(a, b)
    return leaves, list(metrics.values())


def mjx(file: Path, count: int) -> None:
    """The state after an iteration with MJX on one device and on several, and after another iteration on these."""
    recipe = replace(WALKING_RECIPE, num_envs=8, groups=4, horizon=4, minibatches=2, hidden=(8,), critic_hidden=(8,))
    found = {}
    for name, here in (("one", 1), ("several", count)):
        devices.devices_for = lambda recipe, here=here: jax.local_devices()[:here]
        training = Training(expanded(TrainConfig(simulator="mjx", recipe=recipe)))
        for after in (name, "later"):
            training.advance()
            leaves = jax.tree.leaves(training.state._replace(key=None))
            found |= {f"{after}/{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        assert len(training.state.discounted_return.sharding.device_set) == here
    np.savez(file, **found)


def swapped(*arguments):
    """The native call with each device's part of the batch in the other's place."""
    index = jax.lax.axis_index
    jax.lax.axis_index = lambda name: 1 - index(name)
    try:
        return STEPS(*arguments)
    finally:
        jax.lax.axis_index = index


STEPS = ppo.steps


def main(file: Path) -> None:
    found = {}
    ppo.steps = swapped
    leaves, _ = trained(RECIPES["native"], 2)
    found |= {f"swapped/{i}": leaf for i, leaf in enumerate(leaves)}
    ppo.steps = STEPS
    iteration_of.cache_clear()
    compiled.clear()
    for count in (1, 2):
        leaves, metrics = walked(file.parent, count)
        found |= {f"walk/{count}/{i}": leaf for i, leaf in enumerate([*leaves, np.array(metrics)])}
    for name, recipe in RECIPES.items():
        for count in DEVICES[name]:
            for again in (0, 1) if count == 2 else (0,):
                leaves, metrics = trained(recipe, count)
                found |= {f"{name}/{count}/{again}/{i}": leaf for i, leaf in enumerate([*leaves, np.array(metrics)])}
    np.savez(file, **found)


if __name__ == "__main__":
    use_cpu(COUNT, COUNT)
    jax.monitoring.register_event_duration_secs_listener(listen)
    if sys.argv[2:3] == ["mjx"]:
        mjx(Path(sys.argv[1]), int(sys.argv[3]))
    else:
        main(Path(sys.argv[1]))
