"""Windows of a log to start a simulator from: of a robot held in the air, and of one that walks.

Joint positions, turn rate and the direction of gravity are measured; joint velocities are differences. Of a walking
robot's trunk, height and velocity follow from the legs: the lowest feet are on the ground and do not slide. All that
is a little wrong, so a window has steps in front that are for settling (identify_follow) and are not compared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.deploy.identification.fit import MAX_DELAY, Windows
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.recordings.align import Log
from walkies.later import mujoco
from walkies.robots.base import Robot

HELD_ARMATURE = 1e6
"""kg and kg m², added to the trunk's six coordinates: what holds it moves as little as a table does."""
HELD_HEIGHT = 1.0
"""m, far from the ground"""
SINK = 0.003
"""m: the lowest of four feet, found with a noisy orientation, seems lower than the ground is (tried: 0, 3 and 6 mm)."""
ON_GROUND = 0.006
"""m above the lowest foot within which another one counts as standing too."""


STANDING = 0.001
"""m"""
SLIDING = 0.05
"""m/s; feet that stick creep a little, since contacts are soft"""


class Cut(NamedTuple):
    """How a log is cut."""

    length: int
    """control steps per window"""
    settle: int
    """of which so many are not compared"""
    lead: int
    """before them, in which the simulator is led along the measurements"""
    most: int
    """windows; of a longer log evenly spread ones are taken"""


HELD = Cut(length=60, settle=10, lead=0, most=16)
WALKING = Cut(length=12, settle=2, lead=14, most=60)


class Measured(NamedTuple):
    """Windows and what was measured in them, after each control step."""

    windows: Windows
    joints: np.ndarray
    """(n, L, nu) rad"""
    gyro: np.ndarray
    """(n, L, 3) rad/s"""
    gravity: np.ndarray
    """(n, L, 3) its direction in the body frame"""
    start: np.ndarray
    """(n,) the first step's number in the log"""


def hold(model: mujoco.MjModel) -> None:
    """Change `model` so that its trunk is held fast where it is."""
    model.dof_armature[:6] = HELD_ARMATURE


def cut(log: Log, policy: PolicyFile, robot: Robot, model: mujoco.MjModel, held: bool, how: Cut) -> Measured | None:
    """Windows from all unbroken stretches of the log; None if none is long enough."""
    length = how.lead + how.length
    runs = log.runs(length + MAX_DELAY + 1)
    starts = np.concatenate(
        [np.arange(run.start + MAX_DELAY, run.stop - length, how.length - how.settle) for run in runs]
        or [np.zeros(0, int)]
    )
    if not len(starts):
        return None
    if len(starts) > how.most:
        starts = starts[np.linspace(0, len(starts) - 1, how.most).astype(int)]
    joints = log.part("joint_position") + np.array(policy.default_joint_pos)
    speed = (joints[starts + 1] - joints[starts - 1]) / (2 * log.period)
    gravity, gyro = log.part("gravity"), log.part("gyro")
    qpos, qvel = np.zeros((len(starts), model.nq)), np.zeros((len(starts), model.nv))
    qpos[:, 7:], qvel[:, 6:] = joints[starts], speed
    if held:
        qpos[:, 2] = HELD_HEIGHT
        qpos[:, 3:7] = upright(np.nanmedian(gravity, axis=0)[None])
    else:
        qpos[:, 3:7] = upright(gravity[starts])
        qvel[:, 3:6] = gyro[starts]
        _stand(model, robot, qpos, qvel)
    target = log.target[starts[:, None] + np.arange(-MAX_DELAY, length)]
    after = starts[:, None] + np.arange(1, length + 1)
    return Measured(Windows(qpos, qvel, target), joints[after], gyro[after], gravity[after], starts)


def upright(gravity: np.ndarray) -> np.ndarray:
    """Orientations (n, 4) w x y z, of yaw zero, in which gravity points along (n, 3) in the body frame."""
    down = gravity / np.linalg.norm(gravity, axis=1, keepdims=True)
    roll = np.arctan2(-down[:, 1], -down[:, 2])
    pitch = np.arcsin(np.clip(down[:, 0], -1.0, 1.0))
    cr, sr, cp, sp = np.cos(roll / 2), np.sin(roll / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    return np.stack([cr * cp, sr * cp, cr * sp, -sr * sp], axis=1)


def _stand(model: mujoco.MjModel, robot: Robot, qpos: np.ndarray, qvel: np.ndarray) -> None:
    """Fill in the trunk's height and velocity: the lowest feet press into the ground and do not slide."""
    data = mujoco.MjData(model)
    feet = [model.geom(name) for name in robot.foot_geoms]
    jacobian = np.zeros((3, model.nv))
    for position, velocity in zip(qpos, qvel, strict=True):
        data.qpos[:], data.qvel[:] = position, velocity
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        height = np.array([data.geom_xpos[foot.id, 2] - foot.size[0] for foot in feet])
        position[2] = -height.min() - SINK
        slide = []
        for foot in np.flatnonzero(height < height.min() + ON_GROUND):
            mujoco.mj_jac(model, data, jacobian, None, data.geom_xpos[feet[foot].id], feet[foot].bodyid[0])
            slide.append(jacobian @ velocity)
        velocity[:3] = -np.mean(slide, axis=0)


def sliding(model: mujoco.MjModel, robot: Robot, qpos: np.ndarray, qvel: np.ndarray) -> float:
    """Share of standing feet that slide, over states (…, nq) and (…, nv).

    A foot stands where it is less than STANDING above the ground; it slides where it is faster than SLIDING.
    """
    data = mujoco.MjData(model)
    feet = [model.geom(name) for name in robot.foot_geoms]
    jacobian = np.zeros((3, model.nv))
    standing = slides = 0
    for position, velocity in zip(qpos.reshape(-1, model.nq), qvel.reshape(-1, model.nv), strict=True):
        data.qpos[:] = position
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        for foot in feet:
            if data.geom_xpos[foot.id, 2] - foot.size[0] < STANDING:
                mujoco.mj_jac(model, data, jacobian, None, data.geom_xpos[foot.id], foot.bodyid[0])
                standing += 1
                slides += bool(np.linalg.norm((jacobian @ velocity)[:2]) > SLIDING)
    return slides / standing if standing else 0.0
