"""How far MuJoCo's accelerations are from the engine's where spheres are deep in a height field, by its tolerance.

python benchmarks/field_tolerance.py [--states 400]
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import mujoco
import numpy as np
import tyro

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "sim")]

from sim import native_cases as cases  # noqa: E402
from sim import test_native_features as features  # noqa: E402
from sim import test_native_static as static  # noqa: E402

SEED = 6
TOLERANCES = {1e-6: 35, 1e-10: 500, 1e-12: 500, 1e-14: 1000}
"""m, and the most iterations; the first are MuJoCo's own."""


def main(states: int = 400) -> None:
    """Print the table of docs/engine.md.

    Args:
        states: Random ones; counted are those in which some sphere's centre is inside a prism.
    """
    jax.config.update("jax_enable_x64", True)
    for tolerance, iterations in TOLERANCES.items():
        model = static.on_field()
        model.opt.ccd_tolerance, model.opt.ccd_iterations = tolerance, iterations
        found, _ = features.errors(model, SEED, states=states)
        poses = cases.random_states(model, states, np.random.default_rng(SEED), np.zeros(model.nu), 0.35)[0]
        data, deep = mujoco.MjData(model), []
        for pose in poses:
            data.qpos = pose
            mujoco.mj_fwdPosition(model, data)
            deep.append(static.deepest(model, data) > 1)
        p50, p90, p99, largest = np.quantile(found[deep], [0.5, 0.9, 0.99, 1.0])
        print(
            f"| {tolerance:.0e} | {p50:.1e} | {p90:.1e} | {p99:.1e} | {largest:.1e} | ({sum(deep)} states)", flush=True
        )


if __name__ == "__main__":
    tyro.cli(main)
