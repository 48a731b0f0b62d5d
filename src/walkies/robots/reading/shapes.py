"""The spheres with which a robot touches the ground, from the shapes in its file.

MuJoCo has a capsule touch a plane with its two ends and a box with its corners, so that spheres there are the same
contacts, or nearly: a sphere rolls where a corner tips.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots.reading.anatomy import Anatomy, lowest
from walkies.robots.reading.stand import Stand

CORNER = 0.03
"""Radius of spheres in corners, of the robot's unit of length, at most."""
FLAT = 0.02
"""Points of a mesh are part of a sole where they are above its lowest by at most so much of that length."""
BALL = 0.15
"""Soles of meshes that are shorter than so much of it are one sphere."""
FAR = 0.25
"""Of it: a part of a leg is guarded from the ground by spheres that are at least so far from its joint."""


class Sphere(NamedTuple):
    """In the frame of a body."""

    body: int
    place: np.ndarray
    """(3,) m"""
    radius: float
    """m"""


def feet(model: mujoco.MjModel, data: mujoco.MjData, parts: Anatomy, stance: Stand) -> list[list[Sphere]]:
    """Of each leg the spheres of its foot, as many for each; `data` has the robot in its pose."""
    found = []
    for leg in parts.legs:
        own = [sphere for geom in leg.feet for sphere in _lower(model, data, geom, stance.hips)]
        found.append(_apart(own))
    most = max(map(len, found))
    wanted = 1 if most == 1 else 4
    return [_reduced(data, own, wanted) for own in found]


def _reduced(data: mujoco.MjData, spheres: list[Sphere], count: int) -> list[Sphere]:
    """So many of them: the outermost; some twice where there are fewer."""
    if len(spheres) > count:
        place = np.array([_world(data, one) for one in spheres])
        along = place - place.mean(axis=0)
        corners = np.array([[x, y] for x in (1, -1) for y in (1, -1)])
        chosen: list[int] = []
        for corner in corners[:count]:
            order = np.argsort(-(along[:, :2] @ corner), kind="stable")
            chosen.append(next(int(i) for i in order if i not in chosen))
        return [spheres[i] for i in chosen]
    return [spheres[i % len(spheres)] for i in range(count)]


def others(
    model: mujoco.MjModel, data: mujoco.MjData, parts: Anatomy, stance: Stand
) -> tuple[list[Sphere], list[Sphere], list[Sphere]]:
    """Spheres of the legs above the feet, of the base, and of what else there is."""
    soles = {geom for leg in parts.legs for geom in leg.feet}
    shins = {body for leg in parts.legs for body in leg.bodies}
    above = {int(model.jnt_bodyid[joint]) for leg in parts.legs for joint in leg.joints} - shins
    legs, rest = list[Sphere](), list[Sphere]()
    base = [one for geom in _colliding(model, parts) if _link(model, geom) == parts.base and geom not in soles
            for one in _all(model, geom, stance.hips)]  # fmt: skip
    base = _spread(data, _apart(base)) or [Sphere(parts.base, model.body_ipos[parts.base].copy(), 0.1 * stance.hips)]
    for body in range(parts.base + 1, model.nbody):
        joint = int(model.body_jntadr[body])
        if joint < 0 or model.body_rootid[body] != parts.base or body in shins:
            continue
        own = [one for geom in _colliding(model, parts) if _link(model, geom) == body and geom not in soles
               for one in _all(model, geom, stance.hips)]  # fmt: skip
        away = [float(np.linalg.norm(_world(data, one) - data.xanchor[joint])) for one in own]
        if own and max(away) > FAR * stance.hips:
            (legs if body in above else rest).append(own[int(np.argmax(away))])
    return legs, base, rest


def _colliding(model: mujoco.MjModel, parts: Anatomy) -> list[int]:
    return [geom for geom in range(model.ngeom)
            if (model.geom_contype[geom] or model.geom_conaffinity[geom])
            and model.body_rootid[model.geom_bodyid[geom]] == parts.base]  # fmt: skip


def _link(model: mujoco.MjModel, geom: int) -> int:
    """The body that moves a geom: its own, or the one to which that is welded."""
    return int(model.body_weldid[model.geom_bodyid[geom]])


def _world(data: mujoco.MjData, one: Sphere) -> np.ndarray:
    return data.xpos[one.body] + data.xmat[one.body].reshape(3, 3) @ one.place


def _lower(model: mujoco.MjModel, data: mujoco.MjData, geom: int, unit: float) -> list[Sphere]:
    """Spheres of a geom that are as low as its lowest point, or nearly."""
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        return _sole(model, data, geom, unit)
    spheres = _all(model, geom, unit, data)
    low = [float(_world(data, one)[2]) - one.radius for one in spheres]
    return [one for one, z in zip(spheres, low, strict=True) if z < min(low) + FLAT * unit]


def _sole(model: mujoco.MjModel, data: mujoco.MjData, geom: int, unit: float) -> list[Sphere]:
    """Of a mesh: one sphere for a small tip, else four in the corners of its sole."""
    points, body = _vertices(model, geom), int(model.geom_bodyid[geom])
    world = data.xpos[body] + points @ data.xmat[body].reshape(3, 3).T
    near = world[:, 2] < world[:, 2].min() + FLAT * unit
    low, high = world[near, :2].min(axis=0), world[near, :2].max(axis=0)
    bottom = world[:, 2].min()
    if max(high - low) < BALL * unit:
        wide = world[world[:, 2] < bottom + 0.1 * unit, :2]
        radius = float(max(0.5 * np.min(np.ptp(wide, axis=0)), 0.01 * unit))
        centres = [np.array([*(0.5 * (low + high)), bottom + radius])]
    else:
        radius = float(min(CORNER * unit, 0.4 * min(high - low)))
        centres = [np.array([x, y, bottom + radius]) for x in (low[0] + radius, high[0] - radius)
                   for y in (low[1] + radius, high[1] - radius)]  # fmt: skip
    rotation = data.xmat[body].reshape(3, 3)
    return [Sphere(body, rotation.T @ (centre - data.xpos[body]), radius) for centre in centres]


def _all(model: mujoco.MjModel, geom: int, unit: float, data: mujoco.MjData | None = None) -> list[Sphere]:
    """Spheres of a geom, in the frame of its body."""
    kinds, size, body = mujoco.mjtGeom, model.geom_size[geom], int(model.geom_bodyid[geom])
    kind, rotation = model.geom_type[geom], _turn(model, geom)
    if kind == kinds.mjGEOM_SPHERE:
        local, radius = [np.zeros(3)], float(size[0])
    elif kind == kinds.mjGEOM_CAPSULE:
        local, radius = [np.array([0, 0, z]) for z in (size[1], -size[1])], float(size[0])
    elif kind == kinds.mjGEOM_CYLINDER and data is not None and abs(data.geom_xmat[geom][8]) < 0.5:  # it lies
        radius = float(size[0])
        reach = max(0.0, float(size[1]) - radius)
        local = [np.array([0, 0, z]) for z in ((reach, -reach) if reach > 0.5 * radius else (0.0,))]
    else:
        half = size.copy() if kind != kinds.mjGEOM_CYLINDER else np.array([size[0] / 2**0.5] * 2 + [size[1]])
        centre = np.zeros(3)
        if kind == kinds.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            vertices = model.mesh_vert[first : first + count]
            half, centre = 0.5 * np.ptp(vertices, axis=0), 0.5 * (vertices.max(axis=0) + vertices.min(axis=0))
        radius = float(min(CORNER * unit, *(0.5 * half)))
        inner = half - radius
        local = [centre + inner * np.array([x, y, z]) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    return [Sphere(body, model.geom_pos[geom] + rotation @ point, radius) for point in local]


def _vertices(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """(k, 3) of a mesh, in the frame of its geom's body."""
    mesh = model.geom_dataid[geom]
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    return model.geom_pos[geom] + model.mesh_vert[first : first + count] @ _turn(model, geom).T


def _turn(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """(3, 3), from a geom's frame to that of its body."""
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
    return turn.reshape(3, 3)


def _apart(spheres: list[Sphere]) -> list[Sphere]:
    """Without those that lie in the same place as another."""
    kept: list[Sphere] = []
    for one in sorted(spheres, key=lambda one: -one.radius):
        inside = (np.linalg.norm(one.place - other.place) < other.radius for other in kept if other.body == one.body)
        if not any(inside):
            kept.append(one)
    return kept


def _spread(data: mujoco.MjData, spheres: list[Sphere]) -> list[Sphere]:
    """The outermost of them, one for each corner of the room about them."""
    if len(spheres) <= 8:
        return spheres
    place = np.array([_world(data, one) for one in spheres])
    place -= 0.5 * (place.max(axis=0) + place.min(axis=0))
    corners = [np.array([x, y, z]) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    return [spheres[i] for i in sorted({int(np.argmax(place @ corner)) for corner in corners})]


def lowest_foot(model: mujoco.MjModel, data: mujoco.MjData, parts: Anatomy) -> float:
    """z of the lowest point of the feet, m."""
    return min(lowest(model, data, geom) for leg in parts.legs for geom in leg.feet)
