"""Robots of the first edition's checkpoints become today's."""

import jax
import numpy as np

from walkies.robots import PUPPER, load_model
from walkies.run.editions import ROBOTS, upgraded
from walkies.sim import nominal_params
from walkies.sim.native import NativeSimulator


def test_the_engines_row_of_the_first_edition_is_todays_and_two_delays():
    model = load_model(PUPPER, own_contacts=False, visuals=False)
    today = np.array(NativeSimulator(model).prepare(jax.tree.map(np.asarray, nominal_params(model, PUPPER)), 3))
    # As it was written then: no speed without torque, and the delays at the end.
    speeds = 11 * 13 + 8 * np.arange(12) + 3
    delays = np.array([[5.0, 2.0], [0.0, 8.0], [1.0, 4.0]], np.float32)
    old = np.concatenate([np.delete(today, speeds, axis=1), delays], axis=1)
    assert old.shape == (3, 242)
    others = {f"{ROBOTS}.physics.targets": np.zeros((3, 4, 12), np.float32), "learner.steps": np.zeros(2)}
    found = upgraded(others | {f"{ROBOTS}.params": old})
    np.testing.assert_array_equal(found[f"{ROBOTS}.params"], today)
    np.testing.assert_array_equal(found[f"{ROBOTS}.delays.command"], [5, 0, 1])
    np.testing.assert_array_equal(found[f"{ROBOTS}.delays.imu"], [2, 8, 4])
    assert found[f"{ROBOTS}.delays.imu"].dtype == np.int32
    assert upgraded(found) is found
    # A checkpoint of something else stays as it is.
    for foreign in ({}, others, others | {f"{ROBOTS}.params": today}):
        assert upgraded(foreign) is foreign
