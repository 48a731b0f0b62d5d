"""A robot's own measures: units in which gaits of large and small robots are alike, and which feet step together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.tasks.gait.kinematics import Legs


class Stature(NamedTuple):
    """Of one robot. Legs of different size swing alike in these units (Alexander & Jayes 1983, dynamic similarity)."""

    height: float
    """m, of the hips above the feet as the robot stands."""
    time: float
    """s, √(height / g)."""
    half: Any
    """(legs,) bool: the feet that step together, and the others; None where the feet have no two such halves."""


def stature(robot: Robot, model: mujoco.MjModel) -> Stature:
    """Of `robot`, whose model it is, under the model's gravity."""
    height = robot.hip_height
    gravity = float(np.linalg.norm(model.opt.gravity))
    return Stature(
        height, float(np.sqrt(height / gravity)), halves(Legs(robot, model).feet(np.array(robot.default_pose)))
    )


def halves(feet: np.ndarray) -> np.ndarray | None:
    """Which feet (legs,) step together: neighbours on a side do not, nor do those across from each other.

    That is each foot of two, the diagonals of four, the tripods of six. None where one side has no foot, or two more
    than the other.

    Args:
        feet: (legs, 3) m, x forward, y to the left.
    """
    side = feet[:, 1] > 0.0
    if not 0 <= abs(2 * int(side.sum()) - len(feet)) <= 1 or len(feet) < 2:
        return None
    half = np.zeros(len(feet), bool)
    for one in (False, True):
        own = np.flatnonzero(side == one)
        half[own[np.argsort(-feet[own, 0], kind="stable")]] = (np.arange(len(own)) + one) % 2
    return half
