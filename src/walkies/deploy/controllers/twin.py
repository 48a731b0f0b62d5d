"""The controller twin: the robot's own control loop closed around MuJoCo, before a motor moves.

`walkies.deploy.controllers.neural_controller` is the loop; this is the world it runs in: physics in steps of half a
tick (520 Hz does not divide the usual 4 ms), queues for commands and IMU readings, a joystick, pushes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import mujoco.batch
import numpy as np

from walkies.deploy.controllers.neural_controller import (
    ControllerConfig,
    Memory,
    MotorCommand,
    Sensors,
    activate,
    board,
    multiplex,
    tick,
)
from walkies.deploy.policy_file import PolicyFile
from walkies.robots import load_model
from walkies.robots.base import Robot

PHYSICS_PER_TICK = 2
"""1/1040 s each at 520 Hz"""
SOLVER_ITERATIONS = 20

Joystick = Callable[[float], "np.ndarray | None"]
"""Message (n, 3) or (3,) published at a time in s after activation, None when nothing is published in that tick."""


@dataclass(frozen=True)
class World:
    """What surrounds the controller."""

    command_queue: int = 0
    """Ticks from the controller's command to the motors (the upstream ROS simulator: 8, 15.4 ms)."""
    imu_queue: int = 0
    """Ticks from the body to the controller's IMU reading (upstream: 10, 19.2 ms)."""
    pushes: Callable[[float], np.ndarray | None] | None = None
    """Velocity (n, 2), m/s, added to the base at a time in s, or None."""
    emergency_stop: Callable[[float], bool] | None = None
    """Whether somebody presses the stop at a time in s."""


class Trace(NamedTuple):
    """A rehearsal: one row per tick, T ticks, n robots; and the end, from which another may start."""

    time: np.ndarray
    """(T,) s since activation, at the start of the tick"""
    qpos: np.ndarray
    """(T, n, 19) as the tick began"""
    qvel: np.ndarray
    """(T, n, 18)"""
    acted: np.ndarray
    """(T, n) bool: the policy ran"""
    observation: np.ndarray
    """(T, n, H·36) float32: what the policy saw in its last run"""
    action: np.ndarray
    """(T, n, 12) float32: what it answered"""
    command: MotorCommand
    """each (T, n, 12): what reached the motors, after the board's clamps and the queue"""
    torque: np.ndarray
    """(T, n, 12) N m, in the tick's last physics step"""
    stopped: np.ndarray
    """(T, n) bool"""
    failed: np.ndarray
    """(T, n) bool"""
    memory: Memory
    """of the controller, at the end"""
    final_qpos: np.ndarray
    """(n, 19)"""


def model_for(robot: Robot, config: ControllerConfig | None = None) -> mujoco.MjModel:
    """The robot's model at the twin's time step, its parts able to touch each other."""
    model = load_model(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    model.opt.timestep = 1.0 / ((config or ControllerConfig()).tick_rate * PHYSICS_PER_TICK)
    return model


def rehearse(
    policy: PolicyFile,
    robot: Robot,
    joystick: Joystick,
    seconds: float,
    *,
    n: int = 1,
    config: ControllerConfig | None = None,
    world: World | None = None,
    batch: mujoco.batch.Batch | None = None,
    qpos: np.ndarray | None = None,
    before: Memory | None = None,
    threads: int = 0,
) -> Trace:
    """Activate the controller and let it run for `seconds`, start-up included.

    Args:
        joystick: velocity messages; when it falls silent the multiplexer takes over.
        n: robots, where `batch` is not given.
        batch: simulations with physics of their own, with `model_for`'s time step.
        qpos: (n, 19) where the robots are when the controller is activated; default: their feet just above the ground.
        before: the controller's memory of an earlier run: this is then a re-activation, with its stale history.
    """
    config, world = config or ControllerConfig(), world or World()
    batch = batch or mujoco.batch.Batch(model_for(robot, config), n, threads)
    n = batch.nsim
    state, velocity = batch.bind("qpos"), batch.bind("qvel")
    state[:] = _default_qpos(robot, policy, n) if qpos is None else qpos
    velocity[:] = 0.0
    gain, bias = batch.expand("actuator_gainprm"), batch.expand("actuator_biasprm")
    ctrl, force = batch.bind("ctrl"), batch.bind("actuator_force")

    imu: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=world.imu_queue + 1)
    imu.append((velocity[:, 3:6].copy(), state[:, 3:7].copy()))
    memory = activate(policy, Sensors(*imu[0], state[:, 7:].copy()), before)
    queue: deque[MotorCommand] = deque(maxlen=world.command_queue + 1)
    message, published = None, 0.0
    rows = []
    for k in range(round(seconds * config.tick_rate)):
        time = k / config.tick_rate
        if (new := joystick(time)) is not None:
            message, published = np.broadcast_to(np.asarray(new, float), (n, 3)), time
        if world.pushes is not None and (push := world.pushes(time)) is not None:
            velocity[:, :2] += push
        imu.append((velocity[:, 3:6].copy(), state[:, 3:7].copy()))
        sensors = Sensors(*imu[0], state[:, 7:].copy())
        stop = world.emergency_stop is not None and world.emergency_stop(time)
        wanted = multiplex(config, message, time - published)
        memory, asked = tick(config, policy, robot, memory, sensors, wanted, stop)
        queue.append(board(config, robot, asked))
        command = queue[0]
        gain[:, :, 0], bias[:, :, 1], bias[:, :, 2] = command.kp, -command.kp, -command.kd
        ctrl[:] = command.position
        start = (time, state.copy(), velocity.copy(), memory.acted, memory.seen, memory.action, command)
        batch.step(nstep=PHYSICS_PER_TICK)
        rows.append((*start, force.copy(), memory.stopped, memory.failed))
    columns = list(zip(*rows, strict=True))
    commands = MotorCommand(*(np.stack(parts) for parts in zip(*columns.pop(6), strict=True)))
    time_, qpos_, qvel_, acted, seen, action, torque, stopped, failed = (np.stack(part) for part in columns)
    return Trace(
        time_, qpos_, qvel_, acted, seen, action, commands, torque, stopped, failed, memory, state.copy()
    )  # fmt: skip


def _default_qpos(robot: Robot, policy: PolicyFile, n: int) -> np.ndarray:
    start = np.concatenate([[0.0, 0.0, robot.reset_height[0], 1.0, 0.0, 0.0, 0.0], policy.default_joint_pos])
    return np.tile(start, (n, 1))
