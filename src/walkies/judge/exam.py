"""The judge: a fixed, seeded examination of an exported policy in MuJoCo, and its report card.

It reads nothing but the `policy.json` that the robot would load, drives MuJoCo's own solver to convergence, lets the
robot's parts touch each other, and gives every episode another body, other motors, delays, pushes and commands
(`walkies.judge.ranges`). Its seeds are never used in training.
"""

from __future__ import annotations

from pathlib import Path

from walkies.deploy.policy_file import PolicyFile, read
from walkies.errors import UserError
from walkies.files import digest
from walkies.judge.loop import drive
from walkies.judge.report import report
from walkies.judge.report_card import EPISODES, SEED, Card
from walkies.robots import get_robot
from walkies.robots.base import Robot


def robot_of(policy: PolicyFile) -> Robot:
    """The robot a policy is for: the one it names, else Pupper."""
    try:
        return get_robot(policy.robot_name)
    except ValueError as error:
        raise UserError(f"walkies.robot in the policy file: {error}") from error


def examine(policy: PolicyFile, episodes: int = EPISODES, seed: int = SEED, threads: int = 0) -> Card:
    """Examine a policy; the report card, which is JSON data.

    The same seed and episodes give the same card, bit for bit, whatever the number of threads (0: all cores). A
    thousand episodes take 0.8 GB of memory, other numbers in proportion.
    """
    robot = robot_of(policy)
    record, drawn = drive(policy, robot, episodes, seed, threads)
    return report(drawn, record, seed, robot.name)


def examine_file(path: Path, episodes: int = EPISODES, seed: int = SEED, threads: int = 0) -> Card:
    """As `examine`, of a policy.json; the card says which file it was."""
    return {**examine(read(path), episodes, seed, threads), "policy": digest(path)}
