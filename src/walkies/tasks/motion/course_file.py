"""A movement as the tracking task of the Stanford course of 2026 reads it (`pupper-mjlab`): one npz file.

It holds joint angles and speeds, places and velocities of all bodies in the world, and the clips.
"""

from __future__ import annotations

import io

import numpy as np

from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.tasks.motion.design import Design


def packed(design: Design, robot: Robot, model: mujoco.MjModel) -> bytes:
    """The content of the file."""
    movement = design.movement
    place, orientation = _bodies(design, robot, model)
    velocity, turning = np.zeros_like(place), np.zeros_like(place)
    for clip in movement.clips:
        rows = slice(clip.start, clip.end)
        velocity[rows] = np.gradient(place[rows], 1.0 / movement.fps, axis=0)
        turning[rows] = angular_velocity(orientation[rows], movement.fps)
    arrays = {
        "fps": np.array(movement.fps),
        "joint_pos": movement.joint_pos,
        "joint_vel": movement.joint_vel,
        "body_pos_w": place,
        "body_quat_w": orientation,
        "body_lin_vel_w": velocity,
        "body_ang_vel_w": turning,
        "body_names": np.array([model.body(body).name for body in range(1, model.nbody)]),
        "clip_names": np.array(movement.names),
        "clip_starts": np.array([clip.start for clip in movement.clips]),
        "clip_ends": np.array([clip.end for clip in movement.clips]),
        "clip_loops": np.array([clip.loop for clip in movement.clips]),
        "clip_nexts": np.array([clip.next or "" for clip in movement.clips]),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _bodies(design: Design, robot: Robot, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Of every body but the world (T, bodies, …): place, m, and orientation."""
    data, joints = mujoco.MjData(model), [model.joint(name).qposadr[0] for name in robot.joint_names]
    place, orientation = [], []
    for base, turn, angles in zip(
        design.base, design.movement.anchor_quat_wxyz, design.movement.joint_pos, strict=True
    ):
        data.qpos[:3], data.qpos[3:7], data.qpos[joints] = base, turn, angles
        mujoco.mj_kinematics(model, data)
        place.append(data.xpos[1:].copy())
        orientation.append(data.xquat[1:].copy())
    return np.array(place), np.array(orientation)


def angular_velocity(orientation: np.ndarray, fps: float) -> np.ndarray:
    """(T, bodies, 3) rad/s in the world: the turn from one frame (T, bodies, 4) to the next, and of the last one the
    same as before."""
    turns = np.zeros((*orientation.shape[:2], 3))
    for row in range(len(orientation) - 1):
        for body in range(orientation.shape[1]):
            turn, before = np.zeros(4), np.zeros(4)
            mujoco.mju_negQuat(before, orientation[row, body])
            mujoco.mju_mulQuat(turn, orientation[row + 1, body], before)
            mujoco.mju_quat2Vel(turns[row, body], turn, 1.0 / fps)
    turns[-1] = turns[-2]
    return turns
