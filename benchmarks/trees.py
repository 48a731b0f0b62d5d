"""`walkies lab bench physics` for robots that nobody built: a biped, a hexapod, a quadruped with an arm, a humanoid.

    python benchmarks/trees.py [--robots 512] [--rounds 7] [--threads 1]

Their states are those of `walkies.lab.bench.physics.settled`. MuJoCo has its own 3 iterations of 5 line-search points.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import mujoco
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import made_trees
from walkies.accel.cpu import use_cpu
from walkies.lab.bench import physics as bench
from walkies.sim.native import SOLVERS


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
        print(bench.table(bench.measure(model, bench.settled(model, robots, threads), rounds, threads)), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
