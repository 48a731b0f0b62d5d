"""Many robots at once through the controller twin: the ticks of `walkies.deploy.controllers.twin.rehearse`, in blocks.

Between two looks at its sensors the controller's commands are known in advance, so MuJoCo runs all physics steps of an
action in one call. That is the only difference: a test compares the two, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import mujoco.batch
import numpy as np

from walkies import memory
from walkies.deploy.controllers.neural_controller import (
    ControllerConfig,
    Memory,
    MotorCommand,
    Sensors,
    activate,
    board,
    tick,
)
from walkies.deploy.controllers.twin import PHYSICS_PER_TICK
from walkies.deploy.policy_file import PolicyFile
from walkies.judge import rehearsal_world as world
from walkies.judge.loop import FALL_TILT, Watch, rollout, rotation_of
from walkies.judge.ranges import SETTLE
from walkies.judge.rehearsal_conditions import Condition, Script, scripts
from walkies.robots.base import Robot


class Outcome(NamedTuple):
    """How n robots fared. Errors and power are means over the time a robot walked; NaN where it never got there."""

    cause: np.ndarray
    """(n,) str: why the robot fell, '' where it did not"""
    fell_at: np.ndarray
    """(n,) s after the policy took over; the whole time where the robot did not fall"""
    lin_vel_error: np.ndarray
    """(n,) m/s, over the time from SETTLE after each change of command"""
    yaw_rate_error: np.ndarray
    """(n,) rad/s, likewise"""
    power: np.ndarray
    """(n,) W, sum over joints of |torque × motor speed|"""
    final_qpos: np.ndarray
    """(n, nq)"""


class _Physics(NamedTuple):
    """One stretch of S physics steps."""

    qpos: np.ndarray
    """(n, S, nq) after each step"""
    qvel: np.ndarray
    """(n, S, nv)"""
    torque: np.ndarray
    """(n, S, 12) N m"""
    ok: np.ndarray
    """(n,) bool: no warning, no error, finite"""


def drive(
    policy: PolicyFile,
    robot: Robot,
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    seconds: float,
    threads: int = 0,
) -> Outcome:
    """Rehearse one robot per condition and seed: start-up, then `seconds` under the policy.

    The result for a robot does not depend on which others there are, nor on the number of threads (0: all cores).

    Raises:
        ValueError: conditions with different tick rates; they cannot share a clock.
    """
    given = world.columns(conditions)
    if len(set(given["tick_rate"])) != 1:
        raise ValueError("tick_rate: expected the same for all robots of a call")
    config = ControllerConfig(tick_rate=float(given["tick_rate"][0]))
    dt = config.repeat_action / config.tick_rate
    actions = round(seconds / dt)
    script = scripts(seeds, actions, dt)
    model = world.model_for(robot, config.tick_rate, backlash=bool(given["backlash"].any()))
    batch = mujoco.batch.Batch(model, len(conditions), threads)
    world.apply(batch, robot, given, script)
    loop = _Loop(policy, robot, config, batch, given, script)
    tally = _Tally(batch.nsim, actions, dt)
    start_up = int(np.ceil(config.init_duration * config.tick_rate - 1e-9))
    while start_up and loop.alive.any():
        ticks = min(config.repeat_action, start_up)
        loop.advance(ticks, None)
        start_up -= ticks
    for action in range(actions):
        if not loop.alive.any():
            break
        was = loop.alive
        physics = loop.advance(config.repeat_action, action)
        tally.fall(was & ~loop.alive, action)
        tally.add(action, loop, physics, script)
    return tally.outcome(loop)


def refuse_too_many(robots: int, seconds: float) -> None:
    """Refuse what would not fit into memory: a script for each of so many robots over so many seconds.

    Raises:
        UserError: with the memory that is needed and the memory that is there.
    """
    config = ControllerConfig()
    dt = config.repeat_action / config.tick_rate
    script = memory.size_of(scripts([0], round(seconds / dt), dt))
    memory.refuse(robots * script, f"{robots:,} robots for {seconds:g} s", "take fewer --robots or --seconds")


class _Loop:
    """The controller closed around MuJoCo."""

    def __init__(
        self,
        policy: PolicyFile,
        robot: Robot,
        config: ControllerConfig,
        batch: mujoco.batch.Batch,
        given: dict[str, np.ndarray],
        script: Script,
    ) -> None:
        n = batch.nsim
        self.policy, self.robot, self.config, self.batch, self.given, self.script = (
            policy, robot, config, batch, given, script
        )  # fmt: skip
        self.where = world.layout(batch.model, robot)
        self.watch = Watch(batch.model, robot)
        self.strength = world.strength(given, script, robot)
        self.level, self.down = world.level(given, script), world.down(given, script)
        self.askew = _turn(given["imu_tilt"], script.imu_axis)
        self.encoder_bias = given["encoder_bias"][:, None] * script.encoder_sign
        step = batch.model.opt.timestep
        self.command_delay = np.round(given["command_delay"] / step).astype(int)
        self.imu_delay = np.round(given["imu_delay"] / step).astype(int)
        self.alive, self.cause = np.ones(n, bool), np.full(n, "", dtype="U32")

        self.qpos, self.qvel = batch.bind("qpos"), batch.bind("qvel")
        self.qpos[:] = 0.0
        self.qpos[:, 2] = robot.reset_height[0]
        self.qpos[:, 3], self.qpos[:, 6] = np.cos(script.yaw / 2), np.sin(script.yaw / 2)
        self.qpos[:, self.where.qpos] = policy.default_joint_pos
        self.qvel[:] = 0.0
        self.imu = np.repeat(self._imu_now()[:, None], int(self.imu_delay.max()) + 1, axis=1)
        self.sent: MotorCommand | None = None
        self.memory: Memory = activate(policy, self._sense(None))

    def advance(self, ticks: int, action: int | None) -> _Physics:
        """`ticks` ticks; the first of them looks at the sensors where it begins action number `action`."""
        sensors = self._sense(action)
        command = None
        if action is not None:
            command = self.script.command[:, action]
            happens = self.script.chance[:, action] < self.given["push_rate"] * self.config.repeat_action / (
                self.config.tick_rate
            )
            speed = (self.given["push_speed"] * happens * self.alive)[:, None]
            self.qvel[:, :2] += speed * self.script.push_direction[:, action]
        asked = []
        for _ in range(ticks):
            self.memory, wanted = tick(self.config, self.policy, self.robot, self.memory, sensors, command)
            asked.append(board(self.config, self.robot, wanted))
        physics = self._step(self._delayed(asked))
        moved = np.concatenate([physics.qvel[..., 3:6], physics.qpos[..., 3:7]], axis=-1)
        self.imu = np.concatenate([self.imu, moved], axis=1)[:, -self.imu.shape[1] :]
        self._judge(physics)
        return physics

    def _imu_now(self) -> np.ndarray:
        """(n, 7): angular velocity and orientation of the trunk, in MuJoCo's frame."""
        return np.concatenate([self.qvel[:, 3:6], self.qpos[:, 3:7]], axis=-1)

    def _sense(self, action: int | None) -> Sensors:
        """What the controller reads: late, noisy, askew."""
        n = len(self.alive)
        late = self.imu[np.arange(n), -1 - self.imu_delay]
        noise = np.zeros((n, 17)) if action is None else self.script.noise[:, action] * self.given["noise"][:, None]
        body = _product(self.askew, _turn_xy(noise[:, 3:5]))
        orientation = _product(_product(self.level, late[:, 3:]), body)
        gyro = np.einsum("nij,ni->nj", rotation_of(self.askew), late[:, :3]) + noise[:, :3]
        joints = self.qpos[:, self.where.qpos] + self.encoder_bias + noise[:, 5:]
        return Sensors(gyro, orientation, joints)

    def _delayed(self, asked: list[MotorCommand]) -> MotorCommand:
        """What reaches the motors in each of the next physics steps, (n, S, 12): commands of `command_delay` ago.

        Before the first command has arrived it holds already, as in the twin's queue.
        """
        new = MotorCommand(*(np.stack(parts, axis=1) for parts in zip(*asked, strict=True)))
        ticks, keep = len(asked), -(-int(self.command_delay.max()) // PHYSICS_PER_TICK)
        if self.sent is None:
            self.sent = MotorCommand(*(np.repeat(part[:, :1], keep, axis=1) for part in new))
        known = MotorCommand(*(np.concatenate(pair, axis=1) for pair in zip(self.sent, new, strict=True)))
        self.sent = MotorCommand(*(part[:, part.shape[1] - keep :] for part in known))
        step = np.arange(PHYSICS_PER_TICK * ticks)
        index = keep + (step[None] - self.command_delay[:, None]) // PHYSICS_PER_TICK
        return MotorCommand(*(np.take_along_axis(part, index[..., None], axis=1) for part in known))

    def _step(self, command: MotorCommand) -> _Physics:
        """Physics steps of the robots alive under `command` (n, S, 12); the others stay where they are."""
        ids = np.flatnonzero(self.alive)
        kp = command.kp * (self.given["kp"][:, None] * self.strength)[:, None]
        kd = command.kd * (self.given["kd"][:, None] * self.strength)[:, None]
        position = command.position - self.encoder_bias[:, None]  # the servo trusts the same encoder
        parts, fine = [], np.ones(len(ids), bool)
        for start, end in self._stretches(kp[ids], kd[ids]):
            low, high = world.torque_limits(self.given, self.strength, self.qvel[:, self.where.qvel])
            world.set_motors(self.batch, kp[:, start], kd[:, start], low, high)
            out, ok = rollout(self.batch, position[ids, start:end], ids, ("qpos", "qvel", "actuator_force"))
            parts.append(tuple(out.values()))
            fine &= ok
        qpos, qvel, torque = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        steps = qpos.shape[1]
        everyone = np.repeat(self.qpos[:, None], steps, axis=1), np.repeat(self.qvel[:, None], steps, axis=1)
        result = _Physics(*everyone, np.zeros((len(self.alive), steps, torque.shape[-1])), self.alive.copy())
        result.qpos[ids], result.qvel[ids], result.torque[ids], result.ok[ids] = qpos, qvel, torque, fine
        return result

    def _stretches(self, kp: np.ndarray, kd: np.ndarray) -> list[tuple[int, int]]:
        """Stretches of physics steps over which nothing in the model changes."""
        steps = kp.shape[1]
        if np.isfinite(self.given["no_load_speed"]).any():
            return [(k, k + 1) for k in range(steps)]
        changed = np.any((np.diff(kp, axis=1) != 0) | (np.diff(kd, axis=1) != 0), axis=(0, 2))
        edges = [0, *(np.flatnonzero(changed) + 1).tolist(), steps]
        return list(itertools.pairwise(edges))

    def _judge(self, physics: _Physics) -> None:
        rotation = rotation_of(self.qpos[:, 3:7])
        upright = -np.einsum("ni,ni->n", rotation[:, :, 2], self.down)
        causes = {
            "controller failed": self.memory.failed,
            "physics diverged": ~physics.ok,
            "trunk touched the ground": self.watch.trunk_touches(self.qpos[:, :3], rotation),
            "tilt": upright < np.cos(FALL_TILT),
        }
        for name, mask in causes.items():
            self.cause[self.alive & mask & (self.cause == "")] = name
        self.alive = self.cause == ""


class _Tally:
    """Sums over the time that each robot walked."""

    def __init__(self, n: int, actions: int, dt: float) -> None:
        self.dt = dt
        self.fell_at = np.full(n, actions * dt)
        self.sums = {name: np.zeros(n) for name in ("lin_vel_error", "yaw_rate_error", "power")}
        self.counts = {name: np.zeros(n, int) for name in self.sums}

    def fall(self, fallen: np.ndarray, action: int) -> None:
        self.fell_at[fallen] = action * self.dt

    def add(self, action: int, loop: _Loop, physics: _Physics, script: Script) -> None:
        settled = loop.alive & (script.since_change[:, action] * self.dt >= SETTLE - 1e-9)
        rotation = rotation_of(loop.qpos[:, 3:7])
        velocity = np.einsum("nij,ni->nj", rotation, loop.qvel[:, :3])
        command = script.command[:, action]
        speed = physics.qvel[..., loop.where.qvel]
        values = {
            "lin_vel_error": (np.linalg.norm(velocity[:, :2] - command[:, :2], axis=-1), settled),
            "yaw_rate_error": (np.abs(loop.qvel[:, 5] - command[:, 2]), settled),
            "power": (np.abs(physics.torque * speed).sum(axis=-1).mean(axis=-1), loop.alive),
        }
        for name, (value, counted) in values.items():
            self.sums[name] += np.where(counted, value, 0.0)
            self.counts[name] += counted

    def outcome(self, loop: _Loop) -> Outcome:
        means = {
            name: np.divide(total, self.counts[name], out=np.full(len(total), np.nan), where=self.counts[name] > 0)
            for name, total in self.sums.items()
        }
        return Outcome(loop.cause, self.fell_at, **means, final_qpos=loop.qpos.copy())


def _turn(angle: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) of turns by `angle` about an axis in the x-y plane at angle `axis`, (n,) rad each."""
    return _turn_xy(angle[:, None] * np.stack([np.cos(axis), np.sin(axis)], axis=-1))


def _turn_xy(vector: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) of rotation vectors (n, 2) in the x-y plane."""
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    scale = np.sinc(angle / (2 * np.pi)) / 2  # sin(angle / 2) / angle
    return np.concatenate([np.cos(angle / 2), scale * vector, np.zeros_like(angle)], axis=-1)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quaternion product (n, 4): first b, then a."""
    aw, ax, ay, az = a.T
    bw, bx, by, bz = b.T
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )
