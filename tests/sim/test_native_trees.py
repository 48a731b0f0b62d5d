"""The engine takes any tree of hinges: accelerations in float64 against MuJoCo's converged ones, at random states of
bipeds, hexapods, a quadruped with an arm, a humanoid, and of trees that chance made."""

from __future__ import annotations

import ctypes
import dataclasses
from collections import Counter
from collections.abc import Iterator

import hypothesis
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from hypothesis import strategies

import made_trees
from sim import native_cases as cases
from walkies.accel import library
from walkies.sim.engine import check, static
from walkies.sim.engine import model as engine_model
from walkies.sim.engine.model import LeggedModel, pack, read_model
from walkies.sim.native import NativeSimulator

BOUND = 1e-9
"""As in test_native_exact."""


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def errors(
    model: mujoco.MjModel, seed: int, sets: int, states: int, legged: LeggedModel | None = None
) -> tuple[np.ndarray, Counter[str]]:
    """Errors of the engine's accelerations at `sets` random parameter sets × `states` random states, and how often each
    kind of constraint occurred. `legged` replaces what the engine makes of the model."""
    rng = np.random.default_rng(seed)
    models = [cases.randomized(model, rng) for _ in range(sets)]
    height = 0.1 + np.abs(model.body_pos[2:]).sum() / 3
    batches = [cases.random_states(model, states, rng, np.zeros(model.nu), min(height, 0.6)) for _ in models]
    seen: Counter[str] = Counter()
    truth = np.concatenate([cases.reference(cases.converged(m), b, seen) for m, b in zip(models, batches, strict=True)])
    qpos, qvel, warmstart, target = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    simulator = NativeSimulator(model, 1, "exact", threads=1, dtype="float64")
    simulator.legged = legged or simulator.legged
    params = jax.tree.map(np.asarray, cases.stacked_params(models, states))
    packed = jnp.asarray(pack(simulator.legged, params, len(qpos), np, np.float64))
    after, readings = simulator.step(packed, cases.make_state(qpos, qvel, warmstart), target[:, None])
    assert readings.ok.all()
    return cases.relative_error(np.asarray(after.qacc_warmstart), truth), seen


@pytest.mark.parametrize("name", made_trees.MADE)
def test_made_robot_equals_mujoco(name: str) -> None:
    found, seen = errors(made_trees.made(name), seed=1, sets=8, states=15)
    assert min(seen[kind] for kind in cases.ALL_KINDS) >= 3, seen
    assert found.max() <= BOUND


@hypothesis.settings(max_examples=50, derandomize=True, deadline=None, database=None)
@hypothesis.given(strategies.integers(0, 10**6))
def test_random_tree_equals_mujoco(seed: int) -> None:
    model = mujoco.MjModel.from_xml_string(made_trees.random_tree(seed))
    found, _ = errors(model, seed=seed, sets=2, states=4)
    assert found.max() <= BOUND


def wrong_arms(legged: LeggedModel) -> LeggedModel:
    """The right arm hangs from the last joint but one of the waist."""
    constants = legged.constants.copy()
    joint = engine_model.MODEL_NUMBERS + 22 * engine_model.JOINT_NUMBERS
    assert constants[joint] == 14
    constants[joint] = 13
    return dataclasses.replace(legged, constants=constants)


def test_a_swapped_branch_is_noticed() -> None:
    """Negative control: a chain that hangs from another joint of the same tree."""
    model = made_trees.made("humanoid 29")
    legged = read_model(model)
    assert errors(model, 2, 1, 10, legged)[0].max() <= BOUND
    assert errors(model, 2, 1, 10, wrong_arms(legged))[0].max() > 1e6 * BOUND


def test_a_missing_armature_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the last hinge of an arm without its rotor."""
    model = made_trees.made("quadruped with arm")
    right = cases.stacked_params

    def without(models: list[mujoco.MjModel], repeats: int) -> object:
        params = right(models, repeats)
        return params._replace(dof_armature=params.dof_armature.at[:, -1].set(0.0))

    monkeypatch.setattr(cases, "stacked_params", without)
    assert errors(model, 2, 1, 10)[0].max() > 1e6 * BOUND


def test_python_and_the_engine_state_one_layout() -> None:
    """What layout.h says is what Python writes."""
    sizes = library.library().walkies_physics_layout
    sizes.restype = ctypes.POINTER(ctypes.c_int)
    limits = (check.MAX_JOINTS, check.MAX_COLLIDERS, check.MAX_SURFACES)
    of_static = (static.KIND_NUMBERS, static.TOUCH_NUMBERS, static.FIELD_NUMBERS, static.BOX_NUMBERS)
    most_static = (static.MAX_KINDS, static.MAX_BOXES, static.MAX_NEAR, static.MAX_CELLS, static.MAX_FIELDS)
    expected = [
        engine_model.MODEL_NUMBERS,
        engine_model.JOINT_NUMBERS,
        engine_model.COLLIDER_NUMBERS,
        engine_model.BODY_PARAMS,
        engine_model.JOINT_PARAMS,
        engine_model.COLLIDER_PARAMS,
        engine_model.WORLD_PARAMS,
        engine_model.SURFACE_PARAMS,
        *limits,
        engine_model.PAIR_NUMBERS,
        check.MAX_PAIRS,
        *of_static,
        *most_static,
        static.MAX_PRISMS,
    ]
    assert sizes()[: len(expected)] == expected
    model = made_trees.made("humanoid 29")
    legged, joints, colliders = read_model(model), 29, int(np.sum(model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE))
    assert len(legged.constants) == expected[0] + joints * expected[1] + colliders * expected[2]
    packed = pack(legged, jax.tree.map(np.asarray, cases.stacked_params([model], 1)), 1, np, np.float64)
    params = (joints + 1) * expected[3] + joints * expected[4] + colliders * expected[5] + expected[6] + expected[7]
    assert packed.shape == (1, params)
