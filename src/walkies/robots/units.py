"""A robot's own units, in which large and small robots that move alike have the same numbers.

With h the height of the hips above the feet and m the mass, lengths go with h, times with T = √(h/g), speeds with
√(g h), forces with m g and torques with m g h (dynamic similarity: Alexander & Jayes 1983; Hof 1996).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from walkies.robots import DEFAULT, get_robot
from walkies.robots.base import Robot

GRAVITY = 9.81
"""m/s²"""
EXPONENTS = {
    "m": (1, 0, 0), "s": (0, 1, 0), "kg": (0, 0, 1), "N": (1, -2, 1), "W": (2, -3, 1), "rad": (0, 0, 0),
    "1": (0, 0, 0), "×": (0, 0, 0), "": (0, 0, 0),
}  # fmt: skip
"""Of metre, second and kilogram in each unit."""
POWERS = {"²": 2, "³": 3, "⁴": 4}


@dataclass(frozen=True)
class Measures:
    """Of one robot: what its units are made of."""

    height: float
    """m, of its hips: its unit of length"""
    mass: float
    """kg"""
    joints: int
    legs: int
    forward: float
    """m/s that it is told at most"""
    yaw: float
    """rad/s, likewise"""
    torque: float
    """N m, root mean square of its motors' limits"""
    trunk: float
    """m, length of its base"""

    @property
    def time(self) -> float:
        """s, its unit of time."""
        return math.sqrt(self.height / GRAVITY)

    @property
    def speed(self) -> float:
        """m/s, its unit of speed."""
        return math.sqrt(GRAVITY * self.height)

    def size(self, unit: str) -> float:
        """Of a unit such as `m/s`, `rad²/s⁴` or `N m`, in SI, made of its height, time and mass."""
        length, time, mass = exponents(unit)
        return self.height**length * self.time**time * self.mass**mass


def measures(robot: Robot) -> Measures:
    """Of a robot."""
    forward, _, yaw = robot.gamepad
    torque = float(np.sqrt(np.mean(np.square(robot.torque_limit))))
    return Measures(
        robot.hip_height, robot.mass, robot.num_joints, len(robot.leg_names), forward, yaw, torque, robot.trunk_length
    )


REFERENCE = measures(get_robot(DEFAULT))
"""Of the robot for which the numbers in the records of tasks, and the examination's, were found."""


@functools.cache
def exponents(unit: str) -> tuple[int, int, int]:
    """Of metre, second and kilogram in a unit.

    Raises:
        ValueError: it is made of others.
    """
    total = [0, 0, 0]
    above, _, below = unit.partition("/")
    for side, part in ((1, above), (-1, below)):
        for factor in part.replace("·", " ").split():
            power = POWERS.get(factor[-1], 1)
            name = factor[:-1] if power > 1 else factor
            if name not in EXPONENTS:
                raise ValueError(f"unit {unit!r}: expected products and powers of {', '.join(filter(None, EXPONENTS))}")
            total = [sum_ + side * power * own for sum_, own in zip(total, EXPONENTS[name], strict=True)]
    return total[0], total[1], total[2]


def growth(robot: Robot, unit: str) -> float:
    """How many times larger a quantity of that unit is for a robot than for `REFERENCE`."""
    own = measures(robot)
    return 1.0 if own == REFERENCE else own.size(unit) / REFERENCE.size(unit)


def shift(robot: Robot) -> float:
    """How many times further the centre of mass may shift than in `REFERENCE`: as its trunk is longer."""
    return measures(robot).trunk / REFERENCE.trunk


SHIFTS = ("com_x", "com_y", "com_z")
"""Shifts of the trunk's centre of mass."""


def tidy(value: float) -> float:
    """To four digits, as people write numbers."""
    return float(f"{value:.4g}")
