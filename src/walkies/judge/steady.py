"""A policy under commands that never change, in nominal conditions: how its joints move, and how fast it walks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.controllers.twin import SOLVER_ITERATIONS
from walkies.deploy.policy_file import PolicyFile
from walkies.judge.falls import Falls
from walkies.judge.loop import Loop, Many, Motion, nominal_plant, standing
from walkies.judge.ranges import CONTROL_DT, TIMESTEP
from walkies.later import mujoco
from walkies.quaternions import rotation_of
from walkies.robots import load_model
from walkies.robots.base import Robot

SETTLE_SECONDS = 4.0
"""Not recorded: the action fades in, and the robot accelerates."""
SECONDS = 20.0
"""Recorded."""


class Steady(NamedTuple):
    """Steady walking of n robots, T physics steps of TIMESTEP each."""

    joints: np.ndarray
    """(n, T, nu) rad"""
    velocity: np.ndarray
    """(n, 3) m/s forward, m/s leftward, rad/s of yaw, body frame, mean over the time recorded"""
    cause: np.ndarray
    """(n,) str: why it fell, settling included; '' if it did not. A robot that fell stays where it is."""


def walk(policy: PolicyFile, robot: Robot, commands: np.ndarray, seconds: float = SECONDS) -> Steady:
    """Walk under constant commands (n, 3), m/s, m/s, rad/s, on level ground, without latency, noise or pushes.

    Physics and controller are those of the examination (`walkies.judge.exam`).
    """
    model = load_model(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    model.opt.timestep = TIMESTEP
    n = len(commands)
    controller = GenericController(policy, robot, 1.0 / CONTROL_DT)
    loop = Loop(Many(mujoco.batch.Batch(model, n)), robot, controller, nominal_plant(robot, n))
    loop.reset(standing(model, robot, controller.standing(n), np.zeros(n)))
    loop.activate()
    falls, joints, velocity = Falls(loop), list[np.ndarray](), list[np.ndarray]()

    def record(action: int | None, motion: Motion) -> None:
        falls.look(motion)
        if action is not None and action >= settle:
            rotation, qvel = rotation_of(motion.qpos[:, -1, 3:7]), motion.qvel[:, -1]
            linear = np.einsum("nij,ni->nj", rotation, qvel[:, :3])
            joints.append(motion.qpos[:, 1:, loop.where.qpos])
            velocity.append(np.concatenate([linear[:, :2], qvel[:, 5:6]], axis=1))

    settle, actions = round(SETTLE_SECONDS / CONTROL_DT), round((SETTLE_SECONDS + seconds) / CONTROL_DT)
    loop.walk(np.repeat(commands[:, None], actions, axis=1), None, record)
    if not joints:  # all fell while settling
        return Steady(np.zeros((n, 0, robot.num_joints)), np.zeros((n, 3)), falls.cause)
    return Steady(np.concatenate(joints, axis=1), np.mean(velocity, axis=0), falls.cause)
