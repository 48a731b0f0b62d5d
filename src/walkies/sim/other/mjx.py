"""MJX: MuJoCo's equations in JAX, on whatever device JAX finds.

The only simulator here that is JAX from end to end: it runs on CPUs, GPUs and TPUs, in the program that trains. On a
CPU it is slow, because XLA divides the work by operations and not by robots.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from walkies.sim.base import MAX_NUMBER, MAX_SPEED, Params, Readings, State, torque_range
from walkies.sim.callback import Given, Rollout, in_body_frame, like, plane, sane, unit
from walkies.sim.mujoco_batch import engine_model
from walkies.sim.other import urdf
from walkies.sim.other.install import needed
from walkies.sim.params import actuated_dofs, ground_geom, read_params, sphere_geoms, usable
from walkies.sim.principal import principal_inertia

Array = jax.Array

LEAST_FRICTION = 1e-9
"""N m, of a joint. MJX gives a row of its constraints to the joints that have friction when it reads the model, and a
robot may be drawn with friction where the model has none; but a row whose friction is 0 holds the joint fast."""


class Prepared(NamedTuple):
    """Parameters as MJX takes them, leaves (n, …); the model's own for robots whose parameters are not usable."""

    params: Params
    moments: Array
    """(n, bodies, 3) kg m²"""
    iquat: Array
    """(n, bodies, 4)"""
    usable: Array
    """(n,) bool"""


class Moving(NamedTuple):
    """One robot within a control step; what no physics step has computed yet is zero."""

    qpos: Array
    qvel: Array
    warmstart: Array
    acceleration: Array
    torque: Array
    contact_force: Array
    """(spheres, 3) N"""


class MjxSimulator:
    """MJX behind the protocol `walkies.sim.base.Simulator`.

    Contacts are those of spheres with the ground; robots do not touch themselves. Solver, integrator and cones are as
    `model` has them.
    """

    name = "mjx"

    def __init__(self, model: mujoco.MjModel, substeps: int = 5) -> None:
        """Simulate `model`, as `walkies.robots.load_model(…, own_contacts=False)` makes it.

        Args:
            substeps: physics steps in a control step.

        Raises:
            ValueError: `substeps` is below 1.
            UserError: MJX is not installed, or does not support the model; the message says what to do.
        """
        if substeps < 1:
            raise ValueError(f"substeps must be at least 1, not {substeps}")
        urdf.check(model, self.name)
        self._mjx = needed(self.name)
        self.model, self.substeps, self.timestep = model, substeps, float(model.opt.timestep)
        self._ground, self._ids = ground_geom(model), sphere_geoms(model)
        self._dofs = actuated_dofs(model)
        self.spheres = tuple(model.geom(geom).name for geom in self._ids)
        self._own = read_params(model)
        ready = engine_model(model, self._ground)
        ready.dof_frictionloss[self._dofs] = np.maximum(ready.dof_frictionloss[self._dofs], LEAST_FRICTION)
        self._model = self._mjx.put_model(ready)
        self._still = self._mjx.make_data(ready)
        self._most = 0
        self._condim = sorted({int(dim) for dim in self._still._impl.contact.dim})

    def prepare(self, params: Params, num_envs: int) -> Prepared:
        """`params` with one value per robot, and the principal axes of its inertias. Pure, jittable."""
        params = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_envs, *leaf.shape[1:])), params)
        sound = usable(params)
        params = jax.tree.map(lambda given, own: jnp.where(like(sound, given), given, own), params, self._own)
        moments, iquat = principal_inertia(params.body_inertia, jnp)
        return Prepared(params, moments, iquat, sound)

    def step(
        self, params: Prepared, state: State, targets: Array, force: Array | None = None
    ) -> tuple[State, Readings]:
        """Advance every robot by the physics steps of `targets` (n, steps, nu), rad. Pure, jittable."""
        force = jnp.zeros((len(state.qpos), 3), state.qpos.dtype) if force is None else force
        given = sane(state.qpos) & (jnp.linalg.norm(state.qpos[:, 3:7], axis=1) > 0) & params.usable
        for leaf in (state.qvel, state.qacc_warmstart, targets, force):
            given = given & sane(leaf)
        # As `CallbackSimulator`: MJX never sees what is broken, such a robot is stepped at rest.
        qpos = jnp.where(given[:, None], state.qpos, self.model.qpos0)
        qvel, warmstart, force = (jnp.where(given[:, None], x, 0.0) for x in (state.qvel, state.qacc_warmstart, force))
        targets = jnp.where(like(given, targets), targets, 0.0)
        return jax.vmap(self._control_step)(params, qpos, qvel, warmstart, targets, force, given)

    def rollout(
        self, given: Given, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray, force: np.ndarray
    ) -> Rollout:
        """What `step` does, without readings, and all states in between: as `OtherSimulator.rollout`.

        Physics steps are calls of one program, which is compiled for the largest number of robots so far.
        """
        n, steps, _ = control.shape
        self._most = max(self._most, n)
        rows = np.arange(self._most) % n
        params, q, v, control, force = jax.tree.map(
            lambda leaf: np.asarray(leaf, np.float32)[rows], (given.params, qpos, qvel, control, force)
        )
        prepared = self._prepared(params)
        now = Moving(q, v, np.zeros_like(v), *self._nothing(self._most))
        path = []
        for step in range(steps):
            now = jax.tree.map(np.asarray, self._one_step(prepared, now, control[:, step], force))
            path.append(now)
        last = jax.tree.map(lambda leaf: np.float64(leaf[:n]), now)
        q, v = (np.stack([np.float64(getattr(at, name)[:n]) for at in path], axis=1) for name in ("qpos", "qvel"))
        failed = ~np.isfinite(np.concatenate([q, v], axis=-1)).all(axis=(1, 2))
        return Rollout(q, v, last.acceleration, last.warmstart, last.torque, last.contact_force, failed)

    @partial(jax.jit, static_argnums=0)
    def _prepared(self, params: Params) -> Prepared:
        return self.prepare(params, len(params.body_mass))

    @partial(jax.jit, static_argnums=0)
    def _one_step(self, params: Prepared, now: Moving, target: Array, force: Array) -> Moving:
        def one(params: Prepared, now: Moving, target: Array, force: Array) -> Moving:
            return self._physics_step(self._of_robot(params), params.params, now, target, force)

        return jax.vmap(one)(params, now, target, force)

    def _nothing(self, *n: int) -> tuple[Array, Array, Array]:
        """Acceleration, torque and contact forces before the first physics step."""
        return jnp.zeros((*n, self.model.nv)), jnp.zeros((*n, self.model.nu)), jnp.zeros((*n, len(self._ids), 3))

    def _control_step(
        self, params: Prepared, qpos: Array, qvel: Array, warmstart: Array, targets: Array, force: Array, given: Array
    ) -> tuple[State, Readings]:
        """`step` for one robot, whose leaves lack the leading axis."""
        last, path = self._advance(params, qpos, qvel, warmstart, targets, force)
        fine = [_all_below(last.qpos, MAX_NUMBER), _all_below(last.qvel, MAX_SPEED)]
        ok = given & fine[0] & fine[1] & _all_below(last.acceleration, MAX_NUMBER)
        qpos, qvel = jnp.where(ok, last.qpos, qpos), jnp.where(ok, last.qvel, 0.0)
        position, velocity = self._sphere_motion(params, qpos, qvel)
        origin, normal = plane(self.model, self._ground)
        down = in_body_frame(path.qpos[:, 3:7], unit(params.params.gravity, jnp), jnp)
        acceleration = last.acceleration if len(targets) else warmstart
        return State(qpos, qvel, last.warmstart), Readings(
            contact_distance=(position - origin) @ normal - self.model.geom_size[self._ids, 0],
            contact_force=last.contact_force,
            contact_position=position,
            contact_velocity=velocity,
            joint_torque=last.torque,
            base_acceleration=acceleration[:3],
            imu=jnp.concatenate([path.qvel[:, 3:6], down], axis=-1),
            ok=ok,
        )

    def _advance(
        self, params: Prepared, qpos: Array, qvel: Array, warmstart: Array, targets: Array, force: Array
    ) -> tuple[Moving, Moving]:
        """One robot through its physics steps: the last of them, and all, leaves (steps, …)."""
        model = self._of_robot(params)

        def physics_step(now: Moving, target: Array) -> tuple[Moving, Moving]:
            after = self._physics_step(model, params.params, now, target, force)
            return after, after

        return jax.lax.scan(physics_step, Moving(qpos, qvel, warmstart, *self._nothing()), targets)

    def _physics_step(self, model: Any, params: Params, now: Moving, target: Array, force: Array) -> Moving:
        """One robot, of which `model` is from `_of_robot`, through one physics step."""
        base = int(self.model.jnt_bodyid[0])
        data = self._still.replace(
            qpos=now.qpos,
            qvel=now.qvel,
            qacc_warmstart=now.warmstart,
            ctrl=target,
            xfrc_applied=self._still.xfrc_applied.at[base, :3].set(force),
        )
        data = self._mjx.step(self._with_motors(model, params, now, target), data)
        pushed = self._contact_force(model, data)
        return Moving(data.qpos, data.qvel, data.qacc_warmstart, data.qacc, data.actuator_force, pushed)

    def _with_motors(self, model: Any, params: Params, now: Moving, target: Array) -> Any:
        """The robot with its motors' limits at this speed. A motor at its limit has no damping of its own, which
        MuJoCo's implicit integrators take into account and MJX's do not: it is one of constant torque."""
        angle, speed = now.qpos[self._dofs + 1], now.qvel[self._dofs]
        low, high = torque_range(params.torque_limit, params.torque_speed, speed)
        torque = params.kp * (target - angle) - params.kd * speed
        free = (low < torque) & (torque < high)
        bias = [
            jnp.where(free, 0.0, jnp.clip(torque, low, high)),
            *(jnp.where(free, -k, 0.0) for k in (params.kp, params.kd)),
        ]
        return model.replace(
            actuator_forcerange=jnp.stack([low, high], axis=-1),
            actuator_gainprm=model.actuator_gainprm.at[:, 0].set(jnp.where(free, params.kp, 0.0)),
            actuator_biasprm=model.actuator_biasprm.at[:, :3].set(jnp.stack(bias, axis=-1)),
        )

    def _of_robot(self, params: Prepared) -> Any:
        """MJX's model of one robot, all but the motors."""
        model, p, dofs = self._model, params.params, self._dofs
        feet, ground = np.array([self._ground, *self._ids]), self._ground
        subtree = [jnp.zeros(()), *p.body_mass]
        for body in range(self.model.nbody - 1, 0, -1):
            subtree[self.model.body_parentid[body]] += subtree[body]
        return model.tree_replace(
            {
                "body_mass": model.body_mass.at[1:].set(p.body_mass),
                "body_subtreemass": jnp.stack(subtree),
                "body_ipos": model.body_ipos.at[1:].set(p.body_ipos),
                "body_iquat": model.body_iquat.at[1:].set(params.iquat),
                "body_inertia": model.body_inertia.at[1:].set(params.moments),
                "body_invweight0": model.body_invweight0.at[1:, 0].set(p.body_invweight0),
                "geom_friction": model.geom_friction.at[feet, 0].set(p.friction).at[ground, 1].multiply(p.torsion),
                "geom_solref": model.geom_solref.at[ground].set(p.contact_solref),
                "geom_solimp": model.geom_solimp.at[ground].set(p.contact_solimp),
                "dof_damping": model.dof_damping.at[dofs].set(p.dof_damping),
                "dof_frictionloss": model.dof_frictionloss.at[dofs].set(
                    jnp.maximum(p.dof_frictionloss, LEAST_FRICTION)
                ),
                "dof_armature": model.dof_armature.at[dofs].set(p.dof_armature),
                "dof_invweight0": model.dof_invweight0.at[dofs].set(p.dof_invweight0),
                "opt.gravity": p.gravity,
            }
        )

    def _contact_force(self, model: Any, data: Any) -> Array:
        """(spheres, 3) N, of the ground on each sphere, world frame."""
        total = jnp.zeros((len(self._ids), 3), data.qpos.dtype)
        contact = data._impl.contact
        for dim in self._condim:
            force, rows = self._mjx._src.support.contact_force_dim(model, data, dim)
            # In the contact's frame, whose first axis is the normal; on the second of its two geoms.
            world = jnp.einsum("ci,cij->cj", force[:, :3], contact.frame[rows])
            first, second = (contact.geom[rows, side][:, None] == np.array(self._ids) for side in (0, 1))
            total += (second.astype(world.dtype) - first).T @ world
        return total

    def _sphere_motion(self, params: Prepared, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        """World position (m) and velocity (m/s) of one robot's spheres, each (spheres, 3)."""
        smooth, model = self._mjx._src.smooth, self._of_robot(params)
        data = smooth.com_pos(model, smooth.kinematics(model, self._still.replace(qpos=qpos, qvel=qvel)))
        data = smooth.com_vel(model, data)
        bodies, position = self.model.geom_bodyid[self._ids], data.geom_xpos[np.array(self._ids)]
        # As `Kinematics.sphere_motion`: linear velocity of a body is that of its point at the robot's centre of mass.
        twist, lever = data.cvel[bodies], position - data.subtree_com[self.model.body_rootid[bodies]]
        return position, twist[:, 3:] + jnp.cross(twist[:, :3], lever)


def _all_below(leaf: Array, bound: float) -> Array:
    return (jnp.abs(leaf) <= bound).all()
