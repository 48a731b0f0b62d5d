"""A reward of your own on the walking task: a function of what the robots just did, a weight and a unit.

    python examples/own_reward.py                       # trains for two minutes; then runs/low has the policy
    walkies play runs/low                               # see it

A robot that should walk under a table: its body is paid for staying lower than 14 cm.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp

from walkies.cli.train import command as train
from walkies.run import loggers
from walkies.run.config import WALKING_RECIPE, TrainConfig
from walkies.tasks.rewards import RewardWeights, Weight, reward
from walkies.tasks.walk import WalkConfig

FAST = bool(os.environ.get("WALKIES_FAST"))  # a few seconds, to see that it runs
OUT = Path("runs/low")


def above_the_table(motion, params):
    """How far the body is above 14 cm, squared. (n,) cm²; `motion` is one control step of n robots."""
    return jnp.square(jnp.maximum(100.0 * (motion.height - 0.14), 0.0))


@dataclass(frozen=True)
class Rewards(RewardWeights):
    """The rewards of the task, whose weights may be changed, and one more. A weight is per second."""

    above_the_table: Weight = reward(above_the_table, -0.1, "cm²", "(height − 14 cm)², where it is higher")


def main():
    task = WalkConfig(rewards=Rewards(orientation=-0.5))  # leaning counts half
    config = TrainConfig(minutes=2.0, out=OUT, task=task)
    if FAST:
        small = replace(
            WALKING_RECIPE, num_envs=32, horizon=8, minibatches=2, epochs=1, hidden=(16,), critic_hidden=(16,)
        )
        config = replace(config, minutes=None, steps=1000, recipe=small, exam_episodes=0, film=False)
    train(config)  # as `walkies train pupper`: trains, exports, examines, films
    term = loggers.read(OUT / "progress.csv")["reward/above_the_table"]
    print(f"reward/above_the_table: {term[0]:.3f} at first, {term[-1]:.3f} at the end")


if __name__ == "__main__":
    main()
