"""The robot's controller, rebuilt: what happens between sensors and motors, tick by tick, for n robots at once.

A model of `neural_controller` and of the motor board behind it, including its surprising traits: the emergency stop is
checked only when the policy runs, and never during start-up; the fade-in is visible in the observation; a controller
that is switched off leaves the joints damped, not limp. There are two versions of it: that of 2025
(pupperv3-monorepo, ros2_ws/src/neural_controller and control_board_hardware_interface), where history survives a
re-activation and a multiplexer silences a dead gamepad, and that of 2026 (pupper_gait_deploy), which clears the
history, knows the blocks of a file, and has no multiplexer.
It knows nothing but the policy file. Numbers are float32 where the robot's are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from walkies.deploy.controllers import inputs
from walkies.deploy.controllers.base import MotorCommand, Sensors, gravity_in_body
from walkies.deploy.controllers.inputs import UNLIMITED, Inputs, Plays, Speeds
from walkies.deploy.policy_file import PolicyFile
from walkies.quaternions import up_in_body
from walkies.robots.base import Robot
from walkies.tasks import signal
from walkies.tasks.contract import FADE_IN, OBSERVATION_CLIP
from walkies.tasks.signal import Sensed


@dataclass(frozen=True)
class ControllerConfig:
    """Parameters of the controller's node, as the robot's launch files set them."""

    tick_rate: float = 520.0
    """Hz. Upstream runs it above its nominal 500 to see 50 actions a second on the robot."""
    repeat_action: int = 10
    """Ticks per action."""
    init_duration: float = 2.0
    """s of interpolation to the default pose after activation."""
    fade_in_duration: float = 2.0
    """s over which actions then grow to full size."""
    max_body_angle: float = 1.5
    """rad of tilt at which the controller stops the robot."""
    estop_kd: float = 0.1
    """N m s/rad that remain after an emergency stop, a failure, or when the controller is switched off."""
    gain_multiplier: float = 1.0
    kp_scale: tuple[float, ...] | None = None
    """Further factor on each joint's stiffness; None: 1."""
    clears_history: bool = True
    """Whether activation forgets what was sensed before it."""
    command_timeout: float = np.inf
    """s of silence after which the velocity multiplexer commands zero; infinite: there is none, and what was commanded
    last holds forever."""
    speeds: Speeds = UNLIMITED


CONFIGS = {
    2025: ControllerConfig(init_duration=1.0, fade_in_duration=FADE_IN, clears_history=False, command_timeout=0.5),
    2026: ControllerConfig(),
}
"""By edition of the policy file: the software that it is written for."""


class Memory(NamedTuple):
    """The controller's state."""

    ticks: int
    """since activation"""
    counter: int
    """ticks since the last action, modulo repeat_action"""
    start_position: np.ndarray
    """(n, nu) rad, joints at activation"""
    velocity_command: np.ndarray
    """(n, 3), the last received"""
    observation: np.ndarray
    """(n, H·frame) float32, as the policy sees or last saw it, already rotated for the next"""
    action: np.ndarray
    """(n, nu) float32, the policy's last output"""
    applied: np.ndarray
    """(n, nu) float32, the same times its fade-in"""
    command: MotorCommand
    stopped: np.ndarray
    """(n,) bool: emergency stop, latched until the next activation"""
    failed: np.ndarray
    """(n,) bool: the controller returned an error and was switched off"""
    acted: np.ndarray
    """(n,) bool: the policy ran in this tick"""
    seen: np.ndarray
    """(n, H·frame) float32, what the policy saw in its last run"""
    inputs: Inputs
    pose: np.ndarray | None
    """(n, 4) the last pose command, w x y z; None if there never was one"""


def activate(
    policy: PolicyFile, sensors: Sensors, before: Memory | None = None, config: ControllerConfig | None = None
) -> Memory:
    """The controller's state after activation.

    History is zeros with gravity z = -1 in every frame the first time. On a re-activation (`before`) that is so again
    where the controller clears it; where it does not, only gravity z is set again, and all else is still there from
    the last walk, because upstream resizes the buffer without clearing it: after a NaN action that is a NaN, and the
    controller fails again until its process is restarted. A pose command outlives every activation.
    """
    n, joints = sensors.joint_position.shape
    size, signals = policy.observation_size, policy.signals
    config = config or CONFIGS[policy.edition]
    keeps = before is not None and not config.clears_history
    observation = before.observation.copy() if before is not None and keeps else np.zeros((n, size), np.float32)
    initial = np.tile(signal.spread(signals, policy, lambda one: one.initial), policy.observation_history)
    observation[:, initial != 0] = initial[initial != 0]
    nothing = np.zeros((n, joints))
    return Memory(
        ticks=0,
        counter=-1,
        start_position=np.array(sensors.joint_position),
        velocity_command=np.zeros((n, 3)),
        observation=observation,
        action=np.zeros((n, joints), np.float32),
        applied=before.applied if before is not None and keeps else np.zeros((n, joints), np.float32),
        command=MotorCommand(nothing, nothing, nothing),
        stopped=np.zeros(n, bool),
        failed=np.zeros(n, bool),
        acted=np.zeros(n, bool),
        seen=observation,
        inputs=inputs.begin(policy, n),
        pose=None if before is None else before.pose,
    )


def tick(
    config: ControllerConfig,
    policy: PolicyFile,
    robot: Robot,
    memory: Memory,
    sensors: Sensors,
    velocity_command: np.ndarray | None = None,
    emergency_stop: bool | np.ndarray = False,
) -> tuple[Memory, MotorCommand]:
    """One tick: the controller's next state, and its command before the board's clamps.

    velocity_command: (n, 3) the latest message, None if there never was one. emergency_stop: whether a stop was
    published since the last tick (for all or (n,)); it is latched at once, but obeyed only with the next action.
    """
    n, joints = memory.start_position.shape
    nobody = np.zeros(n, bool)
    stopped = memory.stopped | emergency_stop
    time = memory.ticks / config.tick_rate
    memory = memory._replace(ticks=memory.ticks + 1, stopped=stopped, acted=nobody)
    if time < config.init_duration:
        share = time / config.init_duration
        position = memory.start_position * (1 - share) + np.array(policy.default_joint_pos) * share
        command = MotorCommand(position, np.full((n, joints), robot.init_kp), np.full((n, joints), robot.init_kd))
        command = _where(memory.failed, damped(config, n, joints), command)
        return memory._replace(command=command), command
    fade = np.float32(min((time - config.init_duration) / config.fade_in_duration, 1.0))
    counter = (memory.counter + 1) % config.repeat_action
    memory = memory._replace(counter=counter)
    if counter != 0:
        return memory, memory.command
    if velocity_command is not None:
        memory = memory._replace(velocity_command=np.array(velocity_command, float))

    return _act(config, policy, memory, sensors, fade, time - config.init_duration)


def _act(
    config: ControllerConfig, policy: PolicyFile, memory: Memory, sensors: Sensors, fade: np.float32, time: float
) -> tuple[Memory, MotorCommand]:
    """A tick in which the controller looks at its sensors, and the policy acts unless something speaks against it.

    time: s since start-up ended.
    """
    stopped, (n, joints) = memory.stopped, memory.start_position.shape
    gravity = gravity_in_body(sensors.orientation)
    tilted = ~stopped & (-gravity[:, 2] < np.cos(config.max_body_angle))
    blind = not policy.use_imu and np.any(np.abs(sensors.orientation - [1.0, 0, 0, 0]) > 1e-3, axis=-1)
    told, observation = _fill(config, policy, memory, sensors, gravity, time)
    failed = memory.failed | (~stopped & (blind | ~tilted & np.any(np.isnan(observation), axis=-1)))
    tilted &= ~failed
    acting = ~(stopped | tilted | failed)
    action = policy.act(np.where(acting[:, None], observation, 0))
    with np.errstate(invalid="ignore"):  # an infinite action times a fade-in of zero
        applied = fade * action
    target = np.clip(
        applied * np.asarray(policy.action_scale, np.float32) + np.asarray(policy.default_joint_pos, np.float32),
        np.asarray(policy.joint_lower_limits, np.float32),
        np.asarray(policy.joint_upper_limits, np.float32),
    )
    rotated = np.roll(observation, policy.frame_size, axis=-1)
    # NaN is looked for in what the joints would be told, last of all: an infinite action is clamped and carried out
    # (not where the fade-in is still zero), and the history has the NaN by then, so a re-activation fails as well.
    remembering = acting
    failed |= acting & np.any(np.isnan(target), axis=-1)
    acting = acting & ~failed
    scale = np.ones(joints) if config.kp_scale is None else np.array(config.kp_scale)
    kp = np.asarray(policy.kp) * config.gain_multiplier * scale
    kd = np.asarray(policy.kd) * config.gain_multiplier
    walk = MotorCommand(target.astype(float), np.tile(kp, (n, 1)), np.full((n, joints), kd))
    command = _where(acting, walk, memory.command)  # a robot found tilted keeps its last command until the next action
    command = _where(stopped | failed, damped(config, n, joints), command)
    memory = memory._replace(
        observation=np.where(remembering[:, None], rotated, memory.observation),
        seen=np.where(acting[:, None], observation, memory.seen),
        action=np.where(acting[:, None], action, memory.action),
        applied=np.where(remembering[:, None], applied, memory.applied),
        command=command,
        stopped=stopped | tilted,
        failed=failed,
        acted=acting,
        inputs=told,
    )
    return memory, command


def board(robot: Robot, command: MotorCommand) -> MotorCommand:
    """The motor board's own clamps: positions inside the joint limits by the robot's inset, gains under its caps."""
    lower, upper = robot.target_limits()
    return MotorCommand(
        np.clip(command.position, lower, upper),
        np.clip(command.kp, 0.0, robot.kp_cap),
        np.clip(command.kd, 0.0, robot.kd_cap),
    )


class NeuralController(Plays):
    """`tick` and `board` with their memory; see `walkies.deploy.controllers.Controller`."""

    failure = "controller failed"
    memory: Memory
    asked: MotorCommand
    """the last command before the board's clamps"""

    def __init__(
        self, policy: PolicyFile, robot: Robot, tick_rate: float | None = None, config: ControllerConfig | None = None
    ) -> None:
        """tick_rate: Hz; default: that of `config`, which by default is that of the file's edition."""
        config = config or CONFIGS[policy.edition]
        self.policy, self.robot = policy, robot
        self.config = config if tick_rate is None else replace(config, tick_rate=tick_rate)
        self.tick_rate, self.action_ticks = self.config.tick_rate, self.config.repeat_action
        self.fade_in = self.config.fade_in_duration

    @property
    def start_up(self) -> int:
        """Ticks of interpolation that are left."""
        whole = int(np.ceil(self.config.init_duration * self.config.tick_rate - 1e-9))
        return max(whole - self.memory.ticks, 0)

    @property
    def ahead(self) -> int:
        """Ticks until the sensors are looked at again, or the policy begins to act."""
        if self.start_up:
            return min(self.start_up, self.action_ticks)
        return self.action_ticks - (self.memory.counter + 1) % self.action_ticks

    @property
    def failed(self) -> np.ndarray:
        return self.memory.failed

    @property
    def action(self) -> np.ndarray:
        return self.memory.action

    @property
    def applied(self) -> np.ndarray:
        return self.memory.applied

    @property
    def seconds(self) -> float:
        """Since start-up ended, at the next tick."""
        return self.memory.ticks / self.config.tick_rate - self.config.init_duration

    def activate(self, sensors: Sensors, before: Memory | None = None) -> None:
        """As the function of that name."""
        self.memory = activate(self.policy, sensors, before, self.config)

    def deactivate(self) -> MotorCommand:
        """What the motors are left with when the controller is switched off: damped, not limp."""
        return board(self.robot, damped(self.config, *self.memory.start_position.shape))

    def pose(self, orientation: np.ndarray) -> None:
        """A pose command (n, 4) w x y z: holds until the next, whatever is activated in between."""
        self.memory = self.memory._replace(pose=np.array(orientation, float))

    def jump(self, pressed: np.ndarray) -> None:
        """A rising edge of the jump button for robots `pressed` (n,); it counts only when the policy is faded in."""
        if self.seconds >= self.config.fade_in_duration:
            told = inputs.jump(self.policy, self.memory.inputs, pressed, self.seconds)
            self.memory = self.memory._replace(inputs=told)

    def run(self, held: bool) -> None:
        """Whether the run button is held."""
        self.memory = self.memory._replace(inputs=self.memory.inputs._replace(running=held))

    @property
    def inputs(self) -> Inputs:
        return self.memory.inputs

    @inputs.setter
    def inputs(self, value: Inputs) -> None:
        self.memory = self.memory._replace(inputs=value)

    def tick(
        self, sensors: Sensors, velocity_command: np.ndarray | None, emergency_stop: bool | np.ndarray = False
    ) -> MotorCommand:
        """As the function of that name, and then the board."""
        self.memory, self.asked = tick(
            self.config, self.policy, self.robot, self.memory, sensors, velocity_command, emergency_stop
        )
        return board(self.robot, self.asked)


def multiplex(config: ControllerConfig, message: np.ndarray | None, age: float) -> np.ndarray | None:
    """The velocity command after the multiplexer: the latest message, or zero once it is older than the time-out.

    message: (n, 3), None before the first. age: s since it was published.
    """
    if message is None:
        return None
    return message if age <= config.command_timeout else np.zeros_like(message)


def damped(config: ControllerConfig, n: int, joints: int) -> MotorCommand:
    """What stopped, failed and switched-off robots are left with."""
    zero = np.zeros((n, joints))
    return MotorCommand(zero, zero, np.full((n, joints), config.estop_kd))


def _fill(
    config: ControllerConfig, policy: PolicyFile, memory: Memory, sensors: Sensors, gravity: np.ndarray, time: float
) -> tuple[Inputs, np.ndarray]:
    """What is remembered of the inputs, and the observation with its newest frame renewed."""
    observation, joints = memory.observation.copy(), sensors.joint_position
    speed = np.zeros_like(joints) if sensors.joint_velocity is None else sensors.joint_velocity
    told = inputs.told(policy, memory.inputs, memory.velocity_command, sensors.orientation, config.speeds)
    up = None if memory.pose is None else up_in_body(memory.pose)
    sensed = Sensed(sensors.gyro, gravity, told.command, joints, speed, memory.applied, up)
    told, sensed = inputs.refer(policy, told, sensed, sensors.orientation, time, config.fade_in_duration)
    frame = signal.frame(policy.signals, policy, sensed, dtype=np.float32)
    observation[:, : policy.frame_size] = frame
    # leaves NaN a NaN, as std::clamp does
    return told, np.clip(observation, -OBSERVATION_CLIP, OBSERVATION_CLIP)


def _where(mask: np.ndarray, yes: MotorCommand, no: MotorCommand) -> MotorCommand:
    return MotorCommand(*(np.where(mask[:, None], a, b) for a, b in zip(yes, no, strict=True)))
