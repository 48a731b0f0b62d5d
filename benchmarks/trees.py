"""`walkies bench physics` for robots that nobody has built: a biped, a hexapod, a quadruped with an arm, a humanoid.

    python benchmarks/trees.py [--robots 512] [--rounds 7] [--threads 1]

There is no policy for them: their states are those of robots that were put on the ground in their zero pose, hold it
with some noise, and by now stand, lean, fall or lie. MuJoCo has its own 3 iterations of 5 line-search points.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import made_trees
from walkies.accel.cpu import use_cpu
from walkies.lab.bench import physics as bench
from walkies.sim.base import State
from walkies.sim.native import SOLVERS, NativeSimulator
from walkies.sim.params import read_params


def standing(model: mujoco.MjModel, robots: int, threads: int | None) -> bench.Walking:
    """Robots put on the ground and left there for a second, and what they are told next."""
    rng = np.random.default_rng(0)
    data = mujoco.MjData(model)
    data.qpos[2] = 0
    mujoco.mj_forward(model, data)
    spheres = model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE
    lowest = (data.geom_xpos[spheres, 2] - model.geom_size[spheres, 0]).min()
    qpos = np.tile(model.qpos0, (robots, 1))
    qpos[:, 2] = 0.01 - lowest + rng.uniform(0, 0.02, robots)
    qpos[:, 7:] = rng.normal(0, 0.1, (robots, model.nu))
    state = State(jnp.asarray(qpos, jnp.float32), *(jnp.zeros((robots, model.nv)),) * 2)
    simulator = NativeSimulator(model, bench.SUBSTEPS, "train", threads)
    params, step = simulator.prepare(read_params(model), robots), jax.jit(simulator.step)

    def targets() -> np.ndarray:
        return rng.normal(0, 0.15, (robots, model.nu)).astype(np.float32)

    for _ in range(bench.WARM_UP):
        state, readings = step(params, state, bench.held(targets()))
    assert readings.ok.all()
    fallen = float(np.mean(np.asarray(state.qpos[:, 2]) < 0.6 * -lowest))
    return bench.Walking(state, np.stack([targets() for _ in range(bench.CONTROL_STEPS)]), fallen)


def load(name: str) -> mujoco.MjModel:
    """One of `made_trees.MADE` with Pupper's time step."""
    text = made_trees.mjcf(made_trees.MADE[name]).replace("<option ", '<option iterations="3" ls_iterations="5" ')
    return mujoco.MjModel.from_xml_string(text.replace('timestep="0.003"', 'timestep="0.004"'))


def main(
    robots: int = 512,
    rounds: int = 7,
    threads: int | None = None,
    only: str = "",
    iterations: int = SOLVERS["train"].iterations,
    line_search: int = SOLVERS["train"].line_search,
) -> None:
    """Print a table for each robot.

    Args:
        robots: At once.
        rounds: Interleaved repetitions; medians are reported.
        threads: CPU threads for both engines. Default: all cores.
        only: Robots whose name contains this.
        iterations: Newton steps of the setting `train`.
        line_search: Its points per line search.
    """
    use_cpu(threads)
    SOLVERS["train"] = replace(SOLVERS["train"], iterations=iterations, line_search=line_search)
    for name in made_trees.MADE:
        if only not in name:
            continue
        model = load(name)
        print(f"\n{name}, {model.nu} joints")
        print(bench.table(bench.measure(model, standing(model, robots, threads), rounds, threads)), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
