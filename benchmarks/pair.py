"""Is training faster here than there? Two checkouts, each with its own environment, train in turns.

    git worktree add ../before COMMIT && make -C ../before setup
    python benchmarks/pair.py ../before . [--flags "--recipe.hidden 128 128"]

The clock of a shared machine moves by more than most changes are worth, and moves for both alike when they take turns
of a fraction of a second: compare the ratio, not the rates. Both stay loaded, so nothing is compiled in between.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path

import tyro

WORKER = """
import json, sys, time
try:
    from walkies.accel.cpu import use_cpu
except ImportError:  # a checkout of the first edition
    from walkies.cpu import use_cpu
use_cpu(None)
import tyro
try:
    from walkies.run.config import TrainConfig
    from walkies.run.training import Training
except ImportError:
    from walkies.experiment import TrainConfig
    from walkies.training import Training
training = Training(tyro.cli(TrainConfig, args=sys.argv[1:]))
for _ in range(25):  # until robots stand or walk instead of falling
    training.advance()
print("ready", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    for _ in range(int(line)):
        training.advance()
    print(json.dumps((time.perf_counter() - begun) / training.steps_per_iteration / int(line)), flush=True)
"""


def main(before: Path, after: Path, /, flags: str = "", turns: int = 50) -> None:
    """Print control steps a second of both and the median ratio over turns, with its quartiles.

    Args:
        before: A checkout in which `make setup` was run.
        after: Another one.
        flags: Flags of `walkies train` for both.
        turns: Of three iterations each.
    """
    begun = time.perf_counter()
    workers = [start(checkout, flags) for checkout in (before, after)]
    print(f"both ready after {time.perf_counter() - begun:.0f} s", flush=True)
    seconds: list[list[float]] = [[], []]
    for turn in range(turns):
        for which in (0, 1) if turn % 2 else (1, 0):
            seconds[which].append(ask(workers[which], "3"))
    for worker in workers:
        worker.kill()
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    for checkout, times in zip((before, after), seconds, strict=True):
        print(f"{1.0 / statistics.median(times):>10,.0f} control steps/s in {checkout}")
    print(f"{middle:>10.3f} times as fast in {after} (quartiles {low:.3f} to {high:.3f}, {turns} turns)")


def start(checkout: Path, flags: str) -> subprocess.Popen[str]:
    """A process that trains in `checkout` when asked."""
    python = checkout.resolve() / ".venv" / "bin" / "python"
    worker = subprocess.Popen([str(python), "-P", "-c", WORKER, *flags.split()], cwd=checkout, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert worker.stdout is not None
    if worker.stdout.readline().strip() != "ready":
        raise SystemExit(f"training did not start in {checkout}; its message stands above")
    return worker


def ask(worker: subprocess.Popen[str], iterations: str) -> float:
    """Seconds per control step of so many iterations."""
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(iterations + "\n")
    worker.stdin.flush()
    return float(json.loads(worker.stdout.readline()))


if __name__ == "__main__":
    tyro.cli(main)
