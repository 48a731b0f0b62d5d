"""The conditions of an examination: body, motors, latencies, noise, pushes and commands of each episode.

Everything about an episode is drawn from that episode's own seed, so an episode can be examined alone and is the same
whatever the number of episodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np

from walkies.bounds import Between, refuse
from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.robots.units import SHIFTS, growth, shift
from walkies.sim import conditions
from walkies.tasks import signal
from walkies.tasks.signal import FrameSignal

EXAM_SEEDS = range(2_000_000_000, 2_100_000_000)
"""Seeds of examination episodes. Training must never use one of them."""
EPISODES_PER_SEED = 10_000
EvaluationSeed = Annotated[int, Between(0, len(EXAM_SEEDS) // EPISODES_PER_SEED - 1)]
"""Of an examination."""
Episodes = Annotated[int, Between(1, EPISODES_PER_SEED)]
"""Of one examination."""
PHYSICS_STEPS = 5
"""per control step"""
TIMESTEP = 0.004
"""s, one physics step"""
CONTROL_DT = PHYSICS_STEPS * TIMESTEP
EPISODE_SECONDS = 20.0
STEPS = round(EPISODE_SECONDS / CONTROL_DT)
SETTLE = 1.0
"""s after each change of command in which errors do not count. The controller's fade-in takes the first second."""

ZERO_COMMANDS = 0.15
"""Share of commands that are exactly zero."""
COMMAND_SECONDS = (3.0, 5.0)
"""How long a command holds."""
RANGES: dict[str, tuple[float, float]] = {
    "friction": (0.5, 1.3),
    "mass": (0.9, 1.25),  # each body for itself
    "payload": (-0.1, 0.4),
    "com_x": (-0.02, 0.02),
    "com_y": (-0.005, 0.005),
    "kp": (0.65, 1.05),
    "kd": (0.8, 1.4),
    "command_delay": (0.0, 0.020),  # held for an episode and rounded to physics steps; likewise:
    "imu_delay": (0.0, 0.020),
    "push_speed": (0.0, 0.25),
}
"""Of what is drawn, uniformly; names, units and meanings are those of `walkies.sim.conditions`."""
GROWING = {"payload": "kg", "push_speed": "m/s"}
"""What is larger for larger robots, and its unit (`walkies.robots.units`); so are times between commands and
pushes, and shifts of the centre of mass, with the trunk."""
PUSH_RATE = conditions.VOCABULARY["push_rate"].nominal
NOISE = {"gyro": 0.1, "gravity": 0.05, "joint_position": 0.05, "last_action": 0.01}
"""Uniform noise ± (rad/s, 1, rad, 1) of what the policy is told, as the Stanford CS 123 course has it; gravity is
renormalized after it. A signal that is not here has what is usual for its sensor."""


class Conditions(NamedTuple):
    """What was drawn, for n episodes of STEPS control steps."""

    seed: np.ndarray
    """(n,)"""
    friction: np.ndarray
    """(n,)"""
    mass: np.ndarray
    """(n, bodies), the base first"""
    payload: np.ndarray
    """(n,) kg"""
    com_shift: np.ndarray
    """(n, 3) m"""
    kp: np.ndarray
    """(n,)"""
    kd: np.ndarray
    """(n,)"""
    command_delay: np.ndarray
    """(n,) physics steps"""
    imu_delay: np.ndarray
    """(n,) physics steps"""
    yaw: np.ndarray
    """(n,) rad, at the start"""
    command: np.ndarray
    """(n, STEPS, 3)"""
    since_change: np.ndarray
    """(n, STEPS) control steps since the command changed; 0 at the first step under a new command."""
    until_change: np.ndarray
    """(n, STEPS) control steps until the next change, 1 at a command's last step."""
    push: np.ndarray
    """(n, STEPS, 2) m/s added to the base's world velocity before the step."""
    noise: np.ndarray
    """(n, STEPS, size) float32: of the signals of `noisy`, side by side"""


def noisy(frame: Sequence[str]) -> list[FrameSignal]:
    """The signals of a frame that have noise, in the order in which it is drawn: what the controller remembers last."""
    return sorted(signal.noisy(signal.chosen(frame)), key=lambda one: one.sensor == "controller")


def draw(seed: int, episodes: int, robot: Robot, num_bodies: int, frame: Sequence[str] = signal.FRAME) -> Conditions:
    """Conditions of `episodes` episodes of examination number `seed`.

    Raises:
        UserError: there is no such seed, or it has not so many episodes.
    """
    refuse(seed, EvaluationSeed, "seed")
    refuse(episodes, Episodes, "episodes")
    first = EXAM_SEEDS[seed * EPISODES_PER_SEED]
    drawn = [_draw_one(first + episode, robot, num_bodies, frame) for episode in range(episodes)]
    return Conditions(*(np.stack(parts) for parts in zip(*drawn, strict=True)))


def _draw_one(seed: int, robot: Robot, num_bodies: int, frame: Sequence[str]) -> Conditions:
    rng = np.random.default_rng(seed)

    def reach(name: str) -> tuple[float, float]:
        (low, high), size = RANGES[name], shift(robot) if name in SHIFTS else growth(robot, GROWING.get(name, ""))
        return low * size, high * size

    def one(name: str) -> np.ndarray:
        return np.array(rng.uniform(*reach(name)))

    def delay(name: str) -> np.ndarray:
        return np.array(round(rng.uniform(*RANGES[name]) / TIMESTEP))

    command, since, until = _draw_commands(rng, robot)
    direction = rng.uniform(-np.pi, np.pi, STEPS)
    speed = rng.uniform(*reach("push_speed"), STEPS) * (rng.random(STEPS) < PUSH_RATE / growth(robot, "s") * CONTROL_DT)
    noise = [
        np.concatenate([[], *(np.full(one.size(robot), NOISE.get(one.name, one.noise)) for one in group)])
        for _, group in itertools.groupby(noisy(frame), lambda one: one.sensor == "controller")
    ]
    return Conditions(
        seed=np.array(seed),
        friction=one("friction"),
        mass=rng.uniform(*RANGES["mass"], num_bodies),
        payload=one("payload"),
        com_shift=rng.uniform(*np.array([reach("com_x"), reach("com_y"), (0.0, 0.0)]).T),
        kp=one("kp"),
        kd=one("kd"),
        command_delay=delay("command_delay"),
        imu_delay=delay("imu_delay"),
        yaw=np.array(rng.uniform(-np.pi, np.pi)),
        command=command,
        since_change=since,
        until_change=until,
        push=speed[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=-1),
        noise=np.hstack([rng.uniform(-w, w, (STEPS, w.size)) for w in noise]).astype(np.float32),
    )


def _draw_commands(rng: np.random.Generator, robot: Robot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Commands over an episode: none in the second of fade-in, then a new one every few seconds."""
    reach, longer = np.array(robot.gamepad), growth(robot, "s")
    seconds = COMMAND_SECONDS[0] * longer, COMMAND_SECONDS[1] * longer
    command, since, until = np.zeros((STEPS, 3)), np.zeros(STEPS, int), np.zeros(STEPS, int)
    start, length, value = 0, round(1.0 / CONTROL_DT), np.zeros(3)
    while start < STEPS:
        length = min(length, STEPS - start)
        command[start : start + length] = value
        since[start : start + length] = np.arange(length)
        until[start : start + length] = np.arange(length, 0, -1)
        start += length
        length = round(rng.uniform(*seconds) / CONTROL_DT)
        value = rng.uniform(-reach, reach) * (rng.random() >= ZERO_COMMANDS)
    return command, since, until


def apply(batch: mujoco.batch.Batch, robot: Robot, drawn: Conditions) -> None:
    """Give every simulation of `batch` its own body and floor. Derived constants follow, as in a real other robot."""
    conditions.set_bodies(batch, robot, drawn.mass, drawn.payload, drawn.com_shift)
    conditions.set_friction(batch, drawn.friction)
    batch.set_const()
