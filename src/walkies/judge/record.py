"""The record of an examination, per control step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.judge.falls import Falls
from walkies.judge.loop import Loop, Motion
from walkies.judge.parts import Parts
from walkies.judge.ranges import STEPS, TIMESTEP
from walkies.quaternions import rotation_of


class Record(NamedTuple):
    """What happened, per control step, at its end. n episodes × STEPS. After a fall: zeros."""

    alive: np.ndarray
    """bool: had not fallen by the end of the step"""
    velocity: np.ndarray
    """(…, 3) m/s, base origin, body frame"""
    yaw_rate: np.ndarray
    """rad/s, body frame z"""
    position: np.ndarray
    """(…, 2) m, world"""
    tilt: np.ndarray
    """rad between the base's up and the world's"""
    torque_square: np.ndarray
    """N² m², mean over joints and physics steps"""
    power: np.ndarray
    """W, sum over joints of |torque × joint speed|, mean over physics steps"""
    action: np.ndarray
    """(…, nu)"""
    slip: np.ndarray
    """m/s, mean horizontal speed of the feet on the ground"""
    contact: np.ndarray
    """bool: some foot was on the ground"""
    cause: np.ndarray
    """(n,) str: why the episode ended early, or ''"""
    fall_step: np.ndarray
    """(n,) the step of the fall, or STEPS"""
    weight: np.ndarray
    """(n,) N"""
    parts: Parts | None = None
    """Contacts and resting joints of the robot's own parts; None: not recorded."""


def empty(n: int, num_joints: int, weight: np.ndarray) -> Record:
    """An empty record of n episodes."""

    def zeros(*shape: int, dtype: type = float) -> np.ndarray:
        return np.zeros((n, STEPS, *shape), dtype)

    return Record(
        alive=zeros(dtype=bool),
        velocity=zeros(3),
        yaw_rate=zeros(),
        position=zeros(2),
        tilt=zeros(),
        torque_square=zeros(),
        power=zeros(),
        action=zeros(num_joints),
        slip=zeros(),
        contact=zeros(dtype=bool),
        cause=np.full(n, "", dtype="U32"),
        fall_step=np.full(n, STEPS),
        weight=weight,
    )


class Recorder:
    """Writes a `Record` of a loop (with `feet`), and says who has fallen."""

    def __init__(self, loop: Loop, weight: np.ndarray, parts: Parts) -> None:
        model, robot = loop.simulation.model, loop.robot
        self.loop, self.falls = loop, Falls(loop)
        self.feet = np.array([model.site(name).id for name in robot.foot_sites])
        self.foot_radius = np.array([model.geom(name).size[0] for name in robot.foot_geoms])
        self.parts = parts
        record = empty(len(loop.alive), robot.num_joints, weight)
        self.record = record._replace(cause=self.falls.cause, parts=parts)

    def __call__(self, step: int | None, motion: Motion) -> None:
        fallen = self.falls.look(motion)
        if step is None:
            return
        record, alive = self.record, self.loop.alive
        record.fall_step[fallen] = step
        record.alive[:, step] = alive
        self.parts.look(step, motion)
        live = np.flatnonzero(alive)
        qpos, qvel, torque = motion.qpos[live, -1], motion.qvel[live], motion.torque[live]
        rotation = rotation_of(qpos[:, 3:7])
        record.velocity[live, step] = np.einsum("nij,ni->nj", rotation, qvel[:, -1, :3])
        record.yaw_rate[live, step] = qvel[:, -1, 5]
        record.position[live, step] = qpos[:, :2]
        record.tilt[live, step] = np.arccos(np.clip(rotation[:, 2, 2], -1, 1))
        record.action[live, step] = self.loop.controller.action[live]
        record.torque_square[live, step] = np.mean(torque**2, axis=(1, 2))
        speed = qvel[:, :-1, self.loop.where.qvel]
        record.power[live, step] = np.abs(torque * speed).sum(axis=-1).mean(axis=-1)
        assert motion.site_xpos is not None
        foot = motion.site_xpos[live][:, :, self.feet]
        moved = np.linalg.norm(np.diff(foot[..., :2], axis=1), axis=-1) / TIMESTEP
        on_ground = (foot[:, 1:, :, 2] <= self.foot_radius) & (foot[:, :-1, :, 2] <= self.foot_radius)
        count = on_ground.sum(axis=(1, 2))
        record.slip[live, step] = (moved * on_ground).sum(axis=(1, 2)) / np.maximum(count, 1)
        record.contact[live, step] = count > 0
