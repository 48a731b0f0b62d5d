"""Robots of checkpoints of before become today's."""

import jax
import numpy as np
import pytest

from sim.random_robots import random_params
from walkies.robots import PUPPER, load_model
from walkies.run.editions import ROBOTS, upgraded
from walkies.sim.native import NativeSimulator

N, BODIES, HINGES = 3, 13, 12


@pytest.fixture(scope="module")
def rows():
    """(simulator, rows of today, rows as the engine for legs of equal length had them) of robots that differ."""
    model = load_model(PUPPER, own_contacts=False, visuals=False)
    params = jax.tree.map(np.asarray, random_params(model, N, seed=0))
    simulator = NativeSimulator(model)
    today = np.array(simulator.prepare(params, N))
    start, end = 10 * BODIES, 10 * BODIES + 8 * HINGES
    spheres = len(simulator.legged.sphere_bodies)
    inverse = 1 / params.body_invweight0.astype(np.float32)
    bodies = np.concatenate([today[:, :start].reshape(N, BODIES, 10), inverse[:, :, None]], axis=2)
    gravity, friction, rest = np.split(today[:, end + spheres :], [3, 4], axis=1)
    legs = np.concatenate([bodies.reshape(N, -1), today[:, start:end], friction, gravity, rest], axis=1)
    return simulator, today, legs


OTHERS = {f"{ROBOTS}.physics.targets": np.zeros((N, 4, HINGES), np.float32), "learner.steps": np.zeros(2)}


def test_a_row_of_the_engine_for_legs_is_that_of_the_engine_for_trees(rows):
    simulator, today, legs = rows
    assert legs.shape == (N, 252) and today.shape == (N, 255)
    known = OTHERS | {f"{ROBOTS}.params": legs, f"{ROBOTS}.delays.command": np.zeros(N, np.int32)}
    found = upgraded(known, simulator.legged.sphere_bodies)
    np.testing.assert_allclose(found[f"{ROBOTS}.params"], today, rtol=1e-6)
    assert upgraded(found, simulator.legged.sphere_bodies) is found
    assert upgraded(known) is known, "another simulator's parameters stay as they are"
    swapped = upgraded(known, simulator.legged.sphere_bodies[::-1])[f"{ROBOTS}.params"]
    assert np.abs(swapped - today).max() > 0.1, "the control"


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
