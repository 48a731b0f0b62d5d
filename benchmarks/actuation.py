"""What does the layer between controller and physics cost, and what does a torque limit that falls with speed?

    python benchmarks/actuation.py [--robots 1024] [--turns 200]

CPU time, on one thread, of control steps of the same walking robots: with the native engine alone, its targets ready
made; the same under `walkies.sim.actuation`, every robot with delays of its own; and with one robot in each step that
must be mended. They take turns, so that a shared machine weighs on all alike. What training costs before and after a
change is `benchmarks/pair.py`'s to say.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from walkies.accel.cpu import use_cpu
from walkies.lab.bench import physics as bench
from walkies.robots import PUPPER, load_model
from walkies.sim import actuation, nominal_params
from walkies.sim.actuation import initial_state
from walkies.sim.native import NativeSimulator

CALLS = 4
"""Control steps per compiled call."""


def main(robots: int = 1024, turns: int = 200) -> None:
    """Print milliseconds of CPU per control step, and each ratio to the first with a 95% interval (bootstrap)."""
    use_cpu(1)
    model = load_model(PUPPER, own_contacts=False, visuals=False)
    walking = bench.walk(PUPPER, model, robots, None, 1)
    simulator, nominal = NativeSimulator(model, bench.SUBSTEPS, "train", 1), nominal_params(model, PUPPER)
    params = simulator.prepare(nominal, robots)
    weak = simulator.prepare(nominal._replace(torque_speed=np.full_like(nominal.torque_limit, 20.0)), robots)
    targets = jnp.asarray(walking.targets[0])
    held, broken = jnp.asarray(bench.held(walking.targets[0])), targets.at[0, 0].set(jnp.nan)
    start = initial_state(walking.state.qpos, walking.state.qvel, targets)
    delay = jnp.arange(robots, dtype=jnp.int32) % 7

    # Everything is an argument: what is known to the compiler it would compute beforehand.
    @jax.jit
    def alone(params: Any, state: Any, held: Any) -> Any:
        for _ in range(CALLS):
            state, readings = simulator.step(params, state, held)
        return state, readings

    @jax.jit
    def with_delays(params: Any, state: Any, target: Any, delay: Any) -> Any:
        for _ in range(CALLS):
            state, readings = actuation.step(simulator, params, state, target, delay)
            imu = actuation.sensed(None, readings.imu, delay % bench.SUBSTEPS)
        return state, readings, imu

    runs: dict[str, Callable[[], Any]] = {
        "physics alone": partial(alone, params, walking.state, held),
        "… with torque that falls": partial(alone, weak, walking.state, held),
        "with actuation": partial(with_delays, params, start, targets, delay),
        "… and a robot to mend": partial(with_delays, params, start, broken, delay),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        jax.block_until_ready(run())
    order = list(runs)
    for turn in range(turns):
        for name in order if turn % 2 else order[::-1]:
            begun = time.process_time()
            jax.block_until_ready(runs[name]())
            seconds[name].append((time.process_time() - begun) / CALLS)
    rng = np.random.default_rng(0)
    for name in order:
        ratio = np.array(seconds[name]) / seconds[order[0]]
        low, high = np.quantile([np.median(rng.choice(ratio, turns)) for _ in range(1000)], [0.025, 0.975])
        median = 1e3 * statistics.median(seconds[name])
        print(f"{name:<26}{median:>8.3f} ms{np.median(ratio):>8.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    tyro.cli(main)
