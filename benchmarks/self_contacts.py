"""What contacts of a robot's parts with one another cost in the native engine: the same robots with and without them.

    python benchmarks/self_contacts.py [--robots 512] [--rounds 21]

Robots with thick limbs (tests/sim/test_native_self_contacts.py) in states that chance drew, of which a given share
touch themselves at first and the others do not, dealt at random over the vectors. CPU time of the process, one thread,
in turns.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import mujoco
import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import engines

from sim import native_cases as cases
from sim import test_native_self_contacts as touchy
from walkies.accel.cpu import use_cpu
from walkies.lab.bench.physics import SUBSTEPS
from walkies.sim.native import SOLVERS, NativeSimulator
from walkies.sim.params import on_itself, read_any_params

ROBOTS = {
    "biped, spheres and capsules": touchy.TOUCHY["spheres and capsules"],
    "humanoid 29, spheres and capsules": touchy.TOUCHY["humanoid"],
}
SHARES = (0.0, 1 / 16, 1 / 4, 1.0)


def dealt(model: mujoco.MjModel, robots: int, share: float, rng: np.random.Generator) -> touchy.States:
    """States of which `share` touch themselves."""
    pool = list(touchy.drawn(model, 2 * robots, seed=1))
    # Of a humanoid's random poses hardly one touches nothing: the others are near its zero pose.
    calm = touchy.drawn(model, 2 * robots, seed=2)
    calm[0][:, 7:] *= 0.1
    pool = [np.concatenate(parts) for parts in zip(pool, calm, strict=True)]
    touching = np.array([bool(contacts) for contacts in touchy.own_contacts(model, tuple(pool))])
    some = round(share * robots)
    rows = np.concatenate(
        [rng.choice(np.flatnonzero(touching), some), rng.choice(np.flatnonzero(~touching), robots - some)]
    )
    rng.shuffle(rows)
    return tuple(part[rows] for part in pool)


def run(model: mujoco.MjModel, states: touchy.States, solver: str, self_contacts: str) -> Callable[[], object]:
    """A function that steps the robots once."""
    simulator = NativeSimulator(model, SUBSTEPS, solver, 1, self_contacts=self_contacts)
    params = simulator.prepare_shared(jax.tree.map(np.asarray, read_any_params(model)))
    step, state = jax.jit(simulator.step), cases.make_state(*states[:3])
    targets = np.repeat(states[3][:, None], SUBSTEPS, axis=1)
    return lambda: jax.block_until_ready(step(params, state, targets))


def main(robots: int = 512, rounds: int = 21) -> None:
    """Print the time of a physics step with all self-contacts as a multiple of that with none.

    Args:
        robots: At once.
        rounds: Of three calls each.
    """
    use_cpu(1)
    for name, build in ROBOTS.items():
        model = build()
        print(f"{name}: {model.nu} joints, {len(on_itself(model))} pairs")
        for share in SHARES:
            states = dealt(model, robots, share, np.random.default_rng(0))
            for solver in SOLVERS:
                runs = [run(model, states, solver, self_contacts) for self_contacts in ("none", "all")]
                for once in runs:
                    once()
                seconds = engines.alternate(runs, rounds)
                ratio = statistics.median(b / a for a, b in zip(*seconds, strict=True))
                times = " and ".join(f"{1e9 * statistics.median(each) / (robots * SUBSTEPS):.0f}" for each in seconds)
                print(
                    f"  {share:.0%} touch themselves, {solver}: {times} ns a physics step, {ratio:.2f} times",
                    flush=True,
                )


if __name__ == "__main__":
    tyro.cli(main)
