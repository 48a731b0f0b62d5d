"""Policies that nobody has trained, for any robot: small networks of random weights."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from walkies.deploy.policy_file import PolicyFile, export
from walkies.robots.base import Robot
from walkies.tasks.contract import Contract
from walkies.tasks.signal import FRAME


def tiny(robot: Robot, history: int = 3, observation: tuple[str, ...] = FRAME, **options: object) -> PolicyFile:
    """A policy with gains, pose and action scale of the robot, that answers to all that it is shown."""
    rng = np.random.default_rng(0)
    contract = Contract(robot, history, None, observation=observation)
    size = contract.observation_size
    layers = [
        (rng.normal(size=(size, 16)) / size**0.5, rng.normal(size=16)),
        (rng.normal(size=(16, robot.num_joints)) / 8.0, 0.15 * rng.normal(size=robot.num_joints)),
    ]
    scale = contract.informative()
    reach = {"vx": (-0.6, 0.6), "vy": (-0.3, 0.3), "yaw_rate": (-1.0, 1.0)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "policy.json"
        return export(path, layers, "elu", np.zeros(size), scale, contract, command_range=reach, **options)  # type: ignore[arg-type]
