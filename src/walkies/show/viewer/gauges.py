"""What the live plots show of a walking robot: feet on the ground, and what each reward term would have given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from walkies.judge.falls import FALL_TILT
from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.show.viewer.reference import Frame
from walkies.show.viewer.walker import Moment, Walker
from walkies.tasks import rewards
from walkies.tasks.motion.task import deviation
from walkies.tasks.rewards import Motion, RewardParams, RewardWeights
from walkies.tasks.scale.stature import stature


class Gauges:
    """Reads a `Walker` after each control step. Remembers the step before, as some reward terms do."""

    def __init__(self, robot: Robot, model: mujoco.MjModel, weights: RewardWeights, shape: RewardParams) -> None:
        self.geoms = {
            role: np.array([model.geom(name).id for name in names])
            for role, names in (("feet", robot.foot_geoms), ("knees", robot.knee_geoms), ("torso", robot.torso_geoms))
        }
        self.default_pose, self.abduction = np.array(robot.default_pose), np.array(robot.abduction_joints)
        self.terms = tuple(name for name in rewards.terms_of(weights) if getattr(weights, name))
        self.stature = stature(robot, model)
        self._reward = _compiled(weights, shape, self.stature.height)
        self._air_time = np.zeros(len(self.geoms["feet"]))
        self._action = np.zeros(robot.num_joints)
        self._joint_velocity = np.zeros(robot.num_joints)

    def read(self, walker: Walker, moment: Moment, dt: float) -> tuple[list[bool], dict[str, float]]:
        """Feet on the ground, in the robot's order, and every weighted reward term per second.

        dt: s since the last reading, of simulated time.
        """
        data, forces = walker.data, ground_forces(walker.model, walker.data, walker.floor)
        feet = self.geoms["feet"]
        contact = np.array([foot in forces for foot in feet])
        flight = self._air_time + dt
        touchdown = contact & (self._air_time > 0.0)
        down = _to_body(data.qpos[3:7], np.array([0.0, 0.0, -1.0]))
        motion: dict[str, Any] = dict(
            command=moment.command,
            linear_velocity=_to_body(data.qpos[3:7], data.qvel[:3]),
            angular_velocity=data.qvel[3:6].copy(),
            gravity=down,
            height=data.qpos[2] - walker.ground_height(data.qpos[:2]),
            joint_offset=(offset := data.qpos[7:] - self.default_pose),
            abduction=offset[self.abduction],
            joint_velocity=data.qvel[6:].copy(),
            joint_acceleration=(data.qvel[6:] - self._joint_velocity) / dt,
            torque=moment.torque,
            action=moment.action,
            last_action=self._action,
            foot_contact=contact,
            foot_velocity=np.array([_geom_velocity(walker.model, data, foot) for foot in feet]),
            foot_height=np.array(
                [data.geom_xpos[foot, 2] - walker.ground_height(data.geom_xpos[foot, :2]) for foot in feet]
            )
            - walker.model.geom_size[feet, 0],
            foot_air_time=flight * (~contact | touchdown),
            first_contact=touchdown,
            knee_force=np.array([forces.get(geom, 0.0) for geom in self.geoms["knees"]]),
            torso_force=np.array([forces.get(geom, 0.0) for geom in self.geoms["torso"]]),
            fell=np.array(moment.tilt > FALL_TILT),
        )
        if moment.gait_reference is not None:
            motion["gait_reference"] = moment.gait_reference
        if moment.stance is not None:
            motion["gait_stance"] = moment.stance
        self._air_time = np.where(contact, 0.0, flight)
        self._action, self._joint_velocity = moment.action, motion["joint_velocity"]
        row: dict[str, Any] = {name: np.asarray(value)[None] for name, value in motion.items()}
        frame, qpos = walker.reference.frame(walker.controller), data.qpos[None].copy()
        qpos[0, 2] = motion["height"]
        values = np.asarray(self._reward(Motion(**row, stature=self.stature), frame, qpos))
        return contact.tolist(), dict(zip(self.terms, values.tolist(), strict=True))


def _compiled(weights: RewardWeights, shape: RewardParams, hip_height: float) -> Callable[..., Any]:
    """(motion of one robot, the frame of a movement that it was shown or None, its configuration above the ground),
    leading axis 1 → weighted terms per second, stacked in the order of `rewards.terms_of`. hip_height: m."""
    import jax

    def terms(motion: Motion, frame: Frame | None, qpos: jax.Array) -> jax.Array:
        if frame is not None:
            off = deviation(frame, qpos, motion.joint_velocity, hip_height)
            motion = motion._replace(deviation=off)
        found = rewards.reward_terms(motion, weights, shape, 1.0)
        return jax.numpy.stack([found[name][0] for name in found])

    return jax.jit(terms)


def ground_forces(model: mujoco.MjModel, data: mujoco.MjData, floor: int) -> dict[int, float]:
    """Size of the force (N) between the ground and each geom that touches it, by geom id."""
    forces: dict[int, float] = {}
    six = np.zeros(6)
    for index in range(data.ncon):
        pair = data.contact.geom[index]
        if floor in pair and data.contact.dist[index] < 0.0:
            mujoco.mj_contactForce(model, data, index, six)
            other = int(pair[0] if pair[1] == floor else pair[1])
            forces[other] = forces.get(other, 0.0) + float(np.linalg.norm(six[:3]))
    return forces


def _geom_velocity(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> np.ndarray:
    six = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_GEOM, geom, six, 0)
    return six[3:]


def _to_body(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, quaternion)
    return rotation.reshape(3, 3).T @ vector
