"""Simulators that JAX calls back: what is common to engines that are C libraries with NumPy arrays.

JAX calls through `jax.pure_callback`: although an engine holds memory, every call first writes all of the state and
parameters, so it is a function of its arguments, and XLA may repeat, reorder or drop it (`io_callback` would forbid
that, and gain nothing).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from walkies.later import Array, jax, jnp, mujoco
from walkies.sim.base import MAX_NUMBER, MAX_SPEED, Params, Readings, State
from walkies.sim.params import ground_geom, sphere_geoms, usable

R = TypeVar("R")

MAX_WORKSPACES = 4
"""Workspaces are kept for this many of the most recent numbers of robots."""


class Given(NamedTuple):
    """`Params` with one value per robot."""

    params: Params
    """Every leaf (n, …)."""
    usable: Array
    """(n,) bool: false for robots whose parameters `walkies.sim.params.usable` refuses."""


class Rollout(NamedTuple):
    """What an engine made of n robots in some physics steps; "last": of the last one, zeros if there were none."""

    qpos: np.ndarray
    """(n, steps, nq), after each step"""
    qvel: np.ndarray
    """(n, steps, nv), after each step"""
    acceleration: np.ndarray
    """(n, nv), last"""
    warmstart: np.ndarray
    """(n, nv): where the next call may start its solver."""
    torque: np.ndarray
    """(n, nu) N m, last"""
    contact_force: np.ndarray
    """(n, spheres, 3) N, of the ground on each sphere, world frame, last"""
    failed: np.ndarray
    """(n,) bool: robots of which the engine says itself that they broke."""


class Workspace(Protocol):
    """Memory of an engine for a number of robots."""

    def sphere_motion(self, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World position (m) and velocity (m/s) of the spheres' centres in given states, each (n, spheres, 3)."""


class CallbackSimulator(ABC):
    """The protocol `walkies.sim.base.Simulator` but for the engine, which is `_make_workspace` and `_rollout`."""

    name: str

    def __init__(self, model: mujoco.MjModel, substeps: int, threads: int | None) -> None:
        """threads: at most so many; None: the engine's own choice."""
        for name, value in (("substeps", substeps), ("threads", threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self.model = model
        self.substeps = substeps
        self.threads = threads
        self.timestep = float(model.opt.timestep)
        self._ground, self._spheres = ground_geom(model), sphere_geoms(model)
        self.spheres = tuple(model.geom(geom).name for geom in self._spheres)
        self._workspaces: dict[int, Any] = {}
        self._lock = threading.Lock()

    def prepare(self, params: Params, num_envs: int) -> Any:
        """`params` with one value per robot. Pure, jittable."""
        params = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_envs, *leaf.shape[1:])), params)
        _check_precision(self.name, params.body_inertia.dtype)
        return Given(params, usable(params))

    def step(self, params: Any, state: State, targets: Array, force: Array | None = None) -> tuple[State, Readings]:
        """Advance every robot by the physics steps of `targets` (n, steps, nu), rad. Pure, jittable."""
        n, dtype = state.qpos.shape[0], state.qpos.dtype
        _check_precision(self.name, dtype)
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

    def _step_in_numpy(self, params: Any, state: State, targets: Array, force: Array) -> tuple[State, Readings]:
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
        good_pose = sane(state.qpos) & (np.linalg.norm(state.qpos[:, 3:7], axis=1) > 0)
        others = (state.qvel, state.qacc_warmstart, targets, force)
        given = np.logical_and.reduce([good_pose, params.usable, *(sane(leaf) for leaf in others)])

        # The engine never sees what is broken: such a robot is stepped at rest, with the model's own parameters.
        qpos0 = np.where(like(good_pose, state.qpos), state.qpos, self.model.qpos0)
        qvel0, warmstart, force = (
            np.where(given[:, None], leaf, 0.0) for leaf in (state.qvel, state.qacc_warmstart, force)
        )
        control = np.where(like(given, targets), targets, 0.0)

        work = self._workspace(len(qpos0))
        out = self._rollout(work, params, qpos0, qvel0, warmstart, control, force)
        qpos, qvel = (out.qpos[:, -1], out.qvel[:, -1]) if targets.shape[1] else (qpos0, qvel0)
        acceleration = out.acceleration if targets.shape[1] else warmstart
        fine = [sane(qpos), sane(qvel, MAX_SPEED), sane(acceleration)]
        ok = np.logical_and.reduce([given, ~out.failed, *fine])
        qpos, qvel = np.where(ok[:, None], qpos, qpos0), np.where(ok[:, None], qvel, 0.0)
        gravity = np.where(params.usable[:, None], params.params.gravity, self.model.opt.gravity)
        down = in_body_frame(out.qpos[..., 3:7], unit(gravity)[:, None])
        position, velocity = work.sphere_motion(qpos, qvel)
        origin, normal = plane(self.model, self._ground)
        return _record(State, qpos=qpos, qvel=qvel, qacc_warmstart=out.warmstart), _record(
            Readings,
            contact_distance=(position - origin) @ normal - self.model.geom_size[self._spheres, 0],
            contact_force=out.contact_force,
            contact_position=position,
            contact_velocity=velocity,
            joint_torque=out.torque,
            base_acceleration=acceleration[:, :3],
            imu=np.concatenate([out.qvel[..., 3:6], down], axis=-1),
            ok=ok,
        )

    def _workspace(self, num_envs: int) -> Any:
        if num_envs not in self._workspaces:
            while len(self._workspaces) >= MAX_WORKSPACES:
                del self._workspaces[next(iter(self._workspaces))]
            self._workspaces[num_envs] = self._make_workspace(num_envs)
        return self._workspaces[num_envs]

    @abstractmethod
    def _make_workspace(self, num_envs: int) -> Workspace:
        """The engine's memory for so many robots."""

    @abstractmethod
    def _rollout(
        self, work: Any, params: Any, qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray,
        control: np.ndarray, force: np.ndarray,
    ) -> Rollout:  # fmt: skip
        """Physics steps of sound states, in float64 or float32.

        Args:
            work: from `_make_workspace`.
            params: from `prepare`; where they are not usable, the model's own take their place.
            control: (n, steps, nu) rad; force: (n, 3) N, as `step` takes them.
        """


def _check_precision(name: str, dtype: np.dtype) -> None:
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
            f"the simulator {name!r} got float64 where JAX's 64-bit mode holds for one thread only (`jax.enable_x64`), "
            "and it is called back in others; turn it on for all: jax.config.update('jax_enable_x64', True)"
        )


def _record(kind: type[R], **leaves: Any) -> R:
    """A record that holds, for once, not `jax.Array` but numpy arrays or shapes."""
    return kind(**leaves)


def plane(model: mujoco.MjModel, ground: int) -> tuple[np.ndarray, np.ndarray]:
    """A point on the ground and its unit normal, world frame."""
    normal = np.zeros(3)
    mujoco.mju_rotVecQuat(normal, np.array([0.0, 0.0, 1.0]), model.geom_quat[ground])
    return model.geom_pos[ground], normal


def in_body_frame(quaternion: Any, vector: Any, xp: ModuleType = np) -> Any:
    """World vectors (…, 3) in the body frames of base orientations (…, 4). xp: NumPy or `jax.numpy`."""
    quaternion = quaternion / xp.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, xyz = quaternion[..., :1], -quaternion[..., 1:]
    t = 2.0 * xp.cross(xyz, vector)
    return vector + w * t + xp.cross(xyz, t)


def unit(vector: Any, xp: ModuleType = np) -> Any:
    """Unit vectors of (…, 3); zero stays zero."""
    return vector / xp.maximum(xp.linalg.norm(vector, axis=-1, keepdims=True), 1e-15)


def sane(leaf: Any, bound: float = MAX_NUMBER) -> Any:
    """(n,) bool: no NaN, infinity or number beyond `bound` in a robot's row. NumPy's or JAX's."""
    with np.errstate(invalid="ignore"):
        return (abs(leaf) <= bound).reshape(len(leaf), -1).all(axis=1)


def like(mask: Any, leaf: Any) -> Any:
    """A mask (n,) shaped to broadcast against a leaf (n, …). NumPy's or JAX's."""
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - 1))
