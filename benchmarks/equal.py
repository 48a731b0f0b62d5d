"""Is the house after a change of structure the one before it? Two trees side by side, on one machine.

python benchmarks/equal.py BEFORE --before-library BEFORE.so

BEFORE is a checkout of another version (git worktree add ../before COMMIT) with its engine's library. Both trees
compute the same things from the same recorded inputs, each in a process of its own:

- frame, history, targets, mirror images, the observations of policy and critic: bit for bit;
- one control step of the walking task from 10,000 recorded states: to 1e-5, robots counted whose contacts switch;
- the gradient of a PPO update (Adam's first moment after one step) and the parameters after an iteration of epochs of
  minibatches, on CartPole and on the walking task: to 1e-5.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tyro

ROOT = Path(__file__).parents[1]
STATES = 10_000
ROBOTS, STEPS = 500, 20
"""The states are those of so many robots after each of so many control steps."""
TOLERANCE = 1e-5
EXACT = ("frame", "history", "target", "mirror", "observe")
"""Beginnings of the names of what must be equal bit for bit."""


def probe(out: Path, states: Path) -> None:
    """In one tree: compute everything, and where `states` is not there yet, record the states too."""
    import jax
    import jax.numpy as jnp

    found: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(0)
    task, contract, pieces = _task()
    seen = [rng.normal(size=(50, n)).astype(np.float32) for n in (3, 3, 3, 12, 12)]
    found["frame"] = pieces(contract, *seen)
    found["frame jax"] = np.asarray(jax.jit(lambda *x: pieces(contract, *x))(*map(jnp.asarray, seen)))
    found["history"] = contract.push(np.tile(contract.initial_history(), (50, 1)), found["frame"])
    found["target"] = contract.target(rng.normal(size=(50, 12)).astype(np.float32))
    state = jax.jit(task.reset, static_argnums=1)(jax.random.key(0), ROBOTS)
    step, observe = jax.jit(task.step), jax.jit(task.observe)
    actions = rng.uniform(-1, 1, (STEPS, ROBOTS, 12)).astype(np.float32)
    if not states.exists():
        rows: dict[str, np.ndarray] = {}
        for i in range(STEPS):
            leaves = jax.tree_util.tree_flatten_with_path(state)[0]
            rows |= {f"{i} {_name(path)}": np.asarray(leaf) for path, leaf in leaves}
            state, _ = step(state, jnp.asarray(actions[i]), jax.random.key(100 + i))
        np.savez(states, **rows)
    paths, structure = jax.tree_util.tree_flatten_with_path(state)
    with np.load(states) as file:
        recorded = {key: file[key] for key in file.files}
    for i in range(STEPS):
        tensors = {key.split(" ")[1]: leaf for key, leaf in recorded.items() if key.startswith(f"{i} ")}
        tensors = _upgraded(tensors)
        before = jax.tree.unflatten(structure, [jnp.asarray(tensors[_name(path)]) for path, _ in paths])
        seen_now = observe(before)
        mirrored = task.mirror.mirror_observation(seen_now)
        found[f"observe policy {i}"], found[f"observe critic {i}"] = map(np.asarray, seen_now[:2])
        found[f"mirror policy {i}"], found[f"mirror critic {i}"] = map(np.asarray, mirrored[:2])
        after, outcome = step(before, jnp.asarray(actions[i]), jax.random.key(100 + i))
        found[f"step qpos {i}"], found[f"step qvel {i}"] = (
            np.asarray(after.physics.qpos),
            np.asarray(after.physics.qvel),
        )
        found[f"step reward {i}"], found[f"step contact {i}"] = np.asarray(outcome.reward), np.asarray(after.contact)
        found[f"step frame {i}"] = np.asarray(after.history)[:, : contract.observation_size // 3]
    for name, learner in _learned(task).items():
        for j, leaf in enumerate(jax.tree.leaves(learner)):
            found[f"{name} {j}"] = np.asarray(leaf)
    np.savez(out, **found)


def _name(path: Any) -> str:
    """What a leaf of the robots' state is called in a checkpoint."""
    return ".".join(["actors.state", *(str(key.name) for key in path)])


def _upgraded(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The recorded state as this tree has it."""
    try:
        from walkies.run.saved.editions import upgraded
    except ImportError:
        return tensors
    return upgraded(tensors)


def _task() -> tuple[Any, Any, Any]:
    """The walking task, its contract, and how a frame is made of gyro, gravity, command, joints and last action."""
    from walkies.robots import get_robot
    from walkies.tasks.walk import Walk, WalkConfig

    try:
        from walkies.sim import make_simulator, nominal_params
        from walkies.tasks.signal import Sensed

        pieces = lambda contract, g, v, c, q, a: contract.frame(Sensed(g, v, c, q, q, a))  # noqa: E731
    except ImportError:
        from walkies.physics import make_simulator, nominal_params

        pieces = lambda contract, *parts: contract.frame(*parts)  # noqa: E731
    robot = get_robot("pupper")
    simulator = make_simulator("native", robot, threads=1)
    task = Walk(robot, simulator, nominal_params(simulator.model, robot), WalkConfig())
    return task, task.contract, pieces


def _learned(task: Any) -> dict[str, Any]:
    """What has been learned after two iterations (the first only measures), with one step and with epochs of many."""
    from dataclasses import replace

    import jax

    from walkies.envs.classic import CartPole
    from walkies.rl import train
    from walkies.rl.recipes import PPO

    found = {}
    for name, env in (("cart-pole", CartPole()), ("walking", task)):
        for kind, changes in (
            ("gradient", {"epochs": 1, "minibatches": 1}),
            ("update", {"epochs": 2, "minibatches": 4}),
        ):
            recipe = replace(PPO, num_envs=64, horizon=16, hidden=(32, 32), critic_hidden=(32,), **changes)
            state, iterate = train.init(recipe, env, jax.random.key(3)), train.make_iteration(recipe, env)
            for _ in range(2):
                state, _ = iterate(state)
            learner = state.learner
            found[f"{kind} {name}"] = learner.moments if kind == "gradient" else learner.params
    return found


def main(before: tyro.conf.Positional[Path], before_library: Path | None = None, library: Path | None = None) -> int:
    """Compare this tree with another.

    Args:
        before: The other tree.
        before_library: Its engine; default: the installed one.
        library: This tree's engine; default: the installed one.
    """
    with tempfile.TemporaryDirectory() as folder:
        states, results = Path(folder) / "states.npz", []
        for name, tree, engine in (("before", before, before_library), ("after", ROOT, library)):
            out = Path(folder) / f"{name}.npz"
            environment = os.environ | {"PYTHONPATH": str(tree.resolve() / "src"), "JAX_PLATFORMS": "cpu"}
            environment |= {} if engine is None else {"WALKIES_NATIVE_LIB": str(engine.resolve())}
            subprocess.run(
                [sys.executable, "-P", __file__, "--probe", out, states, tree.resolve()], env=environment, check=True
            )
            with np.load(out) as file:
                results.append({key: file[key] for key in file.files})
    return report(*results)


def report(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> int:
    """Print what differs; 1 if anything differs by more than it may, else 0."""
    assert before.keys() == after.keys(), sorted(before.keys() ^ after.keys())
    switched = {i: before[f"step contact {i}"] != after[f"step contact {i}"] for i in range(STEPS)}
    robots = sum(int(rows.any(axis=1).sum()) for rows in switched.values())
    failed = 0
    groups: dict[str, list[tuple[float, bool]]] = {}
    for key in before:
        old, new, group = np.atleast_1d(before[key]), np.atleast_1d(after[key]), key.rstrip("0123456789 ")
        if group == "step contact":
            continue
        keep = slice(None)
        if group.startswith("step"):
            keep = ~switched[int(key.split()[-1])].any(axis=1)
        scale = max(1.0, float(np.abs(old[keep]).max())) if old[keep].size else 1.0
        error = float(np.abs(old[keep].astype(float) - new[keep].astype(float)).max(initial=0.0)) / scale
        groups.setdefault(group, []).append((error, bool(np.array_equal(old, new))))
    for group, rows in groups.items():
        error, same = float(np.max([error for error, _ in rows])), all(same for _, same in rows)
        bad = not same if group.startswith(EXACT) else not error <= TOLERANCE  # NaN is bad
        failed += bad
        print(f"{group:<22}{'bit for bit' if same else f'{error:.1e} relative':<20}{'DIFFERS' if bad else ''}")
    print(f"{robots} of {STATES:,} control steps switch a contact, and were left out of the comparison of steps")
    return int(failed > 0)


def import_from(tree: Path) -> None:
    """Import walkies from a tree, also where another is installed as editable, whose finder comes before every path."""
    sys.meta_path[:] = [one for one in sys.meta_path if not type(one).__module__.startswith("_editable_")]
    import walkies

    found = Path(walkies.__file__).resolve()
    if not found.is_relative_to(tree):
        sys.exit(f"equal.py: walkies came from {found}, expected {tree}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--probe"]:
        import_from(Path(sys.argv[4]))
        probe(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(tyro.cli(main))
