"""A walking task on one simulator: what stays the same from step to step, and how a robot senses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from walkies.bounds import refuse
from walkies.errors import UserError
from walkies.geometry import DOWN, to_body
from walkies.later import Array, jnp
from walkies.mdp import Box
from walkies.quaternions import about_z, product, shortest
from walkies.sim import actuation
from walkies.sim.actuation import MAX_COMMAND_DELAY
from walkies.sim.base import Params, Simulator
from walkies.sim.params import grounded
from walkies.tasks import mirror, privileged, randomization, signal
from walkies.tasks.contract import Contract
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.feet import neighbours
from walkies.tasks.hold import held
from walkies.tasks.mirror import Mirror
from walkies.tasks.motion import task as motion
from walkies.tasks.motion.task import MotionState
from walkies.tasks.randomization.draw import longest_imu_delay
from walkies.tasks.scale.stature import stature
from walkies.tasks.signal import Errors, Sensed
from walkies.tasks.walk.config import WalkConfig


class Setup:
    """The task set up for a robot on a simulator; `walkies.tasks.walk.Walk` walks in it."""

    def __init__(self, robot: Any, simulator: Simulator, nominal: Params, config: WalkConfig = WalkConfig()):
        """nominal: the robot's own parameters (leaves with leading axis 1); the config may give other gains."""
        self.robot, self.simulator, self.config = robot, simulator, config
        self.control_dt = simulator.substeps * simulator.timestep
        self.contract = Contract(
            robot, config.observation_history, config.action_scale, config.kp, config.kd, self.control_dt,
            config.observation, held(robot, config.hold),
        )  # fmt: skip
        trunk_mass = float(simulator.model.body(robot.base_body).mass[0])
        refuse(config, WalkConfig, "task")
        randomization.check(config.randomization, MAX_COMMAND_DELAY * self.control_dt, trunk_mass)
        kp, kd = self.contract.gains
        gain: Any = partial(np.full_like, nominal.kp)
        self.nominal = nominal._replace(kp=gain(kp), kd=gain(kd))
        self.grounded = np.array([i for i, name in enumerate(simulator.spheres) if name in grounded(simulator.model)])
        self.spheres = tuple(simulator.spheres[i] for i in self.grounded)
        index = {name: i for i, name in enumerate(simulator.spheres)}
        self.feet = np.array([index[name] for name in robot.foot_geoms]).reshape(-1, robot.points)
        self.neighbours = neighbours(robot, simulator.model, self.feet) if config.rewards.feet_apart else None
        self.knees = np.array([index[name] for name in robot.knee_geoms], int)
        self.torso = np.array([index[name] for name in robot.torso_geoms], int)
        self.stature = stature(robot, simulator.model)
        self.idle = np.array(robot.idle_joints, int)
        self.foot_radius = float(simulator.model.geom(robot.foot_geoms[0]).size[0])
        self.default_pose = np.array(robot.default_pose, nominal.kp.dtype)

        shown = signal.GAIT in config.observation
        gait.check(config.rewards, config.shape.gait_width, shown, robot)
        self.gait_reference = gait.reference(config.gait, robot, simulator.model) if shown else None
        self.gait_stances = None
        if self.gait_reference is not None and config.rewards.gait_contacts:
            self.gait_stances = gait.stances(self.gait_reference, robot, simulator.model)
        moves = any(name in config.observation for name in motion.SIGNALS)
        motion.check(config.rewards, moves)
        self.motion_reference = motion.reference(config.motion, robot, simulator.model) if moves else None
        self.action_space = Box(len(self.contract.free), -1.0, 1.0)
        self.time_limit = round(config.episode_seconds / self.control_dt)
        if self.time_limit < 1:
            raise UserError(
                f"--task.episode-seconds: got {config.episode_seconds:g}, expected at least the {self.control_dt:g} s "
                "of a control step"
            )
        self.observation_size = self.contract.observation_size
        self.noise_size = signal.total(signal.noisy(self.contract.signals), robot)
        self.privileged = privileged.signals(config.randomization, self.gait_reference is not None, moves)
        self.privileged_size = signal.total(self.privileged, self)
        # From what is constant on the robot nothing can be learned. The policy gets zeros, its normalizer gives such an
        # input scale 0, and the exported file has exactly zero weights for it.
        self.informative = self.contract.informative()
        if self.gait_reference is not None and self.gait_reference.stands_still(robot.default_pose):
            frames = self.informative.reshape(config.observation_history, -1)
            frames[:, self.contract.slices[signal.GAIT]] = 0.0
        oldest = longest_imu_delay(config.randomization, simulator.timestep)
        self.imu_rows = actuation.imu_memory(oldest, simulator.substeps)
        self.mirror = (
            Mirror.of(self.contract, self.privileged, self) if mirror.exists(robot, self.contract.hold) else None
        )
        self.shares: Mapping[str, Array] = {}
        self.gait_emphasis: Array | float = 1.0
        self.randomization = config.randomization

    def sense(self, sensed: Sensed, bias: Array, uniform: Array) -> Array:
        """One frame (n, frame_size) from true values, constant errors (n, 3+3+nu) and uniform numbers in [0, 1)."""
        noisy, sensing = signal.noisy(self.contract.signals), self.randomization.sensing
        places = signal.slices(noisy, self.robot)
        noise = {one.name: sensing.noise(one).value(uniform[:, places[one.name]]) for one in noisy}
        return self.contract.frame(sensed, Errors(bias[:, :3], bias[:, 3:6], bias[:, 6:]), noise)

    def reported(self, quaternion: Array, reading: Array, age: Array) -> Array:
        """Orientations (n, 4) that an IMU reports, which are as old as its reading.

        Args:
            quaternion: (n, 4), of the base now.
            reading: (n, 6) gyro, rad/s, and gravity, of `age` (n,) seconds ago.
        """
        gyro, gravity = reading[:, :3], reading[:, 3:]
        # Its tilt is that of the gravity which it reads; its heading follows from how fast the base turns.
        tilt = product(quaternion, shortest(gravity, to_body(quaternion, DOWN)))
        return product(about_z(jnp.sum(gyro * gravity, axis=1) * age), tilt)

    def refer(self, sensed: Sensed, state: MotionState | None, orientation: Array) -> Sensed:
        """What is sensed, with the movement's frame where there is one; orientation: (n, 4) `reported`."""
        if state is None:
            return sensed
        return sensed._replace(motion_command=state.command, motion_anchor=state.seen_from(orientation))
