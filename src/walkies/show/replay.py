"""A recorded motion: one nominal robot in MuJoCo under a script of commands, driven by its policy file.

The record feeds the video, the gait diagram and the replay in the report. It is for display, not for judging (see
`walkies.judge.exam`): no noise, no pushes, no latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from walkies.deploy.controllers import MotorCommand
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.controllers.twin import SOLVER_ITERATIONS
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.policy_json import COMMANDS
from walkies.judge.loop import Loop, Many, Motion, nominal_plant, standing
from walkies.judge.motion.trick import Requests
from walkies.later import mujoco
from walkies.quaternions import rotation_of
from walkies.robots import get_robot, load_model
from walkies.robots.base import Robot

SETTLE = 0.5
"""s on the controller's start-up gains in the default pose, before the policy and the record begin."""


class Segment(NamedTuple):
    """One command of a script."""

    seconds: float
    command: tuple[float, float, float]
    """m/s forward, m/s leftward, rad/s anticlockwise."""


TOUR = (
    Segment(1.5, (0.0, 0.0, 0.0)),
    Segment(3.0, (0.5, 0.0, 0.0)),
    Segment(2.0, (-0.4, 0.0, 0.0)),
    Segment(2.0, (0.0, 0.3, 0.0)),
    Segment(2.0, (0.0, -0.3, 0.0)),
    Segment(2.0, (0.0, 0.0, 1.5)),
    Segment(2.0, (0.4, 0.0, -1.0)),
    Segment(1.5, (0.0, 0.0, 0.0)),
)
"""16 s that show everything once."""

WALL = tuple(
    (Segment(1.0, (0.0, 0.0, 0.0)), Segment(7.0, command))
    for command in (
        (0.4, 0.0, 1.0),
        (0.6, 0.0, 0.0),
        (0.4, 0.0, -1.0),
        (0.0, 0.3, 0.0),
        (0.0, 0.0, 0.0),
        (0.0, -0.3, 0.0),
        (0.0, 0.0, 1.5),
        (-0.4, 0.0, 0.0),
        (0.0, 0.0, -1.5),
    )
)
"""Nine scripts of 8 s for a wall of 3 × 3 robots, laid out as their commands point."""


class Trajectory(NamedTuple):
    """A recorded motion; T rows, one per physics step."""

    robot: str
    timestep: float
    """s between rows."""
    qpos: np.ndarray
    """(T, nq) float32"""
    command: np.ndarray
    """(T, 3) float32: m/s forward, m/s leftward, rad/s."""
    velocity: np.ndarray
    """(T, 3) float32: what the base did, same units, body frame."""
    contact: np.ndarray
    """(T, feet) bool: foot on the ground, in the robot's order of legs."""
    torque: np.ndarray
    """(T, nu) float32, N m."""
    clips: np.ndarray | None = None
    """(T,) str, the clip of a movement that is played; None where the policy follows commands instead."""

    def words(self, row: int) -> str:
        """What the robot is asked for."""
        return describe(self.command[row]) if self.clips is None else str(self.clips[row])

    @property
    def seconds(self) -> float:
        return len(self.qpos) * self.timestep

    def at(self, rate: float) -> np.ndarray:
        """Indices of the rows nearest to `rate` samples per second."""
        count = int(self.seconds * rate + 1e-9)
        return np.minimum(np.round(np.arange(count) / (rate * self.timestep)).astype(int), len(self.qpos) - 1)


def record(policy: PolicyFile, script: Sequence[Segment] = TOUR, *, robot: Robot | None = None) -> Trajectory:
    """Drive one robot through `script`, as the robot's controller would: history, fade-in and clamps included.

    Commands outside the trained range of the file are clipped to it. A policy that follows a movement is asked for its
    clips in turn, for as long as the script is.
    """
    robot = robot or get_robot(policy.robot_name)
    model = load_model(robot, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    commands = clip_commands(policy, expand(script, policy.control_dt))
    controller = GenericController(policy, robot)
    loop = Loop(Many(mujoco.batch.Batch(model, 1, 1)), robot, controller, nominal_plant(robot, 1))
    target = controller.standing(1)
    loop.reset(standing(model, robot, target, np.zeros(1)))
    gains = (np.full(target.shape, gain) for gain in (robot.init_kp, robot.init_kd))
    if robot.fade_in:
        loop.hold(MotorCommand(target, *gains), round(SETTLE / (model.opt.timestep * loop.steps_per_tick)))
    loop.activate()
    motions, clips = list[Motion](), list[str]()
    movement = policy.blocks.trick
    requests = None if movement is None else Requests(loop, movement)

    def look(action: int | None, motion: Motion) -> None:
        motions.append(motion)
        if requests is not None:
            clips.append(requests.movement.clips[requests.playback.clip].name)
            requests.ask()

    loop.walk(commands[None], None, look)
    before, qpos, qvel = (
        np.concatenate(part)
        for part in zip(*((m.qpos[0, :-1], m.qpos[0, 1:], m.qvel[0, 1:]) for m in motions), strict=True)
    )
    return Trajectory(
        robot.name,
        float(model.opt.timestep),
        qpos.astype(np.float32),
        np.repeat(commands, loop.steps_per_tick, axis=0),
        _velocity(qpos, qvel).astype(np.float32),
        _touching(model, before, [model.geom(name).id for name in robot.foot_geoms]),
        np.concatenate([motion.torque[0] for motion in motions]).astype(np.float32),
        np.repeat(clips, loop.steps_per_tick) if requests is not None else None,
    )


def expand(script: Sequence[Segment], control_dt: float) -> np.ndarray:
    """A script as one command per control step, (steps, 3) float32; ends are rounded, so that errors do not add up."""
    ends = np.round(np.cumsum([segment.seconds for segment in script]) / control_dt).astype(int)
    return np.repeat(np.array([segment.command for segment in script], np.float32), np.diff(ends, prepend=0), axis=0)


def stretched(script: Sequence[Segment], seconds: float) -> tuple[Segment, ...]:
    """The script slowed down or hurried to last `seconds`."""
    factor = seconds / sum(segment.seconds for segment in script)
    return tuple(Segment(segment.seconds * factor, segment.command) for segment in script)


def clip_commands(policy: PolicyFile, commands: np.ndarray) -> np.ndarray:
    """Commands (steps, 3) cut to the range that the policy file names; unchanged where it names none."""
    bounds = [policy.command_range.get(name, (-np.inf, np.inf)) for name in COMMANDS]
    return np.clip(commands, *np.array(bounds, np.float32).T)


def describe(command: np.ndarray | Sequence[float]) -> str:
    """A command in words: 'forward 0.50 m/s, turn left 1.0 rad/s'."""
    forward, left, turn = (float(value) for value in command)
    parts = []
    if abs(forward) >= 0.005:
        parts.append(f"{'forward' if forward > 0 else 'backward'} {abs(forward):.2f} m/s")
    if abs(left) >= 0.005:
        parts.append(f"{'left' if left > 0 else 'right'} {abs(left):.2f} m/s")
    if abs(turn) >= 0.005:
        parts.append(f"turn {'left' if turn > 0 else 'right'} {abs(turn):.1f} rad/s")
    return ", ".join(parts) or "stand still"


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average of (T, …) over `window` rows; at the ends over the rows there are."""
    half = window // 2
    total = np.cumsum(np.concatenate([np.zeros((1, *values.shape[1:])), values]), axis=0)
    start = np.maximum(np.arange(len(values)) - half, 0)
    end = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[end] - total[start]) / (end - start).reshape(-1, *[1] * (values.ndim - 1))


def _velocity(qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """(T, 3) forward, leftward and yaw velocity in the body frame."""
    horizontal = np.einsum("nij,ni->nj", rotation_of(qpos[:, 3:7]), qvel[:, :3])[:, :2]
    return np.concatenate([horizontal, qvel[:, 5:6]], axis=1)


def _touching(model: mujoco.MjModel, qpos: np.ndarray, geoms: Sequence[int]) -> np.ndarray:
    """(T, geoms) bool: whether each touches anything, in the states in which physics steps began."""
    data, touching = mujoco.MjData(model), np.zeros((len(qpos), len(geoms)), bool)
    for row, state in zip(touching, qpos, strict=True):
        data.qpos[:] = state
        mujoco.mj_fwdPosition(model, data)
        row[:] = np.isin(geoms, data.contact.geom[data.contact.dist < 0])
    return touching
