"""An MJCF model in the native engine's form: a check that it is supported, its constants, and its packed parameters.

A supported robot is a free-floating base with a tree of hinges, each with one motor; it touches horizontal ground at
height 0 with spheres, capsules, boxes and cylinders, and static boxes and height fields with spheres. A body without a
joint is part of the link that it is welded to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots import shape_name
from walkies.sim.base import Params
from walkies.sim.engine.check import MAX_SURFACES, SHAPES, check, check_pairs
from walkies.sim.engine.static import Static, read_static
from walkies.sim.params import first_contact, full_contact, on_ground, static_geoms

Array = Any
"""numpy.ndarray or jax.Array"""

MIN_IMPEDANCE, MAX_IMPEDANCE = 1e-4, 0.9999
"""MuJoCo's bounds on impedance (mjMINIMP, mjMAXIMP)."""
NO_TOUCH = (-np.inf, 0.0, 1.0, 0.0, 0.0)
"""Contact entry of a collider when there is no plane."""
TINY = 1e-15
"""MuJoCo's smallest divisor (mjMINVAL)."""
MIN_FRICTION = 1e-5
"""MuJoCo's smallest friction (mjMINMU)."""

PLACE_NUMBERS, CONSTANTS_OF_JOINT = 13, 23
"""Where a joint is in the tree, and `_joint_constants`."""
MODEL_NUMBERS, JOINT_NUMBERS, COLLIDER_NUMBERS, PAIR_NUMBERS = 10, PLACE_NUMBERS + CONSTANTS_OF_JOINT, 22, 7
BODY_PARAMS, JOINT_PARAMS, COLLIDER_PARAMS, WORLD_PARAMS, SURFACE_PARAMS = 10, 8, 1, 3, 11
"""How many numbers the engine reads of each thing (`native/engine/layout.h`)."""


@dataclass(frozen=True)
class Surface:
    """How contacts of some colliders differ from those of the first one, of which `Params` speak."""

    friction: float
    """× the first one's"""
    solref: tuple[float, ...] | None
    """(2,), None: the first one's"""
    solimp: tuple[float, ...] | None
    """(5,), None: the first one's"""


@dataclass(frozen=True)
class LeggedModel:
    """A robot in the engine's terms: links, each the base or what moves with a hinge, turned so that the hinge's axis
    is their z and placed so that it runs through their origin."""

    num_joints: int
    constants: np.ndarray
    """Flat float64 array in the order that the engine reads."""
    spheres: tuple[str, ...]
    """Names of its colliders, whatever their shape."""
    sphere_bodies: tuple[int, ...]
    """Body of each collider; 0 is the base."""
    surfaces: tuple[Surface, ...]
    link: np.ndarray
    """(num_bodies,) of which link each body is part: 0 is the base, 1 + j moves with hinge j."""
    rotation: np.ndarray
    """(num_bodies, 3, 3): from each MJCF body's frame to its link's frame."""
    offset: np.ndarray
    """(num_bodies, 3) m: each body's origin in its link's frame."""
    timestep: float
    terrain: np.ndarray
    """`Static.terrain`"""
    cells: np.ndarray
    """`Static.cells`"""


def read_model(model: mujoco.MjModel, self_contacts: str | Sequence[tuple[str, str]] = "none") -> LeggedModel:
    """The robot of `model` in the engine's terms; `self_contacts` as in `check.check_pairs`.

    Raises:
        ValueError: the robot is not supported; the message names the element.
    """
    check(model)
    pairs = check_pairs(model, self_contacts)
    colliders, numbers_of, pair_numbers, surfaces, static = _colliders(model, pairs)
    bodies = [int(model.geom_bodyid[g]) - 1 for g in colliders]
    link, rotation, offset, hinges = _links(model)
    implicit = _implicit(model)
    plane = any(model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE for geom in static_geoms(model))
    numbers = [model.opt.timestep, model.opt.impratio, len(hinges), len(colliders), len(surfaces), implicit]
    numbers += [plane, static.kinds, static.fields, len(pairs)]
    for joint, hinge in enumerate(hinges):
        numbers += [hinge.parent, *hinge.position, *hinge.rotation.ravel(), *_joint_constants(model, joint)]
    for geom, body, rest in zip(colliders, bodies, numbers_of, strict=True):
        position = rotation[body] @ model.geom_pos[geom] + offset[body]
        turned = np.zeros(9)
        mujoco.mju_quat2Mat(turned, model.geom_quat[geom])
        numbers += [link[body] - 1, SHAPES[shape_name(model, geom)], *position]
        numbers += [*(rotation[body] @ turned.reshape(3, 3)).ravel(), *model.geom_size[geom], *rest]
    for row in pair_numbers:
        numbers += row
    return LeggedModel(
        num_joints=len(hinges),
        constants=np.array([*numbers, *static.numbers], dtype=np.float64),
        spheres=tuple(model.geom(g).name for g in colliders),
        sphere_bodies=tuple(bodies),
        surfaces=surfaces,
        link=link,
        rotation=rotation,
        offset=offset,
        timestep=float(model.opt.timestep),
        terrain=static.terrain,
        cells=static.cells,
    )


def _implicit(model: mujoco.MjModel) -> int:
    """Which part of the joint damping the integrator treats implicitly (`Implicit` of layout.h)."""
    if model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST:
        return 2
    off = model.opt.disableflags & (mujoco.mjtDisableBit.mjDSBL_EULERDAMP | mujoco.mjtDisableBit.mjDSBL_DAMPER)
    return int(not off and bool(np.any(model.dof_damping)))


def _colliders(
    model: mujoco.MjModel, pairs: list[tuple[int, int]]
) -> tuple[list[int], list[tuple[float, ...]], list[list[float]], tuple[Surface, ...], Static]:
    """Colliding geoms; of each the engine's numbers from margin on; the engine's numbers of each pair of them; the
    surfaces that they have; and static geoms.

    A sphere that collides, but not with the ground, is among them, for its readings; its contact with the ground never
    begins. So is a capsule that is one of a pair.
    """
    static = static_geoms(model)
    touching = {ground: set(on_ground(model, ground)) for ground in static}
    spheres = [
        g
        for g in range(model.ngeom)
        if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_SPHERE and (model.geom_contype[g] or model.geom_conaffinity[g])
    ]
    first = full_contact(model, *first_contact(model))
    surfaces = [Surface(1.0, None, None)]

    def touch(ground: int, geom: int) -> tuple[float, ...]:
        contact = full_contact(model, ground, geom)
        surface = Surface(
            float(contact.friction[0] / first.friction[0]),
            None if np.array_equal(contact.solref, first.solref) else tuple(contact.solref),
            None if np.array_equal(contact.solimp, first.solimp) else tuple(contact.solimp),
        )
        if surface not in surfaces:
            surfaces.append(surface)
        margin = contact.margin if geom in touching[ground] else -np.inf
        return margin, surfaces.index(surface), contact.condim, *contact.friction[1:]

    robot = (geom for geom in spheres if model.geom_bodyid[geom])
    of_pairs = (geom for pair in pairs for geom in pair)
    geoms = sorted({*robot, *of_pairs, *(geom for found in touching.values() for geom in found)})
    plane = [geom for geom in static if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE]
    numbers = [touch(plane[0], geom) if plane else NO_TOUCH for geom in geoms]
    others = [geom for geom in static if geom not in plane]
    rest = read_static(model, others, geoms, touch)
    pair_numbers: list[list[float]] = []
    for pair in pairs:
        contact = full_contact(model, *pair)
        friction = np.maximum(contact.friction, MIN_FRICTION)
        # Their solref and solimp are the model's own, whatever those of the ground are drawn to be, as MujocoSimulator
        # has it; their friction follows the robot's.
        surface = Surface(float(friction[0] / first.friction[0]), tuple(contact.solref), tuple(contact.solimp))
        if surface not in surfaces:
            surfaces.append(surface)
        where = [geoms.index(geom) for geom in pair]
        pair_numbers.append([*where, surfaces.index(surface), contact.condim, contact.margin, *friction[1:]])
    if len(surfaces) > MAX_SURFACES:
        raise ValueError(
            f"the native engine cannot take {len(surfaces)} kinds of contact; expected at most {MAX_SURFACES}. "
            "Use the simulator 'mujoco'"
        )
    return geoms, numbers, pair_numbers, tuple(surfaces), rest


class _Hinge(NamedTuple):
    parent: int
    """Number of the hinge above it, -1: the base."""
    position: np.ndarray
    """(3,) m, in the parent link's frame."""
    rotation: np.ndarray
    """(3, 3): the parent link's frame from this link's at angle 0."""


def _links(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[_Hinge]]:
    """`LeggedModel.link`, `.rotation` and `.offset`, and the hinges."""
    bodies = model.nbody - 1
    link, rotation, offset = np.zeros(bodies, int), np.tile(np.eye(3), (bodies, 1, 1)), np.zeros((bodies, 3))
    hinges: list[_Hinge] = []
    for body in range(1, bodies):
        above = model.body_parentid[body + 1] - 1
        turned = np.zeros(9)
        mujoco.mju_quat2Mat(turned, model.body_quat[body + 1])
        # The body's frame in the frame of the link that it hangs from, or, after a hinge, of that hinge's own link.
        on, frame = link[above], rotation[above] @ turned.reshape(3, 3)
        origin = rotation[above] @ model.body_pos[body + 1] + offset[above]
        first = model.body_jntadr[body + 1]
        for j in range(first, first + model.body_jntnum[body + 1]):
            anchor, axes = model.jnt_pos[j], _frame_with_z(model.jnt_axis[j])
            zero_angle = _about_z(-model.qpos0[model.jnt_qposadr[j]])
            hinges.append(_Hinge(int(on) - 1, frame @ anchor + origin, frame @ axes @ zero_angle))
            on, frame, origin = len(hinges), axes.T, -axes.T @ anchor
        link[body], rotation[body], offset[body] = on, frame, origin
    return link, rotation, offset, hinges


def _joint_constants(model: mujoco.MjModel, joint: int) -> list[float]:
    """Constants of hinge number `joint` (0 is the first after the free joint), in the engine's order."""
    j, dof = 1 + joint, 6 + joint
    limited = bool(model.jnt_limited[j])
    # A limit acts from its margin on.
    lower, upper = model.jnt_range[j] + model.jnt_margin[j] * np.array([1, -1]) if limited else (-np.inf, np.inf)
    low, high = model.actuator_ctrlrange[joint] if model.actuator_ctrllimited[joint] else (-np.inf, np.inf)
    limit_imp = _clean_impedance(model.jnt_solimp[j], np)
    friction_imp = _clean_impedance(model.dof_solimp[dof], np)
    stiffness, damping = spring_damper(model.jnt_solref[j], limit_imp, model.opt.timestep, np)
    _, friction_damping = spring_damper(model.dof_solref[dof], friction_imp, model.opt.timestep, np)
    return [
        lower,
        upper,
        low,
        high,
        *_motor_constants(model, joint),
        *(model.jnt_actfrcrange[j] if model.jnt_actfrclimited[j] else (-np.inf, np.inf)),
        stiffness,
        damping,
        *impedance_curve(limit_imp, np),
        friction_damping,
        # A dry-friction row has no position, so its impedance is that of position 0.
        friction_imp[0] / (1 - friction_imp[0]),
        0.0 if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_SPRING else model.jnt_stiffness[j],
        model.qpos_spring[model.jnt_qposadr[j]],
    ]


def _motor_constants(model: mujoco.MjModel, actuator: int) -> list[float]:
    """Torque per unit of control (0: kp), gear, and the ends of its range as shares of `Params.torque_limit`."""
    gain, stiffness = model.actuator_gainprm[actuator, 0], -model.actuator_biasprm[actuator, 1]
    low, high = model.actuator_forcerange[actuator]
    limit = max(abs(low), abs(high)) if model.actuator_forcelimited[actuator] else 0.0
    shares = [-low / limit, high / limit] if limit else [1.0, 1.0]
    return [0.0 if gain == stiffness else gain, model.actuator_gear[actuator, 0], *shares]


def _clean_impedance(solimp: Array, xp: ModuleType) -> Array:
    """solimp (…, 5) with MuJoCo's bounds applied; a curve without width is its mean value everywhere."""
    low, high = (xp.clip(solimp[..., i], MIN_IMPEDANCE, MAX_IMPEDANCE) for i in (0, 1))
    width = xp.maximum(solimp[..., 2], 0)
    middle = xp.clip(solimp[..., 3], MIN_IMPEDANCE, MAX_IMPEDANCE)
    power = xp.maximum(solimp[..., 4], 1)
    flat = width <= TINY
    mean = (low + high) / 2
    return xp.stack(
        [xp.where(flat, mean, low), xp.where(flat, mean, high), xp.where(flat, 1.0, width), middle, power], axis=-1
    )


def impedance_curve(solimp: Array, xp: ModuleType) -> Array:
    """(…, 7): low, high, 1/width, middle, and the gains and the power of the curve's two halves."""
    low, high, width, middle, power = (solimp[..., i] for i in range(5))
    return xp.stack([low, high, 1 / width, middle, middle ** (1 - power), (1 - middle) ** (1 - power), power], axis=-1)


def spring_damper(solref: Array, solimp: Array, timestep: float, xp: ModuleType) -> tuple[Array, Array]:
    """Stiffness and damping of a constraint's reference acceleration (MuJoCo documentation, "Solver parameters").

    solref (…, 2) is (time constant, damping ratio), the time constant at least two steps, or negative: (−k, −b).
    """
    high = solimp[..., 1]
    direct = solref[..., 0] <= 0
    time = xp.where(direct, 1.0, xp.maximum(solref[..., 0], 2 * timestep))
    ratio = xp.where(direct, 1.0, solref[..., 1])
    stiffness = xp.where(direct, -solref[..., 0] / high**2, 1 / (high * time * ratio) ** 2)
    damping = xp.where(direct, -solref[..., 1] / high, 2 / (high * time))
    return stiffness, damping


def pack(model: LeggedModel, params: Params, num_rows: int, xp: ModuleType, dtype: Any) -> Array:
    """Parameters as the engine takes them: (num_rows, P), a row per robot.

    Args:
        params: leaves lead with num_rows or 1.
        xp: numpy or jax.numpy.
    """

    def rows(leaf: Array) -> Array:
        leaf = xp.asarray(leaf, dtype=dtype)
        return xp.broadcast_to(leaf, (num_rows, *leaf.shape[1:]))

    mass, center, inertia = _link_inertias(
        model, rows(params.body_mass), rows(params.body_ipos), rows(params.body_inertia), xp, dtype
    )
    bodies = xp.concatenate([mass[..., None], center, inertia], axis=-1)
    joints = xp.stack(
        [
            rows(params.kp),
            rows(params.kd),
            rows(params.torque_limit),
            1 / rows(params.torque_speed),
            rows(params.dof_damping),
            rows(params.dof_frictionloss),
            rows(params.dof_armature),
            1 / xp.maximum(rows(params.dof_invweight0), TINY),
        ],
        axis=-1,
    )
    surfaces = []
    for surface in model.surfaces:
        solref, solimp = (
            rows(given if own is None else xp.asarray(own)[None])
            for own, given in ((surface.solref, params.contact_solref), (surface.solimp, params.contact_solimp))
        )
        solimp = _clean_impedance(solimp, xp)
        stiffness, damping = spring_damper(solref, solimp, model.timestep, xp)
        friction, torsion = surface.friction * rows(params.friction), rows(params.torsion)
        surfaces.append(xp.stack([friction, torsion, stiffness, damping], axis=-1))
        surfaces.append(impedance_curve(solimp, xp))
    return xp.concatenate(
        [
            bodies.reshape(num_rows, -1),
            joints.reshape(num_rows, -1),
            1 / xp.maximum(rows(params.body_invweight0), TINY)[:, np.array(model.sphere_bodies)],
            rows(params.gravity),
            *surfaces,
        ],
        axis=-1,
    )


def _link_inertias(
    model: LeggedModel, mass: Array, center: Array, inertia: Array, xp: ModuleType, dtype: Any
) -> tuple[Array, Array, Array]:
    """Masses (n, links), centres of mass (n, links, 3) and inertias about them (n, links, 6) in the links' frames, from
    those of bodies in the bodies' frames. Bodies that are welded together are one."""
    if not np.array_equal(model.rotation, np.broadcast_to(np.eye(3), model.rotation.shape)):
        turn = xp.asarray(model.rotation, dtype=dtype)
        center = xp.einsum("bij,nbj->nbi", turn, center)
        full = inertia[..., np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]
        full = xp.einsum("bij,nbjk,blk->nbil", turn, full, turn)
        inertia = full[..., np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])]
    if np.any(model.offset):
        center = center + xp.asarray(model.offset, dtype=dtype)
    if np.array_equal(model.link, np.arange(model.num_joints + 1)):
        return mass, center, inertia
    parts = [np.flatnonzero(model.link == link) for link in range(model.num_joints + 1)]
    merged = [_welded(mass[:, part], center[:, part], inertia[:, part], xp) for part in parts]
    masses, centers, inertias = (xp.stack(each, axis=1) for each in zip(*merged, strict=True))
    return masses, centers, inertias


def _welded(mass: Array, center: Array, inertia: Array, xp: ModuleType) -> tuple[Array, Array, Array]:
    """Mass (n,), centre of mass (n, 3) and inertia about it (n, 6) of some bodies (n, k, …) as one, in one frame.

    Of no body, and so between two hinges of one body, all are 0.
    """
    if mass.shape[1] == 1:
        return mass[:, 0], center[:, 0], inertia[:, 0]
    total = mass.sum(axis=1)
    middle = (mass[..., None] * center).sum(axis=1) / xp.where(total > 0, total, 1)[:, None]
    x, y, z = xp.moveaxis(center - middle[:, None], -1, 0)
    moments = xp.stack([y * y + z * z, x * x + z * z, x * x + y * y, -x * y, -x * z, -y * z], axis=-1)
    return total, middle, (inertia + mass[..., None] * moments).sum(axis=1)


def _frame_with_z(axis: np.ndarray) -> np.ndarray:
    """A rotation whose third column is the unit vector `axis`: the smallest turn that brings z there."""
    axis = axis / np.linalg.norm(axis)
    quaternion, rotation = np.zeros(4), np.zeros(9)
    mujoco.mju_quatZ2Vec(quaternion, axis)
    mujoco.mju_quat2Mat(rotation, quaternion)
    return rotation.reshape(3, 3)


def _about_z(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
