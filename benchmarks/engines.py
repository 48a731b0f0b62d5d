"""Is one build of the native engine faster than another? Two libraries in one process, in turns, on one thread.

    python benchmarks/engines.py BEFORE.so AFTER.so [--tree "humanoid 29"]

Times are CPU time of the process, so others who share the machine matter little, and within a round the clock is about
the same for both. Both libraries must take the same arguments (walkies.accel.library.TARGETS). Where memory happens to
lie moves a figure by some percent: run it more than once.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import tyro

sys.path.insert(0, str(Path(__file__).parent))

import trees

from walkies.accel.cpu import use_cpu
from walkies.accel.library import TARGETS
from walkies.lab.bench import physics as bench
from walkies.robots import PUPPER, load_model
from walkies.sim.native import SOLVERS


def main(before: Path, after: Path, /, tree: str | None = None, robots: int = 512, rounds: int = 41) -> None:
    """Print time per physics step and robot in the solver settings `train` and `exact`, and the median ratio.

    Args:
        before: A library, libwalkies_native.so.
        after: Another one.
        tree: One of the robots of tests/made_trees.py; without it, Pupper trots.
        robots: At once.
        rounds: Of three calls each.
    """
    use_cpu(1)
    if tree is None:
        model = load_model(PUPPER, own_contacts=False, visuals=False)
        states = bench.walk(PUPPER, model, robots, None, 1)
    else:
        model = trees.load(tree)
        states = bench.settled(model, robots, 1)
    symbol = TARGETS["float32"]
    for name, path in (("walkies_before", before), ("walkies_after", after)):
        function = getattr(ctypes.CDLL(str(path.resolve())), symbol)
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(function), platform="cpu")
    steps = robots * bench.CONTROL_STEPS * bench.SUBSTEPS
    for solver in SOLVERS:
        runs = []
        for name in ("walkies_before", "walkies_after"):
            TARGETS["float32"] = name  # what the simulator calls, once this has been compiled
            runs.append(bench.native_run(model, states, solver, 1))
            runs[-1]()
        seconds = alternate(runs, rounds)
        ratios = sorted(b / a for a, b in zip(*seconds, strict=True))
        low, middle, high = statistics.quantiles(ratios, n=4)
        times = " and ".join(f"{1e9 * statistics.median(each) / steps:.0f} ns" for each in seconds)
        print(f"{solver:<6} {times}; after/before {middle:.3f} (quartiles {low:.3f} to {high:.3f})", flush=True)


def alternate(runs: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """CPU seconds of one call of each function, in every round."""
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(rounds):
        for which in range(len(runs)) if number % 2 else reversed(range(len(runs))):
            begun = time.process_time()
            for _ in range(3):
                runs[which]()
            seconds[which].append((time.process_time() - begun) / 3)
    return seconds


if __name__ == "__main__":
    tyro.cli(main)
