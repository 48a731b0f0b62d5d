"""What several tests of deployment begin with."""

import json

import numpy as np
import pytest

from pupper_frame import FRAME_SIZE, SLICES
from walkies.deploy.policy_file import export
from walkies.robots import get_robot
from walkies.tasks.contract import Contract

RANGE = {"vx": (-0.75, 0.75), "vy": (-0.5, 0.5), "yaw_rate": (-2.0, 2.0)}


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """A document that the robot may walk with, as far as a file can tell."""
    rng = np.random.default_rng(0)
    size = 2 * FRAME_SIZE
    layers = [
        (0.6 * rng.normal(size=(size, 32)) / size**0.5, np.zeros(32)),
        (0.6 * rng.normal(size=(32, 12)) / 32**0.5, np.zeros(12)),
    ]
    scale = np.full(size, 2.0)
    for frame in range(2):
        scale[frame * FRAME_SIZE :][SLICES["desired_up"]] = 0.0
    path = tmp_path_factory.mktemp("sound") / "policy.json"
    export(path, layers, "elu", np.zeros(size), scale, Contract(get_robot("pupper"), 2), command_range=RANGE)
    return json.loads(path.read_text())
