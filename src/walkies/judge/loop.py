"""The control loop between a controller and MuJoCo. All policies from files run here.

Examination, rehearsal, film, page, viewer and the bench of `walkies replay` differ in their controller, in what is
between it and the robot (`Plant`, `Sense`), and in what they record. `walkies lab bench physics` steps the native
engine instead, since it measures from that engine's own states and warm starts; it shares the controller. The page of
`walkies share`, which has no Python, has a loop of its own (`walkies.show.share`).

Between two sensor readings a controller's commands are known in advance, so MuJoCo runs all their physics steps in one
call, which changes no bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from walkies.deploy.controllers import Controller, MotorCommand, Sensors
from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.sim import conditions
from walkies.sim.base import torque_range

Sense = Callable[["int | None", Sensors], Sensors]
"""Adds noise to readings, already late and biased, for the action with this number (None: before the first)."""


def exact(action: int | None, sensors: Sensors) -> Sensors:
    """The `Sense` of perfect sensors."""
    return sensors


class Plant(NamedTuple):
    """The layer between a controller and MuJoCo's model, for n robots."""

    kp: np.ndarray
    """(n, nu) factor on what the controller asks for"""
    kd: np.ndarray
    """(n, nu) likewise"""
    torque_limit: np.ndarray
    """(n, nu) N m, at rest"""
    no_load_speed: np.ndarray
    """(n, nu) rad/s, where torque has fallen to zero; infinite: nowhere"""
    command_delay: np.ndarray
    """(n,) int, physics steps"""
    imu_delay: np.ndarray
    """(n,) int, physics steps"""
    encoder_bias: np.ndarray
    """(n, nu) rad, for the policy and for the servo"""
    imu_period: np.ndarray
    """(n,) physics steps, not whole ones: each sample of the IMU is read until the next; at most 1: every step's is"""
    encoder_step: np.ndarray
    """(n,) rad, of which readings for the policy are multiples; 0: any"""


def nominal_plant(robot: Robot, n: int) -> Plant:
    """No latency, nominal motors, no bias."""
    ones, now = np.ones((n, robot.num_joints)), np.zeros(n, int)
    zero = np.zeros(n)
    limit, speed = (np.asarray(column) * ones for column in (robot.torque_limit, robot.torque_speed))
    return Plant(ones, ones, limit, speed, now, now, 0.0 * ones, zero, zero)


class Motion(NamedTuple):
    """The motion of n robots in S physics steps. Robots that are not alive stay where they are."""

    qpos: np.ndarray
    """(n, S + 1, nq), from before the first step on"""
    qvel: np.ndarray
    """(n, S + 1, nv)"""
    torque: np.ndarray
    """(n, S, nu) N m"""
    command: MotorCommand
    """(n, S, nu) each: what reached the motors"""
    ok: np.ndarray
    """(n,) bool: no warning, no error, finite"""
    site_xpos: np.ndarray | None = None
    """(n, S, sites, 3) m, before each step, where asked for"""


class Simulation(Protocol):
    """MuJoCo, as the loop uses it."""

    model: mujoco.MjModel
    physics: conditions.Physics
    """where motors are written"""
    qpos: np.ndarray
    """(n, nq), live"""
    qvel: np.ndarray
    """(n, nv), live"""

    def rollout(
        self, control: np.ndarray, ids: np.ndarray, fields: tuple[str, ...]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """As the function `rollout`."""


class Many:
    """A `Simulation` of many robots on all cores."""

    def __init__(self, batch: mujoco.batch.Batch) -> None:
        self.model, self.physics, self.qpos, self.qvel = batch.model, batch, batch.bind("qpos"), batch.bind("qvel")

    def rollout(
        self, control: np.ndarray, ids: np.ndarray, fields: tuple[str, ...]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return rollout(self.physics, control, ids, fields)


class One:
    """A `Simulation` of one robot whose model may be changed, and whose contacts may be read, while it walks."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self.model, self.physics, self.data, self.qpos, self.qvel = model, model, data, data.qpos[None], data.qvel[None]

    def rollout(
        self, control: np.ndarray, ids: np.ndarray, fields: tuple[str, ...]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rows: dict[str, list[np.ndarray]] = {name: [] for name in fields}
        for target in control[0]:
            self.data.ctrl[:] = target
            mujoco.mj_step(self.model, self.data)
            for name, row in rows.items():
                row.append(getattr(self.data, name).copy())
        out = {name: np.array(row)[None] for name, row in rows.items()}
        return out, np.array([bool(np.all(np.isfinite(self.qpos)) and np.all(np.isfinite(self.qvel)))])


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


class Layout(NamedTuple):
    """Where things lie in a model's arrays."""

    qpos: np.ndarray
    """(nu,) addresses of the motors' angles"""
    qvel: np.ndarray
    """(nu,) of their speeds"""
    trunk: int
    """body"""


def layout(model: mujoco.MjModel, robot: Robot) -> Layout:
    """Addresses of the robot's motors and trunk, whatever other joints there are."""
    joints = [model.joint(name) for name in robot.joint_names]
    addresses = np.array([joint.qposadr[0] for joint in joints]), np.array([joint.dofadr[0] for joint in joints])
    return Layout(*addresses, trunk=model.body(robot.base_body).id)


def standing(model: mujoco.MjModel, robot: Robot, joints: np.ndarray | Sequence[float], yaw: np.ndarray) -> np.ndarray:
    """qpos (n, nq) of robots just above the ground, headings (n,) rad, joints (nu,) or (n, nu) rad."""
    qpos = np.zeros((len(yaw), model.nq))
    qpos[:, 2] = robot.reset_height[0]
    qpos[:, 3], qpos[:, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
    qpos[:, layout(model, robot).qpos] = joints
    return qpos


def delayed(known: Sequence[np.ndarray], before: int, delay: np.ndarray, steps_per_tick: int) -> list[np.ndarray]:
    """What is in force in each physics step, (n, S, …), of what was sent once per tick, each (n, before + ticks, …).

    before: ticks of `known` that lie before the first of the S physics steps. delay: (n,) physics steps.
    """
    step = np.arange(steps_per_tick * (known[0].shape[1] - before))
    index = before + (step[None] - delay[:, None]) // steps_per_tick
    return [part[np.arange(len(part))[:, None], index] for part in known]


def since_sample(steps: int, period: np.ndarray) -> np.ndarray:
    """Physics steps (n,) since the last sample of sensors with periods (n,) of physics steps, not whole ones."""
    period = np.maximum(period, 1.0)
    return steps - np.floor(np.floor(steps / period) * period).astype(int)


def in_steps(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Values rounded to multiples of `step`; as they are where it is 0."""
    whole = np.where(step > 0, step, 1.0)
    return np.where(step > 0, np.round(values / whole) * whole, values)


class Loop:
    """n robots, each with its controller and its plant.

    Robots stand where `simulation.qpos` says when `reset` is called; `hold` them if wished, then `activate` and
    `advance`. The recorder decides who is still `alive`; the others stay where they are.
    """

    def __init__(
        self,
        simulation: Simulation,
        robot: Robot,
        controller: Controller,
        plant: Plant,
        sense: Sense = exact,
        *,
        feet: bool = False,
        longest_delay: int | None = None,
    ) -> None:
        """feet: record `site_xpos`. longest_delay: physics steps that a command will ever take, if plants change."""
        self.simulation, self.robot, self.controller, self.plant, self.sense = (
            simulation, robot, controller, plant, sense
        )  # fmt: skip
        self.where = layout(simulation.model, robot)
        self.steps_per_tick = max(1, round(1.0 / (controller.tick_rate * simulation.model.opt.timestep)))
        longest = int(plant.command_delay.max()) if longest_delay is None else longest_delay
        self.kept = -(-longest // self.steps_per_tick)
        """Number of commands, one per tick, that may still be on their way."""
        self.fields = ("qpos", "qvel", "actuator_force", *(("site_xpos",) if feet else ()))
        self.qpos, self.qvel = simulation.qpos, simulation.qvel
        self.reset()

    def reset(self, qpos: np.ndarray | None = None) -> None:
        """Forget all readings and commands; with `qpos` (n, nq), put the robots there, at rest."""
        if qpos is not None:
            self.qpos[:], self.qvel[:] = qpos, 0.0
        self.alive = np.ones(len(self.qpos), bool)
        oldest = int((self.plant.imu_delay + np.ceil(self.plant.imu_period)).max())
        self.imu = np.repeat(self._imu_now()[:, None], oldest + 1, axis=1)
        self.steps = 0
        self.sent: list[np.ndarray] | None = None

    def hold(self, command: MotorCommand, ticks: int) -> None:
        """Ticks in which no controller runs, under one command (n, nu)."""
        self._physics(
            MotorCommand(*(np.repeat(part[:, None], ticks * self.steps_per_tick, axis=1) for part in command))
        )

    def activate(self) -> None:
        """Start the controller. Its first command applies until it would arrive."""
        self.sent = None
        self.controller.activate(self.read(None))

    def read(self, action: int | None) -> Sensors:
        """The controller's current readings."""
        age = self.plant.imu_delay + since_sample(self.steps, self.plant.imu_period)
        late = self.imu[np.arange(len(self.imu)), -1 - age]
        joints, speeds = self.qpos[:, self.where.qpos] + self.plant.encoder_bias, self.qvel[:, self.where.qvel]
        joints = in_steps(joints, self.plant.encoder_step[:, None])
        return self.sense(action, Sensors(late[:, :3], late[:, 3:], joints, speeds))

    def advance(
        self,
        action: int | None = None,
        command: np.ndarray | None = None,
        push: np.ndarray | None = None,
        *,
        ticks: int | None = None,
        stop: bool = False,
    ) -> Motion:
        """Some ticks; the controller's sensors are read as the first one begins.

        Args:
            action: its number, where the first tick begins one; for `sense`.
            command: (n, 3) velocity command, m/s, m/s, rad/s; None where there never was one.
            push: (n, 2) m/s, added to the base's velocity after the reading.
            ticks: how many; default: until the sensors are read again.
            stop: whether an emergency stop is published.
        """
        sensors = self.read(action)
        if push is not None:
            self.qvel[:, :2] += push
        ticks = ticks or self.controller.ahead
        asked = [self.controller.tick(sensors, command, stop) for _ in range(ticks)]
        return self._physics(self._arriving(asked))

    def walk(
        self, commands: np.ndarray, pushes: np.ndarray | None, record: Callable[[int | None, Motion], None]
    ) -> None:
        """Start-up, and then an action for each of the commands (n, A, 3) and pushes (n, A, 2) while one is alive.

        record: is told the number of the action (None: start-up) and what happened.
        """
        while self.controller.start_up and self.alive.any():
            record(None, self.advance())
        for action in range(commands.shape[1]):
            if not self.alive.any():
                break
            push = None if pushes is None else pushes[:, action]
            record(action, self.advance(action, commands[:, action], push))

    def _imu_now(self) -> np.ndarray:
        """(n, 7): angular velocity and orientation of the trunk, in MuJoCo's frame."""
        return np.concatenate([self.qvel[:, 3:6], self.qpos[:, 3:7]], axis=-1)

    def _arriving(self, asked: list[MotorCommand]) -> MotorCommand:
        """The commands that reach the motors in each of the next physics steps, (n, S, nu).

        The first command applies even before it has arrived, as in the queue of the robot's own simulator.
        """
        new = [np.stack(parts, axis=1) for parts in zip(*asked, strict=True)]
        if self.sent is None:
            self.sent = [np.repeat(part[:, :1], self.kept, axis=1) for part in new]
        known = [np.concatenate(pair, axis=1) for pair in zip(self.sent, new, strict=True)]
        self.sent = [part[:, part.shape[1] - self.kept :] for part in known]
        return MotorCommand(*delayed(known, self.kept, self.plant.command_delay, self.steps_per_tick))

    def _physics(self, command: MotorCommand) -> Motion:
        """Physics steps of the robots alive under `command` (n, S, nu)."""
        ids, plant, physics = np.flatnonzero(self.alive), self.plant, self.simulation.physics
        kp, kd = command.kp * plant.kp[:, None], command.kd * plant.kd[:, None]
        position = (command.position - plant.encoder_bias[:, None])[ids]  # the servo trusts the same encoder
        before = self.qpos[:, None].copy(), self.qvel[:, None].copy()
        parts, fine = [], np.ones(len(ids), bool)
        for start, end in self._stretches(kp[ids], kd[ids]):
            low, high = torque_range(plant.torque_limit, plant.no_load_speed, self.qvel[:, self.where.qvel])
            conditions.set_servos(physics, kp[:, start], kd[:, start])
            conditions.set_torque_limits(physics, low, high)
            out, ok = self.simulation.rollout(position[:, start:end], ids, self.fields)
            parts.append(out)
            fine &= ok
        if len(parts) > 1:
            out = {name: np.concatenate([part[name] for part in parts], axis=1) for name in self.fields}
        if len(ids) < len(self.alive):
            out, fine = self._with_the_fallen(out, fine, ids)
        qpos, qvel = (
            np.concatenate([now, out[name]], axis=1) for now, name in zip(before, ("qpos", "qvel"), strict=True)
        )
        self.steps += command.position.shape[1]
        kept = self.imu.shape[1]
        felt = np.concatenate([qvel[:, 1:][:, -kept:, 3:6], qpos[:, 1:][:, -kept:, 3:7]], axis=-1)
        self.imu = np.concatenate([self.imu[:, felt.shape[1] :], felt], axis=1)
        return Motion(qpos, qvel, out["actuator_force"], command, fine, out.get("site_xpos"))

    def _with_the_fallen(
        self, out: dict[str, np.ndarray], fine: np.ndarray, ids: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """What a rollout of the robots `ids` gave, for all robots: the others rest."""
        n = len(self.alive)
        every = {name: np.zeros((n, *values.shape[1:])) for name, values in out.items()}
        every["qpos"][:], every["qvel"][:] = self.qpos[:, None], self.qvel[:, None]
        for name, values in out.items():
            every[name][ids] = values
        ok = np.zeros(n, bool)
        ok[ids] = fine
        return every, ok

    def _stretches(self, kp: np.ndarray, kd: np.ndarray) -> list[tuple[int, int]]:
        """Intervals of physics steps over which nothing in the model changes."""
        steps = kp.shape[1]
        if np.isfinite(self.plant.no_load_speed).any():
            return [(k, k + 1) for k in range(steps)]
        changed = ((kp[:, 1:] != kp[:, :-1]) | (kd[:, 1:] != kd[:, :-1])).any(axis=(0, 2))
        edges = [0, *(np.flatnonzero(changed) + 1).tolist(), steps]
        return list(itertools.pairwise(edges))
