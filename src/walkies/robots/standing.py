"""How a robot stands in a pose, its base level: heights, feet on the ground, balance, and torques.

Everything is computed from the robot's record and its training model, so that the results hold for training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.robots.reading.anatomy import Anatomy, Limb, lowest, posed
from walkies.robots.reading.check import LOWER, torque_limits, torques
from walkies.robots.reading.stand import Stand, hip

GROUND = 1
"""The bit of `geom_conaffinity` by which a part meets the ground."""


class Standing(NamedTuple):
    """A robot in a pose. m, N m."""

    data: mujoco.MjData
    """Its base at the origin: the ground is `height` below it."""
    height: float
    """Of the base above the lowest point of the feet."""
    hips: float
    """Of the hips above it: the robot's unit of length."""
    feet: np.ndarray
    """(legs,) of each foot's lowest point above the ground."""
    lower: dict[str, float]
    """Spheres that are no feet and reach below the ground, and how far."""
    centre: np.ndarray
    """(3,) centre of mass, z above the ground."""
    support: np.ndarray
    """(n, 2) corners of the polygon of all spheres that carry, in order."""
    margin: float
    """By which the centre of mass is within the support; negative: outside."""
    torques: np.ndarray
    """(joints,) that each joint needs to stand on the feet that carry."""
    torque_limits: np.ndarray
    """(joints,) of their motors; ∞ where none is stated."""


def parts_of(model: mujoco.MjModel, robot: Robot) -> Anatomy:
    """What a robot's record says of its parts; ids in its model."""
    joints = tuple(model.joint(name).id for name in robot.joint_names)
    feet = [model.geom(name).id for name in robot.foot_geoms]
    each = robot.points
    limbs = tuple(
        Limb(tuple(joints[place] for place in leg), (), tuple(feet[number * each :][:each]))
        for number, leg in enumerate(robot.legs)
    )
    return Anatomy(model.body(robot.base_body).id, joints, limbs, None, None)


def standing(model: mujoco.MjModel, robot: Robot, angles: np.ndarray) -> Standing:
    """How a robot stands with its joints, in the order of its record, at `angles` (joints,) rad."""
    parts = parts_of(model, robot)
    data = posed(model, parts.joints, angles)
    reach = {geom: lowest(model, data, geom) for leg in parts.legs for geom in leg.feet}
    ground = min(reach.values())
    hips = float(np.mean([data.xanchor[hip(model, leg), 2] for leg in parts.legs])) - ground
    near = ground + LOWER * abs(hips)  # which may be below the feet
    carrying = tuple(leg._replace(feet=tuple(geom for geom in leg.feet if reach[geom] <= near)) for leg in parts.legs)
    places = data.geom_xpos[[geom for leg in carrying for geom in leg.feet], :2]
    centre = data.subtree_com[parts.base] - [0.0, 0.0, ground]
    support = corners(places)
    stance = Stand(angles, "", -ground, hips)
    return Standing(
        data=data,
        height=-ground,
        hips=hips,
        feet=np.array([min(reach[geom] for geom in leg.feet) for leg in parts.legs]) - ground,
        lower={
            model.geom(geom).name: ground - low
            for geom in range(model.ngeom)
            if geom not in reach and model.geom_bodyid[geom] and model.geom_conaffinity[geom] & GROUND
            and (low := lowest(model, data, geom)) < ground
        },
        centre=centre,
        support=support,
        margin=margin(support, centre[:2]),
        torques=torques(model, parts._replace(limbs=carrying), stance),
        torque_limits=torque_limits(model, parts),
    )  # fmt: skip


def corners(points: np.ndarray) -> np.ndarray:
    """Corners of the convex hull of points (n, 2), counterclockwise; of points on a line its two ends."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # fewer than three, or on a line
        along = np.linalg.svd(points - points.mean(axis=0))[2][0]
        return points[[int(np.argmin(points @ along)), int(np.argmax(points @ along))]]


def margin(polygon: np.ndarray, point: np.ndarray) -> float:
    """Distance of a point (2,) from the edge of a convex polygon (n, 2), counterclockwise; negative outside it."""
    start, side = polygon, np.roll(polygon, -1, axis=0) - polygon
    away = point - start
    share = np.clip((away * side).sum(axis=1) / np.maximum((side**2).sum(axis=1), 1e-18), 0.0, 1.0)
    distance = float(np.linalg.norm(away - share[:, None] * side, axis=1).min())
    inside = len(polygon) > 2 and bool((side[:, 0] * away[:, 1] - side[:, 1] * away[:, 0] >= 0.0).all())
    return distance if inside else -distance
