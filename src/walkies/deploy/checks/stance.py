"""Foot positions of a robot in a pose, to distinguish a standing pose from one with mixed-up joints."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots import load_model
from walkies.robots.base import Robot


class Stance(NamedTuple):
    """Feet as seen from the first joint of their legs, trunk level; each (legs,) in m, legs in the robot's order."""

    ahead: np.ndarray
    outward: np.ndarray
    """away from the middle of the trunk"""
    below: np.ndarray


def stance(robot: Robot, pose: np.ndarray) -> Stance:
    """Forward kinematics of `pose` (num_joints,), rad."""
    model = _model(robot)
    data = mujoco.MjData(model)
    for name, angle in zip(robot.joint_names, pose, strict=True):
        data.qpos[model.joint(name).qposadr] = angle
    mujoco.mj_kinematics(model, data)
    hip = np.array([data.xanchor[model.joint(robot.joint_names[leg[0]]).id] for leg in robot.legs])
    foot = np.array([data.site(name).xpos for name in robot.foot_sites])
    foot = foot.reshape(len(hip), -1, 3).mean(axis=1)
    side = np.sign(hip[:, 1] - data.body(robot.base_body).xpos[1])
    ahead, left, up = (foot - hip).T
    return Stance(ahead, side * left, -up)


@lru_cache(maxsize=1)
def _model(robot: Robot) -> mujoco.MjModel:
    return load_model(robot, visuals=False)
