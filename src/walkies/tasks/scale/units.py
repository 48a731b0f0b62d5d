"""The numbers of a task in a robot's own units, so that one task serves small and large robots.

With h the height of the hips above the feet and m the mass, lengths go with h, times with T = √(h/g), speeds with
√(g h), forces with m g and torques with m g h (dynamic similarity: Alexander & Jayes 1983; Hof 1996). Numbers as they
stand in the records of a task are those of one robot, `REFERENCE`, and `scaled` gives another its own. What does not
grow with a robot stays: the control period, latencies, noise of sensors, friction, slopes, factors of any kind.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from walkies.bounds import ABOUT
from walkies.robots import DEFAULT, get_robot
from walkies.robots.base import Robot
from walkies.tasks.randomization import Randomization, Range
from walkies.tasks.rewards import RewardWeights, terms_of
from walkies.tasks.walk import WalkConfig

T = TypeVar("T", bound=Any)
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
"""Of the robot for which the numbers in the records of tasks were found."""


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


UPRIGHT, MANY = ("biped", "humanoid"), ("hexapod",)
"""Kinds of robots that must balance before they can stand, let alone walk; and of robots that have to learn to lift
many feet together."""


def plain(kind: str) -> WalkConfig:
    """Plain walking for robots of a kind, in the numbers of `REFERENCE`."""
    task = WalkConfig()
    if kind in MANY:
        return replace(task, rewards=replace(task.rewards, alternate_feet=3.0))
    if kind not in UPRIGHT:
        return task
    return replace(
        task,
        rewards=replace(task.rewards, alive=1.0, alternate_feet=3.0),
        curriculum=replace(task.curriculum, adaptive=True, steps=4_000_000),
        randomization=replace(
            task.randomization, pushes=replace(task.randomization.pushes, kick_speed=Range(0.0, 0.3))
        ),
        start=replace(task.start, tilt=0.05, joint_position=0.05, joint_velocity=0.3, velocity=0.1),
    )


def task_of(robot: Robot, task: WalkConfig | None = None) -> WalkConfig:
    """A task whose numbers are those of `REFERENCE` in a robot's own units; None: plain walking.

    It is told to go as fast as its record says, and its gains and action scale are its record's.
    """
    task, own = plain(robot.kind) if task is None else task, measures(robot)
    if own == REFERENCE:
        return task
    forward, sideways, yaw = robot.gamepad
    time, fast, quick = growth(robot, "s"), own.forward / REFERENCE.forward, own.yaw / REFERENCE.yaw

    def grown(record: T, **sizes: float) -> T:
        """A record with some of its numbers so many times as large."""
        return replace(record, **{name: tidy(size * getattr(record, name)) for name, size in sizes.items()})

    start = grown(task.start, joint_velocity=growth(robot, "rad/s"), velocity=growth(robot, "m/s"))
    commands = grown(task.commands, interval=time, yaw_acceleration=growth(robot, "rad/s²"))
    return replace(
        grown(task, episode_seconds=time),
        commands=replace(commands, forward=forward, sideways=sideways, yaw=yaw),
        rewards=weights_of(robot, task.rewards),
        shape=grown(
            task.shape, tracking_width=fast, yaw_width=quick, still=fast, air_time=time, clearance=growth(robot, "m")
        ),
        randomization=_outside(robot, task.randomization),
        curriculum=grown(task.curriculum, falls=1.0 / time, lin_vel_error=fast),
        start=start if robot.fade_in else replace(start, fade_probability=0.0),
        action_scale=None,
    )


def tidy(value: float) -> float:
    """To four digits, as people write numbers."""
    return float(f"{value:.4g}")


TORQUES = "N² m²"
"""Torques count by the robot's weight and height, or by its motors, whichever asks less: legs that reach far out to the
sides need much more than others as they stand."""


def weights_of(robot: Robot, weights: RewardWeights) -> RewardWeights:
    """The weights of reward terms: what a robot gets in one of its own units of time for the same motion is the same.

    Sums over joints, feet and knees are taken as means. What follows the commands is measured by them. The cost of
    falling, an event, stays.
    """
    own, found = measures(robot), dict[str, float]()
    counts = {"": 1.0, "joint": own.joints / REFERENCE.joints, "leg": own.legs / REFERENCE.legs}
    speeds = {"m/s": own.forward / REFERENCE.forward, "rad/s": own.yaw / REFERENCE.yaw}
    for name, term in terms_of(weights).items():
        size = speeds[term.unit] if term.tracks else growth(robot, term.unit)
        if term.unit == TORQUES:
            size = max(size, (own.torque / REFERENCE.torque) ** 2)
        steady = 1.0 if term.event else growth(robot, "s")
        found[name] = tidy(getattr(weights, name) / (size * counts[term.per] * steady))
    return replace(weights, **{name: value for name, value in found.items() if value != getattr(weights, name)})


def shift(robot: Robot) -> float:
    """How many times further the centre of mass may shift than in `REFERENCE`: as its trunk is longer."""
    return measures(robot).trunk / REFERENCE.trunk


def discount_of(robot: Robot, discount: float) -> float:
    """A discount per step, γ or λ, over the same time in a robot's own units."""
    time = growth(robot, "s")
    return discount if time == 1.0 else tidy(discount ** (1.0 / time))


SHIFTS = ("com_x", "com_y", "com_z")
"""Shifts of the trunk's centre of mass."""


def _outside(robot: Robot, randomization: Randomization) -> Randomization:
    """The randomization with masses, lengths and pushes in the robot's own units."""
    pushes = replace(
        randomization.pushes,
        kick_interval=tidy(randomization.pushes.kick_interval * growth(robot, "s")),
        force_interval=tidy(randomization.pushes.force_interval * growth(robot, "s")),
    )
    return replace(randomization, body=_grown(robot, randomization.body), pushes=_grown(robot, pushes))


def _grown(robot: Robot, record: Any) -> Any:
    """A record of quantities with each in the robot's own units."""
    sizes: Mapping[str, float] = {
        entry.name: shift(robot) if entry.name in SHIFTS else growth(robot, entry.metadata[ABOUT].unit)
        for entry in fields(record)
        if ABOUT in entry.metadata
    }
    grown = {}
    for name, size in sizes.items():
        old: Range = getattr(record, name)
        if size != 1.0:
            grown[name] = Range(tidy(old.low * size), tidy(old.high * size))
    return replace(record, **grown)
