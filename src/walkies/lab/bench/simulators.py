"""`walkies lab bench simulators`: every simulator from the same states, by the number of robots.

Each measurement is a process of its own, so that memory and compilation are its own too. In it the simulator takes
turns with `mujoco.batch.Batch`, since the clock of a shared machine moves: compare the ratio.
"""

from __future__ import annotations

import json as json_module
import os
import re
import resource
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from walkies.accel.cpu import Threads, machine, settle_jax, use_cpu
from walkies.bounds import Between
from walkies.child import environment, python
from walkies.errors import UserError
from walkies.lab import row_file, runner
from walkies.lab.bench.physics import SUBSTEPS, Walking, held, mujoco_run, walk
from walkies.lab.row_file import Row
from walkies.lab.study.trials import commit
from walkies.later import jax, jnp
from walkies.markdown import table as markdown_table
from walkies.robots import DEFAULT, get_robot, load_model
from walkies.sim import EXACT_ITERATIONS, SIMULATORS, SimulatorName, make_simulator, nominal_params
from walkies.sim.base import State
from walkies.sim.mujoco import MujocoSimulator
from walkies.terminal import narrowed, say

ROBOTS = (1, 16, 256, 1024, 4096, 16384)
LEAST_SECONDS = 1.0
"""Of the timed calls of a simulator in one round, unless a single call takes longer."""
ERROR_ROBOTS = 256
"""Robots whose states are compared, at most."""
NUMBERS = (
    "steps_per_s", "cpu_us", "ratio", "compile_s", "memory_mib", "error_p50", "error_p90"
)  # fmt: skip
COLUMNS = ("robot", "simulator", "robots", "threads", *NUMBERS, "commit", "machine", "date")
EXPECTED = "the rows of a comparison of simulators"


def command(
    robot: str = DEFAULT,
    /,
    robots: tuple[Annotated[int, Between(1, 1_000_000)], ...] = ROBOTS,
    simulators: tuple[SimulatorName, ...] = (),
    rounds: Annotated[int, Between(1, 1000)] = 3,
    threads: Threads | None = None,
    out: Path = Path("runs/simulators.csv"),
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    table_only: Annotated[bool, tyro.conf.arg(name="table")] = False,
    json: bool = False,
) -> None:
    """Measure control steps per second, processor time, memory, compilation and error of every simulator that is
    installed, for several numbers of robots.

    A row is kept as soon as it is measured, and the same command measures those that are missing.

    Args:
        robot: Name of the robot.
        robots: Numbers of robots.
        simulators: Which. Default: every simulator that is installed.
        rounds: Turns of the simulator and MuJoCo; medians are reported.
        threads: CPU threads. Default: all cores.
        out: The CSV file with the rows.
        show: Only list the rows, finished and missing.
        table_only: Print the table of finished rows, and measure nothing.
        json: Print the rows as JSON; with --list the list of them.
    """
    use_cpu(threads)
    chosen = simulators or usable(robot)
    asked = as_rows(robot, robots, chosen, rounds, threads, out)
    if show:
        return say(runner.listing(asked, json))
    if not table_only:
        runner.make(asked, out.parent / f"{out.stem}.lock")
    found = [row for row in row_file.read(out, COLUMNS, EXPECTED) if row["robot"] == robot]
    if not found:
        raise UserError(f"{out} has no row of {robot} yet")
    say(json_module.dumps(found, indent=2) if json else narrowed(table(found)))


def usable(robot: str) -> tuple[SimulatorName, ...]:
    """The simulators that are installed and take the robot. Others say why on the way."""
    found = []
    for name in SIMULATORS:
        try:
            make_simulator(name, get_robot(robot))
        except UserError as error:
            say(f"without {name}: {error}")
        else:
            found.append(name)
    return tuple(found)


def as_rows(
    robot: str, robots: Sequence[int], simulators: Sequence[str], rounds: int, threads: int | None, out: Path
) -> list[runner.Row]:
    """A measurement for every simulator and number of robots."""

    def row(simulator: str, n: int) -> runner.Row:
        key = {"robot": robot, "simulator": simulator, "robots": str(n)}

        def finished() -> bool:
            return any(key.items() <= one.items() for one in row_file.read(out, COLUMNS, EXPECTED))

        def make() -> None:
            measured = in_own_process(robot, simulator, n, rounds, threads)
            said = {"commit": commit(), "machine": machine(), "date": datetime.now(UTC).date().isoformat()}
            row_file.append(out, COLUMNS, EXPECTED, key | measured | said)

        return runner.Row(f"{simulator}, {n} robots", finished, make)

    return [row(simulator, n) for n in robots for simulator in simulators]


def in_own_process(robot: str, simulator: str, robots: int, rounds: int, threads: int | None) -> dict[str, Any]:
    """`measure` in a new process.

    Raises:
        UserError: it failed; what it said is on standard error.
    """
    call = f"simulators.report{robot, simulator, robots, rounds, threads}"
    program = python("-c", f"from walkies.lab.bench import simulators; {call}")
    done = subprocess.run(program, env=environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(f"{simulator} with {robots} robots ended with {done.returncode}")
    found: dict[str, Any] = json_module.loads(done.stdout.splitlines()[-1])
    return found


def report(robot: str, simulator: str, robots: int, rounds: int, threads: int | None) -> None:
    """Print `measure` as JSON. For a process of its own."""
    settle_jax()
    use_cpu(threads)
    print(json_module.dumps(measure(robot, simulator, robots, rounds, threads)))


def measure(robot: str, simulator: str, robots: int, rounds: int, threads: int | None) -> dict[str, Any]:
    """One simulator with so many robots, which walk.

    steps_per_s: control steps of all robots together. cpu_us: processor time of one control step of one robot. ratio:
    time that the simulator takes for what takes MuJoCo's batch 1, in turns with it. compile_s: until its first call
    has ended. memory_mib: by which the process has grown; `newton`'s own process counts, here and in cpu_us.
    error_p50, error_p90: quantiles over robots of the largest error of a joint angle, rad, after one control step,
    against MuJoCo's converged solver.
    """
    record = get_robot(robot)
    model = load_model(record, own_contacts=False, visuals=False)
    with on_cpu():
        walking = walk(record, model, robots, None, threads)
    start, targets = jax.device_put((walking.state, jnp.asarray(held(walking.targets[0]))), jax.local_devices()[0])
    before = resident()
    begun = time.perf_counter()
    made = make_simulator(simulator, record, substeps=SUBSTEPS, threads=threads)
    params = jax.jit(made.prepare, static_argnums=1)(nominal_params(made.model, record), robots)
    step = jax.jit(lambda params, state, targets: made.step(params, state, targets)[0])
    after = jax.block_until_ready(step(params, start, targets))
    compile_s = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 + children_peak() - before
    errors = joint_errors(robot, walking, after)
    theirs = mujoco_run(model, walking, threads)
    theirs()
    wall, cpu, ratio = [], [], []
    for _ in range(rounds):
        calls, spent, busy = 0, time.perf_counter(), time.process_time() + children_cpu()
        while calls == 0 or time.perf_counter() - spent < LEAST_SECONDS:
            jax.block_until_ready(step(params, start, targets))
            calls += 1
        wall.append((time.perf_counter() - spent) / calls)
        cpu.append((time.process_time() + children_cpu() - busy) / calls)
        spent = time.perf_counter()
        theirs()
        ratio.append(wall[-1] * len(walking.targets) / (time.perf_counter() - spent))
    return {
        "threads": threads or "all", "steps_per_s": round(robots / statistics.median(wall)),
        "cpu_us": round(1e6 * statistics.median(cpu) / robots, 2), "ratio": round(statistics.median(ratio), 3),
        "compile_s": round(compile_s, 2), "memory_mib": round(memory),
        **{f"error_p{q}": float(f"{np.quantile(errors, q / 100):.2e}") for q in (50, 90)},
    }  # fmt: skip


def resident() -> float:
    """MiB of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def children() -> list[Path]:
    """Folders in /proc of this process' children."""
    listed = (path.read_text().split() for path in Path("/proc/self/task").glob("*/children"))
    return [Path("/proc") / pid for pids in listed for pid in pids]


def children_cpu() -> float:
    """s of processor time that they have taken."""
    times = ((one / "stat").read_text().rpartition(")")[2].split()[11:13] for one in children())
    return sum(int(ticks) for pair in times for ticks in pair) / os.sysconf("SC_CLK_TCK")


def children_peak() -> float:
    """MiB of memory that they have had at most, together."""
    found = (re.search(r"VmHWM:\s*(\d+) kB", (one / "status").read_text()) for one in children())
    return sum(int(match[1]) for match in found if match) / 1024


def joint_errors(robot: str, walking: Walking, after: State) -> np.ndarray:
    """(n,) rad: the largest error of a joint angle, of each of the first ERROR_ROBOTS."""
    n, record = min(ERROR_ROBOTS, len(after.qpos)), get_robot(robot)
    model = load_model(record, visuals=False, ground_sensors=True, solver_iterations=EXACT_ITERATIONS)
    judge = MujocoSimulator(model, SUBSTEPS)
    with on_cpu():
        start = jax.tree.map(lambda leaf: leaf[:n], walking.state)
        params = judge.prepare(nominal_params(model, record), n)
        expected, _ = jax.jit(judge.step)(params, start, held(walking.targets[0, :n]))
    return np.abs(np.asarray(after.qpos[:n, 7:]) - np.asarray(expected.qpos[:, 7:])).max(axis=1)


def on_cpu() -> AbstractContextManager[Any]:
    """Compute on the processor, whatever JAX's device is: for states to start from, and for the judge."""
    return jax.default_device(jax.local_devices(backend="cpu")[0])


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, by simulator."""
    head = ("simulator", "robots", "control steps/s", "µs of CPU", "time / MuJoCo's", "compilation, s", "MiB",
            "error p50, rad", "p90")  # fmt: skip
    order = sorted(rows, key=lambda row: (SIMULATORS.index(row["simulator"]), int(row["robots"])))
    rest = ("cpu_us", "ratio", "compile_s", "memory_mib", "error_p50", "error_p90")
    lines = [
        (
            *(f"`{row['simulator']}`", f"{int(row['robots']):,}", f"{int(row['steps_per_s']):,}"),
            *(row[name] for name in rest),
        )
        for row in order
    ]
    return "\n".join(markdown_table(head, lines))
