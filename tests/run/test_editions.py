"""Robots of checkpoints of before become today's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sim.random_robots import random_params
from walkies.robots import PUPPER, load_model
from walkies.run.saved.editions import ROBOTS, upgraded
from walkies.sim.actuation import sensed
from walkies.sim.native import NativeSimulator

N, BODIES, HINGES = 3, 13, 12


@pytest.fixture(scope="module")
def rows():
    """(simulator, rows of today, rows as the engine for legs of equal length had them) of robots that differ."""
    model = load_model(PUPPER, own_contacts=False, visuals=False)
    params = jax.tree.map(np.asarray, random_params(model, N, seed=0)._replace(torsion=np.ones(N, np.float32)))
    simulator = NativeSimulator(model)
    today = np.array(simulator.prepare(params, N))
    start, end = 10 * BODIES, 10 * BODIES + 8 * HINGES
    spheres = len(simulator.legged.sphere_bodies)
    inverse = 1 / params.body_invweight0.astype(np.float32)
    bodies = np.concatenate([today[:, :start].reshape(N, BODIES, 10), inverse[:, :, None]], axis=2)
    gravity, friction, _, rest = np.split(today[:, end + spheres :], [3, 4, 5], axis=1)
    legs = np.concatenate([bodies.reshape(N, -1), today[:, start:end], friction, gravity, rest], axis=1)
    return simulator, today, legs


OTHERS = {f"{ROBOTS}.physics.targets": np.zeros((N, 4, HINGES), np.float32), "learner.steps": np.zeros(2)}


def test_a_row_of_the_engine_for_legs_is_that_of_the_engine_for_trees(rows):
    simulator, today, legs = rows
    assert legs.shape == (N, 252) and today.shape == (N, 256)
    known = OTHERS | {f"{ROBOTS}.params": legs, f"{ROBOTS}.delays.command": np.zeros(N, np.int32)}
    found = upgraded(known, simulator.legged.sphere_bodies)
    np.testing.assert_allclose(found[f"{ROBOTS}.params"], today, rtol=1e-6)
    assert upgraded(found, simulator.legged.sphere_bodies) is found
    assert upgraded(known) is known, "another simulator's parameters stay as they are"
    swapped = upgraded(known, simulator.legged.sphere_bodies[::-1])[f"{ROBOTS}.params"]
    assert np.abs(swapped - today).max() > 0.1, "the control"


def test_contacts_of_before_had_the_models_torsional_friction(rows):
    """Of one kind of contact, and of two."""
    simulator, today, _ = rows
    bodies = simulator.legged.sphere_bodies
    before = np.delete(today, -10, axis=1)
    found = upgraded(OTHERS | {f"{ROBOTS}.params": before}, bodies)
    np.testing.assert_array_equal(found[f"{ROBOTS}.params"], today)
    assert (today[:, -10] == 1).all() and (np.abs(np.delete(before, -10, axis=1)[:, -9:] - 1) > 1e-3).any()
    twice = [np.concatenate([row, row[:, -size:]], axis=1) for row, size in ((before, 10), (today, 11))]
    found = upgraded(OTHERS | {f"{ROBOTS}.params": twice[0]}, bodies, surfaces=2)
    np.testing.assert_array_equal(found[f"{ROBOTS}.params"], twice[1])
    known = OTHERS | {f"{ROBOTS}.params": twice[0]}
    assert upgraded(known, bodies) is known, "control: not with another number of kinds"


def test_a_late_imu_of_before_is_read_as_it_was():
    """One reading of each control step was kept, at the age that the robot's delay leaves within a step; today it is
    every physics step's. Control: a delay that the robot does not have reads another."""
    substeps, longest, delays = 5, 12, np.array([0, 7, 12])
    history = np.arange(40.0)  # of each physics step, oldest first
    past = [[[history[-1 - k * substeps - d % substeps]] * 6 for k in range(longest // substeps)] for d in delays]
    old = {f"{ROBOTS}.imu.past": np.array(past), f"{ROBOTS}.imu.lag": delays // substeps, "learner.steps": np.zeros(2)}
    rows = longest - substeps + 1
    found = upgraded(old, imu_rows=rows, substeps=substeps)
    assert set(found) == {f"{ROBOTS}.imu", "learner.steps"} and found[f"{ROBOTS}.imu"].shape == (3, rows, 6)
    newer = jnp.repeat((40.0 + jnp.arange(substeps))[None, :, None], 6, axis=2)
    for ages, right in ((delays, True), (delays + np.array([6, 1, -1]), False)):
        _, read = sensed(
            jnp.asarray(found[f"{ROBOTS}.imu"]), jnp.broadcast_to(newer, (3, substeps, 6)), jnp.asarray(ages)
        )
        assert (np.array(read[:, 0]) == 44.0 - ages).all() == right


def test_every_fade_in_of_before_took_a_second():
    known = {f"{ROBOTS}.clock": np.array([0.0, 3.0], np.float32)}
    found = upgraded(known)
    assert found[f"{ROBOTS}.fade_in"].tolist() == [1.0, 1.0] and found[f"{ROBOTS}.fade_in"].dtype == np.float32
    today = known | {f"{ROBOTS}.fade_in": np.array([1.5, 2.0], np.float32)}
    assert upgraded(today) is today


def test_the_engines_row_of_the_first_edition_is_todays_and_two_delays(rows):
    simulator, today, legs = rows
    # As it was written then: no speed without torque, and the delays at the end.
    speeds = 11 * BODIES + 8 * np.arange(HINGES) + 3
    delays = np.array([[5.0, 2.0], [0.0, 8.0], [1.0, 4.0]], np.float32)
    old = np.concatenate([np.delete(legs, speeds, axis=1), delays], axis=1)
    assert old.shape == (N, 242)
    found = upgraded(OTHERS | {f"{ROBOTS}.params": old}, simulator.legged.sphere_bodies)
    unlimited = today.copy()
    unlimited[:, 10 * BODIES + 8 * np.arange(HINGES) + 3] = 0.0
    np.testing.assert_allclose(found[f"{ROBOTS}.params"], unlimited, rtol=1e-6)
    np.testing.assert_array_equal(found[f"{ROBOTS}.delays.command"], [5, 0, 1])
    np.testing.assert_array_equal(found[f"{ROBOTS}.delays.imu"], [2, 8, 4])
    assert found[f"{ROBOTS}.delays.imu"].dtype == np.int32
    # A checkpoint of something else stays as it is.
    for foreign in ({}, OTHERS, OTHERS | {f"{ROBOTS}.params": today}):
        assert upgraded(foreign, simulator.legged.sphere_bodies) is foreign
