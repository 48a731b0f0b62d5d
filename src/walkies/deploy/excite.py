"""A policy file that only shakes the legs, to identify the servos of a held robot.

The robot's controller only runs policies. So this is one: a single layer whose inputs are its own last actions,
which makes oscillators a' = tanh(g R(θ) a), two joints each, every pair at another frequency. With g > 1 the origin
is unstable and tanh bounds the growth: a limit cycle (Strogatz, Nonlinear Dynamics and Chaos, ch. 8). No sensor enters.
The frame is that of 2025, which the controller of 2026 makes too.
"""

from __future__ import annotations

import numpy as np

from walkies.deploy.policy_file import EDITIONS, Layer, PolicyFile
from walkies.robots.base import Robot
from walkies.tasks.contract import CONTROL_DT, Contract

GROWTH = 0.8
"""g = 1 + this times θ: grows within a second or two, but too little for slow oscillators to stand still at ±1."""
KICK = 0.01
"""Bias that leaves rest."""
FREQUENCIES = (0.8, 1.2, 1.7, 2.3, 3.1, 4.2)
"""Hz: slow ones show friction, fast ones damping and latency. Of more or fewer pairs: spread likewise."""
HISTORY = 3
"""Only the newest frame has weights: the others let a log be put together again where the recorder lost messages."""


def excitation(
    robot: Robot, kp: float | None = None, kd: float | None = None, edition: int = EDITIONS[-1]
) -> PolicyFile:
    """The policy, with gains kp and kd (default: the robot's own), in a file of that edition.

    The controller of 2025 loads either, since it ignores keys that it does not know; that of 2026 does too, but
    `deploy.sh` lets only a file pass whose frame is listed.
    """
    contract, pairs = Contract(robot, HISTORY), oscillators(robot)
    weights, bias = np.zeros((contract.observation_size, robot.num_joints)), np.zeros(robot.num_joints)
    last = contract.slices["last_action"].start
    place = np.linspace(0, len(FREQUENCIES) - 1, len(pairs))
    frequencies = np.interp(place, np.arange(len(FREQUENCIES)), FREQUENCIES).tolist()
    for (a, b), frequency in zip(pairs, frequencies, strict=True):
        angle = 2 * np.pi * frequency * CONTROL_DT
        turn = (1 + GROWTH * angle) * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        weights[np.ix_([last + a, last + b], [a, b])] = turn
        bias[a] = KICK
    driven = {joint for pair in pairs for joint in pair}
    for alone in set(range(robot.num_joints)) - driven:  # an odd one goes along with the last pair
        weights[:, alone], bias[alone] = weights[:, pairs[-1][0]], KICK
    return PolicyFile(
        layers=(Layer(weights, bias, "tanh"),),
        observation_history=HISTORY,
        kp=robot.kp if kp is None else kp,
        kd=robot.kd if kd is None else kd,
        action_scale=robot.swing,
        default_joint_pos=tuple(map(float, robot.default_pose)),
        joint_lower_limits=tuple(map(float, robot.lower_limits)),
        joint_upper_limits=tuple(map(float, robot.upper_limits)),
        walkies={"robot": robot.name, "control_dt": CONTROL_DT, "excitation": frequencies},
        edition=edition,
    )


def oscillators(robot: Robot) -> list[tuple[int, int]]:
    """Joints that oscillate together: those of a leg by twos, the abductions of two legs, and what is left by twos.

    Where the number of joints is odd one is in none of them.
    """
    sideways = robot.abduction_joints
    within = [[joint for joint in leg if joint not in sideways] for leg in robot.legs]
    pairs = [(leg[i], leg[i + 1]) for leg in within for i in range(0, len(leg) - 1, 2)]
    pairs += list(zip(sideways[::2], sideways[1::2], strict=False))
    paired = {joint for pair in pairs for joint in pair}
    left = [joint for joint in range(robot.num_joints) if joint not in paired]
    return pairs + list(zip(left[::2], left[1::2], strict=False))
