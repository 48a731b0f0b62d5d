"""Physical parameters read from a MuJoCo model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from walkies.later import jax, jnp, mujoco
from walkies.robots.base import Robot
from walkies.sim.base import MAX_NUMBER, Params, inertia_in_body_frame


def ground_geom(model: mujoco.MjModel) -> int:
    """Id of the one colliding plane.

    Raises:
        ValueError: the model has none, or several.
    """
    planes = [geom for geom in _colliders(model) if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE]
    if len(planes) != 1:
        raise ValueError(f"expected one colliding plane as the ground, found {len(planes)}; add a plane to the MJCF")
    return planes[0]


def static_geoms(model: mujoco.MjModel) -> list[int]:
    """Ids of the colliding geoms of the world: a plane first, then in MJCF order."""
    found = [geom for geom in _colliders(model) if not model.geom_bodyid[geom]]
    return sorted(found, key=lambda geom: model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_PLANE)


def first_contact(model: mujoco.MjModel) -> tuple[int, int]:
    """The static geom and the robot's geom whose contact `Params` describe: the first that can touch, planes first.

    Raises:
        ValueError: none can, or there are several planes.
    """
    static = static_geoms(model)
    if not static or model.geom_type[static[0]] == mujoco.mjtGeom.mjGEOM_PLANE:
        ground_geom(model)
    for ground in static:
        for geom in on_ground(model, ground)[:1]:
            return ground, geom
    raise ValueError("the model has no ground that the robot can touch; add a plane to the MJCF")


def sphere_geoms(model: mujoco.MjModel) -> list[int]:
    """Ids of the colliding spheres, in MJCF order."""
    return [geom for geom in _colliders(model) if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE]


def actuated_dofs(model: mujoco.MjModel) -> np.ndarray:
    """Velocity address of the hinge that each actuator drives: (nu,) int.

    Raises:
        ValueError: an actuator does not drive a hinge directly.
    """
    joints = model.actuator_trnid[:, 0]
    for actuator, joint in enumerate(joints):
        direct = model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT
        if not direct or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
            raise ValueError(f"actuator {model.actuator(actuator).name!r} must drive a hinge joint")
    return model.jnt_dofadr[joints]


def mixed_contact(model: mujoco.MjModel, geom1: int, geom2: int) -> tuple[np.ndarray, np.ndarray, float]:
    """What MuJoCo makes of two geoms' contact parameters (documentation, "Contact parameters").

    The geom of higher priority decides alone. At equal priority friction is the larger, solimp the mean weighted by
    solmix, and solref likewise, or the smaller where it is given as −stiffness, −damping.

    Returns:
        solref (2,), solimp (5,), sliding friction.
    """
    if model.geom_priority[geom1] != model.geom_priority[geom2]:
        decides = geom1 if model.geom_priority[geom1] > model.geom_priority[geom2] else geom2
        return (
            model.geom_solref[decides].copy(),
            model.geom_solimp[decides].copy(),
            float(model.geom_friction[decides, 0]),
        )
    mix1, mix2 = model.geom_solmix[geom1], model.geom_solmix[geom2]
    weight = mix1 / (mix1 + mix2) if mix1 + mix2 > 0 else 0.5
    ref1, ref2 = model.geom_solref[geom1], model.geom_solref[geom2]
    standard = ref1[0] > 0 and ref2[0] > 0
    solref = weight * ref1 + (1 - weight) * ref2 if standard else np.minimum(ref1, ref2)
    solimp = weight * model.geom_solimp[geom1] + (1 - weight) * model.geom_solimp[geom2]
    return solref, solimp, float(max(model.geom_friction[geom1, 0], model.geom_friction[geom2, 0]))


class Contact(NamedTuple):
    """What MuJoCo makes of two geoms' contact parameters."""

    condim: int
    friction: np.ndarray
    """(3,): sliding, torsional (m), rolling (m); none below MuJoCo's least, mjMINMU."""
    solref: np.ndarray
    solimp: np.ndarray
    margin: float
    """m, the distance at which the contact begins."""


def full_contact(model: mujoco.MjModel, geom1: int, geom2: int) -> Contact:
    """`mixed_contact` with everything else that two geoms decide together.

    The one of higher priority decides condim and all frictions; at equal priority it is the larger of each. Margins add
    up.
    """
    solref, solimp, _ = mixed_contact(model, geom1, geom2)
    both = np.array([geom1, geom2])
    decide = both[model.geom_priority[both] == model.geom_priority[both].max()]
    return Contact(
        int(model.geom_condim[decide].max()),
        np.maximum(model.geom_friction[decide].max(axis=0), mujoco.mjMINMU),
        solref,
        solimp,
        float(model.geom_margin[both].sum()),
    )


def on_ground(model: mujoco.MjModel, ground: int) -> list[int]:
    """Ids of the geoms that can touch the ground, in MJCF order: by their bits, and not excluded."""
    return [
        geom
        for geom in range(model.ngeom)
        if geom != ground and model.geom_bodyid[geom] and _collide(model, geom, ground, _excluded(model))
    ]


def grounded(model: mujoco.MjModel) -> set[str]:
    """Names of the robot's geoms that can touch the ground."""
    return {model.geom(geom).name for ground in static_geoms(model) for geom in on_ground(model, ground)}


def on_itself(model: mujoco.MjModel) -> list[tuple[int, int]]:
    """Ids of the robot's geoms that can touch one another, by MuJoCo's rule (documentation, "Collision detection").

    Their bits meet, their bodies are not excluded, and these are neither welded together nor parent and child, where
    welded bodies count as one. Of two geoms the one of the smaller type comes first, else the one of the smaller id,
    which is how MuJoCo orders a contact.
    """
    off, excluded = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT, _excluded(model)
    weld, found = model.body_weldid, []
    geoms = [geom for geom in range(model.ngeom) if model.geom_bodyid[geom]]
    for geom1, geom2 in itertools.combinations(geoms, 2):
        link1, link2 = weld[model.geom_bodyid[[geom1, geom2]]]
        near = link1 in (link2, weld[model.body_parentid[link2]]) or link2 == weld[model.body_parentid[link1]]
        if link1 != link2 and (off or not near) and _collide(model, geom1, geom2, excluded):
            swap = model.geom_type[geom1] > model.geom_type[geom2]
            found.append((geom2, geom1) if swap else (geom1, geom2))
    return found


def _excluded(model: mujoco.MjModel) -> set[tuple[int, int]]:
    """Pairs of bodies that do not collide."""
    return {(int(pair) >> 16, int(pair) & 0xFFFF) for pair in model.exclude_signature}


def _collide(model: mujoco.MjModel, geom1: int, geom2: int, excluded: set[tuple[int, int]]) -> bool:
    """Whether the bits of two geoms meet and their bodies are not excluded."""
    contype, conaffinity = model.geom_contype, model.geom_conaffinity
    body1, body2 = int(model.geom_bodyid[geom1]), int(model.geom_bodyid[geom2])
    meet = contype[geom1] & conaffinity[geom2] or contype[geom2] & conaffinity[geom1]
    return bool(meet) and (body1, body2) not in excluded and (body2, body1) not in excluded


def nominal_params(model: mujoco.MjModel, robot: Robot) -> Params:
    """The parameters of a robot's own model, one value for all robots: every leaf leads with an axis of length 1.

    How fast its motors are is known from its record alone.

    Raises:
        ValueError: the model and the robot's record disagree, or `read_params` cannot read the model.
    """
    check_record(model, robot)
    read = read_params(model)
    fast: Any = np.full_like(read.torque_speed, robot.torque_speed)
    return read._replace(torque_speed=fast)


def check_record(model: mujoco.MjModel, robot: Robot) -> None:
    """Check that motors and joint limits in the MJCF equal those of the robot's record.

    Raises:
        ValueError: it does not; the message names the joint and both numbers.
    """
    joints = model.actuator_trnid[:, 0]
    driven = tuple(model.joint(joint).name for joint in joints)
    if driven != robot.joint_names:
        raise ValueError(f"the model's actuators drive {driven}, but {robot.name}'s joints are {robot.joint_names}")
    for what, stated, recorded in (
        ("kp", model.actuator_gainprm[:, 0], robot.kp),
        ("kv", -model.actuator_biasprm[:, 2], robot.kd),
        ("forcerange", model.actuator_forcerange[:, 1], robot.torque_limit),
        ("lower limit", model.jnt_range[joints, 0], robot.lower_limits),
        ("upper limit", model.jnt_range[joints, 1], robot.upper_limits),
    ):
        expected = np.broadcast_to(recorded, stated.shape)
        for joint in np.flatnonzero(~np.isclose(stated, expected, rtol=0, atol=1e-6)):
            raise ValueError(
                f"{what} of {driven[joint]!r} is {stated[joint]:g} in the MJCF and {expected[joint]:g} in the "
                f"record of {robot.name}; make them equal"
            )


def read_params(model: mujoco.MjModel) -> Params:
    """The parameters that a model has, one value for all robots: every leaf leads with an axis of length 1.

    Raises:
        ValueError: the model has no ground, several planes, or no spheres; its spheres differ in their contact
            parameters; or an actuator is not a position servo with a symmetric force range on a hinge.
    """
    (ground, _), spheres = first_contact(model), sphere_geoms(model)
    actuated_dofs(model)
    if not spheres:
        raise ValueError("the model has no colliding spheres; give the robot's feet sphere colliders")
    solref, solimp, friction = mixed_contact(model, ground, spheres[0])
    for sphere in spheres[1:]:
        theirs = np.hstack(mixed_contact(model, ground, sphere))
        if not np.array_equal(theirs, np.hstack([solref, solimp, friction])):
            raise ValueError(
                f"contact parameters of {model.geom(sphere).name!r} and {model.geom(spheres[0]).name!r} differ; "
                "one set per robot is supported: give all spheres the same class"
            )
    for actuator in range(model.nu):
        gain, bias, limits = (
            model.actuator_gainprm[actuator, 0],
            model.actuator_biasprm[actuator],
            model.actuator_forcerange[actuator],
        )
        if bias[1] != -gain or not model.actuator_forcelimited[actuator] or limits[0] != -limits[1]:
            raise ValueError(
                f"actuator {model.actuator(actuator).name!r} must be a position servo (<position kp=… kv=… "
                'forcerange="-x x">)'
            )

    return _params(model, ground, spheres[0])


def read_any_params(model: mujoco.MjModel) -> Params:
    """`read_params` for the native simulator, which supports more.

    Contact parameters are those of `first_contact`: others keep their own solref and solimp, and their friction in
    proportion. For a motor that is not a position servo, kp and kd are its feedback on angle and speed.
    `torque_limit` is the larger end of a motor's range, MAX_NUMBER where it has none.

    Raises:
        ValueError: the model has no ground, or an actuator does not drive a hinge directly.
    """
    return _params(model, *first_contact(model))


def _params(model: mujoco.MjModel, ground: int, foot: int) -> Params:
    """The model's parameters; those of contacts are of `foot` on the ground."""
    dofs, contact = actuated_dofs(model), full_contact(model, ground, foot)
    solref, solimp, friction = contact.solref, contact.solimp, contact.friction[0]
    limit = np.where(model.actuator_forcelimited, np.abs(model.actuator_forcerange).max(axis=1), MAX_NUMBER)

    # NumPy arrays: building a task computes nothing in JAX, after which a process must not fork any more.
    def one(value: object) -> Any:
        return np.asarray(value, jnp.result_type(float))[None]

    return Params(
        body_mass=one(model.body_mass[1:]),
        body_ipos=one(model.body_ipos[1:]),
        body_inertia=one([inertia_in_body_frame(model, body) for body in range(1, model.nbody)]),
        friction=one(friction),
        torsion=one(1.0),
        kp=one(-model.actuator_biasprm[:, 1]),
        kd=one(-model.actuator_biasprm[:, 2]),
        torque_limit=one(limit),
        torque_speed=one(np.full(model.nu, np.inf)),  # MJCF has no word for it
        dof_damping=one(model.dof_damping[dofs]),
        dof_frictionloss=one(model.dof_frictionloss[dofs]),
        dof_armature=one(model.dof_armature[dofs]),
        gravity=one(model.opt.gravity),
        contact_solref=one(solref),
        contact_solimp=one(solimp),
        body_invweight0=one(model.body_invweight0[1:, 0]),
        dof_invweight0=one(model.dof_invweight0[dofs]),
    )


def usable(params: Params) -> jax.Array:
    """Whether a robot's parameters can be used in the equations, (n,) bool, or (1,) for shared ones. Pure, jittable.

    Every number is finite, but for a `torque_speed` of ∞; masses, friction and `torque_speed`, by which equations
    divide, are above 0; the two numbers of a solref are both above 0, or neither is (of others MuJoCo makes its
    default). Whether such a robot exists is not asked.
    """
    finite = _side_by_side(params._replace(torque_speed=params.torque_limit))
    positive = _side_by_side((params.body_mass, params.friction, params.torque_speed))
    solref = params.contact_solref
    return jnp.isfinite(finite).all(axis=1) & (positive > 0).all(axis=1) & ((solref[:, 0] > 0) == (solref[:, 1] > 0))


def _side_by_side(leaves: Iterable[jax.Array]) -> jax.Array:
    """Arrays (n, …), or (1, …) for what robots share, as one (n, numbers): XLA compiles each reduction of its own."""
    rows = [leaf.reshape(len(leaf), -1) for leaf in leaves]
    n = max(map(len, rows))
    return jnp.concatenate([jnp.broadcast_to(row, (n, row.shape[1])) for row in rows], axis=1)


def _colliders(model: mujoco.MjModel) -> list[int]:
    return [geom for geom in range(model.ngeom) if model.geom_contype[geom] or model.geom_conaffinity[geom]]
