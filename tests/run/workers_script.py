"""Runs in a process of its own: trains with two workers, kills one in the midst of an iteration, and prints as JSON
what came of it."""

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

from walkies.run.config import WALKING_RECIPE, TrainConfig, expanded  # noqa: E402
from walkies.run.workers.state import packed  # noqa: E402
from walkies.run.workers.together import Together  # noqa: E402

SMALL = replace(WALKING_RECIPE, num_envs=32, horizon=4, minibatches=4, hidden=(16,), critic_hidden=(16,))


LISTENS, MAPPED = "0A", "0000000000000000FFFF0000"
"""A socket's state, and what an IPv4 address begins with as IPv6, in Linux's tables."""


def listening() -> list[str]:
    """Addresses at which this machine listens."""
    lines = [
        line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == LISTENS
    ]  # fmt: skip
    return [address(line.split()[1].partition(":")[0].removeprefix(MAPPED)) for line in lines]


def address(words: str) -> str:
    """Little-endian words in hexadecimal → numbers and dots, or as they are where they are IPv6."""
    return ".".join(str(byte) for byte in bytes.fromhex(words)[::-1]) if len(words) == 8 else words


def main() -> None:
    before = listening()
    training = Together(expanded(TrainConfig(workers=2, recipe=SMALL)))
    first = packed(training.state)
    records, states = [], []
    for _ in range(3):
        records.append(training.advance())
        states.append(packed(training.state))
    opened = list(listening())
    for address in before:
        opened.remove(address)

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
            "listening": opened,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
