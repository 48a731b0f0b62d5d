"""`walkies lab bench view`: measure what watching a training costs."""

from __future__ import annotations

import json as json_module
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from walkies import child
from walkies.accel.cpu import Threads, use_cpu
from walkies.bounds import Between
from walkies.run.config import TrainConfig, devices_of

if TYPE_CHECKING:
    from walkies.run.training import Training

SETTLE = 1.0
"""s after a page has come or gone before a block is timed."""
CLIENT = """
import os, sys, threading
from websockets.sync.client import connect
def drain(address, **options):
    with connect(address, max_size=None, proxy=None, **options) as socket:
        os.write(1, b"open\\n")  # one write: two threads say it
        for message in socket:
            pass
address, version = sys.argv[1:]
threading.Thread(target=drain, args=(address + "drive",), daemon=True).start()
drain(address + "view", subprotocols=["viser-v" + version])
"""
"""A page that receives everything and draws nothing: it stands for a browser on another machine."""


def command(
    blocks: Annotated[int, Between(1, 100_000)] = 40,
    seconds: Annotated[float, Between(0.0, 3600.0, "(]")] = 1.5,
    threads: Threads | None = None,
    json: bool = False,
) -> None:
    """Measure how much a watching page that does not draw on this machine slows training with the default settings.

    Blocks with and without the page alternate within one training.

    Args:
        blocks: Pairs of blocks.
        seconds: Length of a block.
        threads: CPU threads. Default: all cores.
        json: Print one JSON object instead of a table.
    """
    use_cpu(threads, devices_of(TrainConfig()))
    result = measure(blocks, seconds, threads)
    if json:
        print(json_module.dumps(result, indent=2))
        return
    print(f"{result['steps_per_s_alone']:>12,.0f} control steps/s alone")
    print(f"{result['steps_per_s_watched']:>12,.0f} control steps/s watched")
    low, high = np.quantile(result["slowdowns"], (0.25, 0.75))
    print(f"{result['slowdown']:>12.1%} slower (half of the {blocks} pairs between {low:.1%} and {high:.1%})")


def measure(blocks: int, seconds: float, threads: int | None, config: TrainConfig | None = None) -> dict[str, Any]:
    """Control steps/s alone and watched, and the median over pairs of blocks of the relative slow-down."""
    from walkies.run.training import Training
    from walkies.show.viewer.learn import Watch

    training = Training(config or TrainConfig(threads=threads))
    watch = Watch(training, port=0)
    address = watch.start().replace("http", "ws")
    try:
        for _ in range(20):  # walking states, not falling ones
            _iterate(training, watch)
        # The first page makes the field's program compile, and after so long an iteration much motion is computed
        # ahead: a block timed then would have too little to compute.
        _watched(address, training, watch, SETTLE)
        alone: list[float] = []
        watched: list[float] = []
        for block in range(blocks):
            first, second = (alone, watched) if block % 2 == 0 else (watched, alone)
            for rates in (first, second):
                if rates is watched:
                    rates.append(_watched(address, training, watch, seconds))
                else:
                    _run(training, watch, SETTLE)
                    rates.append(_run(training, watch, seconds))
    finally:
        watch.stop()
    slowdowns = [1.0 - with_page / without for with_page, without in zip(watched, alone, strict=True)]
    return {
        "steps_per_s_alone": statistics.median(alone),
        "steps_per_s_watched": statistics.median(watched),
        "slowdown": statistics.median(slowdowns),
        "slowdowns": slowdowns,
    }


def _watched(address: str, training: Training, watch: Any, seconds: float) -> float:
    """Train for about so many seconds with a page open, after SETTLE; control steps/s."""
    client = _client(address)
    try:
        _run(training, watch, SETTLE)
        return _run(training, watch, seconds)
    finally:
        client.kill()
        client.wait()


def _client(address: str) -> subprocess.Popen[str]:
    import viser

    command = child.python("-c", CLIENT, address, viser.__version__)
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child.environment())
    assert client.stdout is not None
    for _ in range(2):
        if client.stdout.readline() != "open\n":
            raise RuntimeError("the client that stands for a page could not connect")
    return client


def _run(training: Training, watch: Any, seconds: float) -> float:
    """Train for about so many seconds; control steps/s."""
    started, first = time.perf_counter(), training.steps
    while time.perf_counter() - started < seconds:
        _iterate(training, watch)
    return (training.steps - first) / (time.perf_counter() - started)


def _iterate(training: Training, watch: Any) -> None:
    record = training.advance()
    watch.update({"steps": training.steps, "steps_per_s": 0.0, **record})
