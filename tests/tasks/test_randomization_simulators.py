"""Whatever is drawn with a robot moves it, and moves it alike in the native engine and in MuJoCo."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.physics import nominal_params
from walkies.physics.base import initial_state
from walkies.physics.mujoco import MujocoSimulator
from walkies.physics.native import NativeSimulator
from walkies.robots import PUPPER, load_model
from walkies.tasks.randomization import NONE, WALKIES, Range, quantities
from walkies.tasks.randomization_draw import draw

ROBOTS, CONTROL_STEPS = 8, 8
WIDE = {
    "mass": Range(0.7, 1.4), "stretch": Range(0.7, 1.4), "shear": Range(-0.4, 0.4), "com_x": Range(-0.05, 0.05),
    "com_y": Range(-0.03, 0.03), "com_z": Range(-0.03, 0.03), "link_com": Range(-0.01, 0.01),
    "payload": Range(-0.3, 0.6), "payload_x": Range(-0.1, 0.1), "payload_height": Range(0.0, 0.2),
    "friction": Range(0.1, 0.4), "softness": Range(0.5, 2.0), "depth": Range(0.3, 3.0), "slope": Range(0.1, 0.2),
    "kp": Range(0.5, 1.5), "kd": Range(0.5, 2.0), "strength": Range(0.3, 1.5), "frictionloss": Range(0.2, 2.0),
    "damping": Range(0.0, 5.0), "armature": Range(0.3, 3.0), "command_delay": Range(0.004, 0.06),
    "imu_delay": Range(0.004, 0.02),
}  # fmt: skip
TOGETHER = {"payload_x": {"payload": Range(0.4, 0.4)}, "payload_height": {"payload": Range(0.4, 0.4)}}
"""Where a payload is matters only where there is one."""
GROUP = {q.name: q.group for q in quantities(WALKIES)}


def test_all_that_changes_physics_is_here():
    assert {q.name for q in quantities(WALKIES) if q.drawn == "episode" and q.group != "sensing"} == set(WIDE)


@functools.cache
def simulators():
    """Both, converged, without contacts between the robot's own parts."""
    model = load_model(PUPPER, own_contacts=False, visuals=False, ground_sensors=True, solver_iterations=100)
    model.opt.tolerance, model.opt.ls_tolerance = 0, 1e-10
    both = NativeSimulator(model, solver="exact", threads=1), MujocoSimulator(model, threads=1)
    return [(simulator, jax.jit(simulator.step)) for simulator in both]


def motion(which: int, **values) -> np.ndarray:
    """(ROBOTS, …) where robots are that are dropped and told to move, and what their IMU last said."""
    simulator, step = simulators()[which]
    group = GROUP[next(reversed(values))] if values else "body"
    config = replace(NONE, **{group: replace(getattr(NONE, group), **values)})
    nominal = nominal_params(simulator.model)
    params = draw(jax.random.key(1), ROBOTS, config, nominal, simulator.timestep, simulator.substeps).params
    rng = np.random.default_rng(0)
    pose = np.tile(PUPPER.default_pose, (ROBOTS, 1))
    qpos = np.hstack([np.tile([0, 0, 0.165, 1, 0, 0, 0], (ROBOTS, 1)), pose])
    state = initial_state(*(jnp.asarray(x, jnp.float32) for x in (qpos, np.zeros((ROBOTS, 18)), pose)))
    prepared = simulator.prepare(params, ROBOTS)
    for target in pose + rng.normal(0, 0.3, (CONTROL_STEPS, ROBOTS, 12)):
        state, readings = step(prepared, state, jnp.asarray(target, jnp.float32))
    return np.hstack([state.qpos, 0.1 * readings.gyro, readings.gravity])


@pytest.mark.parametrize("name", WIDE)
def test_both_simulators_move_alike_and_otherwise_than_the_nominal_robot(name):
    values = TOGETHER.get(name, {}) | {name: WIDE[name]}
    native, mujoco = motion(0, **values), motion(1, **values)
    disagree, effect = np.abs(native - mujoco).max(axis=1), np.abs(native - motion(0)).max(axis=1)
    assert np.median(disagree) < 1e-4 and np.median(effect) > 1e-3, (np.median(disagree), np.median(effect))
    assert np.median(effect) > 20 * np.median(disagree)
