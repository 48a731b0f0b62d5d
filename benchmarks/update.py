"""How fast is PPO's update as one native call, beside one call per network pass and Adam step, and beside JAX alone?

python benchmarks/update.py

The default recipe on random numbers. The three take turns in one process. Processor time is all threads' together;
where other programs run it says more than the clock.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import tyro

from walkies.accel import library, networks, ppo
from walkies.accel.cpu import use_cpu
from walkies.mdp import Box
from walkies.rl import objectives, updates
from walkies.rl.policy import Policy
from walkies.run.config import WALKING_RECIPE

SEEN, ACTIONS, PRIVILEGED = 108, 12, 85
"""Numbers of Pupper's default task."""


def main(rounds: int = 20, threads: int | None = None) -> None:
    """Print milliseconds per update, medians and least, and the ratios of the medians.

    Args:
        rounds: updates by each.
        threads: CPU threads. Default: all cores.
    """
    use_cpu(threads)
    recipe = WALKING_RECIPE
    policy, learner, batch = drawn()
    programs: dict[str, Callable] = {}
    for name, without in {"JAX alone": everything_off, "calls": only_ppo_off, "one call": ExitStack}.items():
        with without():
            update = jax.jit(partial(updates.minibatch_epochs, recipe, policy))
            programs[name] = update.lower(learner, batch, jax.random.key(0)).compile()
    clock: dict[str, list[float]] = {name: [] for name in programs}
    used: dict[str, list[float]] = {name: [] for name in programs}
    for i in range(rounds):
        for name, program in programs.items():
            begun, begun_used = time.perf_counter(), time.process_time()
            jax.block_until_ready(program(learner, batch, jax.random.key(i)))
            clock[name].append(1e3 * (time.perf_counter() - begun))
            used[name].append(1e3 * (time.process_time() - begun_used))
    print(f"native networks by {library.network_isa()}; milliseconds of {rounds} updates each: median (least)")
    best = {kind: statistics.median(times["one call"]) for kind, times in (("clock", clock), ("used", used))}
    for name in programs:
        columns = [
            f"{what} {statistics.median(times[name]):7.1f} ({min(times[name]):6.1f}), "
            f"{statistics.median(times[name]) / best[kind]:4.2f} times one call's"
            for kind, what, times in (("clock", "clock", clock), ("used", "processor", used))
        ]
        print(f"{name:10} {'   '.join(columns)}")


def drawn() -> tuple[Policy, updates.Learner, objectives.Batch]:
    """Policy, learner and a batch of the default recipe's sizes."""
    recipe = WALKING_RECIPE
    keys = iter(jax.random.split(jax.random.key(0), 8))
    policy = Policy(SEEN, Box(ACTIONS, -1.0, 1.0), hidden=recipe.hidden, activation=recipe.activation,
                    networks=recipe.networks, bound=recipe.bound, initial_std=recipe.initial_std)  # fmt: skip
    critic = objectives.critic_network(recipe).init(next(keys), PRIVILEGED, 1)
    learner = updates.init_learner(recipe, updates.Params(policy.init(next(keys)), critic))
    samples = recipe.num_envs * recipe.horizon
    seen = jax.random.normal(next(keys), (samples, SEEN))
    distribution: Any = policy.apply(learner.params.policy, seen)
    sample = distribution.sample(next(keys))
    numbers = jax.random.normal(next(keys), (3, samples))
    batch = objectives.Batch(
        policy_observation=seen,
        critic_observation=jax.random.normal(next(keys), (samples, PRIVILEGED)),
        mirrored_observation=None,
        sample=sample,
        dist_params=distribution.mean,
        log_prob=distribution.log_prob(sample),
        advantage=numbers[0],
        target=numbers[1],
        value=numbers[2],
        mask=jnp.ones(samples),
    )
    return policy, learner, batch


@contextmanager
def everything_off() -> Iterator[None]:
    """As with WALKIES_ACCEL=0."""
    with patch.object(library, "available", lambda: False), patch.object(networks, "available", lambda: False):
        yield


@contextmanager
def only_ppo_off() -> Iterator[None]:
    """One call for each pass through a network, for Adam's steps, for taking rows."""
    with patch.object(ppo, "fits", lambda *_: False):
        yield


if __name__ == "__main__":
    tyro.cli(main)
