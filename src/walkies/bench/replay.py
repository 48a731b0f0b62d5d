"""`walkies bench replay`: how well `walkies replay` finds parameters that it was not told.

Robots with hidden parameters walk, or kick in the air, under the controller twin; what they publish is recorded with
noise, jitter and losses, and identified. The table says how far off the estimates are.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import mujoco
import mujoco.batch
import numpy as np

from walkies.deploy.controller import ControllerConfig, MotorCommand, Sensors, activate, board, tick
from walkies.deploy.logs import Messages, Recording
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.twin import PHYSICS_PER_TICK, Joystick, model_for
from walkies.robots.base import Robot

HELD_ARMATURE = 1e6
"""kg and kg m² added to the six coordinates of the trunk: what holds it moves as little as a table does."""
HELD_HEIGHT = 1.0
"""m"""


class Hidden(NamedTuple):
    """A robot that the log is of. Factors are of the nominal robot's values."""

    latency: float = 0.0
    """s from an action to its effect, rounded to ticks"""
    kp: float = 1.0
    kd: float = 1.0
    frictionloss: float = 1.0
    gyro_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """rad/s"""
    ground_friction: float = 1.0
    """(1) sliding friction"""
    payload: float = 0.0
    """kg at the trunk's centre of mass"""
    imu_delay: float = 0.0
    """s, rounded to ticks"""


class Recorder(NamedTuple):
    """How badly the log is taken."""

    encoder_noise: float = 0.002
    """rad, standard deviation"""
    gyro_noise: float = 0.02
    """rad/s, standard deviation"""
    gravity_noise: float = 0.005
    """1, standard deviation"""
    jitter: float = 0.004
    """s, mean delay of receiving (exponentially distributed)"""
    loss: float = 0.02
    """share of messages that are lost, on each topic"""
    blackout: float = 0.3
    """s, one stretch in the middle from which nothing was received"""


def record(
    policy: PolicyFile,
    robot: Robot,
    hidden: Hidden,
    joystick: Joystick,
    seconds: float,
    *,
    held: bool,
    recorder: Recorder | None = None,
    config: ControllerConfig | None = None,
    seed: int = 0,
) -> Recording:
    """What a recorder receives of a robot with `hidden` parameters that walks, or is held in the air."""
    recorder, config = recorder or Recorder(), config or ControllerConfig()
    rng = np.random.default_rng(seed)
    batch = _robot(robot, config, hidden, held)
    state, velocity, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    height = HELD_HEIGHT if held else robot.reset_height[0]
    state[0] = [0, 0, height, 1, 0, 0, 0, *policy.default_joint_pos]
    gain, bias = batch.expand("actuator_gainprm"), batch.expand("actuator_biasprm")
    imu: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=round(hidden.imu_delay * config.tick_rate) + 1)
    queue: deque[MotorCommand] = deque(maxlen=round(hidden.latency * config.tick_rate) + 1)
    memory, published = None, []
    for k in range(round(seconds * config.tick_rate)):
        time = k / config.tick_rate
        imu.append((velocity[:, 3:6].copy(), state[:, 3:7].copy()))
        gyro, orientation = imu[0]
        sensors = Sensors(
            gyro + hidden.gyro_bias + recorder.gyro_noise * rng.standard_normal((1, 3)),
            _jostled(orientation, recorder.gravity_noise * rng.standard_normal(3)),
            state[:, 7:] + recorder.encoder_noise * rng.standard_normal((1, 12)),
        )
        memory = activate(policy, sensors) if memory is None else memory
        message = joystick(time)
        wanted = None if message is None else np.broadcast_to(np.asarray(message, float), (1, 3))
        memory, asked = tick(config, policy, robot, memory, sensors, wanted)
        if memory.acted[0]:
            published.append((time, memory.seen[0], memory.action[0], asked.position[0]))
        queue.append(board(config, robot, asked))
        gain[:, :, 0] = queue[0].kp * hidden.kp
        bias[:, :, 1], bias[:, :, 2] = -gain[:, :, 0], -queue[0].kd * hidden.kd
        ctrl[:] = queue[0].position
        batch.step(nstep=PHYSICS_PER_TICK)
    times, *topics = (np.array(column) for column in zip(*published, strict=True))
    return Recording(*(_received(times, values, recorder, rng) for values in topics))


def _robot(robot: Robot, config: ControllerConfig, hidden: Hidden, held: bool) -> mujoco.batch.Batch:
    model = model_for(robot, config)
    model.dof_frictionloss[6:] *= hidden.frictionloss
    model.geom_friction[:, 0] = hidden.ground_friction
    model.body_mass[model.body(robot.base_body).id] += hidden.payload
    mujoco.mj_setConst(model, mujoco.MjData(model))
    if held:
        model.dof_armature[:6] = HELD_ARMATURE
    return mujoco.batch.Batch(model, 1, 1)


def _jostled(orientation: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """The quaternion (1, 4) turned by a small rotation vector `angle` (3,), rad, of the body."""
    turned, small = np.zeros(4), np.array([1.0, *(0.5 * angle)])
    mujoco.mju_mulQuat(turned, orientation[0], small / np.linalg.norm(small))
    return turned[None]


def _received(time: np.ndarray, values: np.ndarray, recorder: Recorder, rng: np.random.Generator) -> Messages:
    arrival = np.maximum.accumulate(time + rng.exponential(recorder.jitter, len(time)))
    kept = rng.random(len(time)) >= recorder.loss
    middle = 0.5 * (time[0] + time[-1])
    kept &= (time < middle) | (time >= middle + recorder.blackout)
    return Messages(arrival[kept], values[kept].astype(np.float32).astype(float))
