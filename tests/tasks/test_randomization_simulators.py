"""Whatever is drawn with a robot or during its life moves it, and alike in the native engine and in MuJoCo."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.robots import PUPPER, load_model
from walkies.sim import actuation, nominal_params
from walkies.sim.actuation import initial_state
from walkies.sim.mujoco import MujocoSimulator
from walkies.sim.native import NativeSimulator
from walkies.tasks.randomization import NONE, WALKIES, Range, quantities
from walkies.tasks.randomization.draw import draw
from walkies.tasks.walk import Walk, WalkConfig

ROBOTS, CONTROL_STEPS = 8, 8
WIDE = {
    "mass": Range(0.7, 1.4), "stretch": Range(0.7, 1.4), "shear": Range(-0.4, 0.4), "com_x": Range(-0.05, 0.05),
    "com_y": Range(-0.03, 0.03), "com_z": Range(-0.03, 0.03), "link_com": Range(-0.01, 0.01),
    "payload": Range(-0.3, 0.6), "payload_x": Range(-0.1, 0.1), "payload_height": Range(0.0, 0.2),
    "friction": Range(0.1, 0.4), "torsion": Range(3.0, 6.0),
    "softness": Range(0.5, 2.0), "depth": Range(0.3, 3.0), "slope": Range(0.1, 0.2),
    "kp": Range(0.5, 1.5), "kd": Range(0.5, 2.0), "strength": Range(0.3, 1.5), "frictionloss": Range(0.2, 2.0),
    "damping": Range(0.0, 5.0), "armature": Range(0.3, 3.0), "command_delay": Range(0.004, 0.06),
    "imu_delay": Range(0.004, 0.016),
}  # fmt: skip
TOGETHER = {"payload_x": {"payload": Range(0.4, 0.4)}, "payload_height": {"payload": Range(0.4, 0.4)}}
"""Where a payload is matters only where there is one."""
GROUP = {q.name: q.group for q in quantities(WALKIES)}


def test_all_that_changes_physics_is_here():
    assert {q.name for q in quantities(WALKIES) if q.drawn == "episode" and q.group != "sensing"} == set(WIDE)


@functools.cache
def simulators():
    """Both, converged, without contacts between the robot's own parts."""
    model = load_model(
        PUPPER, own_contacts=False, visuals=False, ground_sensors=True, solver_iterations=100, torsion=True
    )
    model.opt.tolerance, model.opt.ls_tolerance = 0, 1e-10
    both = NativeSimulator(model, solver="exact", threads=1), MujocoSimulator(model, threads=1)

    def stepped(simulator, params, delays, state, target):
        state, readings = actuation.step(simulator, params, state, target, delays.command)
        return state, actuation.sensed(None, readings.imu, delays.imu)[1]

    return [(simulator, jax.jit(functools.partial(stepped, simulator))) for simulator in both]


def motion(which: int, **values) -> np.ndarray:
    """(ROBOTS, …) where robots are that are dropped and told to move, and what their IMU last said."""
    simulator, step = simulators()[which]
    group = GROUP[next(reversed(values))] if values else "body"
    config = replace(NONE, **{group: replace(getattr(NONE, group), **values)})
    nominal = nominal_params(simulator.model, PUPPER)
    drawn = draw(jax.random.key(1), ROBOTS, config, nominal, simulator.timestep)
    rng = np.random.default_rng(0)
    pose = np.tile(PUPPER.default_pose, (ROBOTS, 1))
    qpos = np.hstack([np.tile([0, 0, 0.165, 1, 0, 0, 0], (ROBOTS, 1)), pose])
    state = initial_state(*(jnp.asarray(x, jnp.float32) for x in (qpos, np.zeros((ROBOTS, 18)), pose)))
    prepared = simulator.prepare(drawn.params, ROBOTS)
    for target in pose + rng.normal(0, 0.3, (CONTROL_STEPS, ROBOTS, 12)):
        state, imu = step(prepared, drawn.delays, state, jnp.asarray(target, jnp.float32))
    return np.hstack([state.qpos, 0.1 * imu[:, :3], imu[:, 3:]])


@pytest.mark.parametrize("name", WIDE)
def test_both_simulators_move_alike_and_otherwise_than_the_nominal_robot(name):
    values = TOGETHER.get(name, {}) | {name: WIDE[name]}
    native, mujoco = motion(0, **values), motion(1, **values)
    disagree, effect = np.abs(native - mujoco).max(axis=1), np.abs(native - motion(0)).max(axis=1)
    assert np.median(disagree) < 1e-4 and np.median(effect) > 1e-3, (np.median(disagree), np.median(effect))
    assert np.median(effect) > 20 * np.median(disagree)


EVERYTHING = replace(
    WALKIES,
    latency=replace(
        WALKIES.latency, command_jitter=Range(0.0, 0.02), command_delay=Range(0.0, 0.03), imu_delay=Range(0.0, 0.06)
    ),
    pushes=replace(WALKIES.pushes, kick_interval=0.1, force=Range(5.0, 10.0), force_interval=0.02),
)


@functools.cache
def living(which: int):
    """Compiled: what robots (STEPS, n, 36) sense that move at random, from a difficulty and the number of a draw.

    After so much training that the ground holds turning feet: without any of that, MuJoCo's contacts are others.
    """
    simulator, _ = simulators()[which]
    walk = Walk(PUPPER, simulator, nominal_params(simulator.model, PUPPER), WalkConfig(randomization=EVERYTHING))

    def life(difficulty: jax.Array, seed: jax.Array) -> jax.Array:
        task, key = walk.at(jnp.float32(walk.config.twisting.steps), difficulty), jax.random.key(seed)

        def step(state, key):
            action = jax.random.uniform(key, (4 * ROBOTS, 12), minval=-0.5, maxval=0.5)
            state, _ = task.step(state, action, key)
            return state, state.history[:, :36]

        return jax.lax.scan(step, task.reset(key, 4 * ROBOTS), jax.random.split(key, CONTROL_STEPS))[1]

    return jax.jit(life, compiler_options={"xla_backend_optimization_level": 0})


@pytest.mark.parametrize("difficulty", [0.4])
def test_lives_with_everything_on_are_alike_in_both_simulators(difficulty):
    """Slopes, late and jittering commands, a late IMU, biases, noise, kicks and forces, at any difficulty; another
    difficulty or draw is another life."""
    native, mujoco = (np.array(living(which)(difficulty, 2)) for which in (0, 1))
    apart = lambda other: np.median(np.abs(mujoco - other).max(axis=(0, 2)))  # noqa: E731
    assert apart(native) < 2e-3
    assert apart(living(1)(0.7, 2)) > 0.1 and apart(living(1)(difficulty, 3)) > 0.1
