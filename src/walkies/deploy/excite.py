"""A policy file that only shakes the legs, for finding out what the servos of a held robot are like.

The robot's controller runs nothing but policies. So this is one: a single layer whose inputs are its own last actions,
which makes six oscillators a' = tanh(g R(θ) a), two joints each, every pair at another frequency. With g > 1 the origin
is unstable and tanh bounds the growth: a limit cycle (Strogatz, Nonlinear Dynamics and Chaos, ch. 8). No sensor enters.
"""

from __future__ import annotations

import numpy as np

from walkies.deploy.contract import CONTROL_DT, FRAME_SIZE, SLICES
from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.errors import UserError
from walkies.robots.base import Robot

GROWTH = 0.8
"""g = 1 + this times θ: grows within a second or two, but too little for slow oscillators to stand still at ±1."""
KICK = 0.01
"""Bias that leaves rest."""
FREQUENCIES = (0.8, 1.2, 1.7, 2.3, 3.1, 4.2)
"""Hz: slow ones show friction, fast ones damping and latency."""
PAIRS = ((0, 2), (3, 5), (6, 8), (9, 11), (1, 4), (7, 10))
"""Joints that oscillate together: hip and knee of each leg, and the abductions of left and right."""
SWING = (0.45, 0.25, 0.55)
"""rad about the default pose at ±1, of which 0.5 to 0.9 are reached: hip pitch, abduction, knee"""
HISTORY = 3
"""Only the newest frame has weights: the others let a log be put together again where the recorder lost messages."""


def excitation(robot: Robot, kp: float | None = None, kd: float | None = None) -> PolicyFile:
    """The policy, with gains kp and kd (default: the robot's own).

    Raises:
        UserError: the robot has not four legs of three joints.
    """
    if (len(robot.leg_names), robot.num_joints) != (4, 4 * len(SWING)):
        raise UserError(f"{robot.name}: the excitation is for four legs of hip pitch, abduction and knee")
    weights, bias = np.zeros((HISTORY * FRAME_SIZE, robot.num_joints)), np.zeros(robot.num_joints)
    last = SLICES["last_action"].start
    for (a, b), frequency in zip(PAIRS, FREQUENCIES, strict=True):
        angle = 2 * np.pi * frequency * CONTROL_DT
        turn = (1 + GROWTH * angle) * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        weights[np.ix_([last + a, last + b], [a, b])] = turn
        bias[a] = KICK
    return PolicyFile(
        layers=(Layer(weights, bias, "tanh"),),
        observation_history=HISTORY,
        kp=robot.kp if kp is None else kp,
        kd=robot.kd if kd is None else kd,
        action_scale=SWING * len(robot.leg_names),
        default_joint_pos=tuple(map(float, robot.default_pose)),
        joint_lower_limits=tuple(map(float, robot.lower_limits)),
        joint_upper_limits=tuple(map(float, robot.upper_limits)),
        walkies={"robot": robot.name, "control_dt": CONTROL_DT, "excitation": list(FREQUENCIES)},
    )
