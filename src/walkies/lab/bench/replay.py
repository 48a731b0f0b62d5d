"""`walkies lab bench replay`: how well `walkies replay` recovers hidden parameters.

Robots with hidden parameters walk, or kick in the air, under the controller twin; their messages are recorded with
noise, jitter and losses, and identified. The table shows the errors of the estimates.
"""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from time import process_time
from typing import Annotated, NamedTuple

import numpy as np

from walkies.accel.cpu import MujocoThreads
from walkies.bounds import Between, Seed
from walkies.deploy.controllers import Sensors
from walkies.deploy.controllers.neural_controller import CONFIGS, ControllerConfig, NeuralController
from walkies.deploy.controllers.twin import PHYSICS_PER_TICK, model_for
from walkies.deploy.excite import excitation
from walkies.deploy.identification.identify import TOLERANCE, Identified, identify
from walkies.deploy.identification.windows import HELD_HEIGHT, hold
from walkies.deploy.policy_file import PolicyFile, read
from walkies.deploy.recordings.align import align
from walkies.deploy.recordings.logs import Messages, Recording
from walkies.errors import UserError
from walkies.judge.loop import Loop, Many, Sense, layout, nominal_plant, standing
from walkies.judge.trace import Joystick
from walkies.later import mujoco
from walkies.robots import DEFAULT, get_robot
from walkies.robots.base import Robot
from walkies.sim import conditions


class Hidden(NamedTuple):
    """A robot that the log is of. Factors are of the nominal robot's values."""

    latency: float = 0.0
    """s from an action to its effect, rounded to ticks"""
    kp: float = 1.0
    kd: float = 1.0
    frictionloss: float = 1.0
    gyro_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """rad/s"""
    ground_friction: float = 1.0
    """(1) sliding friction"""
    payload: float = 0.0
    """kg at the trunk's centre of mass"""
    imu_delay: float = 0.0
    """s, rounded to ticks"""


class Recorder(NamedTuple):
    """How badly the log is taken."""

    encoder_noise: float = 0.002
    """rad, standard deviation"""
    gyro_noise: float = 0.02
    """rad/s, standard deviation"""
    gravity_noise: float = 0.005
    """1, standard deviation"""
    jitter: float = 0.004
    """s, mean delay of receiving (exponentially distributed)"""
    loss: float = 0.02
    """share of messages that are lost, on each topic"""
    blackout: float = 0.3
    """s, one stretch in the middle from which nothing was received"""


def record(
    policy: PolicyFile,
    robot: Robot,
    hidden: Hidden,
    joystick: Joystick,
    seconds: float,
    *,
    held: bool,
    recorder: Recorder | None = None,
    config: ControllerConfig | None = None,
    seed: int = 0,
) -> Recording:
    """What a recorder receives of a robot with `hidden` parameters that walks, or is held in the air."""
    recorder, config = recorder or Recorder(), config or CONFIGS[policy.edition]
    rng = np.random.default_rng(seed)
    batch = _robot(robot, config, hidden, held)
    controller, nominal = NeuralController(policy, robot, config=config), nominal_plant(robot, 1)
    plant = nominal._replace(
        kp=hidden.kp * nominal.kp,
        kd=hidden.kd * nominal.kd,
        command_delay=np.array([PHYSICS_PER_TICK * round(hidden.latency * config.tick_rate)]),
        imu_delay=np.array([PHYSICS_PER_TICK * round(hidden.imu_delay * config.tick_rate)]),
    )
    loop = Loop(Many(batch), robot, controller, plant, _senses(hidden, recorder, rng))
    start = standing(batch.model, robot, policy.default_joint_pos, np.zeros(1))
    if held:
        start[:, 2] = HELD_HEIGHT
    loop.reset(start)
    loop.activate()
    published = []
    for k in range(round(seconds * config.tick_rate)):
        time = k / config.tick_rate
        message = joystick(time)
        wanted = None if message is None else np.broadcast_to(np.asarray(message, float), (1, 3))
        loop.advance(k, wanted, ticks=1)
        now = controller.memory
        if now.acted[0]:
            published.append((time, now.seen[0], now.action[0], controller.asked.position[0]))
    times, *topics = (np.array(column) for column in zip(*published, strict=True))
    return Recording(*(_received(times, values, recorder, rng) for values in topics))


def _senses(hidden: Hidden, recorder: Recorder, rng: np.random.Generator) -> Sense:
    """Biased, noisy readings. The controller is activated with those of its first tick."""
    first: list[Sensors] = []

    def sense(tick: int | None, sensors: Sensors) -> Sensors:
        if tick == 0:
            return first.pop()
        gyro, orientation, joints, *_ = sensors
        sensors = sensors._replace(
            gyro=gyro + hidden.gyro_bias + recorder.gyro_noise * rng.standard_normal((1, 3)),
            orientation=_jostled(orientation, recorder.gravity_noise * rng.standard_normal(3)),
            joint_position=joints + recorder.encoder_noise * rng.standard_normal(joints.shape),
        )
        first.append(sensors)
        return sensors

    return sense


def _robot(robot: Robot, config: ControllerConfig, hidden: Hidden, held: bool) -> mujoco.batch.Batch:
    model = model_for(robot, config)
    model.dof_frictionloss[layout(model, robot).qvel] *= hidden.frictionloss
    conditions.set_friction(model, np.array([hidden.ground_friction]))
    model.body_mass[model.body(robot.base_body).id] += hidden.payload
    mujoco.mj_setConst(model, mujoco.MjData(model))
    if held:
        hold(model)
    return mujoco.batch.Batch(model, 1, 1)


def _jostled(orientation: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """The quaternion (1, 4) turned by a small rotation vector `angle` (3,), rad, of the body."""
    turned, small = np.zeros(4), np.array([1.0, *(0.5 * angle)])
    mujoco.mju_mulQuat(turned, orientation[0], small / np.linalg.norm(small))
    return turned[None]


def _received(time: np.ndarray, values: np.ndarray, recorder: Recorder, rng: np.random.Generator) -> Messages:
    arrival = np.maximum.accumulate(time + rng.exponential(recorder.jitter, len(time)))
    kept = rng.random(len(time)) >= recorder.loss
    middle = 0.5 * (time[0] + time[-1])
    kept &= (time < middle) | (time >= middle + recorder.blackout)
    return Messages(arrival[kept], values[kept].astype(np.float32).astype(float))


def draw(rng: np.random.Generator) -> Hidden:
    """A robot with hidden parameters."""
    return Hidden(
        latency=rng.uniform(0.0, 0.03),
        kp=rng.uniform(0.6, 1.3),
        kd=rng.uniform(0.5, 1.6),
        frictionloss=rng.uniform(0.4, 2.0),
        gyro_bias=tuple(rng.uniform(-0.03, 0.03, 3).tolist()),
        ground_friction=rng.uniform(0.4, 1.2),
        imu_delay=rng.uniform(0.0, 0.02),
    )


def errors(found: Identified, hidden: Hidden, nominal_frictionloss: float, policy: PolicyFile) -> dict[str, float]:
    """Estimate minus truth: s, parts of the truth, rad/s; NaN where the estimate says that it is none."""
    tick_rate = CONFIGS[policy.edition].tick_rate
    truth = {
        "latency": round(hidden.latency * tick_rate) / tick_rate,
        "kp": hidden.kp * float(np.mean(policy.kp)),
        "kd": hidden.kd * float(np.mean(policy.kd)),
        "frictionloss": hidden.frictionloss * nominal_frictionloss,
        "ground_friction": hidden.ground_friction,
        **dict(zip(("gyro_bias_x", "gyro_bias_y", "gyro_bias_z"), hidden.gyro_bias, strict=True)),
    }
    result = {}
    for e in found.estimates:
        absolute = e.name == "latency" or e.name.startswith("gyro_bias")
        error = e.value - truth[e.name] if absolute else e.value / truth[e.name] - 1.0
        result[e.name] = error if e.identifiable else float("nan")
    return result


def drive(time: float) -> np.ndarray:
    """A joystick that stands still and then goes everywhere, over and over."""
    commands = [(0, 0, 0), (0.6, 0, 0), (-0.4, 0.3, 1.0), (0.3, -0.4, -1.5), (0, 0, 2.0), (0.75, 0, 0)]
    return np.array(commands[int(time / 3.0) % len(commands)], float)


def command(
    policy: Path | None = None,
    held: bool = True,
    robots: Annotated[int, Between(1, 10_000)] = 5,
    seconds: Annotated[float, Between(3.0, 3600.0)] = 20.0,
    seed: Seed = 0,
    threads: MujocoThreads = 0,
    json: bool = False,
) -> None:
    """Identify robots with hidden parameters from logs of the controller twin, and print the errors of the estimates.

    Args:
        policy: the robots' policy: a policy.json or a run folder; default: the policy of `walkies excite` (held).
        held: the robots are held in the air; otherwise they walk.
        robots: number of robots.
        seconds: length of a log, start-up included.
        seed: seed of the hidden parameters and of all noise.
        threads: CPU threads for MuJoCo, 0 for all cores.
        json: print JSON.
    """
    if policy is None and not held:
        raise UserError("a walking robot needs a policy that walks: walkies lab bench replay --policy RUN --no-held")
    robot = get_robot(DEFAULT)
    ran = excitation(robot) if policy is None else read(policy / "policy.json" if policy.is_dir() else policy)
    nominal = float(np.median(model_for(robot).dof_frictionloss[6:]))
    rows, times = [], []
    for index in range(robots):
        hidden = draw(np.random.default_rng((seed, index)))
        recording = record(ran, robot, hidden, drive, seconds, held=held, seed=seed + index)
        begun = process_time()
        found = identify(align(recording, ran, robot), ran, robot, held, threads)
        times.append(process_time() - begun)
        rows.append(errors(found, hidden, nominal, ran))
        shown = ", ".join(f"{name} {error:+.4f}" for name, error in rows[-1].items())
        print(f"robot {index + 1} of {robots}: {shown}", file=sys.stderr, flush=True)
    if json:
        plain = [{name: error if np.isfinite(error) else None for name, error in row.items()} for row in rows]
        print(dumps({"held": held, "seconds": seconds, "seed": seed, "errors": plain, "fit_cpu_seconds": times}))
        return
    how = "held in the air" if held else "walking"
    print(f"{robots} robots {how}, logs of {seconds:g} s, {max(times):.0f} s of CPU per fit")
    print(f"{'|error|':<15}{'found':>6}{'median':>10}{'largest':>10}{'wanted':>8}")
    for name in rows[0]:
        values = np.abs([row[name] for row in rows])
        known = values[np.isfinite(values)]
        wanted = TOLERANCE[name if name in TOLERANCE else "gyro_bias"]
        shown = f"{np.median(known):>10.4f}{known.max():>10.4f}" if len(known) else f"{'–':>10}{'–':>10}"
        print(f"{name:<15}{len(known):>3}/{len(rows):<2}{shown}{wanted:>8.3f}")
