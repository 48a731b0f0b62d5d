"""One robot in MuJoCo under a policy and the robot's own controller, to be driven, pushed and changed as it walks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from walkies.deploy.controllers.neural_controller import CONFIGS, ControllerConfig, NeuralController, multiplex
from walkies.deploy.controllers.twin import PHYSICS_PER_TICK
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.policy_json import COMMANDS
from walkies.judge.loop import Loop, One, nominal_plant
from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.show.viewer import settings as world
from walkies.show.viewer.reference import Reference
from walkies.show.viewer.settings import Settings
from walkies.sim.params import ground_geom

LONGEST_QUEUE = 64
"""Motor commands kept for latency: 123 ms at 520 Hz."""
MAX_PUSH = 1.5
"""m/s"""
"""What a policy is driven with whose file names no range; m/s, m/s, rad/s."""


class Moment(NamedTuple):
    """The robot at one action of the controller."""

    time: float
    """s of simulated time since the viewer began."""
    command: np.ndarray
    """(3,) the velocity command that the controller obeys: m/s, m/s, rad/s."""
    velocity: np.ndarray
    """(3,) what the base does, body frame."""
    action: np.ndarray
    """(nu,) with its fade-in"""
    torque: np.ndarray
    """(nu,) N m"""
    tilt: float
    """rad between the robot's up and the world's"""
    stopped: bool
    """The controller's emergency stop, pressed or by its own limit on the tilt."""
    gait_reference: np.ndarray | None = None
    """(nu,) rad from the default pose, as the policy saw it last; None where its frame has none"""
    stance: np.ndarray | None = None
    """(legs,) bool: the feet that this gait stands on; None where the policy follows no gait"""
    clip: str = ""
    """of the policy's movement that is playing; empty: there is none"""
    queue: tuple[str, ...] = ()
    """clips that were asked for and have not begun"""


class Walker:
    """A robot that walks; not thread-safe."""

    def __init__(
        self,
        policy: PolicyFile,
        robot: Robot,
        config: ControllerConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: s; by it the controller notices that its driver has fallen silent."""
        self.policy, self.robot, self.clock = policy, robot, clock
        self.given = config
        self.config = config or _config(policy)
        self.model = world.build_model(robot, self.config)
        self.data = mujoco.MjData(self.model)
        self.floor = ground_geom(self.model)
        self.settings = Settings()
        self.time = 0.0
        self.dt = 1.0 / self.config.tick_rate
        self.controller = NeuralController(policy, robot, config=self.config)
        longest = LONGEST_QUEUE * PHYSICS_PER_TICK
        self.loop = Loop(
            One(self.model, self.data), robot, self.controller, nominal_plant(robot, 1), longest_delay=longest
        )
        self.reference = self._reference()
        self._message: np.ndarray | None = None
        self._published = -np.inf
        self._stop = False
        self.change(self.settings)
        self.reset()

    def reset(self) -> None:
        """Stand the robot up where it is, upright on the ground as it lies, and activate the controller."""
        qpos, ground = self.data.qpos, self.model.geom_quat[self.floor]
        known = self.time > 0.0 and bool(np.all(np.isfinite(qpos)))
        place, yaw = (qpos[:2].copy(), _heading(qpos[3:7], ground)) if known else (np.zeros(2), 0.0)
        mujoco.mj_resetData(self.model, self.data)
        # Measured along the ground's normal, the base is as high as it would be on level ground.
        height = self.robot.reset_height[0] / np.cos(world.ground_angle(self.model, self.floor))
        qpos[:3] = (*place, self.ground_height(place) + height)
        mujoco.mju_mulQuat(qpos[3:7], ground, np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]))
        qpos[self.loop.where.qpos] = self.policy.default_joint_pos
        mujoco.mj_forward(self.model, self.data)
        self._stop = False
        self._activate()

    def load(self, policy: PolicyFile) -> None:
        """Change the policy; the controller restarts from where the robot stands, unless it is stopped."""
        stopped = self.stopped
        self.policy = policy
        self.config = self.controller.config = self.given or _config(policy)
        self.reference = self._reference()
        self._activate()
        if stopped:  # past its beginning, in which it would brace the legs whatever was pressed
            now = self.controller
            now.memory = now.memory._replace(ticks=now.start_up, stopped=np.ones(1, bool))

    def change(self, settings: Settings) -> None:
        """Change the world."""
        self.settings = settings
        world.write(self.model, settings)
        nominal, wanted = nominal_plant(self.robot, 1), settings.condition
        delay = PHYSICS_PER_TICK * round(wanted.command_delay * self.config.tick_rate)
        self.loop.plant = nominal._replace(
            kp=wanted.kp * nominal.kp,
            kd=wanted.kd * nominal.kd,
            torque_limit=settings.strength * nominal.torque_limit,
            command_delay=np.array([delay]),
        )

    def drive(self, command: np.ndarray) -> None:
        """Publish a velocity command (3,), cut to the policy's range. It is obeyed until half a second of silence."""
        low, high = np.array(list(command_range(self.policy, self.robot).values())).T
        self._message = np.clip(command, low, high)[None]
        self._published = self.clock()

    @property
    def clips(self) -> list[str]:
        """Names of the clips of the policy's movement; none where it has no movement."""
        movement = self.policy.blocks.trick
        return [] if movement is None else movement.names

    def play(self, clip: str) -> None:
        """Ask for a clip, which begins when the present one has ended.

        Raises:
            ValueError: the policy has no such clip.
        """
        self.controller.play(clip)

    def push(self, velocity: np.ndarray) -> None:
        """Add (2,) m/s to the base's velocity, world axes, at most MAX_PUSH long."""
        length = math.hypot(*velocity)
        self.data.qvel[:2] += velocity * min(1.0, MAX_PUSH / max(length, 1e-9))

    def emergency_stop(self) -> None:
        """Press the stop; only `reset` makes the robot go again."""
        self._stop = True

    @property
    def stopped(self) -> bool:
        """Whether the emergency stop was pressed, or the controller stopped by its own limit on the tilt."""
        return self._stop or bool(self.controller.memory.stopped[0])

    def advance(self) -> Moment | None:
        """One tick of the controller and the physics that goes with it; a `Moment` where the controller may act."""
        self._tilt_ground()
        message = multiplex(self.config, self._message, self.clock() - self._published)
        self.loop.advance(command=message, ticks=1, stop=self._stop)
        self._stop = False
        data = self.data
        if not (np.all(np.isfinite(data.qpos)) and np.all(np.abs(data.qvel) < 1e3)):
            self.reset()
        self.time += self.dt
        self._ticks += 1
        return self.moment() if self._ticks % self.config.repeat_action == 0 else None

    def moment(self) -> Moment:
        """The robot now."""
        flat = np.zeros(9)
        mujoco.mju_quat2Mat(flat, self.data.qpos[3:7])
        rotation = flat.reshape(3, 3)
        velocity = rotation.T @ self.data.qvel[:3]
        message = multiplex(self.config, self._message, self.clock() - self._published)
        clips, playback = self.clips, self.controller.playback
        return Moment(
            time=self.time,
            command=np.zeros(3) if message is None else message[0].copy(),
            velocity=np.array([velocity[0], velocity[1], self.data.qvel[5]]),
            action=self.controller.applied[0].astype(float),
            torque=self.data.actuator_force.copy(),
            tilt=float(np.arccos(np.clip(rotation[2, 2], -1.0, 1.0))),
            stopped=self.stopped or bool(self.controller.failed[0]),
            gait_reference=self.reference.offset(self.controller),
            stance=self.reference.stance(self.controller),
            clip="" if playback is None else clips[playback.clip],
            queue=() if playback is None else tuple(clips[index] for index in playback.queue),
        )

    def ghost(self) -> np.ndarray | None:
        """(nq,) as the robot would be where it is, did it exactly as its policy is shown; None: it is shown nothing."""
        place = self.data.qpos
        return self.reference.configuration(self.controller, place, self.ground_height(place[:2]))

    def ground_height(self, place: np.ndarray) -> float:
        """m, of the ground under (x, y)."""
        angle = world.ground_angle(self.model, self.floor)
        origin = self.model.geom_pos[self.floor]
        return float(origin[2] + np.tan(angle) * (place[0] - origin[0]))

    def _reference(self) -> Reference:
        return Reference(self.policy, self.robot, self.model, self.loop.where.qpos)

    def _activate(self) -> None:
        self._ticks = 0
        self.controller.policy = self.policy
        self.loop.reset()
        self.loop.activate()

    def _tilt_ground(self) -> None:
        """Bring the ground nearer to the slope that was asked for."""
        wanted, now = self.settings.condition.slope, world.ground_angle(self.model, self.floor)
        if abs(wanted - now) < 1e-9:
            return
        step = np.radians(world.SLOPE_SPEED) * self.dt
        world.tilt_ground(self.model, self.floor, now + float(np.clip(wanted - now, -step, step)), self.data.qpos[:3])


def _heading(quaternion: np.ndarray, ground: np.ndarray) -> float:
    """rad from the ground's own x axis to where a robot looks, about the ground's normal; both quaternions w x y z."""
    back, turned, forward = np.zeros(4), np.zeros(4), np.zeros(3)
    mujoco.mju_negQuat(back, ground)
    mujoco.mju_mulQuat(turned, back, quaternion)
    mujoco.mju_rotVecQuat(forward, np.array([1.0, 0.0, 0.0]), turned)
    return float(np.arctan2(forward[1], forward[0]))


def _config(policy: PolicyFile) -> ControllerConfig:
    """Of the software that the policy is written for; but a page that was closed must not leave a robot running."""
    return replace(CONFIGS[policy.edition], command_timeout=CONFIGS[2025].command_timeout)


def command_range(policy: PolicyFile, robot: Robot) -> dict[str, tuple[float, float]]:
    """Lowest and highest vx, vy (m/s) and yaw rate (rad/s) that a policy was trained for, as far as its file says; else
    what the robot's gamepad can ask for."""
    widest = {name: (-most, most) for name, most in zip(COMMANDS, robot.gamepad, strict=True)}
    return widest | policy.command_range
