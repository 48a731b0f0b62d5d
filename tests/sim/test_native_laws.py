"""Laws of mechanics that hold whatever the engine's equations look like."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from sim import native_cases as cases
from sim.random_robots import held
from walkies.robots import PUPPER
from walkies.sim.base import Params, Readings, State
from walkies.sim.native import NativeSimulator
from walkies.sim.params import read_params


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def run(
    model: mujoco.MjModel, params: Params, state: State, target: np.ndarray, substeps: int, steps: int = 1
) -> tuple[State, Readings]:
    simulator = NativeSimulator(model, substeps, "exact", threads=1, dtype="float64")
    prepared, step = simulator.prepare(params, len(target)), jax.jit(simulator.step)
    for _ in range(steps):
        state, readings = step(prepared, state, held(target, substeps))
    assert readings.ok.all()
    return state, readings


def fine_model(timestep: float) -> mujoco.MjModel:
    """Pupper without joint limits in reach, at a step so small that integration errors vanish."""
    model = cases.pupper()
    model.opt.timestep = timestep
    model.jnt_range[1:] = -100, 100
    return model


def momenta(model: mujoco.MjModel, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear momentum, angular momentum about the centre of mass, and energy of every robot."""
    data, out = mujoco.MjData(model), ([], [], [])
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    for qpos, qvel in zip(np.asarray(state.qpos), np.asarray(state.qvel), strict=True):
        data.qpos, data.qvel = qpos, qvel
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        out[0].append(data.subtree_linvel[1] * model.body_subtreemass[1])
        out[1].append(data.subtree_angmom[1].copy())
        out[2].append(data.energy.sum())
    return tuple(np.stack(x) for x in out)


def tumbling(model: mujoco.MjModel, n: int = 4) -> tuple[State, np.ndarray]:
    """Robots that spin high above the ground while their motors flail."""
    qpos, qvel, warmstart, target = cases.random_states(model, n, np.random.default_rng(0), cases.POSE)
    qpos[:, 2] = 10
    return cases.make_state(qpos, qvel, warmstart * 0), target


def test_free_flight_conserves_momentum() -> None:
    model = fine_model(1e-5)
    state, target = tumbling(model)
    before = momenta(model, state)
    after_state, _ = run(model, read_params(model), state, target, substeps=1000)
    after = momenta(model, after_state)
    fall = model.body_subtreemass[1] * 0.01 * np.array([0, 0, -9.81])
    np.testing.assert_allclose(after[0], before[0] + fall, atol=1e-3 * np.abs(fall).max())
    spin = np.abs(before[1]).max()
    np.testing.assert_allclose(after[1], before[1], atol=1e-3 * spin)
    # Negative control: robots of other masses than the ones whose momentum is counted.
    params = read_params(model)
    heavier = jnp.asarray(params.body_mass).at[:, 3].mul(1.5)
    wrong, _ = run(model, params._replace(body_mass=heavier), state, target, substeps=1000)
    assert np.abs(momenta(model, wrong)[1] - before[1]).max() > 1e-2 * spin


def test_energy_is_conserved_without_losses() -> None:
    model = fine_model(1e-5)
    state, target = tumbling(model)
    params = read_params(model)
    zero = jnp.zeros_like(params.kp)
    lossless = params._replace(kp=zero, kd=zero, dof_damping=zero, dof_frictionloss=zero)
    before = momenta(model, state)[2]
    change = momenta(model, run(model, lossless, state, target, substeps=1000)[0])[2] - before
    # Semi-implicit Euler lets a body fall too far by ½ g dt t, whatever else it does: energy m g times that is its own.
    too_far = 0.5 * 9.81 * model.opt.timestep * (1000 * model.opt.timestep)
    drift = np.abs(change + 9.81 * model.body_subtreemass[1] * too_far)
    # Negative control: with damping it goes down, by far more.
    damped = lossless._replace(dof_damping=zero + 0.5)
    loss = before - momenta(model, run(model, damped, state, target, substeps=1000)[0])[2]
    assert np.all(drift < 0.01 * loss)


def test_a_robot_stands_still_and_the_ground_carries_it() -> None:
    model = cases.pupper()
    qpos = np.array([[0, 0, PUPPER.standing_height + 0.01, 1, 0, 0, 0, *cases.POSE]])
    state = cases.make_state(qpos, np.zeros((1, 18)), np.zeros((1, 18)))
    state, readings = run(model, read_params(model), state, cases.POSE[None], substeps=5, steps=100)
    assert abs(float(state.qpos[0, 2]) - PUPPER.standing_height) < 2e-3
    # MuJoCo's dry friction is soft: joints creep by some thousandths of a rad/s.
    assert np.abs(state.qvel).max() < 1e-2
    weight = 9.81 * model.body_subtreemass[1]
    np.testing.assert_allclose(readings.contact_force.sum(axis=1), [[0, 0, weight]], atol=1e-2 * weight)
    np.testing.assert_allclose(readings.imu[:, -1, 3:], [[0, 0, -1]], atol=0.02)


def test_a_pushed_robot_obeys_newton() -> None:
    """Change of momentum = (ground forces + weight) × time, over one short physics step, on the ground."""
    model = fine_model(1e-6)
    qpos, qvel, warmstart, target = cases.random_states(model, 12, np.random.default_rng(1), cases.POSE)
    qpos[:, 2] = np.random.default_rng(2).uniform(0.08, 0.13, 12)
    state = cases.make_state(qpos, qvel, warmstart * 0)
    after, readings = run(model, read_params(model), state, target, substeps=1)
    change = (momenta(model, after)[0] - momenta(model, state)[0]) / model.opt.timestep
    ground = np.asarray(readings.contact_force.sum(axis=1))
    weight = np.array([0, 0, -9.81 * model.body_subtreemass[1]])
    assert np.count_nonzero(np.abs(ground).max(axis=1) > 1) > 6
    scale = np.abs(change).max()
    np.testing.assert_allclose(change, ground + weight, atol=1e-4 * scale)
    # Negative control: without the ground's forces the law fails.
    assert np.abs(change - weight).max() > 0.1 * scale
