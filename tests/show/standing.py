"""A policy that stands still, for tests of what is shown; nothing was trained."""

import numpy as np

from pupper_frame import FRAME_SIZE, SLICES
from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.robots import get_robot


def standing_policy(command_gain=0.0, bias=0.0, command_range=None):
    """Zero action; plus `command_gain` × the forward command, plus tanh of `bias`, on every joint."""
    robot = get_robot("pupper")
    weights = np.zeros((FRAME_SIZE, robot.num_joints))
    weights[SLICES["command"].start] = command_gain
    return PolicyFile(
        layers=(Layer(weights, np.full(robot.num_joints, float(bias)), "tanh"),),
        observation_history=1,
        kp=robot.kp,
        kd=robot.kd,
        action_scale=(0.75,) * robot.num_joints,
        default_joint_pos=robot.default_pose,
        joint_lower_limits=robot.lower_limits,
        joint_upper_limits=robot.upper_limits,
        walkies={"robot": "pupper", **({"command_range": command_range} if command_range else {})},
    )
