"""The standing pose of a robot: a keyframe of its file, or else one computed from the geometry of its limbs.

In a computed pose each leg is three quarters stretched, or its thigh and shank almost fully if it can keep its foot
level, with the foot below its hip, shifted until the centre of mass is above the middle of the feet; arms stay at zero.
Mirrored legs have mirrored angles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots.reading.anatomy import Anatomy, Limb, first_pose, limits, lowest, posed

STRETCH, UPRIGHT = 0.75, 0.95
"""Of the way from hip to foot at full reach; the second from hip to ankle, of legs of at least LEVEL joints."""
LONG = 0.5
"""Of the longest segment of such a leg: thighs and shanks are longer."""
LEVEL = 5
"""Joints of a leg from which on it can keep its foot level."""
STARTS, NEAR = 6, 0.4
"""Of the search for a leg's angles: so many about so many rad from the first pose, then as many anywhere."""
ARRIVED = 5e-5
"""Cost of a pose with the foot where it belongs, and joints anywhere."""
BALANCE = 3
"""Times that the feet are moved below the centre of mass."""
EASE = 0.003
"""Weight of a joint's distance from zero, per rad, in lengths of the leg: what the rest leaves open."""


KEYFRAME = "keyframe"
"""Where a pose comes from that is not computed."""


class Stand(NamedTuple):
    """A pose."""

    angles: np.ndarray
    """rad, of `Anatomy.joints`."""
    origin: str
    """Where it comes from."""
    height: float
    """m, of the base's origin above the lowest point of the feet."""
    hips: float
    """m, of the hips above that: the robot's unit of length."""


def stand(model: mujoco.MjModel, parts: Anatomy) -> Stand:
    """The pose of a robot's first suitable keyframe, or a computed one."""
    angles, origin = first_pose(model, parts.joints), KEYFRAME
    if not model.nkey:
        origin, shift, start = "computed", 0.0, angles
        for _ in range(BALANCE):
            angles = _pose(model, parts, start, shift)
            shift += _imbalance(model, parts, angles)
    data = posed(model, parts.joints, angles)
    ground = min(lowest(model, data, geom) for leg in parts.legs for geom in leg.feet)
    hips = np.mean([data.xanchor[hip(model, leg), 2] for leg in parts.legs])
    return Stand(angles, origin, -ground, float(hips - ground))


def hip(model: mujoco.MjModel, leg: Limb) -> int:
    """The joint at which the leg begins to swing: the first one above a long segment."""
    data = posed(model, leg.joints, np.zeros(len(leg.joints)))
    ends = np.array([*data.xanchor[list(leg.joints)], _foot(data, leg)])
    length = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    return leg.joints[int(np.argmax(length > 0.5 * length.max()))]


def _foot(data: mujoco.MjData, leg: Limb) -> np.ndarray:
    """(3,) m, the middle of a foot."""
    return data.geom_xpos[list(leg.feet)].mean(axis=0)


def _imbalance(model: mujoco.MjModel, parts: Anatomy, angles: np.ndarray) -> float:
    """m by which the centre of mass is before the middle of the feet."""
    data = posed(model, parts.joints, angles)
    return float(data.subtree_com[parts.base, 0] - np.mean([_foot(data, leg)[0] for leg in parts.legs]))


def _pose(model: mujoco.MjModel, parts: Anatomy, start: np.ndarray, shift: float) -> np.ndarray:
    """Angles with every foot `shift` m before its hip."""
    angles, done = start.copy(), set[int]()
    for leg in parts.legs:
        own = [parts.joints.index(joint) for joint in leg.joints]
        if done.issuperset(own):
            continue
        angles[own] = _leg(model, parts, leg, start, shift)
        done |= set(own)
        if parts.partner is not None and parts.sign is not None:
            for place in own:
                partner = parts.partner[place]
                if partner not in own:
                    angles[partner] = parts.sign[partner] * angles[place]
                    done.add(partner)
    return angles


def _leg(model: mujoco.MjModel, parts: Anatomy, leg: Limb, start: np.ndarray, shift: float) -> np.ndarray:
    """Angles of one leg's joints."""
    from scipy.optimize import least_squares

    own = [parts.joints.index(joint) for joint in leg.joints]
    first = hip(model, leg)
    data = posed(model, parts.joints, start)
    below = leg.joints[leg.joints.index(first) :]
    ends = np.array([*data.xanchor[list(below)], _foot(data, leg)])
    lengths = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    reach = float(lengths.sum())
    sole = data.xmat[leg.bodies[-1]].reshape(3, 3)[2].copy()
    level = len(leg.joints) >= LEVEL
    drop = STRETCH * reach
    if level:  # thigh and shank, and below them a foot that stays as it is
        (long,) = np.nonzero(lengths[:-1] > LONG * lengths[:-1].max())
        drop = UPRIGHT * float(lengths[long].sum()) + max(0.0, float(ends[long[-1] + 1, 2] - ends[-1, 2]))
    low, high = (np.clip(end[own], -np.pi, np.pi) for end in limits(model, parts.joints))

    work = mujoco.MjData(model)

    def off(own_angles: np.ndarray) -> np.ndarray:
        angles = start.copy()
        angles[own] = own_angles
        now = posed(model, parts.joints, angles, work)
        away = _foot(now, leg) - now.xanchor[first] - [shift, 0.0, -drop]
        tilted = now.xmat[leg.bodies[-1]].reshape(3, 3)[2] - sole if level else np.zeros(3)
        return np.concatenate([away / reach, tilted, EASE * (own_angles - start[own])])

    rng = np.random.default_rng(0)
    inside = 1e-6 * (high - low)
    # A straight leg cannot tell which way to bend: near it there are better starts.
    starts = [*rng.normal(start[own], NEAR, (STARTS, len(own))), *rng.uniform(low, high, (STARTS, len(own)))]
    best = None
    for one in starts:
        found = least_squares(off, np.clip(one, low + inside, high - inside), bounds=(low, high), xtol=1e-6)
        best = found if best is None or found.cost < best.cost else best
        if best.cost < ARRIVED:
            break
    assert best is not None
    return best.x
