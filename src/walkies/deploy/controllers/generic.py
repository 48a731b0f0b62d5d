"""The idealized protocol: one action per tick, at a fixed rate, with history, fade-in, and the motor board's clamps.

Training, the examination and films use it; `neural_controller` is what runs on a robot.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from walkies.deploy.controllers import inputs
from walkies.deploy.controllers.base import MotorCommand, Sensors, gravity_in_body
from walkies.deploy.policy_file import PolicyFile, per_joint
from walkies.robots.base import Robot
from walkies.tasks.signal import Sensed


class GenericController(inputs.Plays):
    """See the module and `Controller`."""

    action_ticks = 1
    start_up = 0
    ahead = 1
    failure = "action not finite"

    def __init__(
        self, policy: PolicyFile, robot: Robot, tick_rate: float | None = None, fade_in: float | None = None
    ) -> None:
        """tick_rate: Hz; default: the file's. fade_in: s over which actions grow to full size; default: the robot's."""
        self.tick_rate = tick_rate or 1.0 / policy.control_dt
        self.fade_in = robot.fade_in if fade_in is None else fade_in
        # The motor board caps gains without a word, so a file that asks for more is driven with what it would get.
        kp, kd = np.minimum(policy.kp, robot.kp_cap), np.minimum(policy.kd, robot.kd_cap)
        self.policy = replace(policy, kp=per_joint(kp), kd=per_joint(kd))
        self.contract = self.policy.contract(robot)

    def standing(self, n: int) -> np.ndarray:
        """Joint targets (n, nu), rad, of the default pose."""
        return np.repeat(self.contract.target(np.zeros((1, len(self.policy.action_scale)))), n, axis=0)

    def activate(self, sensors: Sensors) -> None:
        """Restart, with the history that the robot's buffer holds before the first frame."""
        n = len(sensors.joint_position)
        self.actions = 0
        self.history = np.repeat(self.contract.initial_history()[None], n, axis=0)
        self.action = np.zeros(sensors.joint_position.shape, np.float32)
        self.applied = self.action
        self.failed = np.zeros(n, bool)
        self.inputs = inputs.begin(self.policy, n)

    def tick(
        self, sensors: Sensors, velocity_command: np.ndarray | None, emergency_stop: bool | np.ndarray = False
    ) -> MotorCommand:
        """One action. There is no emergency stop; a robot whose action is not finite keeps its default pose."""
        gravity = gravity_in_body(sensors.orientation) if sensors.gravity is None else sensors.gravity
        if velocity_command is None:
            velocity_command = np.zeros_like(sensors.gyro)
        joints, speeds = sensors.joint_position, sensors.joint_velocity
        speeds = np.zeros_like(joints) if speeds is None else speeds
        seconds = self.actions * (1.0 / self.tick_rate)
        told = inputs.told(self.policy, self.inputs, velocity_command, sensors.orientation)
        sensed = Sensed(sensors.gyro, gravity, told.command, joints, speeds, self.applied)
        self.inputs, sensed = inputs.refer(self.policy, told, sensed, sensors.orientation, seconds, self.fade_in)
        frame = self.contract.frame(sensed, noise=sensors.noise, dtype=np.float32)
        self.history = self.contract.push(self.history, frame)
        self.action = self.policy.act(self.history)
        finite = np.all(np.isfinite(self.action), axis=-1)
        self.failed = ~finite
        fade = np.float32(min(seconds / self.fade_in, 1.0) if self.fade_in else 1.0)
        self.applied = fade * np.where(finite[:, None], self.action, np.float32(0))
        self.actions += 1
        position = self.contract.target(self.applied.astype(np.float64))
        return MotorCommand(position, np.full(position.shape, self.policy.kp), np.full(position.shape, self.policy.kd))
