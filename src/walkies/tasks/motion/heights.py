"""How high a robot is in the frames of a movement, which a policy file does not say."""

from __future__ import annotations

import numpy as np

from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.tasks.motion.movement import Movement


def heights(movement: Movement, robot: Robot, model: mujoco.MjModel) -> np.ndarray:
    """(T,) m of the trunk's origin in each frame, with the robot's lowest collider on the ground."""
    data, joints = mujoco.MjData(model), [model.joint(name).qposadr[0] for name in robot.joint_names]
    geoms = [model.geom(name).id for name in (*robot.foot_geoms, *robot.knee_geoms, *robot.torso_geoms)]
    found = []
    for angles, orientation in zip(movement.joint_pos, movement.anchor_quat_wxyz, strict=True):
        data.qpos[joints], data.qpos[:7] = angles, [0.0, 0.0, 0.0, *orientation]
        mujoco.mj_kinematics(model, data)
        found.append(-float((data.geom_xpos[geoms, 2] - model.geom_size[geoms, 0]).min()))
    return np.array(found)
