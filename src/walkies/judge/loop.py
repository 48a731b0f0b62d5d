"""Drive many robots in MuJoCo with one policy file, exactly as its controller would, and record what happens."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import mujoco
import mujoco.batch
import numpy as np

from walkies import memory
from walkies.deploy.controllers.neural_controller import ControllerConfig
from walkies.deploy.policy_file import PolicyFile
from walkies.judge.ranges import CONTROL_DT, PHYSICS_STEPS, STEPS, TIMESTEP, Conditions, apply, draw, set_gains
from walkies.robots import load_model
from walkies.robots.base import Robot
from walkies.tasks import signal
from walkies.tasks.contract import FADE_IN, Contract
from walkies.tasks.signal import Sensed

SOLVER_ITERATIONS = 20
"""of MuJoCo's Newton solver: converged in practice."""
FALL_TILT = 0.9
"""rad"""
STAND = round(0.6 / CONTROL_DT)
"""Control steps in which the robot stands on its start-up gains in the default pose before the policy takes over."""


class Record(NamedTuple):
    """What happened, per control step, at its end. n episodes × STEPS. After a fall: zeros."""

    alive: np.ndarray
    """bool: had not fallen by the end of the step"""
    velocity: np.ndarray
    """(…, 3) m/s, base origin, body frame"""
    yaw_rate: np.ndarray
    """rad/s, body frame z"""
    position: np.ndarray
    """(…, 2) m, world"""
    tilt: np.ndarray
    """rad between the base's up and the world's"""
    torque_square: np.ndarray
    """N² m², mean over joints and physics steps"""
    power: np.ndarray
    """W, sum over joints of |torque × joint speed|, mean over physics steps"""
    action: np.ndarray
    """(…, 12)"""
    slip: np.ndarray
    """m/s, mean horizontal speed of the feet on the ground"""
    contact: np.ndarray
    """bool: some foot was on the ground"""
    cause: np.ndarray
    """(n,) str: why the episode ended early, or ''"""
    fall_step: np.ndarray
    """(n,) the step of the fall, or STEPS"""
    weight: np.ndarray
    """(n,) N"""


def rotation_of(quat: np.ndarray) -> np.ndarray:
    """Rotation matrices (…, 3, 3), body to world, of unit quaternions (…, 4) w x y z."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def delayed_targets(new: np.ndarray, previous: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """Targets (n, PHYSICS_STEPS, 12) that reach the motors in each physics step of a control step.

    A target sent at the start of the step arrives `delay` (n,) physics steps later, 0 … PHYSICS_STEPS; until then the
    `previous` one holds. Both (n, 12).
    """
    arrived = np.arange(PHYSICS_STEPS)[None, :, None] >= delay[:, None, None]
    return np.where(arrived, new[:, None, :], previous[:, None, :])


def sense(qpos: np.ndarray, qvel: np.ndarray, delay: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gyro (n, 3), rad/s, and gravity direction (n, 3), body frame, of an IMU late by `delay` (n,) physics steps.

    qpos, qvel: (n, PHYSICS_STEPS + 1, …), the states at the start and after each physics step of a control step.
    """
    rows, at = np.arange(len(delay)), PHYSICS_STEPS - delay
    gyro = qvel[rows, at, 3:6]
    gravity = -rotation_of(qpos[rows, at, 3:7])[:, 2, :]  # Rᵀ (0, 0, -1)
    return gyro, gravity


def noise_of(contract: Contract, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """One draw of noise (n, size), cut into that of each signal that has some."""
    parts = signal.slices(noisy := signal.noisy(contract.signals), contract.robot)
    return {one.name: drawn[:, parts[one.name]] for one in noisy}


def drive(policy: PolicyFile, robot: Robot, episodes: int, seed: int, threads: int = 0) -> tuple[Record, Conditions]:
    """Run `episodes` episodes of examination `seed`; bit for bit the same for any number of threads (0: all)."""
    model = load_model(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    model.opt.timestep = TIMESTEP
    # The midphase's bounding boxes are stored about the nominal centre of mass; where that moves they miss contacts.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    bodies = int(np.sum(model.body_rootid == model.body(robot.base_body).rootid[0]))
    episode = memory.size_of([*draw(seed, 1, bodies), *_empty_record(1, np.zeros(1))])
    memory.refuse(episodes * episode, f"--episodes {episodes:,}", "take fewer")
    return drive_under(policy, robot, model, draw(seed, episodes, bodies), threads)


def drive_under(
    policy: PolicyFile, robot: Robot, model: mujoco.MjModel, drawn: Conditions, threads: int = 0
) -> tuple[Record, Conditions]:
    """As `drive`, in a given model under given conditions."""
    board = ControllerConfig()
    # The motor board caps gains without a word, so a file that asks for more is examined with what it would get.
    policy = replace(policy, kp=min(policy.kp, board.kp_cap), kd=min(policy.kd, board.kd_cap))
    n = len(drawn.seed)
    contract = policy.contract(robot)
    batch = mujoco.batch.Batch(model, n, threads)
    apply(batch, robot, policy, drawn)
    weight = batch.expand("body_mass").sum(axis=1) * float(np.linalg.norm(model.opt.gravity))
    target = np.repeat(contract.target(np.zeros((1, 12))), n, axis=0)
    states = _stand(batch, robot, target, drawn, policy)
    watch = Watch(model, robot)
    record = _empty_record(n, weight)

    history = np.repeat(contract.initial_history()[None], n, axis=0)
    applied = np.zeros((n, 12), np.float32)
    alive = np.ones(n, bool)
    for step in range(STEPS):
        gyro, gravity = sense(*states, drawn.imu_delay)
        qpos, qvel = states[0][:, -1], states[1][:, -1]
        sensed = Sensed(gyro, gravity, drawn.command[:, step], qpos[:, 7:], qvel[:, 6:], applied)
        frame = contract.frame(sensed, noise=noise_of(contract, drawn.noise[:, step]), dtype=np.float32)
        history = contract.push(history, frame)
        action = policy.act(history)
        finite = np.all(np.isfinite(action), axis=-1)
        fade = np.float32(min(step * CONTROL_DT / FADE_IN, 1.0))
        applied = fade * np.where(finite[:, None], action, np.float32(0))
        previous, target = target, contract.target(applied.astype(np.float64))
        batch.bind("qvel")[:, :2] += drawn.push[:, step]
        control = delayed_targets(target, previous, drawn.command_delay)
        states, physics_ok, rest = _advance(batch, control, alive, states)
        alive = _judge(record, watch, step, states, rest, action, alive, finite, physics_ok)
        if not alive.any():
            break
    return record, drawn


def _stand(
    batch: mujoco.batch.Batch, robot: Robot, target: np.ndarray, drawn: Conditions, policy: PolicyFile
) -> tuple[np.ndarray, np.ndarray]:
    """Put every robot on its feet in the default pose and let it settle on the controller's start-up gains."""
    n = len(target)
    qpos = batch.bind("qpos")
    qpos[:] = 0.0
    qpos[:, 2] = robot.reset_height[0]
    qpos[:, 3], qpos[:, 6] = np.cos(drawn.yaw / 2), np.sin(drawn.yaw / 2)
    qpos[:, 7:] = target
    batch.bind("qvel")[:] = 0.0
    set_gains(batch, robot.init_kp * drawn.kp_scale, robot.init_kd * drawn.kd_scale)
    states = (np.repeat(qpos[:, None], 6, axis=1), np.zeros((n, 6, batch.model.nv)))
    everyone = np.ones(n, bool)
    for _ in range(STAND):
        states, _, _ = _advance(batch, np.repeat(target[:, None], PHYSICS_STEPS, axis=1), everyone, states)
    set_gains(batch, policy.kp * drawn.kp_scale, policy.kd * drawn.kd_scale)
    return states


class _Rest(NamedTuple):
    torque: np.ndarray
    """(n, PHYSICS_STEPS, 12) N m"""
    foot: np.ndarray
    """(n, PHYSICS_STEPS, sites, 3) m, before each physics step"""


def _advance(
    batch: mujoco.batch.Batch, control: np.ndarray, alive: np.ndarray, states: tuple[np.ndarray, np.ndarray]
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, _Rest]:
    """One control step of the robots alive; the others stay where they are.

    Returns (qpos, qvel) of shape (n, PHYSICS_STEPS + 1, …) from the start of the step on, ok (n,), and the rest.
    """
    ids = np.flatnonzero(alive)
    n, model = len(alive), batch.model
    qpos = np.repeat(states[0][:, -1:], PHYSICS_STEPS + 1, axis=1)
    qvel = np.repeat(states[1][:, -1:], PHYSICS_STEPS + 1, axis=1)
    torque, foot = np.zeros((n, PHYSICS_STEPS, model.nu)), np.zeros((n, PHYSICS_STEPS, model.nsite, 3))
    ok = np.ones(n, bool)
    qpos[:, 0], qvel[:, 0] = batch.bind("qpos"), batch.bind("qvel")
    out, ok[ids] = rollout(batch, control[ids], ids, ("qpos", "qvel", "actuator_force", "site_xpos"))
    qpos[ids, 1:], qvel[ids, 1:] = out["qpos"], out["qvel"]
    torque[ids], foot[ids] = out["actuator_force"], out["site_xpos"]
    return (qpos, qvel), ok, _Rest(torque, foot)


def rollout(
    batch: mujoco.batch.Batch, control: np.ndarray, ids: np.ndarray, fields: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Physics steps of some simulations; one in which MuJoCo gives up or warns does not disturb the others.

    Args:
        control: (k, steps, nu) targets.
        ids: (k,) which simulations.
        fields: what to record: qpos and qvel, and perhaps actuator_force and site_xpos.

    Returns:
        What `fields` name after each step, (k, steps, …): where MuJoCo gave up, the state before and otherwise zeros.
        And a mask (k,) of simulations without error, warning or number that is not finite.
    """
    model = batch.model
    shape = {"qpos": (model.nq,), "qvel": (model.nv,), "actuator_force": (model.nu,), "site_xpos": (model.nsite, 3)}
    out = {name: np.zeros((*control.shape[:2], *shape[name])) for name in fields}
    before = batch.warning[ids, :, 1].sum(axis=1)  # (information, count) of each kind
    ok = np.ones(len(ids), bool)
    try:
        batch.rollout(control.shape[1], control, record=fields, ids=ids, out=out)
    except mujoco.batch.SimulationError as error:  # the others ran to the end
        ok = ~np.isin(ids, error.ids)
        for name, values in out.items():
            values[~ok] = batch.bind(name)[ids[~ok]][:, None] if name in ("qpos", "qvel") else 0.0
    ok &= batch.warning[ids, :, 1].sum(axis=1) == before
    ok &= np.all(np.isfinite(out["qpos"]), axis=(1, 2)) & np.all(np.isfinite(out["qvel"]), axis=(1, 2))
    return out, ok


class Watch:
    """Where to look for feet and trunk."""

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        self.feet = np.array([model.site(name).id for name in robot.foot_sites])
        self.foot_radius = np.array([model.geom(name).size[0] for name in robot.foot_geoms])
        torso = [model.geom(name).id for name in robot.torso_geoms]
        base = model.body(robot.base_body).id
        if any(model.geom_bodyid[geom] != base for geom in torso):
            raise ValueError("torso_geoms: expected spheres of the base body")
        self.torso = model.geom_pos[torso]
        self.torso_radius = model.geom_size[torso, 0]

    def trunk_touches(self, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """(n,) whether some torso sphere reaches the ground, for base positions (n, 3) and rotations (n, 3, 3)."""
        centres = position[:, 2:3] + np.einsum("nj,sj->ns", rotation[:, 2, :], self.torso)
        return np.any(centres <= self.torso_radius, axis=-1)


def _empty_record(n: int, weight: np.ndarray) -> Record:
    def zeros(*shape: int, dtype: type = float) -> np.ndarray:
        return np.zeros((n, STEPS, *shape), dtype)

    return Record(
        alive=zeros(dtype=bool),
        velocity=zeros(3),
        yaw_rate=zeros(),
        position=zeros(2),
        tilt=zeros(),
        torque_square=zeros(),
        power=zeros(),
        action=zeros(12),
        slip=zeros(),
        contact=zeros(dtype=bool),
        cause=np.full(n, "", dtype="U32"),
        fall_step=np.full(n, STEPS),
        weight=weight,
    )


def _judge(
    record: Record,
    watch: Watch,
    step: int,
    states: tuple[np.ndarray, np.ndarray],
    rest: _Rest,
    action: np.ndarray,
    alive: np.ndarray,
    finite: np.ndarray,
    physics_ok: np.ndarray,
) -> np.ndarray:
    """Write one step into the record; who is still alive, (n,) bool."""
    qpos, qvel = states[0][:, -1], states[1][:, -1]
    rotation = rotation_of(qpos[:, 3:7])
    tilt = np.arccos(np.clip(rotation[:, 2, 2], -1, 1))
    causes = {
        "action not finite": ~finite,
        "physics diverged": ~physics_ok,
        "trunk touched the ground": watch.trunk_touches(qpos[:, :3], rotation),
        "tilt": tilt > FALL_TILT,
    }
    fallen = alive & np.any(list(causes.values()), axis=0)
    for name, mask in causes.items():
        record.cause[fallen & mask & (record.cause == "")] = name
    record.fall_step[fallen] = step
    alive = alive & ~fallen

    record.alive[:, step] = alive
    live = np.flatnonzero(alive)
    record.velocity[live, step] = np.einsum("nij,ni->nj", rotation[live], qvel[live, :3])
    record.yaw_rate[live, step] = qvel[live, 5]
    record.position[live, step] = qpos[live, :2]
    record.tilt[live, step] = tilt[live]
    record.action[live, step] = action[live]
    record.torque_square[live, step] = np.mean(rest.torque[live] ** 2, axis=(1, 2))
    speed = states[1][live, :-1, 6:]
    record.power[live, step] = np.abs(rest.torque[live] * speed).sum(axis=-1).mean(axis=-1)

    foot = rest.foot[live][:, :, watch.feet]
    moved = np.linalg.norm(np.diff(foot[..., :2], axis=1), axis=-1) / TIMESTEP
    on_ground = (foot[:, 1:, :, 2] <= watch.foot_radius) & (foot[:, :-1, :, 2] <= watch.foot_radius)
    count = on_ground.sum(axis=(1, 2))
    record.slip[live, step] = (moved * on_ground).sum(axis=(1, 2)) / np.maximum(count, 1)
    record.contact[live, step] = count > 0
    return alive
