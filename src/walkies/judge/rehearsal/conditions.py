"""The conditions of a rehearsal: one number each, so that margins can be measured.

A rehearsed robot is a `Condition` and a seed. The condition sets loads, friction, latencies and so on; the seed draws
everything without a size: commands, directions, times of pushes, which leg is the weak one. The meaning of each number
and how it is set in MuJoCo is in `walkies.sim.conditions`; the ranges are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from walkies.errors import UserError
from walkies.judge.ranges import COMMAND_SECONDS, NOISE, ZERO_COMMANDS
from walkies.robots.base import Robot
from walkies.robots.units import SHIFTS, growth, shift, tidy
from walkies.sim.conditions import Condition
from walkies.tasks.contract import FADE_IN

BASE = Condition(
    command_delay=8 / 520,
    imu_delay=10 / 520,
    torque_limit=3.0,
    tick_rate=520.0,
    imu_period=0.010,
    encoder_step=0.00038,
)
"""The nominal robot behind the queues of its own simulator (pupperv3-monorepo, ros2_ws: control queue 8 and IMU queue
10 ticks of 1/520 s), whose board samples the IMU every 10 ms and reads angles in steps of 0.38 mrad."""


@dataclass(frozen=True)
class Axis:
    """A condition that is swept while all others stay fixed."""

    name: str
    label: str
    fields: tuple[str, ...]
    """of `Condition` that are set to each value"""
    values: tuple[float, ...]
    """sorted; the base's value is among them"""
    form: str = "{:g}"
    """a value for people"""
    factor: float = 1.0
    """shown number per stored number, such as 1000 ms/s"""
    words: tuple[str, ...] = ()
    """one per value, where numbers say little"""
    start: Condition = BASE
    """the base"""

    def at(self, value: float, condition: Condition | None = None) -> Condition:
        """`condition`, by default the base, with this axis at `value`."""
        return replace(self.start if condition is None else condition, **dict.fromkeys(self.fields, value))

    @property
    def base(self) -> int:
        """Index of the base's value."""
        return self.values.index(getattr(self.start, self.fields[0]))

    def show(self, value: float) -> str:
        """A value for people, with its unit."""
        if self.words:
            return self.words[self.values.index(value)]
        return "unlimited" if np.isinf(value) else self.form.format(float(f"{value * self.factor:.3g}"))


DEGREE = np.pi / 180
STALL = 1.37
"""N m: what the robot's own simulator makes of 24 V, 0.7 Ω and 0.04 N m/A."""
TICK = 1 / 520
"""s"""
AXES = (
    Axis("friction", "friction of the floor", ("friction",), (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6), "μ {:g}"),
    Axis(
        "command-delay", "command delay", ("command_delay",), (0.0, 8 * TICK, 0.025, 0.035, 0.045, 0.06), "{:g} ms", 1e3
    ),
    Axis("imu-delay", "IMU delay", ("imu_delay",), (0.0, 10 * TICK, 0.03, 0.045, 0.06, 0.08), "{:g} ms", 1e3),
    Axis("payload", "payload on the back", ("payload",), (0.0, 0.25, 0.5, 0.75, 1.0, 1.5), "{:g} kg"),
    Axis("com", "centre of mass forward", ("com_x",), (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04), "{:g} mm", 1e3),
    Axis("push", "pushes, one a second", ("push_speed",), (0.0, 0.2, 0.3, 0.4, 0.6, 0.8), "{:g} m/s"),
    Axis("force", "steady side force", ("side_force",), (0.0, 2.0, 4.0, 6.0, 8.0), "{:g} N"),
    Axis("slope", "slope", ("slope",), tuple(d * DEGREE for d in (0, 5, 10, 15, 20)), "{:g}°", 1 / DEGREE),
    Axis("ground", "give of the ground", ("contact_time",), (0.005, 0.01, 0.02, 0.04, 0.06, 0.08), "{:g} ms", 1e3),
    Axis("cone", "friction cones", ("elliptic",), (0.0, 1.0), words=("pyramids", "elliptic")),
    Axis("servo", "servo stiffness", ("kp",), (0.4, 0.5, 0.65, 0.8, 1.0, 1.2), "×{:g}"),
    Axis("leg", "torque of one leg", ("weak_leg",), (0.2, 0.4, 0.6, 0.8, 1.0), "×{:g}"),
    Axis("torque", "torque limit", ("torque_limit",), (0.75, 1.0, STALL, 2.0, 3.0), "{:g} N m"),
    Axis("speed", "speed without torque", ("no_load_speed",), (10.0, 15.0, 20.0, 30.0, np.inf), "{:g} rad/s"),
    Axis("backlash", "backlash to either side", ("backlash",), (0.0, 0.005, 0.01, 0.02, 0.03), "{:g} rad"),
    Axis("noise", "sensor noise", ("noise",), (0.0, 1.0, 2.0, 3.0), "×{:g}"),
    Axis("imu-tilt", "IMU misaligned", ("imu_tilt",), tuple(d * DEGREE for d in (0, 2, 4, 6, 8)), "{:g}°", 1 / DEGREE),
    Axis("encoder", "joint zeros off by", ("encoder_bias",), (0.0, 0.02, 0.05, 0.1), "{:g} rad"),
    Axis("rate", "controller rate", ("tick_rate",), (440.0, 480.0, 500.0, 520.0, 560.0), "{:g} Hz"),
)
"""The one-dimensional sweeps."""

GRID = (
    Axis("friction", "friction", ("friction",), (0.2, 0.4, 0.8, 1.2), "μ {:g}"),
    Axis(
        "latency",
        "latency of commands and IMU, each",
        ("command_delay", "imu_delay"),
        (0.0, 0.015, 0.03, 0.045),
        "{:g} ms",
        1e3,
    ),
    Axis("payload", "payload", ("payload",), (0.0, 0.25, 0.5), "{:g} kg"),
    Axis("push", "pushes", ("push_speed",), (0.0, 0.3, 0.5), "{:g} m/s"),
)
"""The full grid: every combination."""


@dataclass(frozen=True)
class Box:
    """Ranges from which each robot draws its condition, uniformly and independently."""

    name: str
    about: str
    required: float
    """survival"""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """of fields of `Condition`; equal ends fix a value"""
    start: Condition = BASE
    """the base"""
    turn: float | None = None
    """rad/s: how fast robots really turn in the box is measured under this command"""

    def draw(self, seed: int) -> Condition:
        """The condition of the robot with this seed."""
        rng = np.random.default_rng([seed, 1])
        drawn = {name: float(rng.uniform(low, high)) for name, (low, high) in self.ranges.items()}
        return replace(self.start, **drawn)


BOXES = {
    "course": Box(
        "course",
        "what the Stanford CS 123 course trains under, its latencies held and its masses drawn alike for all bodies",
        0.99,
        {
            "friction": (0.6, 1.4),
            "mass": (0.9, 1.3),
            "com_x": (-0.02, 0.03),
            "com_y": (-0.005, 0.005),
            "kp": (0.6, 1.1),
            "kd": (0.8, 1.5),
            "command_delay": (0.0, 0.020),
            "imu_delay": (0.0, 0.020),
            "push_speed": (0.1, 0.1),
            "push_rate": (2.0, 2.0),
        },
    ),
    "harsh": Box(
        "harsh",
        "a harsher world than training's: slippery, late, loaded, pushed and on a slope at once",
        0.95,
        {
            "friction": (0.4, 1.3),
            "command_delay": (0.0, 0.025),
            "imu_delay": (0.0, 0.030),
            "payload": (0.0, 0.5),
            "push_speed": (0.3, 0.3),
            "slope": (0.0, 5 * DEGREE),
        },
    ),
    "robot-sim": Box(
        "robot-sim",
        "the contacts, motors and latencies of Pupper's own simulator, without pushes",
        0.99,
        {"elliptic": (1.0, 1.0), "twisting": (1.0, 1.0), "torque_limit": (STALL, STALL)},
        turn=1.5,
    ),
}


GROWING = {"payload": "kg", "push_speed": "m/s", "side_force": "N"}
"""Conditions that are harder for larger robots, and their units (`walkies.robots.units`)."""
OWN = ("torque", "rate")
"""Axes of the one robot whose software the rehearsal repeats tick by tick."""


def base_of(robot: Robot) -> Condition:
    """The nominal robot: `BASE`; others than that of its numbers have their own motors and the rate of their policy."""
    return BASE if robot.protocol != Robot.protocol else replace(BASE, torque_limit=np.inf, tick_rate=0.0)


def axes_of(robot: Robot, axes: Sequence[Axis] = AXES) -> tuple[Axis, ...]:
    """The axes in a robot's own units."""
    base = base_of(robot)
    if base == BASE:
        return tuple(axes)
    return tuple(
        replace(axis, values=tuple(grown(robot, axis.fields[0], value) for value in axis.values), start=base)
        for axis in axes
        if axis.name not in OWN
    )


def box_of(robot: Robot, box: Box) -> Box:
    """A box in a robot's own units.

    Raises:
        UserError: the box is a simulator that belongs to another robot.
    """
    base = base_of(robot)
    if base == BASE:
        return box
    if box.turn is not None:
        raise UserError(f"--box {box.name}: {box.about}, but this policy is for {robot.name}; take course or harsh")
    ranges = {name: (grown(robot, name, low), grown(robot, name, high)) for name, (low, high) in box.ranges.items()}
    return replace(box, ranges=ranges, start=base)


def grown(robot: Robot, name: str, value: float) -> float:
    """A condition of the reference robot as it is for another."""
    if name in SHIFTS:
        return tidy(value * shift(robot))
    return tidy(value * growth(robot, GROWING[name])) if name in GROWING else value


class Script(NamedTuple):
    """The draws of a seed, for n robots and A actions."""

    yaw: np.ndarray
    """(n,) rad, at the start"""
    command: np.ndarray
    """(n, A, 3) m/s, m/s, rad/s"""
    since_change: np.ndarray
    """(n, A) actions since the command changed"""
    chance: np.ndarray
    """(n, A) in [0, 1): a push happens where it is below rate × time"""
    push_direction: np.ndarray
    """(n, A, 2) unit vectors"""
    noise: np.ndarray
    """(n, A, 5 + nu) float32 in the course's half-widths: gyro (rad/s), roll and pitch (rad), joint angles (rad)"""
    force_direction: np.ndarray
    """(n,) rad"""
    slope_direction: np.ndarray
    """(n,) rad: the horizontal axis about which the ground is tilted"""
    imu_axis: np.ndarray
    """(n,) rad: the axis in the body's x-y plane about which the IMU is misaligned"""
    weak_leg: np.ndarray
    """(n,) index"""
    encoder_sign: np.ndarray
    """(n, nu) ±1"""
    gyro_sign: np.ndarray
    """(n, 3) ±1"""


def scripts(robot: Robot, seeds: Sequence[int], actions: int, dt: float, still: float = FADE_IN) -> Script:
    """The scripts of robots with these seeds over `actions` actions of `dt` seconds.

    still: s without a command at the beginning, while actions fade in; who drives a robot waits for it to stand.
    """
    each = (_script(robot, seed, actions, dt, still) for seed in seeds)
    return Script(*(np.stack(parts) for parts in zip(*each, strict=True)))


def _script(robot: Robot, seed: int, actions: int, dt: float, still: float) -> Script:
    rng = np.random.default_rng([seed, 0])
    angles = rng.uniform(-np.pi, np.pi, 4)
    leg, sign = np.array(rng.integers(len(robot.leg_names))), rng.choice([-1.0, 1.0], robot.num_joints)
    command, since = _commands(rng, np.array(robot.gamepad), actions, dt, still)
    direction = rng.uniform(-np.pi, np.pi, actions)
    width = np.repeat([NOISE["gyro"], NOISE["gravity"], NOISE["joint_position"]], [3, 2, robot.num_joints])
    return Script(
        yaw=angles[0],
        command=command,
        since_change=since,
        chance=rng.random(actions),
        push_direction=np.stack([np.cos(direction), np.sin(direction)], axis=-1),
        noise=rng.uniform(-width, width, (actions, width.size)).astype(np.float32),
        force_direction=angles[1],
        slope_direction=angles[2],
        imu_axis=angles[3],
        weak_leg=leg,
        encoder_sign=sign,
        gyro_sign=np.random.default_rng([seed, 2]).choice([-1.0, 1.0], 3),
    )


def _commands(
    rng: np.random.Generator, reach: np.ndarray, actions: int, dt: float, still: float
) -> tuple[np.ndarray, np.ndarray]:
    """Zero while actions fade in, then a new command every few seconds, as in the examination."""
    command, since = np.zeros((actions, 3)), np.zeros(actions, int)
    start, length, value = 0, round(still / dt), np.zeros(3)
    while start < actions:
        end = min(start + length, actions)
        command[start:end] = value
        since[start:end] = np.arange(end - start)
        start, length = end, round(rng.uniform(*COMMAND_SECONDS) / dt)
        value = rng.uniform(-reach, reach) * (rng.random() >= ZERO_COMMANDS)
    return command, since
