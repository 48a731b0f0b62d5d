"""A simulator is one function: `step(params, state, target) -> (state, readings)`, batched over robots.

Conventions are MuJoCo's: qpos = base position (world), base quaternion (w x y z), hinge angles; qvel = base linear
velocity (world), base angular velocity (body frame), hinge velocities. All arrays lead with the robot axis.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import mujoco
import numpy as np

Array = jax.Array

TARGET_MEMORY = 4
"""Targets kept in the state, newest first."""

MAX_COMMAND_DELAY = TARGET_MEMORY - 1
"""Control steps by which a target may come late, its own lateness included."""

MAX_SPEED = 1e3
"""m/s and rad/s: a robot with any speed above this has blown up."""

MAX_NUMBER = 1e6
"""A number beyond this (m, rad, m/s, rad/s, m/s², rad/s², N) in what a step is given or gives is taken for broken."""


class State(NamedTuple):
    """Everything that determines a robot's future."""

    qpos: Array
    """(n, nq)"""
    qvel: Array
    """(n, nv)"""
    qacc_warmstart: Array
    """(n, nv): the last acceleration, where the contact solver starts."""
    targets: Array
    """(n, TARGET_MEMORY, nu): joint position targets already sent, newest first; delayed commands fall back on them."""


class Params(NamedTuple):
    """Physical parameters; every leaf is (n, …), one value per robot, or (1, …), one for all.

    `num_bodies` counts the robot's bodies: the base first, then leg by leg from the base outwards (MJCF order).
    """

    body_mass: Array
    """(n, num_bodies) kg, above 0."""
    body_ipos: Array
    """(n, num_bodies, 3) m: centre of mass in the body frame."""
    body_inertia: Array
    """(n, num_bodies, 6) kg m²: xx yy zz xy xz yz about the centre of mass, in body-frame axes."""
    friction: Array
    """(n,), above 0: sliding friction of every contact with the ground (both geoms get it, so MuJoCo's maximum is
    it)."""
    kp: Array
    """(n, nu) N m/rad"""
    kd: Array
    """(n, nu) N m s/rad: derivative gain of the servo."""
    torque_limit: Array
    """(n, nu) N m"""
    dof_damping: Array
    """(n, nu) N m s/rad: passive joint damping."""
    dof_frictionloss: Array
    """(n, nu) N m: dry joint friction."""
    dof_armature: Array
    """(n, nu) kg m²: rotor inertia."""
    gravity: Array
    """(n, 3) m/s², world frame, in which the ground is z = 0: tilted gravity is a slope."""
    contact_solref: Array
    """(n, 2): MuJoCo's solref of the contacts, after mixing (time constant s, damping ratio)."""
    contact_solimp: Array
    """(n, 5): MuJoCo's solimp of the contacts, after mixing."""
    body_invweight0: Array
    """(n, num_bodies): translational `body_invweight0`, nominal unless recomputed."""
    dof_invweight0: Array
    """(n, nu): `dof_invweight0` of the hinges, nominal unless recomputed."""
    command_delay: Array
    """(n,) int32, physics steps (0 … MAX_COMMAND_DELAY × substeps): a new target reaches the motors this much later."""
    imu_delay: Array
    """(n,) int32, physics steps (0 … substeps): gyro and gravity are read this long before the control step's end."""


class Disturbance(NamedTuple):
    """What the world does to robots during one control step; only given where there is something to give."""

    force: Array
    """(n, 3) N, world frame, at the base's centre of mass."""
    lateness: Array
    """(n, TARGET_MEMORY) physics steps (0 …) that each target needs on top of `Params.command_delay`: the target of
    this step first, then those before it, newest first. In force is the newest target that has arrived, so a late one
    that was overtaken has no effect, and no older target ever follows a newer one."""


def undisturbed(num_envs: int, dtype: Any = None) -> Disturbance:
    """No force, nothing late."""
    xp = jax.numpy
    return Disturbance(xp.zeros((num_envs, 3), dtype), xp.zeros((num_envs, TARGET_MEMORY), dtype))


class Readings(NamedTuple):
    """What a task may read after a control step. Spheres are in the order of `Simulator.spheres`."""

    contact_distance: Array
    """(n, spheres) m: signed distance to the ground at the end of the step."""
    contact_force: Array
    """(n, spheres, 3) N: force of the ground on the robot, world frame, during the last physics step."""
    contact_position: Array
    """(n, spheres, 3) m: sphere centres, world frame, at the end of the step."""
    contact_velocity: Array
    """(n, spheres, 3) m/s: velocity of the sphere centres, world frame, at the end of the step."""
    joint_torque: Array
    """(n, nu) N m: motor torque after its limit, during the last physics step."""
    base_acceleration: Array
    """(n, 3) m/s²: linear acceleration of the base origin, world frame, during the last physics step."""
    gyro: Array
    """(n, 3) rad/s: angular velocity, body frame, at the delayed instant."""
    gravity: Array
    """(n, 3): unit vector of `Params.gravity`, body frame, at the delayed instant ((0, 0, −1) when upright on level
    ground)."""
    ok: Array
    """(n,) bool: false where the step blew up, or where something that it was given is unusable.

    A step has blown up if a speed is beyond MAX_SPEED, or another number of its result beyond MAX_NUMBER or NaN.
    Unusable is: a number beyond MAX_NUMBER or NaN anywhere in the state, target or disturbance; a quaternion of length
    0; a negative lateness; and parameters that `usable` refuses. Such a robot comes back in its previous state at rest,
    or in the model's reference state where the previous one is unusable; its state and readings are finite, and it
    should be reset. No other robot is affected, to the last bit (but for the sign of a zero)."""


class Simulator(Protocol):
    """One robot model on flat ground, advanced one control step (`substeps` physics steps) at a time."""

    name: str
    model: mujoco.MjModel
    """The nominal model."""
    substeps: int
    timestep: float
    """s, one physics step."""
    spheres: tuple[str, ...]
    """Names of the colliding sphere geoms, in the order of `Readings`' sphere axes."""

    def prepare(self, params: Params, num_envs: int) -> Any:
        """Bring parameters (leaves (num_envs, …) or (1, …)) into the simulator's own form, leaves (num_envs, …).

        Pure and jittable; done when robots are drawn, so that `step` need not.
        """
        ...

    def step(
        self, params: Any, state: State, target: Array, disturbance: Disturbance | None = None
    ) -> tuple[State, Readings]:
        """Advance every robot by one control step under new joint targets (num_envs, nu), rad. Pure, jittable."""
        ...


def initial_state(qpos: Array, qvel: Array, target: Array) -> State:
    """A state with no past: zero warm start, and `target` (n, nu) in all of the target memory."""
    targets = jax.numpy.repeat(target[:, None, :], TARGET_MEMORY, axis=1)
    return State(qpos, qvel, jax.numpy.zeros_like(qvel), targets)


def inertia_in_body_frame(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Inertia (6,) xx yy zz xy xz yz of one body about its centre of mass, in the axes of the body frame."""
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, model.body_iquat[body])
    rotation = flat.reshape(3, 3)
    full = rotation @ np.diag(model.body_inertia[body]) @ rotation.T
    return full[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
