"""What terrain costs the native engine: Pupper on a plane, on 100 boxes, and on a height field of 200 × 200.

    python benchmarks/terrain.py [--robots 512]

Robots walk on each ground by the same script until they are where they are timed from; then all are timed in turns, on
one thread, by CPU time. MuJoCo's batch is timed once each, on the same states.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import tyro

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]

from engines import alternate  # noqa: E402

import terrains  # noqa: E402
from walkies.accel.cpu import use_cpu  # noqa: E402
from walkies.lab.bench import physics as bench  # noqa: E402
from walkies.robots import PUPPER, load_spec  # noqa: E402
from walkies.sim.base import State  # noqa: E402
from walkies.sim.native import NativeSimulator  # noqa: E402
from walkies.sim.params import read_params  # noqa: E402

SPREAD = 1.0
"""m, on either side of the origin, over which robots begin."""


def grounds(points: int = 203) -> dict[str, mujoco.MjModel]:
    """Pupper on each ground."""

    def model(geoms: str = "", assets: str = "", plane: bool = True) -> mujoco.MjModel:
        spec = load_spec(PUPPER, own_contacts=False, visuals=False)
        if not plane:
            spec.delete(next(geom for geom in spec.geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE))
        extra = mujoco.MjSpec.from_string(f"<mujoco><asset>{assets}</asset><worldbody>{geoms}</worldbody></mujoco>")
        spec.attach(extra, frame=spec.worldbody.add_frame(), prefix="ground_")
        return spec.compile()

    flat = model(terrains.field("0 0 0"), terrains.field_asset(points, 4.0, 0.01), False)
    hilly = model(terrains.field("0 0 -0.04"), terrains.field_asset(points, 4.0, 0.08), False)
    height = np.random.default_rng(0).uniform(size=hilly.hfield_data.shape)
    hilly.hfield_data[:] = height
    flat.hfield_data[:] = 0
    return {
        "plane": model(),
        "one box": model(terrains.box("slab", np.array([0, 0, -0.1]), np.array([9, 9, 0.1])), plane=False),
        "100 boxes": model(terrains.stones_and_stairs(), plane=True),
        "flat field": flat,
        "rough field": hilly,
    }


def walk(model: mujoco.MjModel, places: np.ndarray) -> bench.Walking:
    """Robots that began to trot at each place (robots, 2)."""
    robots = len(places)
    simulator, drive = NativeSimulator(model, threads=1), bench.trot_driver(PUPPER, robots, np.random.default_rng(0))
    qpos = np.tile(model.qpos0.astype(np.float32), (robots, 1))
    qpos[:, :2], qpos[:, 2], qpos[:, 7:] = places, PUPPER.reset_height[1], PUPPER.default_pose
    state = State(jnp.asarray(qpos), *(jnp.zeros((robots, model.nv)),) * 2)
    params, step = simulator.prepare(read_params(model), robots), jax.jit(simulator.step)
    for k in range(bench.WARM_UP):
        state, _ = step(params, state, bench.held(drive(k, state, None)))
    ahead = np.stack([drive(bench.WARM_UP + k, state, None) for k in range(bench.CONTROL_STEPS)])
    return bench.Walking(state, ahead, 0.0)


def main(robots: int = 512, rounds: int = 21, solver: str = "train") -> None:
    """Print time per physics step and robot on every ground, and its ratio to the plane's.

    Args:
        robots: At once.
        rounds: Of three calls each.
        solver: `train` or `exact`.
    """
    use_cpu(1)
    models, runs, batches = grounds(), [], []
    steps = robots * bench.CONTROL_STEPS * bench.SUBSTEPS
    places = np.random.default_rng(2).uniform(-SPREAD, SPREAD, (robots, 2))
    for model in models.values():
        walking = walk(model, places)
        runs.append(bench.native_run(model, walking, solver, 1))
        batches.append(bench.mujoco_run(model, walking, 1))
        runs[-1]()
    seconds = alternate(runs, rounds)
    for number, name in enumerate(models):
        begun = time.process_time()
        batches[number]()
        there = time.process_time() - begun
        here, ratio = (
            statistics.median(values)
            for values in (seconds[number], [a / b for a, b in zip(seconds[number], seconds[0], strict=True)])
        )
        print(
            f"{name:<12} {1e9 * here / steps:5.0f} ns, × {ratio:.2f} of the plane; MuJoCo × {there / here:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    tyro.cli(main)
