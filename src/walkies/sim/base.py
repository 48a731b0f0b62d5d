"""A simulator is one function: `step(params, state, targets, force) -> (state, readings)`, batched over robots.

It only does physics. The layer between a controller and the physics (delays of commands and of the IMU, robots that
blew up) is `walkies.sim.actuation`, the same for every simulator.

Conventions are MuJoCo's: qpos = base position (world), base quaternion (w x y z), hinge angles; qvel = base linear
velocity (world), base angular velocity (body frame), hinge velocities. All arrays lead with the robot axis.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from walkies.later import Array, mujoco

MAX_SPEED = 1e3
"""m/s and rad/s: a robot with any speed above this has blown up."""

MAX_NUMBER = 1e6
"""A larger number (m, rad, m/s, rad/s, m/s², rad/s², N) in the input or output of a step counts as broken."""


class State(NamedTuple):
    """A robot's mechanical state: with its parameters and its targets it determines the future."""

    qpos: Array
    """(n, nq)"""
    qvel: Array
    """(n, nv)"""
    qacc_warmstart: Array
    """(n, nv): the last acceleration, where the contact solver starts."""


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
    torsion: Array
    """(n,), 0 or more, × the model's: torsional friction of every contact that has it (MuJoCo's condim 4 or 6)."""
    kp: Array
    """(n, nu) N m/rad"""
    kd: Array
    """(n, nu) N m s/rad: derivative gain of the servo."""
    torque_limit: Array
    """(n, nu) N m: of a motor at rest, or driven against its torque."""
    torque_speed: Array
    """(n, nu) rad/s, above 0: joint speed at which the available torque in its direction has fallen to zero, linearly
    from `torque_limit`; ∞ for a limit that does not fall (`torque_range`)."""
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


class Readings(NamedTuple):
    """Readings after some physics steps. Spheres are in the order of `Simulator.spheres`."""

    contact_distance: Array
    """(n, spheres) m: signed distance to the ground at the end."""
    contact_force: Array
    """(n, spheres, 3) N: force of the ground on the robot, world frame, during the last physics step."""
    contact_position: Array
    """(n, spheres, 3) m: sphere centres, world frame, at the end."""
    contact_velocity: Array
    """(n, spheres, 3) m/s: velocity of the sphere centres, world frame, at the end."""
    joint_torque: Array
    """(n, nu) N m: motor torque after its limit, during the last physics step."""
    base_acceleration: Array
    """(n, 3) m/s²: linear acceleration of the base origin, world frame, during the last physics step."""
    imu: Array
    """(n, substeps, 6): after each physics step the angular velocity, rad/s, and the unit vector of `Params.gravity`
    ((0, 0, −1) when upright on level ground), both in the body frame."""
    ok: Array
    """(n,) bool: false if the robot blew up, or if some of its input is unusable.

    A robot has blown up if a speed is beyond MAX_SPEED, or another number of its state beyond MAX_NUMBER or NaN.
    Unusable is: a number beyond MAX_NUMBER or NaN anywhere in the state, targets or force; a quaternion of length 0;
    and parameters that `usable` refuses. The state and readings of such a robot mean nothing and may be NaN
    (`walkies.sim.actuation` repairs them). No other robot is affected, to the last bit (except the sign of a zero)."""


class Simulator(Protocol):
    """One robot model on flat ground."""

    name: str
    model: mujoco.MjModel
    """The nominal model; `qpos0` is the fallback state of a robot."""
    substeps: int
    """Physics steps in a control step of this simulator's users."""
    timestep: float
    """s, one physics step."""
    spheres: tuple[str, ...]
    """Names of the colliding sphere geoms, in the order of `Readings`' sphere axes."""

    def prepare(self, params: Params, num_envs: int) -> Any:
        """Bring parameters (leaves (num_envs, …) or (1, …)) into the simulator's own form, leaves (num_envs, …).

        Pure and jittable; done when robots are drawn, so that `step` need not.
        """
        ...

    def step(self, params: Any, state: State, targets: Array, force: Array | None = None) -> tuple[State, Readings]:
        """Advance every robot by some physics steps. Pure, jittable.

        Args:
            targets: (n, steps, nu) rad, of the position servos in each physics step. With no steps nothing moves, and
                the readings are those of the given state: no forces, no torques, no IMU.
            force: (n, 3) N, world frame, at the base's centre of mass in all of the steps; None for none.
        """
        ...


def torque_range(limit: Any, torque_speed: Any, speed: Any) -> tuple[Any, Any]:
    """Least and greatest torque, N m, of motors at joint speeds, rad/s: arrays of NumPy or JAX that broadcast.

    As in a DC motor the available torque falls linearly with the speed in its own direction, to zero at
    `torque_speed`; against the motion it stays constant.
    """
    share = speed / torque_speed
    return -limit * (1 + share).clip(0, 1), limit * (1 - share).clip(0, 1)


def inertia_in_body_frame(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Inertia (6,) xx yy zz xy xz yz of one body about its centre of mass, in the axes of the body frame."""
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, model.body_iquat[body])
    rotation = flat.reshape(3, 3)
    full = rotation @ np.diag(model.body_inertia[body]) @ rotation.T
    return full[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
