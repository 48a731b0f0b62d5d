"""How fast are the native networks beside XLA's? Medians of interleaved calls, forwards, and forwards and backwards.

python benchmarks/networks.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from walkies.accel import library
from walkies.accel import networks as faster
from walkies.accel.cpu import use_cpu
from walkies.rl import networks

SIZES = {"policy": (108, 128, 64, 12), "critic": (85, 64, 64, 1)}
"""Of the default recipe."""
APPLY = {"xla": networks.apply, "native": faster.faster(networks.apply)}


def main(samples: int = 1024, rounds: int = 200, activation: str = "elu", threads: int | None = None) -> None:
    """Print microseconds per call and the ratio of both.

    Args:
        samples: rows of a minibatch.
        rounds: calls of each.
        activation: of hidden layers: elu, tanh or relu.
        threads: CPU threads. Default: all cores.
    """
    use_cpu(threads)
    size = 2048
    square = jax.random.normal(jax.random.key(1), (size, size))
    spent = interleaved({"product": jax.jit(jnp.matmul)}, (square, square), 15)
    print(f"one product of {size} × {size} matrices, by XLA: {2e-3 * size**3 / spent['product']:.0f} Gflop/s")
    print(f"native networks by {library.network_isa()}")
    for name, sizes in SIZES.items():
        keys = jax.random.split(jax.random.key(0), 3)
        layers = networks.init(keys[0], sizes)
        inputs = jax.random.normal(keys[1], (samples, sizes[0]))
        direction = jax.random.normal(keys[2], (samples, sizes[-1]))
        for what, make in {"forwards": forwards, "forwards and backwards": backwards}.items():
            calls = {kind: jax.jit(make(apply, activation)) for kind, apply in APPLY.items()}
            spent = interleaved(calls, (layers, inputs, direction), rounds)
            print(
                f"{name:7} {'-'.join(map(str, sizes)):15} {what:23} XLA {spent['xla']:7.0f} µs"
                f"   native {spent['native']:7.0f} µs   ratio {spent['xla'] / spent['native']:.2f}"
            )


def forwards(apply: Callable, activation: str) -> Callable:
    """Outputs."""
    return lambda layers, inputs, direction: apply(layers, inputs, activation)


def backwards(apply: Callable, activation: str) -> Callable:
    """Gradient of a weighted sum of the outputs by all parameters."""
    return jax.grad(lambda layers, inputs, direction: jnp.sum(apply(layers, inputs, activation) * direction))


def interleaved(calls: dict[str, Callable], arguments: tuple[Any, ...], rounds: int) -> dict[str, float]:
    """Median microseconds of each call; they take turns, so that both see the same machine."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        jax.block_until_ready(call(*arguments))
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            jax.block_until_ready(call(*arguments))
            spent[name].append(time.perf_counter() - begun)
    return {name: 1e6 * statistics.median(times) for name, times in spent.items()}


if __name__ == "__main__":
    tyro.cli(main)
