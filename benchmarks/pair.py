"""Is training faster here than there, or the engine? Two checkouts, each with its own environment, work in turns.

    git worktree add ../before COMMIT && make -C ../before setup
    python benchmarks/pair.py ../before . [--flags "--recipe.hidden 128 128"]
    python benchmarks/pair.py ../before . --physics      # of the engine alone, by CPU time of one thread

`WALKIES_ISA=avx2` in front chooses an older instruction set for both. For another compiler, `make -C ../before
COMPILER= setup` builds with the Clang of the ziglang wheel.

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
try:
    use_cpu(None, 2)  # as many devices as the default has groups
except TypeError:  # a checkout without them
    use_cpu(None)
import tyro
try:
    from walkies.run.config import TrainConfig
    from walkies.run.training import Training
except ImportError:
    from walkies.experiment import TrainConfig
    try:
        from walkies.training import Training
    except ImportError:
        from walkies.experiment import Training
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

PHYSICS = """
import json, sys, time
from walkies.accel.cpu import use_cpu
use_cpu(1)
from walkies.lab.bench import physics as bench
from walkies.robots import PUPPER, load_model
model = load_model(PUPPER, own_contacts=False, visuals=False)
once = bench.native_run(model, bench.walk(PUPPER, model, 512, None, 1), sys.argv[1], 1)
once(), once()
steps = 512 * bench.CONTROL_STEPS * bench.SUBSTEPS
print("ready", flush=True)
for line in sys.stdin:
    begun = time.process_time()
    for _ in range(int(line)):
        once()
    print(json.dumps((time.process_time() - begun) / steps / int(line)), flush=True)
"""


def main(before: Path, after: Path, /, flags: str = "", turns: int = 50, physics: bool = False) -> None:
    """Print control steps a second of both and the median ratio over turns, with its quartiles.

    Args:
        before: A checkout in which `make setup` was run.
        after: Another one.
        flags: Flags of `walkies train` for both.
        turns: Of three iterations each, or of three calls of the engine.
        physics: Physics steps a second of 512 Puppers that trot instead, in the settings `train` and `exact`.
    """
    for setting in ("train", "exact") if physics else (flags,):
        compare((before, after), PHYSICS if physics else WORKER, setting, turns, "physics" if physics else "control")


def compare(checkouts: tuple[Path, Path], program: str, flags: str, turns: int, what: str) -> None:
    """Have both work in turns, and print how that went."""
    begun = time.perf_counter()
    workers = [start(checkout, program, flags) for checkout in checkouts]
    print(f"{flags}: both ready after {time.perf_counter() - begun:.0f} s", flush=True)
    seconds: list[list[float]] = [[], []]
    for turn in range(turns):
        for which in (0, 1) if turn % 2 else (1, 0):
            seconds[which].append(ask(workers[which], "3"))
    for worker in workers:
        worker.kill()
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    for checkout, times in zip(checkouts, seconds, strict=True):
        print(f"{1.0 / statistics.median(times):>10,.0f} {what} steps/s in {checkout}")
    print(f"{middle:>10.3f} times as fast in {checkouts[1]} (quartiles {low:.3f} to {high:.3f}, {turns} turns)")


def start(checkout: Path, program: str, flags: str) -> subprocess.Popen[str]:
    """A process that works in `checkout` when asked."""
    python = checkout.resolve() / ".venv" / "bin" / "python"
    worker = subprocess.Popen([str(python), "-P", "-c", program, *flags.split()], cwd=checkout, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert worker.stdout is not None
    if worker.stdout.readline().strip() != "ready":
        raise SystemExit(f"the work did not start in {checkout}; its message stands above")
    return worker


def ask(worker: subprocess.Popen[str], iterations: str) -> float:
    """Seconds per step of so many iterations."""
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(iterations + "\n")
    worker.stdin.flush()
    return float(json.loads(worker.stdout.readline()))


if __name__ == "__main__":
    tyro.cli(main)
