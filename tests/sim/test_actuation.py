"""Delays of commands and of the IMU, and robots that blew up: one law, the same over both simulators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy import stats

from precision import double_precision
from sim import native_cases as cases
from sim import test_unusable as unusable
from sim.random_robots import random_start
from walkies.robots import PUPPER, load_model
from walkies.sim import actuation, make_simulator
from walkies.sim.actuation import MAX_COMMAND_DELAY, TARGET_MEMORY, Delays, State, initial_state
from walkies.sim.base import MAX_NUMBER, Readings
from walkies.sim.mujoco import MujocoSimulator
from walkies.sim.native import NativeSimulator
from walkies.sim.params import read_params

KEY = jax.random.key(0)
BOTH = pytest.mark.parametrize("simulator", ["native", "mujoco"])


def in_force(delay: np.ndarray, substeps: int, memory: int = TARGET_MEMORY) -> np.ndarray:
    """(n, substeps): how many control steps ago the target in force was sent."""
    ages = jnp.broadcast_to(jnp.arange(memory), (len(delay), memory))[..., None]
    return np.array(actuation.targets_in_force(ages, jnp.asarray(delay), substeps))[..., 0]


@pytest.mark.parametrize("substeps", [1, 4, 5])
def test_a_target_is_in_force_once_its_delay_has_passed(substeps: int) -> None:
    delays = np.arange(MAX_COMMAND_DELAY * substeps + 1)
    found = in_force(delays, substeps)
    for delay in delays:
        queue = [None] * delay
        for control_step in range(6):
            for s in range(substeps):
                queue.append(control_step)
                now = queue.pop(0)
                if now is not None:
                    assert found[delay, s] == control_step - now
    # A longer delay acts as the longest.
    np.testing.assert_array_equal(in_force(delays[-1:] + 7, substeps), found[-1:])


def test_a_late_target_is_dropped_once_it_is_overtaken_and_none_comes_back() -> None:
    """Against a list of arrivals, physics step by physics step: in force is the newest that is there."""
    substeps, steps, n = 5, 60, 20
    rng = np.random.default_rng(0)
    delay, extra = rng.integers(0, 8, n), rng.integers(0, 8, (steps, n))
    arrival = substeps * np.arange(steps)[:, None] + delay + extra
    lateness = np.zeros((n, TARGET_MEMORY))
    newest = np.zeros(n, int)
    for k in range(steps):
        lateness = np.concatenate([extra[k][:, None], lateness[:, :-1]], axis=1)
        now = k - in_force(delay[:, None] + lateness, substeps)
        for s in range(substeps):
            there = arrival[: k + 1] <= substeps * k + s
            expected = np.where(there.any(axis=0), k - np.argmax(there[::-1], axis=0), -1)
            seen = expected >= 0
            np.testing.assert_array_equal(now[seen, s], expected[seen])
            assert (now[seen, s] >= newest[seen]).all()
            newest = np.maximum(newest, now[:, s])
    assert (arrival[:-1] >= arrival[1:]).sum() > 50, "the case that matters occurs"


def test_jitter_is_uniform_and_moves_on_with_its_target() -> None:
    seconds = 0.012 * jax.random.uniform(KEY, (5000, 1))
    before = actuation.jittered(jnp.zeros((5000, TARGET_MEMORY)), seconds, 0.004)
    counts = np.bincount(np.array(before[:, 0]).astype(int))
    expected = 5000 * np.array([1, 2, 2, 1]) / 6  # rounding halves the ends
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    after = actuation.jittered(before, jnp.zeros((5000, 1)), 0.004)
    np.testing.assert_array_equal(after[:, 1:], before[:, :-1])
    assert not after[:, 0].any()


@pytest.mark.parametrize("substeps", [1, 5])
def test_a_reading_is_as_old_as_the_delay(substeps: int) -> None:
    """Readings numbered by physics step, for every delay of up to three control steps."""
    delay = jnp.arange(3 * substeps + 1)
    n, longest = len(delay), 3 * substeps
    imu = actuation.late_imu(jnp.full((n, 6), -1.0), actuation.imu_memory(longest, substeps))
    for step in range(5):
        end = (step + 1) * substeps
        readings = jnp.broadcast_to(jnp.arange(end - substeps, end)[:, None] + 0.1 * jnp.arange(6), (n, substeps, 6))
        imu, seen = actuation.sensed(imu, readings, delay)
        expected = end - 1 - np.arange(n)
        np.testing.assert_array_equal(seen[:, 0], np.where(expected < 0, -1, expected))
        np.testing.assert_allclose(seen[:, 5] - seen[:, 0], np.where(expected < 0, 0.0, 0.5), atol=1e-5)


def test_an_imu_of_short_delay_needs_no_memory() -> None:
    assert [actuation.imu_memory(oldest, substeps=5) for oldest in (0, 4, 5, 7)] == [0, 0, 1, 3]
    assert actuation.late_imu(jnp.zeros((3, 6)), 0) is None and actuation.late_imu(jnp.zeros((3, 6)), 1) is not None


def test_an_age_may_change_from_step_to_step() -> None:
    """Of readings numbered by physics step the one of each step's own age. Control: the ages of another step."""
    ages = np.random.default_rng(0).integers(0, 13, (12, 50))
    imu, wrong = actuation.late_imu(jnp.zeros((50, 6)), actuation.imu_memory(12, 5)), 0
    for step, age in enumerate(ages, 1):
        readings = jnp.broadcast_to(jnp.arange(5 * step - 5, 5 * step, dtype=jnp.float32)[:, None], (50, 5, 6))
        imu, seen = actuation.sensed(imu, readings, jnp.asarray(age))
        if step > 3:
            np.testing.assert_array_equal(seen[:, 0], 5 * step - 1 - age)
            wrong += int((np.array(seen[:, 0]) != 5 * step - 1 - ages[step - 2]).sum())
    assert wrong > 300


def converged(simulator: str) -> NativeSimulator | MujocoSimulator:
    """In double precision, without contacts between the robot's own parts."""
    model = load_model(PUPPER, own_contacts=False, visuals=False, ground_sensors=True, solver_iterations=100)
    model.opt.tolerance, model.opt.ls_tolerance = 0, 1e-10
    if simulator == "mujoco":
        return MujocoSimulator(model, threads=1)
    return NativeSimulator(model, solver="exact", threads=1, dtype="float64")


@BOTH
def test_delays_equal_a_plain_loop_with_delayed_controls(simulator: str) -> None:
    """Every command delay against mj_step with the controls shifted by hand; IMU delays against its history."""
    with double_precision():
        made, steps, n = converged(simulator), 5, 16
        rng = np.random.default_rng(4)
        targets = cases.POSE + 0.3 * rng.normal(size=(steps, n, 12))
        delays = Delays(*(jnp.arange(n, dtype=jnp.int32),) * 2)
        qpos = np.tile([0, 0, 0.17, 1, 0, 0, 0, *cases.POSE], (n, 1))
        state = initial_state(jnp.asarray(qpos), jnp.zeros((n, 18)), jnp.tile(cases.POSE, (n, 1)))
        prepared, imu = (
            made.prepare(read_params(made.model), n),
            actuation.late_imu(jnp.zeros((n, 6)), actuation.imu_memory(15, 5)),
        )
        step = jax.jit(functools.partial(actuation.step, made))
        for target in targets:
            state, readings = step(prepared, state, jnp.asarray(target), delays.command)
            imu, seen = actuation.sensed(imu, readings.imu, delays.imu)
    reference = cases.converged(made.model)

    def loop(robot: int, delay: int) -> tuple[np.ndarray, np.ndarray]:
        """Final qpos, and the angular velocity after every physics step."""
        data = mujoco.MjData(reference)
        data.qpos = qpos[robot]
        history = []
        for k in range(steps * 5):
            data.ctrl = targets[(k - delay) // 5, robot] if k >= delay else cases.POSE
            mujoco.mj_step(reference, data)
            history.append(data.qvel[3:6].copy())
        return data.qpos, np.stack(history)

    for robot in range(n):
        final, gyro = loop(robot, delay=robot)
        np.testing.assert_allclose(state.qpos[robot], final, atol=1e-8)
        np.testing.assert_allclose(seen[robot, :3], gyro[-1 - robot], atol=1e-6)
    # Negative control: one physics step of delay more is a different motion.
    assert np.abs(np.asarray(state.qpos[3]) - loop(3, delay=4)[0]).max() > 1e-4
    np.testing.assert_array_equal(state.targets, targets[:0:-1].transpose(1, 0, 2))


ROBOTS, BROKEN = unusable.ROBOTS, unusable.BROKEN
Step = Callable[[Any, State, Any, Any, Any], tuple[State, Readings]]


@functools.cache
def stepper(simulator: str) -> Step:
    """`actuation.step` from parameters, not prepared."""
    made = make_simulator(simulator, PUPPER, threads=1)
    step = jax.jit(lambda params, *rest: actuation.step(made, made.prepare(params, ROBOTS), *rest))
    return lambda *given: jax.tree.map(np.asarray, step(*given))


def given() -> dict[str, Any]:
    """Arguments of a `stepper`."""
    physics, targets = jax.tree.map(np.asarray, random_start(ROBOTS, 1, seed=0))
    memory = np.repeat(targets[0][:, None] + np.float32(0.1), TARGET_MEMORY, axis=1)
    return {
        "params": unusable.given().params,
        "state": State(*physics, memory),
        "target": targets[0],
        "delay": np.full((ROBOTS, TARGET_MEMORY), 3.0, np.float32),
        "force": np.zeros((ROBOTS, 3), np.float32),
    }


def damaged(where: str, value: float) -> dict[str, Any]:
    """The same with a number of one robot's `where` replaced."""
    arguments = given()
    name, _, field = where.partition(".")
    array = np.array(getattr(arguments[name], field) if field else arguments[name])
    array.reshape(len(array), -1)[BROKEN, 0] = value
    arguments[name] = arguments[name]._replace(**{field: array}) if field else array
    return arguments


MENDED = [
    *((f"state.{field}", value) for field in ("qpos", "qvel", "qacc_warmstart", "targets") for value in (np.nan, 1e30)),
    *(("target", value) for value in (np.nan, -np.inf, 2 * MAX_NUMBER)),
    *(("delay", value) for value in (np.nan, np.inf, -1.0)),
    *(("force", value) for value in (np.nan, 2 * MAX_NUMBER)),
    ("params.body_mass", np.nan),
    ("params.friction", 0.0),
    ("state.qvel", 5e4),
]


@BOTH
@pytest.mark.parametrize(("where", "value"), MENDED)
def test_a_broken_robot_comes_back_at_rest_and_touches_no_other(where: str, value: float, simulator: str) -> None:
    whole, found = stepper(simulator)(*given().values()), stepper(simulator)(*damaged(where, value).values())
    others = np.arange(ROBOTS) != BROKEN
    np.testing.assert_array_equal(found[1].ok, others)
    for leaf, expected in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
        # + 0.0: where the engine's solver works on for one lane, the others add zeros, which turn −0 into 0.
        assert (leaf[others] + 0.0).tobytes() == (expected[others] + 0.0).tobytes()
        assert np.isfinite(leaf).all()
    state, readings = found
    qpos = unusable.model().qpos0 if where == "state.qpos" else given()["state"].qpos[BROKEN]
    np.testing.assert_allclose(state.qpos[BROKEN], qpos, atol=1e-6)
    assert not state.qvel[BROKEN].any() and not state.qacc_warmstart[BROKEN].any()
    assert not readings.contact_force[BROKEN].any() and not readings.contact_velocity[BROKEN].any()
    assert np.abs(state.targets[BROKEN]).max() <= MAX_NUMBER
    imu = readings.imu[BROKEN]
    assert not imu[:, :3].any()
    w, x, y, z = qpos[3:7] / np.linalg.norm(qpos[3:7])
    down = [2 * (w * y - x * z), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1]
    np.testing.assert_allclose(imu[:, 3:], [down] * 5, atol=1e-6)


@BOTH
def test_the_spheres_of_a_broken_robot_are_where_it_is(simulator: str) -> None:
    _, readings = stepper(simulator)(*damaged("target", np.nan).values())
    data = mujoco.MjData(unusable.model())
    data.qpos = given()["state"].qpos[BROKEN]
    mujoco.mj_kinematics(unusable.model(), data)
    names = make_simulator("native", PUPPER).spheres
    expected = [data.geom(name).xpos for name in names]
    np.testing.assert_allclose(readings.contact_position[BROKEN], expected, atol=1e-5)
    radius = [unusable.model().geom(name).size[0] for name in names]
    np.testing.assert_allclose(readings.contact_distance[BROKEN], np.array(expected)[:, 2] - radius, atol=1e-5)


USABLE = [("delay", 0.0), ("delay", 100.0), ("target", 0.9 * MAX_NUMBER), ("force", 1.0)]


@BOTH
@pytest.mark.parametrize(("where", "value"), USABLE)
def test_what_is_merely_unusual_is_computed_with(where: str, value: float, simulator: str) -> None:
    assert stepper(simulator)(*damaged(where, value).values())[1].ok.all()


@BOTH
def test_a_quaternion_without_length_is_unusable(simulator: str) -> None:
    arguments = given()
    qpos = arguments["state"].qpos.copy()
    qpos[BROKEN, 3:7] = 0.0
    arguments["state"] = arguments["state"]._replace(qpos=qpos)
    found = stepper(simulator)(*arguments.values())
    np.testing.assert_array_equal(found[1].ok, np.arange(ROBOTS) != BROKEN)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
