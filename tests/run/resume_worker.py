"""Runs in a process of its own: goes on from checkpoints (T39) and evaluates policies (T40)."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np

from toys import Target
from walkies.rl import train
from walkies.rl.recipes import RECIPES, Recipe
from walkies.run.saved import checkpoint

ENV = Target()


def small(name: str) -> Recipe:
    """The named recipe at a size that compiles and runs in no time, with every kind of state in use."""
    options = dict(num_envs=4, horizon=4, hidden=(4,), critic_hidden=(4,), minibatches=2, epochs=2, cg_iterations=3)
    return replace(
        RECIPES[name],
        learning_rate=0.1,
        target_kl=0.3,
        normalize_reward=name == "ppo",
        schedule="kl" if name == "ppo" else "linear",
        **options,
    )


def new_state(recipe: Recipe, seed: int) -> train.TrainState:
    return train.init(recipe, ENV, jax.random.key(seed, impl="rbg"))


@cache
def iteration_of(recipe: Recipe):
    return train.make_iteration(recipe, ENV)


def trained(recipe: Recipe, state: train.TrainState, iterations: int) -> train.TrainState:
    for _ in range(iterations):
        state, _ = iteration_of(recipe)(state)
    return state


def evaluate(recipe: Recipe, state: train.TrainState) -> float:
    """Mean reward of the deterministic policy on 1000 fixed states."""
    policy = train.make_policy(recipe, ENV)
    start = ENV.reset(jax.random.key(99), 1000)
    seen = state.normalizers.policy(ENV.observe(start).policy)
    action = policy.action(policy.apply(state.learner.params.policy, seen).mode())
    return float(ENV.step(start, action, jax.random.key(0))[1].reward.mean())


def main(folder: Path, iterations: int) -> None:
    """Load every `NAME.half`, train on, save `NAME.resumed` and the score of the loaded policy in `NAME.score.npy`."""
    for file in sorted(folder.glob("*.half")):
        recipe = small(file.stem)
        like = jax.eval_shape(partial(new_state, recipe), 0)
        state, header = checkpoint.load(file, like)
        assert header == {"recipe": file.stem}
        np.save(folder / f"{file.stem}.score.npy", evaluate(recipe, state))
        checkpoint.save(folder / f"{file.stem}.resumed", trained(recipe, state, iterations), header)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
