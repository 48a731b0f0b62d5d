"""Rounded shapes of a robot's parts, for an engine in which only spheres and capsules touch one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from walkies.later import mujoco
from walkies.robots import in_default_pose, load_model, load_spec
from walkies.robots.base import Robot
from walkies.sim.params import on_itself

APART = 0.002
"""m between two parts in the default pose, below which they never touch: they would push each other all the time."""


def touching(robot: Robot, parts: str | Sequence[tuple[str, str]], torsion: bool = False) -> mujoco.MjModel:
    """A robot's model in which no parts of its own touch one another, `all` in rounded shapes, or pairs as they are.

    torsion: as in `walkies.robots.load_spec`.
    """
    if parts == "all":
        return rounded(robot, torsion)
    return load_model(robot, own_contacts=parts != "none", visuals=False, torsion=torsion)


def rounded(robot: Robot, torsion: bool = False) -> mujoco.MjModel:
    """A robot's model whose own parts touch one another as spheres and capsules.

    Any other shape becomes the capsule, or sphere, that is as long and as wide as its bounding box: thicker than the
    part where that is flat. Pairs of bodies that such shapes join in the default pose are excluded. All else, masses
    included, stays; the ground is touched as before.

    Args:
        torsion: as in `walkies.robots.load_spec`.
    """
    spec = load_spec(robot, visuals=False, torsion=torsion)
    model = spec.compile()
    # Compiled numbers: those in the file may come from classes, or from two ends.
    touching = {geom for pair in on_itself(model) for geom in pair}
    for given in spec.geoms:
        if given.id in touching:
            _round(given, model, given.id)
    for body, other in _joined(spec.compile(), robot):
        spec.add_exclude(bodyname1=model.body(body).name, bodyname2=model.body(other).name)
    return spec.compile()


def _round(given: mujoco.MjsGeom, model: mujoco.MjModel, geom: int) -> None:
    if model.geom_type[geom] in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE):
        return
    centre, size = model.geom_aabb[geom, :3].copy(), model.geom_aabb[geom, 3:]
    _, wide, long = np.argsort(size, kind="stable")
    radius, turn = size[wide], np.zeros(4)
    if size[long] > radius:
        along = np.zeros(4)
        mujoco.mju_quatZ2Vec(along, np.eye(3)[long])
        mujoco.mju_mulQuat(turn, model.geom_quat[geom], along)
        given.type, given.size = mujoco.mjtGeom.mjGEOM_CAPSULE, [radius, size[long] - radius, 0.0]
        given.quat, given.alt.type = turn, mujoco.mjtOrientation.mjORIENTATION_QUAT
    else:
        given.type, given.size = mujoco.mjtGeom.mjGEOM_SPHERE, [radius, 0.0, 0.0]
    mujoco.mju_rotVecQuat(centre, centre, model.geom_quat[geom])  # of a mesh; that of other shapes is their origin
    given.pos, given.fromto, given.meshname = model.geom_pos[geom] + centre, np.full(6, np.nan), ""


def _joined(model: mujoco.MjModel, robot: Robot) -> list[tuple[int, int]]:
    """Ids of bodies whose parts touch in the default pose, or nearly."""
    data = in_default_pose(model, robot)
    near = [pair for pair in on_itself(model) if mujoco.mj_geomDistance(model, data, *pair, 2 * APART, None) < APART]
    return sorted({(int(model.geom_bodyid[one]), int(model.geom_bodyid[other])) for one, other in near})
