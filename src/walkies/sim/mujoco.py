"""MuJoCo itself as a simulator: the reference for policies and for the other engines.

Robots are stepped by `mujoco.batch.Batch` on a pool of threads, in float64, each with its own parameters, with the same
bits as a loop of `mj_step` over one model per robot. How JAX calls it: `walkies.sim.callback`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from walkies.accel.cpu import available_cores
from walkies.later import Array, jax, jnp, mujoco
from walkies.sim.base import Params
from walkies.sim.callback import CallbackSimulator, Rollout
from walkies.sim.mujoco_batch import Prepared, Workspace, engine_model
from walkies.sim.params import actuated_dofs
from walkies.sim.principal import principal_inertia


class MujocoSimulator(CallbackSimulator):
    """MuJoCo behind the protocol `walkies.sim.base.Simulator`.

    Solver, iterations, integrator, and contacts between the robot's own parts are as `model` has them. A contact with
    the ground has the robot's `contact_solref`, `contact_solimp` and `friction`; one between its own parts has the
    model's solref and solimp and the robot's `friction`.
    """

    name = "mujoco"

    def __init__(self, model: mujoco.MjModel, substeps: int = 5, threads: int | None = None) -> None:
        """Simulate `model`, as `walkies.robots.load_model(…, ground_sensors=True)` makes it.

        Args:
            substeps: physics steps in a control step.
            threads: size of the thread pool, None for one per available core.

        Raises:
            ValueError: the model lacks the sensors of ground forces, or is not one free-floating robot of hinges with
                one actuator per hinge.
        """
        super().__init__(model, substeps, threads)
        self._dofs = actuated_dofs(model)
        self._force_addresses = _ground_force_addresses(model, self._ground, self._spheres)
        _check_joints(model, self._dofs)
        self._engine_model = engine_model(model, self._ground)

    def prepare(self, params: Params, num_envs: int) -> Prepared:
        """`params` with one value per robot, and the principal axes of its inertias. Pure, jittable."""
        given = super().prepare(params, num_envs)
        params, sound = given.params, given.usable
        # Of a broken inertia there are no principal axes; any will do for a robot that MuJoCo never sees.
        unit = jnp.asarray([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], params.body_inertia.dtype)
        inertia = jnp.where(sound[:, None, None], params.body_inertia, unit)
        like = tuple(jax.ShapeDtypeStruct((*inertia.shape[:-1], size), inertia.dtype) for size in (3, 4))
        principal, iquat = jax.pure_callback(_principal_inertia_like, like, inertia, vmap_method="sequential")
        return Prepared(params, principal, iquat, sound)

    def _make_workspace(self, num_envs: int) -> Workspace:
        threads = available_cores() if self.threads is None else self.threads
        return Workspace(self._engine_model, self._ground, self._spheres, self._dofs, num_envs, threads)

    def _rollout(
        self, work: Any, params: Any, qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray,
        control: np.ndarray, force: np.ndarray,
    ) -> Rollout:  # fmt: skip
        work.write_params(params)
        after, failed = work.rollout(qpos, qvel, warmstart, control, force)
        last = {name: values[:, -1] for name, values in after.items()}
        return Rollout(
            qpos=after["qpos"][:, 1:],
            qvel=after["qvel"][:, 1:],
            acceleration=last["qacc"],
            warmstart=last["qacc_warmstart"],
            torque=last["actuator_force"],
            contact_force=last["sensordata"][:, self._force_addresses],
            failed=failed,
        )


def _ground_force_addresses(model: mujoco.MjModel, ground: int, spheres: list[int]) -> np.ndarray:
    """(spheres, 3) addresses in sensordata of the net force of the ground on each sphere."""
    contact = model.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT
    on_ground = contact & (model.sensor_objid == ground) & (model.sensor_dim == 3)
    address = {int(model.sensor_refid[s]): int(model.sensor_adr[s]) for s in np.flatnonzero(on_ground)}
    missing = [model.geom(sphere).name for sphere in spheres if sphere not in address]
    if missing:
        raise ValueError(
            f"the model has no sensor of the ground's force on {', '.join(missing)}; "
            "load it with walkies.robots.load_model(robot, ground_sensors=True)"
        )
    return np.array([address[sphere] for sphere in spheres])[:, None] + np.arange(3)


def _check_joints(model: mujoco.MjModel, dofs: np.ndarray) -> None:
    hinges = model.nv - 6
    if model.njnt != 1 + hinges or model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
        raise ValueError("expected one free joint and, after it, hinges only")
    if sorted(dofs) != list(range(6, model.nv)):
        raise ValueError(f"expected one actuator for each of the {hinges} hinges, found {model.nu}")


def _principal_inertia_like(inertia: Array) -> tuple[np.ndarray, np.ndarray]:
    dtype = np.asarray(inertia).dtype
    moments, quaternion = principal_inertia(np.asarray(inertia))
    return moments.astype(dtype), quaternion.astype(dtype)
