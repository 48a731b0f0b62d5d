"""What the native engine makes of an MJCF model: a check that the robot fits, its constants, and its packed parameters.

A robot that fits is a free-floating base from which chains of hinges of equal length hang; it touches a horizontal
ground at height 0 with spheres, and each hinge has one position servo.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import mujoco
import numpy as np

from walkies.sim.base import Params
from walkies.sim.native_check import check

Array = Any
"""numpy.ndarray or jax.Array"""

MIN_IMPEDANCE, MAX_IMPEDANCE = 1e-4, 0.9999
"""MuJoCo's bounds on impedance (mjMINIMP, mjMAXIMP)."""
TINY = 1e-15
"""MuJoCo's smallest divisor (mjMINVAL)."""


@dataclass(frozen=True)
class LeggedModel:
    """A robot in the engine's terms. Links are turned so that each hinge axis is their z."""

    legs: int
    joints: int
    """Hinges per leg."""
    constants: np.ndarray
    """Flat float64 array in the order that the engine reads."""
    spheres: tuple[str, ...]
    sphere_bodies: tuple[int, ...]
    """Body of each sphere; 0 is the base."""
    turn: np.ndarray
    """(num_bodies, 3, 3): from each link's frame to the MJCF body's frame."""
    timestep: float

    @property
    def num_joints(self) -> int:
        return self.legs * self.joints


def read_model(model: mujoco.MjModel) -> LeggedModel:
    """The robot of `model` in the engine's terms.

    Raises:
        ValueError: the robot does not fit; the message names the element.
    """
    legs, joints = check(model)
    num_joints = legs * joints
    turn = np.stack([np.eye(3), *(_frame_with_z(model.jnt_axis[1 + j]) for j in range(num_joints))])

    numbers = [model.opt.timestep, model.opt.impratio]
    for joint in range(num_joints):
        numbers += _joint_constants(model, joint, joints, turn)
    spheres = [
        g
        for g in range(model.ngeom)
        if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_SPHERE and (model.geom_contype[g] or model.geom_conaffinity[g])
    ]
    bodies = [int(model.geom_bodyid[g]) - 1 for g in spheres]
    numbers.append(len(spheres))
    for geom, body in zip(spheres, bodies, strict=True):
        leg, link = (-1, 0) if body == 0 else divmod(body - 1, joints)
        numbers += [leg, link, *(turn[body].T @ model.geom_pos[geom]), model.geom_size[geom, 0]]
    return LeggedModel(
        legs=legs,
        joints=joints,
        constants=np.array(numbers, dtype=np.float64),
        spheres=tuple(model.geom(g).name for g in spheres),
        sphere_bodies=tuple(bodies),
        turn=turn,
        timestep=float(model.opt.timestep),
    )


def _joint_constants(model: mujoco.MjModel, joint: int, joints: int, turn: np.ndarray) -> list[float]:
    """Constants of hinge number `joint` (0 is the first after the free joint), in the engine's order."""
    body, parent = 2 + joint, (0 if joint % joints == 0 else joint)
    j, dof = 1 + joint, 6 + joint
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.body_quat[body])
    zero_angle = _about_z(-model.qpos0[model.jnt_qposadr[j]])
    rotation = turn[parent].T @ rotation.reshape(3, 3) @ turn[1 + joint] @ zero_angle
    limited = bool(model.jnt_limited[j])
    lower, upper = model.jnt_range[j] if limited else (-np.inf, np.inf)
    low, high = model.actuator_ctrlrange[joint] if model.actuator_ctrllimited[joint] else (-np.inf, np.inf)
    limit_imp = _clean_impedance(model.jnt_solimp[j], np)
    friction_imp = _clean_impedance(model.dof_solimp[dof], np)
    stiffness, damping = spring_damper(model.jnt_solref[j], limit_imp, model.opt.timestep, np)
    _, friction_damping = spring_damper(model.dof_solref[dof], friction_imp, model.opt.timestep, np)
    return [
        *(turn[parent].T @ model.body_pos[body]),
        *rotation.ravel(),
        lower,
        upper,
        low,
        high,
        stiffness,
        damping,
        *impedance_curve(limit_imp, np),
        friction_damping,
        # A dry-friction row has no position, so its impedance is that of position 0.
        friction_imp[0] / (1 - friction_imp[0]),
    ]


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

    center, inertia = rows(params.body_ipos), rows(params.body_inertia)
    if not np.array_equal(model.turn, np.broadcast_to(np.eye(3), model.turn.shape)):
        turn = xp.asarray(model.turn, dtype=dtype)
        center = xp.einsum("bji,nbj->nbi", turn, center)
        full = inertia[..., np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]
        full = xp.einsum("bji,nbjk,bkl->nbil", turn, full, turn)
        inertia = full[..., np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])]
    bodies = xp.concatenate(
        [
            rows(params.body_mass)[..., None],
            center,
            inertia,
            1 / xp.maximum(rows(params.body_invweight0), TINY)[..., None],
        ],
        axis=-1,
    )
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
    solimp = _clean_impedance(rows(params.contact_solimp), xp)
    stiffness, damping = spring_damper(rows(params.contact_solref), solimp, model.timestep, xp)
    return xp.concatenate(
        [
            bodies.reshape(num_rows, -1),
            joints.reshape(num_rows, -1),
            rows(params.friction)[:, None],
            rows(params.gravity),
            stiffness[:, None],
            damping[:, None],
            impedance_curve(solimp, xp),
        ],
        axis=-1,
    )


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
