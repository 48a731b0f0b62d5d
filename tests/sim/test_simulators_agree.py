"""The native engine and MuJoCo give the same next state and the same readings, field by field."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from precision import double_precision
from sim.random_robots import held, random_params, random_start
from walkies.robots import PUPPER, load_model
from walkies.sim.base import Params, Readings, Simulator, State
from walkies.sim.mujoco import MujocoSimulator
from walkies.sim.native import NativeSimulator

ROBOTS = 64
SAME = 1e-5
"""Relative difference that single precision explains."""


@functools.cache
def mujoco_simulator() -> MujocoSimulator:
    """Converged, and without the contacts between own parts that the native engine leaves out."""
    model = load_model(
        PUPPER, own_contacts=False, visuals=False, ground_sensors=True, solver_iterations=100, torsion=True
    )
    model.opt.tolerance, model.opt.ls_tolerance = 0, 1e-10
    return MujocoSimulator(model, threads=1)


Case = tuple[Params, State, jax.Array, jax.Array]


def outcomes(
    simulator: Simulator, params: Params, state: State, targets: jax.Array, force: jax.Array
) -> tuple[State, Readings]:
    return jax.jit(simulator.step)(simulator.prepare(params, len(state.qpos)), state, targets, force)


def scenario(seed: int) -> Case:
    """Robots standing and lying on the ground, with a warm start; their targets change with every physics step, motors
    weaken with speed, and half of them are pushed."""
    model = load_model(PUPPER, own_contacts=False, visuals=False, ground_sensors=True, torsion=True)
    simulator = MujocoSimulator(model, threads=1)
    params = random_params(simulator.model, ROBOTS, seed)
    rng = np.random.default_rng(seed)
    state, targets = random_start(ROBOTS, 10, seed)
    lying = rng.normal(0, 1, (ROBOTS // 2, 4))
    lying /= np.linalg.norm(lying, axis=1, keepdims=True)
    state = state._replace(qpos=state.qpos.at[: ROBOTS // 2, 3:7].set(jnp.asarray(lying, state.qpos.dtype)))
    prepared, step = simulator.prepare(params, ROBOTS), jax.jit(simulator.step)
    for target in targets[:5]:
        state, readings = step(prepared, state, held(target))
    assert readings.ok.all()
    state = state._replace(qvel=state.qvel + jnp.asarray(rng.normal(0, 0.2, state.qvel.shape), state.qvel.dtype))
    force = rng.normal(0, 5, (ROBOTS, 3)) * (np.arange(ROBOTS) % 2)[:, None]
    return params, state, jnp.asarray(targets[5:].transpose(1, 0, 2)), jnp.asarray(force, state.qpos.dtype)


@functools.cache
def single_precision() -> tuple[Case, tuple[State, Readings]]:
    """A scenario in float32 and what MuJoCo makes of it."""
    case = scenario(seed=1)
    return case, outcomes(mujoco_simulator(), *case)


def differences(one: tuple[State, Readings], other: tuple[State, Readings]) -> dict[str, np.ndarray]:
    """Per field, each robot's largest difference relative to the field's size in that robot (at least 1)."""
    found = {}
    for mine, yours in zip(one, other, strict=True):
        for name in mine._fields:
            a, b = (np.asarray(getattr(x, name), np.float64).reshape(ROBOTS, -1) for x in (mine, yours))
            found[name] = np.abs(a - b).max(axis=1) / np.maximum(1, np.abs(b).max(axis=1))
    return found


def test_they_agree_in_float64() -> None:
    with double_precision():
        case = scenario(seed=2)
        mujoco = mujoco_simulator()
        native = NativeSimulator(mujoco.model, solver="exact", dtype="float64")
        assert native.spheres == mujoco.spheres
        expected = outcomes(mujoco, *case)
        forces = np.asarray(expected[1].contact_force)[:, :, 2]
        touched = dict(zip(mujoco.spheres, (forces > 1).sum(axis=0), strict=True))
        for role in (PUPPER.foot_geoms, PUPPER.knee_geoms, PUPPER.torso_geoms):
            assert sum(touched[name] for name in role) >= 5, "spheres of every role carry load"
        for name, difference in differences(outcomes(native, *case), expected).items():
            assert difference.max() < 1e-6, name
        assert expected[1].ok.all()


def test_they_agree_in_float32() -> None:
    """Single precision: most robots to its rounding, and none far off, for contacts may begin a step apart."""
    case = scenario(seed=1)
    mujoco = mujoco_simulator()
    expected = outcomes(mujoco, *case)
    for name, difference in differences(
        outcomes(NativeSimulator(mujoco.model, solver="exact"), *case), expected
    ).items():
        assert np.quantile(difference, 0.9) < 1e-3, name
        assert difference.max() < 0.05, name


FAULTS = ["joint order", "order of targets", "friction", "torsion", "sphere order", "torque speed", "force", "slope"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_would_be_noticed(fault: str) -> None:
    (params, state, targets, force), expected = single_precision()
    if fault == "joint order":
        targets = targets[:, :, jnp.array([1, 0, *range(2, 12)])]
    elif fault == "order of targets":
        targets = targets[:, ::-1]
    elif fault == "friction":
        params = params._replace(friction=params.friction * 0.9)
    elif fault == "torsion":
        params = params._replace(torsion=jnp.zeros(1))
    elif fault == "torque speed":
        params = params._replace(torque_speed=params.torque_speed * 1.1)
    elif fault == "force":
        force = -force
    elif fault == "slope":
        params = params._replace(gravity=params.gravity * jnp.array([1.0, -1.0, 1.0]))
    state_after, readings = outcomes(mujoco_simulator(), params, state, targets, force)
    if fault == "sphere order":
        readings = readings._replace(contact_distance=readings.contact_distance[:, ::-1])
    found = differences((state_after, readings), expected)
    assert any(np.quantile(difference, 0.9) > 10 * SAME for difference in found.values())
