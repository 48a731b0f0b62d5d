"""MuJoCo itself as a simulator: the reference for policies and for the other engines.

Robots are stepped by `mujoco.batch.Batch` on a pool of threads, in float64, each with its own parameters, with the same
bits as a loop of `mj_step` over one model per robot. JAX calls it through `jax.pure_callback`: although a batch holds
memory, every call first writes all of the state and parameters, so it is a function of its arguments, and XLA may
repeat, reorder or drop it (`io_callback` would forbid that, and gain nothing).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from walkies.accel.cpu import available_cores
from walkies.sim.base import MAX_NUMBER, MAX_SPEED, Params, Readings, State
from walkies.sim.mujoco_batch import Prepared, Workspace, engine_model
from walkies.sim.params import actuated_dofs, ground_geom, sphere_geoms, usable
from walkies.sim.principal import principal_inertia

Array = jax.Array
R = TypeVar("R")

MAX_BATCHES = 4
"""Batches are kept for this many of the most recent numbers of robots."""


class MujocoSimulator:
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
        for name, value in (("substeps", substeps), ("threads", threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.model = model
        self.substeps = substeps
        self.timestep = float(model.opt.timestep)
        self._threads = available_cores() if threads is None else threads
        self._dofs = actuated_dofs(model)
        self._ground, self._spheres = ground_geom(model), sphere_geoms(model)
        self.spheres = tuple(model.geom(geom).name for geom in self._spheres)
        self._force_addresses = _ground_force_addresses(model, self._ground, self._spheres)
        _check_joints(model, self._dofs)
        self._engine_model = engine_model(model, self._ground)
        self._workspaces: dict[int, Workspace] = {}
        self._lock = threading.Lock()

    def prepare(self, params: Params, num_envs: int) -> Prepared:
        """`params` with one value per robot, and the principal axes of its inertias. Pure, jittable."""
        params = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_envs, *leaf.shape[1:])), params)
        _check_precision(params.body_inertia.dtype)
        sound = usable(params)
        # Of a broken inertia there are no principal axes; any will do for a robot that MuJoCo never sees.
        unit = jnp.asarray([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], params.body_inertia.dtype)
        inertia = jnp.where(sound[:, None, None], params.body_inertia, unit)
        like = tuple(jax.ShapeDtypeStruct((*inertia.shape[:-1], size), inertia.dtype) for size in (3, 4))
        principal, iquat = jax.pure_callback(_principal_inertia_like, like, inertia, vmap_method="sequential")
        return Prepared(params, principal, iquat, sound)

    def step(
        self, params: Prepared, state: State, targets: Array, force: Array | None = None
    ) -> tuple[State, Readings]:
        """Advance every robot by the physics steps of `targets` (n, steps, nu), rad. Pure, jittable."""
        n, dtype = state.qpos.shape[0], state.qpos.dtype
        _check_precision(dtype)
        spheres, nu = len(self.spheres), self.model.nu

        def numbers(*shape: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((n, *shape), dtype)

        readings_like = _record(
            Readings,
            contact_distance=numbers(spheres),
            contact_force=numbers(spheres, 3),
            contact_position=numbers(spheres, 3),
            contact_velocity=numbers(spheres, 3),
            joint_torque=numbers(nu),
            base_acceleration=numbers(3),
            imu=numbers(targets.shape[1], 6),
            ok=jax.ShapeDtypeStruct((n,), np.bool_),
        )
        like = jax.tree.map(lambda leaf: numbers(*leaf.shape[1:]), state), readings_like
        force = jnp.zeros((n, 3), dtype) if force is None else force
        return jax.pure_callback(self._step_in_numpy, like, params, state, targets, force, vmap_method="sequential")

    def _step_in_numpy(self, params: Prepared, state: State, targets: Array, force: Array) -> tuple[State, Readings]:
        # Nothing but np.asarray may touch the arguments: a JAX operation here would wait for the thread we are on.
        params, state, targets, force = jax.tree.map(np.asarray, (params, state, targets, force))
        dtype = state.qpos.dtype
        with self._lock, np.errstate(all="ignore"):  # a robot that blew up has any numbers
            new, readings = self._advance(params, state, targets, force)
            ok = readings.ok
            new, readings = jax.tree.map(lambda leaf: np.ascontiguousarray(leaf, dtype), (new, readings))
        return new, readings._replace(ok=ok)

    def _advance(self, params: Any, state: Any, targets: Any, force: Any) -> tuple[State, Readings]:
        """`step` on numpy arrays (the same records, but what they hold is not `jax.Array`)."""
        good_pose = _sane(state.qpos) & (np.linalg.norm(state.qpos[:, 3:7], axis=1) > 0)
        others = (state.qvel, state.qacc_warmstart, targets, force)
        given = np.logical_and.reduce([good_pose, params.usable, *(_sane(leaf) for leaf in others)])

        # MuJoCo never sees what is broken: such a robot is stepped at rest, with the model's own parameters.
        qpos0 = np.where(_like(good_pose, state.qpos), state.qpos, self.model.qpos0)
        qvel0, warmstart, force = (
            np.where(given[:, None], leaf, 0.0) for leaf in (state.qvel, state.qacc_warmstart, force)
        )
        control = np.where(_like(given, targets), targets, 0.0)

        work = self._workspace(len(qpos0))
        work.write_params(params)
        after, failed = work.rollout(qpos0, qvel0, warmstart, control, force)
        last = {name: values[:, -1] for name, values in after.items()}
        fine = [_sane(last["qpos"]), _sane(last["qvel"], MAX_SPEED), _sane(last["qacc"])]
        ok = np.logical_and.reduce([given, ~failed, *fine])
        qpos, qvel = np.where(ok[:, None], last["qpos"], qpos0), np.where(ok[:, None], last["qvel"], 0.0)
        gravity = np.where(params.usable[:, None], params.params.gravity, self.model.opt.gravity)
        down = in_body_frame(after["qpos"][:, 1:, 3:7], _unit(gravity)[:, None])
        position, velocity = work.sphere_motion(qpos, qvel)
        origin, normal = _plane(self.model, self._ground)
        return _record(State, qpos=qpos, qvel=qvel, qacc_warmstart=last["qacc_warmstart"]), _record(
            Readings,
            contact_distance=(position - origin) @ normal - self.model.geom_size[self._spheres, 0],
            contact_force=last["sensordata"][:, self._force_addresses],
            contact_position=position,
            contact_velocity=velocity,
            joint_torque=last["actuator_force"],
            base_acceleration=last["qacc"][:, :3],
            imu=np.concatenate([after["qvel"][:, 1:, 3:6], down], axis=-1),
            ok=ok,
        )

    def _workspace(self, num_envs: int) -> Workspace:
        if num_envs not in self._workspaces:
            while len(self._workspaces) >= MAX_BATCHES:
                del self._workspaces[next(iter(self._workspaces))]
            self._workspaces[num_envs] = Workspace(
                self._engine_model, self._ground, self._spheres, self._dofs, num_envs, self._threads
            )
        return self._workspaces[num_envs]


def _check_precision(dtype: np.dtype) -> None:
    """Raise if JAX's 64-bit mode is on for this thread only: callbacks run in other threads, where values would
    sometimes be rounded to single precision, or refused."""
    if dtype != np.float64:
        return
    everywhere: list[bool] = []
    thread = threading.Thread(target=lambda: everywhere.append(bool(jax.config.read("jax_enable_x64"))))
    thread.start()
    thread.join()
    if not everywhere[0]:
        raise ValueError(
            "MuJoCo's simulator got float64 where JAX's 64-bit mode holds for one thread only (`jax.enable_x64`), "
            "and it is called back in others; turn it on for all: jax.config.update('jax_enable_x64', True)"
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


def _record(kind: type[R], **leaves: Any) -> R:
    """A record that holds, for once, not `jax.Array` but numpy arrays or shapes."""
    return kind(**leaves)


def _principal_inertia_like(inertia: Array) -> tuple[np.ndarray, np.ndarray]:
    dtype = np.asarray(inertia).dtype
    moments, quaternion = principal_inertia(np.asarray(inertia))
    return moments.astype(dtype), quaternion.astype(dtype)


def _plane(model: mujoco.MjModel, ground: int) -> tuple[np.ndarray, np.ndarray]:
    """A point on the ground and its unit normal, world frame."""
    normal = np.zeros(3)
    mujoco.mju_rotVecQuat(normal, np.array([0.0, 0.0, 1.0]), model.geom_quat[ground])
    return model.geom_pos[ground], normal


def in_body_frame(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """World vectors (…, 3) in the body frames of base orientations (…, 4)."""
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, xyz = quaternion[..., :1], -quaternion[..., 1:]
    t = 2.0 * np.cross(xyz, vector)
    return vector + w * t + np.cross(xyz, t)


def _unit(vector: np.ndarray) -> np.ndarray:
    """Unit vectors of (n, 3); zero stays zero."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-15)


def _sane(leaf: np.ndarray, bound: float = MAX_NUMBER) -> np.ndarray:
    """(n,) bool: no NaN, infinity or number beyond `bound` in a robot's row."""
    with np.errstate(invalid="ignore"):
        return (np.abs(leaf) <= bound).reshape(len(leaf), -1).all(axis=1)


def _like(mask: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """A mask (n,) shaped to broadcast against a leaf (n, …)."""
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - 1))
