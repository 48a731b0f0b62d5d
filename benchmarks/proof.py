"""The long proof of the native engine: float64 against MuJoCo's converged accelerations, thousands of states a robot.

    make proof     (python benchmarks/proof.py)

It goes on where it was stopped: each robot's row is written to docs/proofs/engine.csv when it is done. Done rows are
left alone; delete the file to begin anew. The short form is tests/sim/test_native_*.py.
"""

from __future__ import annotations

import csv
import datetime
import platform
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jax
import mujoco
import numpy as np
import tyro

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "sim")]

import made_trees  # noqa: E402
from sim import native_cases as cases  # noqa: E402
from sim import test_native_features as features  # noqa: E402
from sim import test_native_self_contacts as self_contacts  # noqa: E402
from sim import test_native_static as static  # noqa: E402
from sim import test_native_trees as trees  # noqa: E402

TABLE = ROOT / "docs" / "proofs" / "engine.csv"
COLUMNS = ("robot", "joints", "states", "touching", "p50", "p99", "largest", "kinds of constraint", "machine", "date")
RANDOM_TREES = 50


def robots() -> dict[str, Callable[[], mujoco.MjModel]]:
    """Every robot of the proof."""

    def tree(seed: int) -> Callable[[], mujoco.MjModel]:
        return lambda: mujoco.MjModel.from_xml_string(made_trees.random_tree(seed))

    return {
        "pupper": cases.pupper,
        **{name: lambda name=name: made_trees.made(name) for name in made_trees.MADE},
        **{f"tree {seed}": tree(seed) for seed in range(RANDOM_TREES)},
        **{f"with {name}": build for name, build in features.FEATURES.items()},
        **{f"touching itself, {name}": build for name, build in self_contacts.TOUCHY.items()},
        **{f"on {name}": terrain.build for name, terrain in static.TERRAINS.items()},
    }


def row(name: str, model: mujoco.MjModel, states: int) -> dict[str, object]:
    """Errors over `states` states; each 20 of them have parameters of their own, but for robots with a feature, or on
    other ground than a plane.

    Those that are touching are on the ground, or, where the robot is there to touch itself, touching itself.
    """
    seen: Counter[str] = Counter()
    if name.startswith(("with ", "on ")):
        terrain = static.TERRAINS.get(name.removeprefix("on "))
        found, contacts = features.errors(model, seed=11, states=states, place=terrain.place if terrain else None)
        touching = np.count_nonzero(contacts)
    elif name.startswith("touching itself"):
        found, on_itself = self_contacts.errors(model, self_contacts.drawn(model, states, seed=11))
        touching = np.count_nonzero(on_itself)
    else:
        found, seen = trees.errors(model, seed=11, sets=-(-states // 20), states=20)
        touching = len(found) - seen["airborne"]
    p50, p99, largest = np.quantile(found, [0.5, 0.99, 1.0])
    kinds = "; ".join(f"{kind} {count}" for kind, count in sorted(seen.items()))
    numbers = (model.nu, len(found), touching, f"{p50:.1e}", f"{p99:.1e}", f"{largest:.1e}", kinds)
    return dict(zip(COLUMNS, (name, *numbers, _processor(), f"{datetime.date.today()}"), strict=True))


def bound(name: str) -> float:
    """The largest error that a robot may have."""
    terrain = static.TERRAINS.get(name.removeprefix("on "))
    return terrain.bound if terrain else trees.BOUND


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main(states: int = 2000) -> int:
    """Fill the table; 1 if any error is beyond the bound of the tests.

    Args:
        states: For each robot.
    """
    jax.config.update("jax_enable_x64", True)
    done: list[dict[str, object]] = []
    if TABLE.exists():
        with TABLE.open(newline="") as file:
            done = list(csv.DictReader(file))
    for name, build in robots().items():
        if any(old["robot"] == name for old in done):
            continue
        done.append(row(name, build(), states))
        print(*done[-1].values(), sep="  ", flush=True)
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        partial = TABLE.with_suffix(".part")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(done)
        partial.replace(TABLE)
    shares = {str(old["robot"]): float(str(old["largest"])) / bound(str(old["robot"])) for old in done}
    worst = max(shares, key=lambda name: shares[name])
    print(f"{len(done)} robots; the largest error, by what is allowed, is {shares[worst]:.1e}, of {worst}")
    return int(shares[worst] > 1)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
