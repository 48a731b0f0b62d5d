"""A gait as data, and its table of joint angles: footfalls → keyframes → foot positions → angles.

Over one cycle a foot follows straight lines: through `STANCE_KEYFRAMES` on the ground from front to back at equal
times, then through the top of its swing and down in front again. The lines and the trot are those of the Stanford
course of 2026 (`pupper-mjlab`): with its duty factor of 4/6 they are six segments of equal time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from walkies.bounds import AtMost, Between
from walkies.errors import UserError
from walkies.robots.base import Robot
from walkies.tasks.gait.kinematics import REACHED, Legs, path

SAMPLES = 100
"""Rows of a table."""
STANCE_KEYFRAMES = 5
SHORTFALL = 0.015
"""m by which joint limits may keep a swinging foot off its line; in the course's trot it is 9 mm of 90."""


@dataclass(frozen=True)
class Gait:
    """One cycle of the feet, as seen from the trunk."""

    touchdown: Annotated[tuple[float, ...], Between(0.0, 1.0), AtMost(64)] = (0.0, 0.5, 0.5, 0.0)
    """When each leg's foot touches down, in cycles, legs in the robot's order; by default diagonal pairs in turn."""
    stride: Annotated[float, Between(-10.0, 10.0)] = 0.1
    """m that a foot on the ground moves back relative to the trunk; 0: the feet are lifted on the spot."""
    stance_height: Annotated[float, Between(0.0, 10.0)] = 0.14
    """m of the trunk's origin above the centres of feet on the ground."""
    swing_lift: Annotated[float, Between(0.0, 10.0)] = 0.09
    """m, the largest height of a swinging foot above the others."""
    duty: Annotated[float, Between(0.0, 1.0, "()")] = 4 / 6
    """Share of the cycle in which a foot is on the ground."""


TROT = Gait()
"""The trot of the course."""
LIFT = Gait(stride=0.0, swing_lift=0.04)
"""A simple gait on the spot: diagonal pairs of feet are lifted in turn."""


def keyframes(gait: Gait) -> tuple[np.ndarray, np.ndarray]:
    """Phases (K,) from 0 to 1 since touchdown, and where the foot is then, (K, 2): m forward, m upward of the point of
    the trunk that is above the middle of its stance."""
    on_ground = np.linspace(0.0, gait.duty, STANCE_KEYFRAMES)
    forward = np.linspace(0.5 * gait.stride, -0.5 * gait.stride, STANCE_KEYFRAMES)
    phases = np.concatenate([on_ground, [0.5 * (1.0 + gait.duty), 1.0]])
    ahead = np.concatenate([forward, [0.0, forward[0]]])
    up = np.concatenate([np.full(STANCE_KEYFRAMES, -gait.stance_height), [gait.swing_lift - gait.stance_height]])
    return phases, np.stack([ahead, np.append(up, up[0])], axis=1)


def since_touchdown(gait: Gait, samples: int = SAMPLES) -> np.ndarray:
    """(samples, legs) cycles since each foot touched down, from 0 to 1."""
    return np.mod(np.arange(samples)[:, None] / samples - np.array(gait.touchdown), 1.0)


def feet(gait: Gait, stance: np.ndarray, samples: int = SAMPLES) -> np.ndarray:
    """Points of the feet (samples, legs, 3) over a cycle, m, in the frame of the trunk.

    stance: (legs, 3) m, the point of the trunk below which each foot stands in the middle of its stance.

    Raises:
        UserError: the gait has not one phase for each leg.
    """
    if len(gait.touchdown) != len(stance):
        raise UserError(
            f"touchdown: got {len(gait.touchdown)} phases, expected {len(stance)}: one for each leg in order"
        )
    phases, points = keyframes(gait)
    now = since_touchdown(gait, samples)
    ahead, up = (np.interp(now, phases, points[:, axis]) for axis in (0, 1))
    return stance + np.stack([ahead, np.zeros_like(ahead), up], axis=-1)


def table(gait: Gait, legs: Legs, samples: int = SAMPLES) -> np.ndarray:
    """Absolute joint angles (samples, nu), rad, over one cycle.

    Raises:
        UserError: the gait does not fit the robot, or a leg does not reach a point of it.
    """
    points = feet(gait, stance_points(legs.robot, legs), samples)
    swings = since_touchdown(gait, samples) > gait.duty
    return path(legs, points, np.where(swings, SHORTFALL, REACHED))


def stance_points(robot: Robot, legs: Legs) -> np.ndarray:
    """(legs, 3) m: the points of the trunk below which the feet stand, as the robot's record says; where it does not,
    those level with the trunk's origin above the feet of the default pose."""
    if robot.stance_points is not None:
        return np.array(robot.stance_points, float)
    return legs.feet(np.array(robot.default_pose)) * [1.0, 1.0, 0.0]


def on_ground(angles: np.ndarray, legs: Legs, tolerance: float = 0.002) -> np.ndarray:
    """(N, legs) bool: where in a table (N, nu) each foot is within `tolerance` m of its lowest."""
    heights = np.array([legs.feet(row)[:, 2] for row in angles])
    return heights <= heights.min(axis=0) + tolerance
