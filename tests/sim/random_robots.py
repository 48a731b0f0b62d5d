"""Robots far from the nominal one, in random states: what simulators are compared on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from walkies.robots import PUPPER
from walkies.sim import nominal_params
from walkies.sim.base import Params, State


def random_params(model: mujoco.MjModel, num_envs: int, seed: int) -> Params:
    """Parameters far from the nominal ones in everything; motors that weaken with speed and others that do not."""
    rng = np.random.default_rng(seed)

    def scaled(leaf: jax.Array, low: float, high: float) -> jax.Array:
        return leaf * jnp.asarray(rng.uniform(low, high, (num_envs, *leaf.shape[1:])))

    nominal = nominal_params(model, PUPPER)
    # Inertias of clouds of points: physical, with arbitrary principal axes.
    points = rng.normal(0, 1, (num_envs, 13, 8, 3)) * np.sqrt(np.asarray(nominal.body_inertia)[:, :, None, :3] / 16)
    x, y, z = np.moveaxis(points, -1, 0)
    moments = (y * y + z * z, x * x + z * z, x * x + y * y, -x * y, -x * z, -y * z)
    dtype = nominal.kp.dtype
    params = Params(
        body_mass=scaled(nominal.body_mass, 0.7, 1.3),
        body_ipos=nominal.body_ipos + rng.uniform(-0.02, 0.02, (num_envs, 13, 3)),
        body_inertia=jnp.asarray(np.stack([m.sum(axis=-1) for m in moments], axis=-1)),
        friction=jnp.asarray(rng.uniform(0.4, 1.4, num_envs)),
        kp=scaled(nominal.kp, 0.6, 2.0),
        kd=scaled(nominal.kd, 0.5, 1.5),
        torque_limit=scaled(nominal.torque_limit, 0.2, 1),
        torque_speed=jnp.asarray(rng.choice([np.inf, 30.0, 10.0, 3.0], (num_envs, 12))),
        dof_damping=scaled(nominal.dof_damping, 0, 3),
        dof_frictionloss=scaled(nominal.dof_frictionloss, 0, 2),
        dof_armature=scaled(nominal.dof_armature, 0.5, 2),
        gravity=nominal.gravity + rng.uniform(-1, 1, (num_envs, 3)),
        contact_solref=scaled(nominal.contact_solref, 0.7, 1.3),
        contact_solimp=scaled(nominal.contact_solimp, 0.8, 1),
        body_invweight0=scaled(nominal.body_invweight0, 0.7, 1.3),
        dof_invweight0=scaled(nominal.dof_invweight0, 0.7, 1.3),
        torsion=jnp.asarray(rng.uniform(0.3, 3.0, num_envs)),
    )
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def random_start(num_envs: int, control_steps: int, seed: int) -> tuple[State, np.ndarray]:
    """Random standing, leaning and lying states, and wild targets (control_steps, num_envs, 12)."""
    rng = np.random.default_rng(seed)
    pose = np.array(PUPPER.default_pose)
    qpos = np.concatenate([np.zeros((num_envs, 7)), pose + rng.normal(0, 0.3, (num_envs, 12))], axis=1)
    qpos[:, 2], qpos[:, 3] = rng.uniform(0.08, 0.2, num_envs), 1
    qpos[:, 3:7] += rng.normal(0, 0.3, (num_envs, 4))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    targets = pose + rng.normal(0, 0.9, (control_steps, num_envs, 12))
    dtype = jnp.zeros(()).dtype
    qvel = jnp.asarray(rng.normal(0, 1, (num_envs, 18)), dtype)
    return State(jnp.asarray(qpos, dtype), qvel, jnp.zeros_like(qvel)), targets.astype(dtype)


def held(target: object, steps: int = 5) -> jax.Array:
    """Targets (n, nu) that hold for so many physics steps: (n, steps, nu)."""
    return jnp.repeat(jnp.asarray(target)[:, None], steps, axis=1)
