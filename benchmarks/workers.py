"""Is training faster on several processes? python benchmarks/workers.py [--workers 1 2] [--iterations 30]

Times whole iterations of the default training with so many workers of one core each on this machine, which must be
idle, in turns, and the exchange of a minibatch's gradients alone; and says what a model makes of it for more workers:
an iteration takes the time of one worker, divided by their number, and the exchanges. Prints a table.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import tyro

from walkies.accel.cpu import machine, settle_jax, use_cpu

settle_jax()
use_cpu(1)

import jax  # noqa: E402

from walkies.run.config import TrainConfig, expanded  # noqa: E402
from walkies.run.training import Training  # noqa: E402
from walkies.run.workers.group import Group  # noqa: E402
from walkies.run.workers.state import packed  # noqa: E402

WARM = 25
"""Iterations until robots stand or walk instead of falling."""


def main(workers: tuple[int, ...] = (1, 2), beyond: tuple[int, ...] = (), iterations: int = 30) -> None:
    """Measure and print.

    Args:
        workers: Numbers of workers, the smallest first.
        beyond: Numbers for which only the model says something.
        iterations: Timed ones, of which the median counts.
    """
    seconds, exchange, steps, numbers, exchanges = {}, 0.0, 0, 0, 0
    for n in workers:
        config = expanded(TrainConfig(workers=n))
        recipe = config.recipe
        training = Training(replace(config, workers=None))
        start = packed(training.state)
        params = jax.tree.leaves(training.state.learner.params)
        steps, numbers = training.steps_per_iteration, sum(leaf.size for leaf in params)
        exchanges = recipe.epochs * recipe.minibatches
        group = Group(n, 1, None)
        begun = time.monotonic()
        group.begin(replace(config, workers=None), start)
        group.advance()
        print(f"{n} workers: {time.monotonic() - begun:.1f} s until the end of the first iteration", flush=True)
        for _ in range(WARM):
            group.advance()
        times = []
        for _ in range(iterations):
            begun = time.perf_counter()
            group.advance()
            times.append(time.perf_counter() - begun)
        seconds[n] = statistics.median(times)
        if n > 1:
            exchange = group.exchange(numbers)
        group.close()
    print(f"{machine()}; {numbers:,} parameters, {4 * numbers / 1024:.0f} KiB in an exchange, {exchanges} an iteration")
    print(f"an exchange alone: {1e3 * exchange:.2f} ms")
    print("| workers | ms per iteration | steps/s | by the model, ms |")
    print("|---|---|---|---|")
    for n in (*workers, *beyond):
        model = seconds[workers[0]] * workers[0] / n + (exchanges * exchange if n > 1 else 0.0)
        known = f"{1e3 * seconds[n]:.0f} | {steps / seconds[n]:,.0f}" if n in seconds else f"– | ({steps / model:,.0f})"
        print(f"| {n} | {known} | {1e3 * model:.0f} |")


if __name__ == "__main__":
    tyro.cli(main)
