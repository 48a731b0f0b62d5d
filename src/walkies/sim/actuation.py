"""The layer between a controller and the physics, shared by all simulators.

A command reaches the motors with latency, and may be overtaken on its way; an IMU reading arrives with latency; and a
robot whose physics blew up is put back where it was. A simulator does none of this (`walkies.sim.base`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from walkies.later import Array, jax, jnp
from walkies.sim import base
from walkies.sim.base import MAX_NUMBER, Readings, Simulator

TARGET_MEMORY = 4
"""Targets kept in the state, newest first."""

MAX_COMMAND_DELAY = TARGET_MEMORY - 1
"""Largest latency of a target in control steps, jitter included; a longer latency acts like this one."""


class State(NamedTuple):
    """Everything that determines a robot's future: its mechanical state, and the commands on their way."""

    qpos: Array
    """(n, nq)"""
    qvel: Array
    """(n, nv)"""
    qacc_warmstart: Array
    """(n, nv): the last acceleration, where the contact solver starts."""
    targets: Array
    """(n, TARGET_MEMORY, nu): joint position targets already sent, newest first; delayed commands use them."""

    @property
    def physics(self) -> base.State:
        """The simulator's part of it."""
        return base.State(self.qpos, self.qvel, self.qacc_warmstart)


class Delays(NamedTuple):
    """Latency of a robot's commands and readings, in physics steps; leaves (n,) or, shared by all, (1,), int32."""

    command: Array
    """0 … MAX_COMMAND_DELAY × substeps: a new target reaches the motors this much later."""
    imu: Array
    """0 …: gyro and gravity were sensed this long before the control step's end."""

    @classmethod
    def none(cls, num_envs: int) -> Delays:
        return cls(*(jnp.zeros(num_envs, jnp.int32),) * 2)


def initial_state(qpos: Array, qvel: Array, target: Array) -> State:
    """A state with no past: zero warm start, and `target` (n, nu) in all of the target memory."""
    targets = jnp.repeat(target[:, None, :], TARGET_MEMORY, axis=1)
    return State(qpos, qvel, jnp.zeros_like(qvel), targets)


def step(
    simulator: Simulator, params: Any, state: State, target: Array, delay: Array, force: Array | None = None
) -> tuple[State, Readings]:
    """Advance every robot by one control step under new joint targets. Pure, jittable.

    Args:
        params: from `simulator.prepare`.
        target: (n, nu) rad, sent at the start of the step.
        delay: physics steps on the way to the motors: (n,), or (n, TARGET_MEMORY) with those of each target sent, this
            one first.
        force: (n, 3) N, world frame, at the base's centre of mass; None for none.

    A robot that the simulator reports as not ok, or whose target or delay is unusable (beyond MAX_NUMBER, NaN; a
    negative delay), is returned in its previous state at rest, or in the model's reference state if that is unusable;
    `ok` is false, its state and readings are finite, and it should be reset.
    """
    sent = jnp.concatenate([target[:, None], state.targets[:, :-1]], axis=1)
    physics, readings = simulator.step(params, state.physics, targets_in_force(sent, delay, simulator.substeps), force)
    given = _within(target, MAX_NUMBER) & _within(delay, MAX_NUMBER) & (delay >= 0).reshape(len(delay), -1).all(axis=1)
    readings = readings._replace(ok=readings.ok & given)

    def mend(found: tuple[Array, State, Readings]) -> tuple[Array, State, Readings]:
        return jnp.array(True), *_mended(simulator, params, state, *found[1:])

    # A loop of one turn, or mostly none, and not `cond`: XLA copies what a branch returns, and loops in place.
    done = readings.ok.all()
    _, new, readings = jax.lax.while_loop(lambda found: ~found[0], mend, (done, State(*physics, sent), readings))
    return new, readings


def targets_in_force(sent: Array, delay: Array, substeps: int) -> Array:
    """The target that drives the motors in each physics step of a control step: (n, substeps, nu).

    A target sent j control steps ago has, at physics step s, been on its way for j·substeps + s physics steps. The
    newest target that has been on its way for at least its delay applies, or else the oldest remembered one. So a late
    target that was overtaken has no effect, and an older target never follows a newer one.

    Args:
        sent: (n, memory, nu), newest first.
        delay: (n,) physics steps, or (n, memory) with one for each target.
    """
    memory = sent.shape[1]
    delay = jnp.broadcast_to(delay if delay.ndim == 2 else delay[:, None], sent.shape[:2])
    instant = np.arange(substeps)
    now = jnp.broadcast_to(sent[:, None, -1], (len(sent), substeps, sent.shape[2]))
    for age in range(memory - 2, -1, -1):
        arrived = delay[:, age, None] <= age * substeps + instant
        now = jnp.where(arrived[:, :, None], sent[:, None, age], now)
    return now


def jittered(lateness: Array, seconds: Array, timestep: float) -> Array:
    """Jitter (n, TARGET_MEMORY), physics steps, of the targets sent, with that of a new one, (n, 1) s, put in front."""
    return jnp.concatenate([jnp.round(seconds / timestep), lateness[:, : TARGET_MEMORY - 1]], axis=1)


def imu_memory(oldest: int, substeps: int) -> int:
    """How many readings from before a control step may be read at its end, for an oldest age in physics steps."""
    return max(oldest - substeps + 1, 0)


def late_imu(reading: Array, rows: int) -> Array | None:
    """Past readings (n, rows, 6) of an IMU that always showed the same `reading` (n, 6); None for none."""
    return jnp.repeat(reading[:, None], rows, axis=1) if rows else None


def sensed(past: Array | None, readings: Array, age: Array) -> tuple[Array | None, Array]:
    """The IMU reading at the end of a control step, (n, 6), and the past readings for the next one.

    Args:
        past: (n, K, 6), readings before those, newest first, from `late_imu` or from here.
        readings: (n, substeps, 6), `Readings.imu`, oldest first.
        age: (n,) physics steps.
    """
    known = readings[:, ::-1] if past is None else jnp.concatenate([readings[:, ::-1], past], axis=1)
    return None if past is None else known[:, : past.shape[1]], _row(known, age)


def _row(rows: Array, index: Array) -> Array:
    """Of each robot's rows (n, k, size) the one that `index` (n,) names: (n, size)."""
    found = rows[:, 0]
    for i in range(1, rows.shape[1]):  # selections are several times as fast as a gather
        found = jnp.where((index == i)[:, None], rows[:, i], found)
    return found


def _mended(
    simulator: Simulator, params: Any, before: State, after: State, readings: Readings
) -> tuple[State, Readings]:
    """State and readings with broken robots put back where they were, at rest."""
    ok = readings.ok
    model = simulator.model
    sane = _within(before.qpos, MAX_NUMBER) & (before.qpos[:, 3:7] != 0).any(axis=1)
    qpos = jnp.where(sane[:, None], before.qpos, jnp.asarray(model.qpos0, before.qpos.dtype))
    joints = qpos[:, model.jnt_qposadr[model.actuator_trnid[:, 0]]]
    state = State(
        _where(ok, after.qpos, qpos),
        _where(ok, after.qvel, 0.0),
        _where(ok, after.qacc_warmstart, 0.0),
        # A target that is unusable must not stay in the memory.
        jnp.where(jnp.abs(after.targets) <= MAX_NUMBER, after.targets, joints[:, None]),
    )
    # Of such a robot nothing is known but where its spheres are.
    _, still = simulator.step(params, state.physics, state.targets[:, :0])
    return state, Readings(
        contact_distance=_where(ok, readings.contact_distance, still.contact_distance),
        contact_force=_where(ok, readings.contact_force, 0.0),
        contact_position=_where(ok, readings.contact_position, still.contact_position),
        contact_velocity=_where(ok, readings.contact_velocity, still.contact_velocity),
        joint_torque=_where(ok, readings.joint_torque, 0.0),
        base_acceleration=_where(ok, readings.base_acceleration, 0.0),
        imu=_where(ok, readings.imu, _at_rest(qpos[:, 3:7])[:, None]),
        ok=ok,
    )


def _at_rest(quaternion: Array) -> Array:
    """Gyro and gravity (n, 6) of an IMU at rest on level ground in base orientations (n, 4)."""
    w, x, y, z = (quaternion / jnp.linalg.norm(quaternion, axis=1, keepdims=True)).T
    zero = jnp.zeros_like(w)
    return jnp.stack([zero, zero, zero, 2 * (w * y - x * z), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1], axis=1)


def _within(leaf: Array, bound: float) -> Array:
    """(n,) bool: no NaN, infinity or number beyond `bound` in a robot's row."""
    return (jnp.abs(leaf) <= bound).reshape(len(leaf), -1).all(axis=1)


def _where(ok: Array, leaf: Array, otherwise: Array | float) -> Array:
    """Rows of a leaf (n, …) where `ok` (n,) holds."""
    return jnp.where(ok.reshape(ok.shape + (1,) * (leaf.ndim - 1)), leaf, otherwise)
