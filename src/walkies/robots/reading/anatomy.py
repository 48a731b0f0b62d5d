"""The parts of a robot, found in its compiled model: hinges, limbs, legs, feet, and which part mirrors which.

By geometry alone: names do not matter, and neither does the order of limbs or the sign of an axis. Everything is in the
frame of the base, x forward, y to the left, z upward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from walkies.errors import UserError
from walkies.files import shown
from walkies.later import mujoco

LEG = 0.2
"""A limb is a leg if its lowest point is above the lowest of all by at most so much of its own height."""
SOLE = 0.03
"""A geom is part of a foot if its lowest point is above the leg's lowest by at most so much of the leg's height."""
WHEEL = 0.2
"""Of its size: how near to its axis a wheel's centre is."""
ALIKE = 0.05
"""How far a mirror image may be off: shares of the robot's size, and of an axis."""
TRIED = 300
"""Poses, where joints at zero are none to stand in."""
POSES = ("home", "stand", "default")
"""Names of keyframes that are poses to stand in; else it is the first."""


class Limb(NamedTuple):
    """Hinges from the base outwards."""

    joints: tuple[int, ...]
    """Ids; arms that branch off later, behind a waist, share the first ones. Joints of several legs are of none: the
    waist of a robot whose base is its chest."""
    bodies: tuple[int, ...]
    """Ids of the bodies that the last hinge moves."""
    feet: tuple[int, ...]
    """Ids of its geoms that touch the ground; none: it is no leg."""


class Anatomy(NamedTuple):
    """A robot's parts; joints and geoms by their ids in the model."""

    base: int
    """Id of the body that floats."""
    joints: tuple[int, ...]
    """Its hinges, in the model's order."""
    limbs: tuple[Limb, ...]
    partner: tuple[int, ...] | None
    """Which of `joints` is the left–right mirror image of each, by place; None: it has none."""
    sign: tuple[float, ...] | None
    """Whether it turns as its partner does, seen in the mirror, or the other way."""

    @property
    def legs(self) -> tuple[Limb, ...]:
        """Limbs with feet."""
        return tuple(limb for limb in self.limbs if limb.feet)

    @property
    def arms(self) -> tuple[Limb, ...]:
        """Other limbs."""
        return tuple(limb for limb in self.limbs if not limb.feet)

    @property
    def kind(self) -> str:
        """quadruped, biped, humanoid (a biped with arms), hexapod, or how many legs it has."""
        kinds = {2: "humanoid" if self.arms else "biped", 4: "quadruped", 6: "hexapod"}
        return kinds.get(len(self.legs), f"of {len(self.legs)} legs")


def anatomy(model: mujoco.MjModel) -> Anatomy:
    """The parts of the robot in a model, standing in its keyframe, or else with its joints at zero.

    Raises:
        UserError: it is not a legged robot, or has joints other than hinges; says what it is.
    """
    base = _base(model)
    hinges = _hinges(model, base)
    partner, sign = _mirror(model, hinges) or (None, None)
    for across in (0, 2):
        if partner is None and _mirror(model, hinges, across) is not None:
            raise UserError(
                f"left and right of the robot lie along its {'xyz'[across]} axis; expected y, with x forward and z "
                "upward: turn its base in the file"
            )
    limbs = _limbs(model, hinges, [first_pose(model, hinges)])
    if sum(bool(limb.feet) for limb in limbs) < 2 and not model.nkey:
        limbs = _limbs(model, hinges, list(_poses(model, hinges)))  # at zero its legs may lie level
    if (legs := sum(bool(limb.feet) for limb in limbs)) < 2:
        raise UserError(
            f"the robot has {len(hinges)} hinges and {legs} legs: no two limbs reach about equally low; "
            "expected at least two legs"
        )
    if wheels := [model.joint(limb.joints[-1]).name for limb in limbs if limb.feet and _rolls(model, hinges, limb)]:
        raise UserError(f"the robot rolls on wheels ({', '.join(map(shown, wheels))}); expected legs")
    return Anatomy(base, hinges, limbs, partner, sign)


def _rolls(model: mujoco.MjModel, hinges: tuple[int, ...], limb: Limb) -> bool:
    """Whether what touches the ground lies about the limb's last axis, as a wheel does."""
    data = posed(model, hinges, np.zeros(len(hinges)))
    point, axis = data.xanchor[limb.joints[-1]], data.xaxis[limb.joints[-1]]
    away = np.linalg.norm(np.cross(data.geom_xpos[list(limb.feet)] - point, axis), axis=1)
    return bool((away < WHEEL * model.geom_rbound[list(limb.feet)]).all())


def first_pose(model: mujoco.MjModel, hinges: tuple[int, ...]) -> np.ndarray:
    """Angles of the hinges in a keyframe that is a pose to stand in; without one zero, or the limit next to it."""
    named = [i for i in range(model.nkey) if any(name in model.key(i).name.lower() for name in POSES)]
    where = model.jnt_qposadr[list(hinges)]
    if model.nkey:
        return model.key_qpos[(named or [0])[0], where].copy()
    low, high = limits(model, hinges)
    return np.clip(np.zeros(len(hinges)), low, high)


def limits(model: mujoco.MjModel, hinges: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest angles of hinges, rad; −∞ and ∞ where there is none."""
    ids = list(hinges)
    limited = model.jnt_limited[ids].astype(bool)
    low, high = model.jnt_range[ids].T
    return np.where(limited, low, -np.inf), np.where(limited, high, np.inf)


def posed(
    model: mujoco.MjModel, hinges: tuple[int, ...], angles: np.ndarray, data: mujoco.MjData | None = None
) -> mujoco.MjData:
    """The robot with its base level at the origin and its hinges at these angles, in `data` where given."""
    data = mujoco.MjData(model) if data is None else data
    free = int(np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)[0])
    data.qpos[:] = model.qpos0
    data.qpos[model.jnt_qposadr[free] :][:7] = [0, 0, 0, 1, 0, 0, 0]
    data.qpos[model.jnt_qposadr[list(hinges)]] = angles
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    return data


def lowest(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """z of a geom's lowest point, m."""
    rotation, size = data.geom_xmat[geom].reshape(3, 3), model.geom_size[geom]
    down, kind, types = np.abs(rotation[2]), mujoco.mjtGeom(model.geom_type[geom]), mujoco.mjtGeom
    if kind == types.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        return float((model.mesh_vert[first : first + count] @ rotation[2]).min() + data.geom_xpos[geom, 2])
    reach = {
        types.mjGEOM_SPHERE: size[0],
        types.mjGEOM_CAPSULE: size[0] + size[1] * down[2],
        types.mjGEOM_ELLIPSOID: np.linalg.norm(size * down),
        types.mjGEOM_CYLINDER: size[0] * np.hypot(down[0], down[1]) + size[1] * down[2],
        types.mjGEOM_BOX: size @ down,
    }
    return float(data.geom_xpos[geom, 2] - reach.get(kind, 0.0))


def _base(model: mujoco.MjModel) -> int:
    """The body that floats and carries the hinges."""
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    hinged = {int(model.body_rootid[model.jnt_bodyid[j]]) for j in range(model.njnt) if model.jnt_type[j] != 0}
    bases = [int(model.jnt_bodyid[j]) for j in free if int(model.jnt_bodyid[j]) in hinged]
    if len(bases) != 1:
        raise UserError(f"{len(bases)} bodies with hinges float; expected one, the robot's base")
    return bases[0]


def _hinges(model: mujoco.MjModel, base: int) -> tuple[int, ...]:
    found = []
    for joint in range(model.njnt):
        kind = model.jnt_type[joint]
        if model.body_rootid[model.jnt_bodyid[joint]] != base or kind == mujoco.mjtJoint.mjJNT_FREE:
            continue
        if kind != mujoco.mjtJoint.mjJNT_HINGE:
            what = "slides" if kind == mujoco.mjtJoint.mjJNT_SLIDE else "is a ball joint"
            raise UserError(f"the joint {shown(model.joint(joint).name)} {what}; expected only hinges")
        found.append(joint)
    return tuple(found)


def above(model: mujoco.MjModel, body: int, hinges: tuple[int, ...]) -> tuple[int, ...]:
    """The hinges, of these, that move a body, from the base outwards."""
    path: list[int] = []
    while body:
        first, count = model.body_jntadr[body], model.body_jntnum[body]
        path = [j for j in range(first, first + count) if j in hinges] + path
        body = model.body_parentid[body]
    return tuple(path)


def _poses(model: mujoco.MjModel, hinges: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Poses drawn between the limits, and within half a turn where there are none."""
    rng = np.random.default_rng(0)
    low, high = (np.clip(ends, -np.pi, np.pi) for ends in limits(model, hinges))
    yield from rng.uniform(low, high, (TRIED, len(hinges)))


def _limbs(model: mujoco.MjModel, hinges: tuple[int, ...], poses: Sequence[np.ndarray]) -> tuple[Limb, ...]:
    """The limbs, each as it is in that of the poses in which it reaches lowest; with feet where none is lower."""
    paths = {body: above(model, body, hinges) for body in range(1, model.nbody)}
    moved = {path for path in paths.values() if path}
    ends = [path for path in moved if not any(other[: len(path)] == path for other in moved if len(other) > len(path))]
    collides = (model.geom_contype | model.geom_conaffinity) > 0
    geoms = {
        path: [g for g in np.flatnonzero(collides) if paths.get(int(model.geom_bodyid[g])) == path] for path in ends
    }
    height: dict[tuple[int, ...], dict[int, float]] = {path: {} for path in sorted(ends)}
    top: dict[tuple[int, ...], float] = {}
    for pose in poses:
        data = posed(model, hinges, pose)
        for path in height:
            now = {int(geom): lowest(model, data, int(geom)) for geom in geoms[path]}
            if min(now.values(), default=np.inf) < min(height[path].values(), default=np.inf):
                height[path], top[path] = now, float(data.xanchor[path[0], 2])
    ground = min((z for reached in height.values() for z in reached.values()), default=np.nan)
    limbs = []
    for path, reached in height.items():
        least = min(reached.values(), default=np.inf)
        tall = top.get(path, -np.inf) - ground
        is_leg = tall > 0 and least - ground <= LEG * tall
        feet = tuple(geom for geom, z in reached.items() if is_leg and z - least <= SOLE * tall)
        limbs.append(Limb(path, tuple(body for body, own in paths.items() if own == path), feet))
    legs = Counter(joint for limb in limbs if limb.feet for joint in limb.joints)
    return tuple(
        limb._replace(joints=tuple(joint for joint in limb.joints if legs[joint] == 1)) if limb.feet else limb
        for limb in limbs
    )


def _mirror(
    model: mujoco.MjModel, hinges: tuple[int, ...], across: int = 1
) -> tuple[tuple[int, ...], tuple[float, ...]] | None:
    """For each hinge its mirror image by place, and its sign; None where some hinge has none, or all are their own.

    Anchors are mirrored as points, axes as axial vectors are: what leans to the left leans to the right in the mirror.

    across: the axis that the mirror turns round, of x, y and z.
    """
    data = posed(model, hinges, np.zeros(len(hinges)))
    points, axes = data.xanchor[list(hinges)], data.xaxis[list(hinges)]
    depth = np.array([len(above(model, model.jnt_bodyid[joint], hinges)) for joint in hinges])
    size = np.ptp(points, axis=0).max() or 1.0
    flip = np.where(np.arange(3) == across, -1.0, 1.0)
    away = np.linalg.norm((points * flip)[:, None] - points[None], axis=-1) / size
    alike = np.einsum("ik,jk->ij", axes * -flip, axes)
    cost = away + (1 - np.abs(alike)) + 10.0 * (depth[:, None] != depth[None])
    partner = cost.argmin(axis=1)
    rows = np.arange(len(hinges))
    if (cost[rows, partner] > ALIKE).any() or (partner[partner] != rows).any() or (partner == rows).all():
        return None
    return tuple(map(int, partner)), tuple(map(float, np.sign(alike[rows, partner])))
