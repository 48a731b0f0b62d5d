"""The examination: a fixed, seeded evaluation of an exported policy in MuJoCo, and its report card.

It reads only the `policy.json` that the robot would load, runs MuJoCo's solver to convergence, includes contacts
between the robot's own parts, and draws a different body, motors, latencies, pushes and commands for every episode
(`walkies.judge.ranges`). Its seeds are held out: training never uses them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from walkies import memory, renamed
from walkies.deploy.controllers import MotorCommand, Sensors
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.controllers.twin import SOLVER_ITERATIONS
from walkies.deploy.policy_file import PolicyFile, read
from walkies.deploy.policy_json import COMMANDS
from walkies.errors import UserError
from walkies.files import digest
from walkies.judge.loop import Loop, Many, Sense, Simulation, nominal_plant, standing
from walkies.judge.motion import trick
from walkies.judge.parts import Parts
from walkies.judge.ranges import CONTROL_DT, TIMESTEP, Conditions, apply, draw, noisy
from walkies.judge.record import Record, Recorder, empty
from walkies.judge.report import report, scale_of
from walkies.judge.report_card import EPISODES, SEED, Card
from walkies.later import mujoco
from walkies.robots import get_robot, load_model
from walkies.robots.base import Robot
from walkies.sim.conditions import bodies_of
from walkies.tasks import signal

ExamSimulator: TypeAlias = Literal["mujoco", "mjx", "bullet", "dart", "newton"]
"""Where a policy may be examined. The examination is MuJoCo's; elsewhere it shows what depends on the simulator."""

STAND = round(0.6 / CONTROL_DT)
"""Control steps for which the robot stands on its start-up gains in the default pose before the policy takes over; none
for a robot that falls then."""


def robot_of(policy: PolicyFile) -> Robot:
    """The robot a policy is for: the one it names, else `robots.DEFAULT`."""
    try:
        return get_robot(policy.robot_name)
    except ValueError as error:
        raise UserError(f"walkies.robot in the policy file: {error}") from error


def at_full_stick(policy: PolicyFile, robot: Robot) -> Robot:
    """The robot with a gamepad that asks for all that its policy was trained to follow, if that is more than its own
    does: a policy for the full stick is examined at the full stick."""
    reach = zip(robot.gamepad, (policy.command_range.get(name) for name in COMMANDS), strict=True)
    forward, sideways, yaw = (max(own, *map(abs, pair)) if pair is not None else own for own, pair in reach)
    return replace(robot, gamepad=(forward, sideways, yaw))


def drive(
    policy: PolicyFile, robot: Robot, episodes: int, seed: int, threads: int = 0, simulator: ExamSimulator = "mujoco"
) -> tuple[Record, Conditions]:
    """Run `episodes` episodes of examination `seed`; bit for bit the same for any number of threads (0: all)."""
    model, drawn = _drawn(policy, robot, episodes, seed)
    return drive_under(policy, robot, model, drawn, threads, simulator)


def _drawn(policy: PolicyFile, robot: Robot, episodes: int, seed: int) -> tuple[mujoco.MjModel, Conditions]:
    """The model and the conditions of an examination.

    Raises:
        UserError: so many episodes do not fit into memory.
    """
    robot = at_full_stick(policy, robot)
    model = load_model(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    model.opt.timestep = TIMESTEP
    # The midphase's bounding boxes are stored about the nominal centre of mass; where that moves they miss contacts.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    bodies = len(bodies_of(model, robot))
    episode = memory.size_of(
        [*draw(seed, 1, robot, bodies, policy.observation), *empty(1, robot.num_joints, np.zeros(1))[:-1]]
    )
    memory.refuse(episodes * episode, f"--episodes {episodes:,}", "take fewer")
    return model, draw(seed, episodes, robot, bodies, policy.observation)


def drive_under(
    policy: PolicyFile,
    robot: Robot,
    model: mujoco.MjModel,
    drawn: Conditions,
    threads: int = 0,
    simulator: ExamSimulator = "mujoco",
) -> tuple[Record, Conditions]:
    """Like `drive`, in a given model under given conditions."""
    loop, weight = _standing(policy, robot, model, drawn, threads, simulator)
    recorder = Recorder(loop, weight, Parts(loop, sorted({*robot.idle_joints, *policy.held}), _pose(loop)))
    loop.walk(drawn.command, drawn.push, recorder)
    return recorder.record, drawn


def _pose(loop: Loop) -> np.ndarray:
    """(nu,) rad, where joints without an action are held."""
    return loop.controller.standing(1)[0]  # type: ignore[attr-defined]


def _standing(
    policy: PolicyFile,
    robot: Robot,
    model: mujoco.MjModel,
    drawn: Conditions,
    threads: int,
    simulator: ExamSimulator,
) -> tuple[Loop, np.ndarray]:
    """Robots about to walk, their controllers just activated; and what they weigh (n,), N."""
    n = len(drawn.seed)
    batch = mujoco.batch.Batch(model, n, threads)
    apply(batch, robot, drawn)
    weight = batch.expand("body_mass").sum(axis=1) * float(np.linalg.norm(model.opt.gravity))
    controller = GenericController(policy, robot, 1.0 / CONTROL_DT)
    nominal = nominal_plant(robot, n)
    plant = nominal._replace(
        kp=drawn.kp[:, None] * nominal.kp,
        kd=drawn.kd[:, None] * nominal.kd,
        command_delay=drawn.command_delay,
        imu_delay=drawn.imu_delay,
    )
    simulation = Many(batch) if simulator == "mujoco" else _elsewhere(batch, robot, simulator)
    loop = Loop(simulation, robot, controller, plant, _noisy(drawn, policy), feet=True)
    target = controller.standing(n)
    loop.reset(standing(model, robot, target, drawn.yaw))
    if robot.fade_in:
        gains = np.full(target.shape, robot.init_kp), np.full(target.shape, robot.init_kd)
        loop.hold(MotorCommand(target, *gains), STAND)
    loop.activate()
    return loop, weight


def _elsewhere(batch: mujoco.batch.Batch, robot: Robot, simulator: str) -> Simulation:
    # Imported here: the examination itself, in MuJoCo, needs no JAX.
    from walkies.judge.elsewhere import Elsewhere

    iterations = SOLVER_ITERATIONS if simulator == "mjx" else None
    model = load_model(robot, own_contacts=False, solver_iterations=iterations, visuals=False)
    model.opt.timestep = TIMESTEP
    if simulator == "mjx":
        from walkies.sim.other.mjx import MjxSimulator

        return Elsewhere(batch, robot, MjxSimulator(model))
    if simulator == "newton":
        from walkies.sim.other.newton import NewtonSimulator

        return Elsewhere(batch, robot, NewtonSimulator(model))
    from walkies.sim.other.simulator import OtherSimulator

    return Elsewhere(batch, robot, OtherSimulator(simulator, model))


def _noisy(drawn: Conditions, policy: PolicyFile) -> Sense:
    """Readings with noise as drawn."""
    parts = signal.slices(noisy(policy.observation), policy)

    def sense(action: int | None, sensors: Sensors) -> Sensors:
        noise = drawn.noise[:, action or 0]
        return sensors._replace(noise={name: noise[:, part] for name, part in parts.items()})

    return sense


def examine(
    policy: PolicyFile,
    episodes: int = EPISODES,
    seed: int = SEED,
    threads: int = 0,
    simulator: ExamSimulator = "mujoco",
) -> Card:
    """Examine a policy; the report card, which is JSON data.

    The same seed and episodes give the same card, bit for bit, whatever the number of threads (0: all cores). A
    thousand episodes take 0.8 GB of memory, other numbers in proportion.
    """
    robot = robot_of(policy)
    if policy.blocks.trick is not None:
        model, drawn = _drawn(policy, robot, episodes, seed)
        loop, _ = _standing(policy, robot, model, drawn, threads, simulator)
        watch = trick.TrickRecorder(loop, policy.blocks.trick)
        loop.walk(drawn.command, drawn.push, watch)
        card = trick.report(drawn, watch, seed, robot.name)
    else:
        record, drawn = drive(policy, robot, episodes, seed, threads, simulator)
        card = report(drawn, record, seed, robot.name, scale_of(robot))
        if (reach := at_full_stick(policy, robot).gamepad) != robot.gamepad:
            card["commands"] = list(reach)
    return card if simulator == "mujoco" else {**card, "simulator": simulator}


def examine_file(
    path: Path,
    episodes: int = EPISODES,
    seed: int = SEED,
    threads: int = 0,
    simulator: ExamSimulator = "mujoco",
) -> Card:
    """As `examine`, of a policy.json; the card says which file it was."""
    return {**examine(read(path), episodes, seed, threads, simulator), "policy": digest(path)}


renamed.names(globals(), told="at_full_stick")
