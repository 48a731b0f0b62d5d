"""Runs in a process of its own: trains with so many workers, kills one in the midst of an iteration, and prints as JSON
what came of it: workers_script.py WORKERS."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from walkies.accel.cpu import settle_jax, use_cpu

settle_jax()
use_cpu(None)

import jax  # noqa: E402
import numpy as np  # noqa: E402

sys.path.append(str(Path(__file__).parents[1]))
import processes  # noqa: E402
from walkies.run.config import WALKING_RECIPE, TrainConfig, expanded  # noqa: E402
from walkies.run.workers.state import packed  # noqa: E402
from walkies.run.workers.together import Together  # noqa: E402

WORKERS = int(sys.argv[1])
SMALL = replace(WALKING_RECIPE, num_envs=16 * WORKERS, horizon=4, minibatches=4, hidden=(16,), critic_hidden=(16,))


def main() -> None:
    training = Together(expanded(TrainConfig(workers=WORKERS, recipe=SMALL)))
    first = packed(training.state)
    records, states = [], []
    for _ in range(3):
        records.append(training.advance())
        states.append(packed(training.state))
    listening = processes.listening(processes.below(os.getpid()) | {os.getpid()})

    # Back to the state after two iterations, and a worker is killed while the third is under way.
    training.state, training._iterations = jax.tree.unflatten(jax.tree.structure(training.state), states[1]), 2
    victim = training.group.pids()[1]
    threading.Timer(0.002, os.kill, (victim, signal.SIGKILL)).start()
    begun = time.monotonic()
    again = training.advance()
    restarted = time.monotonic() - begun
    pids = training.group.pids()
    training.close()

    def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    json.dump(
        {
            "seconds": restarted,
            "new_processes": victim not in pids,
            "same_record": again == records[2],
            "same_state": same(packed(training.state), states[2]),
            "learns": not same(first, states[0]) and not same(states[1], states[2]),
            "samples": records[0]["samples"],
            "listening": sorted(listening),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
