"""The robot's own controller in MuJoCo, recorded tick by tick: joystick, stop, queues, re-activation.

Does for a few robots, with a full record, what `walkies.judge.rehearsal.drive` does for many in blocks of ticks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from walkies.deploy.controllers import MotorCommand
from walkies.deploy.controllers.neural_controller import CONFIGS, ControllerConfig, Memory, NeuralController, multiplex
from walkies.deploy.controllers.twin import PHYSICS_PER_TICK, model_for
from walkies.deploy.policy_file import PolicyFile
from walkies.judge.loop import Loop, Many, nominal_plant, standing
from walkies.later import mujoco
from walkies.robots.base import Robot

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
    """Whether the stop is pressed at a time in s."""


class Trace(NamedTuple):
    """A rehearsal: one row per tick, T ticks, n robots; and the end, from which another may start."""

    time: np.ndarray
    """(T,) s since activation, at the start of the tick"""
    qpos: np.ndarray
    """(T, n, nq) as the tick began"""
    qvel: np.ndarray
    """(T, n, nv)"""
    acted: np.ndarray
    """(T, n) bool: the policy ran"""
    observation: np.ndarray
    """(T, n, H·frame) float32: what the policy saw in its last run"""
    action: np.ndarray
    """(T, n, nu) float32: what it answered"""
    command: MotorCommand
    """each (T, n, nu): what reached the motors, after the board's clamps and the queue"""
    torque: np.ndarray
    """(T, n, nu) N m, in the tick's last physics step"""
    stopped: np.ndarray
    """(T, n) bool"""
    failed: np.ndarray
    """(T, n) bool"""
    memory: Memory
    """of the controller, at the end"""
    final_qpos: np.ndarray
    """(n, nq)"""


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
        joystick: velocity messages; when they stop the multiplexer takes over.
        n: robots, where `batch` is not given.
        batch: simulations with physics of their own, with `model_for`'s time step.
        qpos: (n, nq) where the robots are when the controller is activated; default: their feet just above the ground.
        before: the controller's memory of an earlier run: this is then a re-activation, with its stale history.
    """
    config, world = config or CONFIGS[policy.edition], world or World()
    batch = batch or mujoco.batch.Batch(model_for(robot, config), n, threads)
    n = batch.nsim
    controller = NeuralController(policy, robot, config=config)
    late = {
        "command_delay": np.full(n, PHYSICS_PER_TICK * world.command_queue),
        "imu_delay": np.full(n, PHYSICS_PER_TICK * world.imu_queue),
    }
    loop = Loop(Many(batch), robot, controller, nominal_plant(robot, n)._replace(**late))
    loop.reset(standing(batch.model, robot, policy.default_joint_pos, np.zeros(n)) if qpos is None else qpos)
    controller.activate(loop.read(None), before)
    message, published = None, 0.0
    rows = []
    for k in range(round(seconds * config.tick_rate)):
        time = k / config.tick_rate
        if (new := joystick(time)) is not None:
            message, published = np.broadcast_to(np.asarray(new, float), (n, 3)), time
        push = None if world.pushes is None else world.pushes(time)
        stop = world.emergency_stop is not None and world.emergency_stop(time)
        motion = loop.advance(None, multiplex(config, message, time - published), push, ticks=1, stop=stop)
        now = controller.memory
        command = MotorCommand(*(part[:, 0] for part in motion.command))
        start = (time, motion.qpos[:, 0], motion.qvel[:, 0], now.acted, now.seen, now.action, command)
        rows.append((*start, motion.torque[:, -1], now.stopped, now.failed))
    columns = list(zip(*rows, strict=True))
    commands = MotorCommand(*(np.stack(parts) for parts in zip(*columns.pop(6), strict=True)))
    time_, qpos_, qvel_, acted, seen, action, torque, stopped, failed = (np.stack(part) for part in columns)
    return Trace(
        time_, qpos_, qvel_, acted, seen, action, commands, torque, stopped, failed, controller.memory, loop.qpos.copy()
    )  # fmt: skip
