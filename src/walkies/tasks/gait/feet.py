"""Feet of one sphere or several: when they touch the ground, how high they are, how fast, and how far apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.later import Array, jnp, mujoco
from walkies.quaternions import yaw_of
from walkies.robots import in_default_pose
from walkies.robots.base import Robot
from walkies.sim.base import Readings


class Feet(NamedTuple):
    """Of each foot, (n, legs, …)."""

    contact: Array
    """whether it is on the ground"""
    height: Array
    """m"""
    velocity: Array
    """(n, legs, 3) m/s, world frame"""


def lowest(readings: Readings, contact: Array, spheres: np.ndarray) -> Feet:
    """A foot touches the ground if one of its spheres does; its position is that of its lowest sphere.

    Args:
        contact: (n, all spheres) bool.
        spheres: (legs, spheres of a foot) indices among all.
    """
    distance, velocity = readings.contact_distance[:, spheres], readings.contact_velocity[:, spheres]
    if spheres.shape[1] == 1:
        return Feet(contact[:, spheres[:, 0]], distance[..., 0], velocity[:, :, 0])
    which = jnp.argmin(distance, axis=-1)[..., None]
    return Feet(
        contact[:, spheres].any(axis=-1),
        jnp.take_along_axis(distance, which, axis=-1)[..., 0],
        jnp.take_along_axis(velocity, which[..., None], axis=2)[:, :, 0],
    )


class Neighbours(NamedTuple):
    """Pairs of feet that stand beside each other; p: spheres of a foot."""

    left: np.ndarray
    """(pairs, p) indices among all spheres"""
    right: np.ndarray
    """(pairs, p)"""
    room: np.ndarray
    """(pairs,) m, sideways, that the standing robot has between them"""
    radius: float
    """m, of a sphere"""

    def apart(self, readings: Readings, quaternion: Array) -> Array:
        """(n, pairs) room between them, as a share of that of the standing robot; below 0 where one is past the other.

        Args:
            quaternion: (n, 4), of the base.
        """
        yaw = yaw_of(quaternion)
        leftward = jnp.stack([-jnp.sin(yaw), jnp.cos(yaw)], axis=1)
        place = jnp.sum(readings.contact_position[..., :2] * leftward[:, None], axis=-1)
        gap = place[:, self.left].min(axis=-1) - place[:, self.right].max(axis=-1) - 2.0 * self.radius
        return gap / self.room


def neighbours(robot: Robot, model: mujoco.MjModel, spheres: np.ndarray) -> Neighbours | None:
    """The feet of a robot that stand side by side with room between them; None: there are no such pairs.

    Args:
        spheres: (legs, p) indices of each foot's among all spheres.
    """
    geoms = [model.geom(name).id for name in robot.foot_geoms]
    place = in_default_pose(model, robot).geom_xpos[geoms].reshape(*spheres.shape, 3)
    front = np.argsort(-place[..., 0].mean(axis=1), kind="stable")
    side = place[front, :, 1].mean(axis=1) > 0.0
    left, right, radius = front[side], front[~side], float(model.geom_size[geoms[0], 0])
    if len(left) != len(right):
        return None
    room = place[left, :, 1].min(axis=1) - place[right, :, 1].max(axis=1) - 2.0 * radius
    there = room > 0.0
    return Neighbours(spheres[left[there]], spheres[right[there]], room[there], radius) if there.any() else None
