"""What a robot's model shows only as it moves: whether it stands on its servos, what these do not hold up, and whether
its parts can meet."""

from __future__ import annotations

import copy

import numpy as np

from walkies.later import mujoco
from walkies.robots.base import Robot

HELD, LEANING, LOW = 3.0, 0.5, 0.5
"""s, rad and of its height: how long a robot that stands by itself does, how upright and how high."""
WEAK = 0.6
"""Of their stiffness, that servos have then: no task has weaker ones."""
FIRM = 0.5
"""Of a weak servo's stiffness, that gravity may take for a joint to be held: it then gives way twice as far."""
TURN = 1e-3
"""rad by which a joint is turned to see how much harder gravity pulls."""
POSES = 1000
"""How many are tried for parts that meet."""
CLEAR = 10.0
"""Of its height: how far above the ground they are tried."""


def stands(model: mujoco.MjModel, robot: Robot) -> bool:
    """Whether a robot still stands after some seconds in which its servos hold its pose, weak as they may be.

    Args:
        model: with the numbers of its record, whose keyframe is the pose.
    """
    model = copy.copy(model)
    model.actuator_gainprm[:, 0] *= WEAK
    model.actuator_biasprm[:, 1] *= WEAK
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.ctrl[:] = robot.default_pose
    while data.time < HELD:
        mujoco.mj_step(model, data)
    upright = 1.0 - 2.0 * (data.qpos[4] ** 2 + data.qpos[5] ** 2)
    return bool(upright > np.cos(LEANING) and data.qpos[2] > LOW * robot.standing_height)


def topples(model: mujoco.MjModel, robot: Robot) -> tuple[int, ...]:
    """Joints of no leg that do not hold what they carry: servos, weak as they may be, are little stiffer than gravity.

    A load above a joint pulls it further the further it is out: that stiffness is compared with the servo's.

    Args:
        model: as in `stands`.

    Returns:
        Their numbers in the robot's record.
    """
    data, found = mujoco.MjData(model), []
    kp = np.broadcast_to(robot.kp, robot.num_joints)
    for joint in robot.idle_joints:
        hinge = model.joint(robot.joint_names[joint])
        pull = []
        for turn in (-TURN, TURN):
            mujoco.mj_resetDataKeyframe(model, data, 0)
            data.qpos[hinge.qposadr[0]] += turn
            mujoco.mj_forward(model, data)
            pull.append(data.qfrc_bias[hinge.dofadr[0]])
        if (pull[0] - pull[1]) / (2.0 * TURN) > FIRM * WEAK * kp[joint]:
            found.append(joint)
    return tuple(found)


def meet(model: mujoco.MjModel, robot: Robot) -> bool:
    """Whether parts of a robot touch one another in any of many random poses, as far away as one unit of action.

    Args:
        model: as in `stands`.
    """
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qpos[2] += CLEAR * robot.standing_height
    joints = [model.joint(name).qposadr[0] for name in robot.joint_names]
    pose, (low, high) = np.array(robot.default_pose), robot.target_limits()
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (POSES, robot.num_joints))
    for angles in np.clip(pose + actions * np.broadcast_to(robot.action_scale, robot.num_joints), low, high):
        data.qpos[joints] = angles
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        if (data.contact.dist <= 0.0).any():
            return True
    return False
