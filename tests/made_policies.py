"""Policies that nobody has trained, for any robot: small networks of random weights, and some that only stand."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from walkies.deploy.blocks import NO_HOLD, Blocks
from walkies.deploy.policy_file import PolicyFile, export
from walkies.robots.base import Robot
from walkies.tasks.contract import Contract
from walkies.tasks.gait.presets import TRICK
from walkies.tasks.gait.task import GaitConfig, reference
from walkies.tasks.motion.movement import Clip, Movement
from walkies.tasks.signal import FRAME, GAIT


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


def still(path: Path, robot: Robot, observation: tuple[str, ...] = FRAME, **options: object) -> PolicyFile:
    """A policy, written to `path`, that stands in the default pose whatever it is shown."""
    contract = Contract(robot, observation=observation)
    size = contract.observation_size
    layers = [(np.zeros((size, robot.num_joints)), np.zeros(robot.num_joints))]
    return export(path, layers, "elu", np.zeros(size), contract.informative(), contract, **options)  # type: ignore[arg-type]


LENGTH = 20
"""Frames of each clip of `movement`, 50 a second."""


def movement(robot: Robot) -> Movement:
    """`stand` loops in the default pose, `bow` leans, comes back and goes on to it, `sit` is held at its end."""
    share = np.linspace(0.0, 1.0, LENGTH)
    size = np.concatenate([0.0 * share, np.sin(np.pi * share), share])
    angles = np.array(robot.default_pose) + 0.2 * size[:, None] * np.cos(np.arange(robot.num_joints))
    half = 0.15 * size
    anchor = np.stack([np.cos(half), 0.0 * half, np.sin(half), 0.0 * half], axis=1)
    names = (("stand", True, None), ("bow", False, "stand"), ("sit", False, None))
    clips = (Clip(name, i * LENGTH, (i + 1) * LENGTH, loop, after) for i, (name, loop, after) in enumerate(names))
    return Movement("made", 50.0, angles, np.gradient(angles, axis=0) * 50.0, anchor, tuple(clips))


def still_trick(path: Path, robot: Robot) -> PolicyFile:
    """`still`, shown `movement` and no command."""
    return still(path, robot, TRICK.observation, blocks=Blocks(trick=movement(robot)))


def still_gait(path: Path, robot: Robot, tables: str = "trot-lift") -> PolicyFile:
    """`still`, shown a command and a gait."""
    gait = reference(GaitConfig(tables=tables), robot)  # type: ignore[arg-type]
    return still(path, robot, (*FRAME, GAIT), blocks=Blocks(heading_hold=NO_HOLD, gait_reference=gait))
