"""A control step of walking: disturbances, physics, rewards, and what the robot then senses."""

from __future__ import annotations

import numpy as np

from walkies.accel import random
from walkies.geometry import DOWN, to_body
from walkies.later import Array, jnp
from walkies.mdp import Outcome
from walkies.quaternions import yaw_of
from walkies.sim import actuation
from walkies.sim.actuation import State
from walkies.sim.base import Readings
from walkies.tasks import commands, rewards
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.feet import lowest
from walkies.tasks.gait.heading import told
from walkies.tasks.gait.task import GaitState
from walkies.tasks.motion import task as motion
from walkies.tasks.motion.task import MotionState
from walkies.tasks.randomization import disturbances
from walkies.tasks.rewards import Motion
from walkies.tasks.signal import Sensed
from walkies.tasks.walk.setup import Setup
from walkies.tasks.walk.state import WalkState


def draw_next(task: Setup, state: WalkState, action: Array, key: Array) -> tuple[WalkState, Outcome]:
    """One control step under actions (n, nu − held joints); actions beyond ±1 act as ±1."""
    n, cfg, dt = action.shape[0], task.config, task.control_dt
    new_command, noise, reading, requests, *outside = _uniform(task, key, n)

    fade = jnp.minimum(state.clock / state.fade_in, 1.0)[:, None]
    executed = task.contract.spread(fade * jnp.clip(action, -1.0, 1.0))
    before, state, delay, force = _disturb(task, state, outside)
    target = task.contract.target(executed)
    physics, readings = actuation.step(task.simulator, state.params, before, target, delay, force)
    # An action that is no number is reported as not ok, and must not live on in rewards and frames.
    executed = jnp.where(readings.ok[:, None], executed, 0.0)

    done, air_time, contact, velocity = _motion(task, state, before, physics, readings, executed)
    fell = done.fell
    terms = rewards.reward_terms(done, cfg.rewards, cfg.shape, dt, task.shares)
    if state.gait is not None and "gait_tracking" in terms:
        terms["gait_tracking"] = task.gait_emphasis * terms["gait_tracking"]
    reward = sum(terms.values(), jnp.zeros(n))

    given = state.command if state.hold is None else state.hold.given
    given, _ = commands.change_command(given, new_command, cfg.commands, dt)
    age = _imu_age(task, state, reading)
    imu, reading = actuation.sensed(state.imu, readings.imu, age)
    orientation = task.reported(physics.qpos[:, 3:7], reading, age * task.simulator.timestep)
    command, hold = told(cfg.commands.heading_hold, state.hold, given, yaw_of(orientation))
    sensed = Sensed(
        reading[:, :3], reading[:, 3:], command, physics.qpos[:, 7:], physics.qvel[:, 6:], executed
    )  # fmt: skip
    gait_state, moving, sensed = _follow(task, state, sensed, requests, orientation)
    frame = task.sense(sensed, state.sensor_bias, noise)
    next_state = state._replace(
        physics=physics,
        command=command,
        goal=commands.approach(state.goal, command, cfg.commands, dt),
        action=executed,
        clock=state.clock + dt,
        history=task.contract.push(state.history, frame),
        air_time=air_time,
        contact=contact,
        velocity=velocity,
        imu=imu,
        gait=gait_state,
        motion=moving,
        hold=hold,
    )
    metrics = {
        "lin_vel_error": rewards.lin_vel_error(done, cfg.shape),
        "yaw_rate_error": rewards.ang_vel_error(done, cfg.shape),
        "fell": fell.astype(jnp.float32),
        "blew_up": (~readings.ok).astype(jnp.float32),
    } | {f"reward/{name}": term / dt for name, term in terms.items()}
    if state.gait is not None:
        metrics["gait_error"] = rewards.gait_error(done)
    if done.deviation is not None:
        metrics["motion_error"] = jnp.sqrt(jnp.mean(jnp.square(done.deviation.joints), axis=-1))
    return next_state, Outcome(reward, fell, metrics)


def _uniform(task: Setup, key: Array, n: int) -> list[Array]:
    """Uniform numbers (n, …) for a control step: new command, noise, the IMU's jitter, requests, disturbances."""
    config = task.randomization
    sizes = [1 + commands.DRAWS, task.noise_size, disturbances.KICK_DRAWS]
    sizes += [] if config.pushes.force.off else [disturbances.FORCE_DRAWS]
    sizes += [] if config.latency.command_jitter.off else [1]
    sizes += [0 if task.motion_reference is None else motion.DRAWS]
    sizes += [0 if config.latency.imu_jitter.fixed else 1]
    numbers = random.uniform(key, (n, sum(sizes)))
    command, noise, *outside, requests, imu = jnp.split(numbers, np.cumsum(sizes)[:-1].tolist(), axis=1)
    return [command, noise, imu, requests, *outside]


def _imu_age(task: Setup, state: WalkState, uniform: Array) -> Array:
    """(n,) physics steps, age of the current IMU reading."""
    jitter = task.randomization.latency.imu_jitter
    held = jitter.value(0.0 if jitter.fixed else uniform[:, 0]) / task.simulator.timestep
    return state.delays.imu + jnp.round(held).astype(jnp.int32)


def _disturb(task: Setup, state: WalkState, uniforms: list[Array]) -> tuple[State, WalkState, Array, Array | None]:
    """Kick, push and delay some robots; uniforms as `disturbances` takes them.

    Returns the physical state after kicks, the state with the current forces and jitter, and the delays and force
    for `actuation.step`.
    """
    config, draws = task.randomization, iter(uniforms)
    kick = disturbances.kick(next(draws), config.pushes, task.control_dt)
    before = state.physics._replace(qvel=state.physics.qvel.at[:, :2].add(kick))
    delay, push = state.delays.command, None
    if state.force is not None:
        force = disturbances.next_force(state.force, next(draws), config.pushes, task.control_dt)
        state, push = state._replace(force=force), force.now()
    if state.lateness is not None:
        seconds = config.latency.command_jitter.value(next(draws))
        lateness = actuation.jittered(state.lateness, seconds, task.simulator.timestep)
        state, delay = state._replace(lateness=lateness), delay[:, None] + lateness
    return before, state, delay, push


def _follow(
    task: Setup, state: WalkState, sensed: Sensed, requests: Array, orientation: Array
) -> tuple[GaitState | None, MotionState | None, Sensed]:
    """Gait and movement a control step later, and what is sensed with them; orientation: (n, 4) reported."""
    gait_state, moving, dt = state.gait, state.motion, task.control_dt
    if gait_state is not None and task.gait_reference is not None:
        gait_state = gait.advance(
            gait_state, task.gait_reference, dt, sensed.command, task.default_pose, task.gait_stances
        )
        sensed = sensed._replace(gait_reference=gait_state.reference)
    if moving is not None and task.motion_reference is not None:
        started = state.clock + dt >= state.fade_in
        moving = motion.advance(task.config.motion, task.motion_reference, moving, requests, started, dt)
    return gait_state, moving, task.refer(sensed, moving, orientation)


def _motion(
    task: Setup, state: WalkState, before: State, physics: State, readings: Readings, action: Array
) -> tuple[Motion, Array, Array, Array]:
    """The input of the rewards, and the new air times, contacts and body velocity."""
    quaternion = physics.qpos[:, 3:7]
    gravity = to_body(quaternion, DOWN)
    velocity = to_body(quaternion, physics.qvel[:, :3])
    force = jnp.sqrt(jnp.sum(jnp.square(readings.contact_force), axis=-1))
    contact = readings.contact_distance < 0.0
    feet = lowest(readings, contact, task.feet)
    foot_contact = feet.contact
    flight = state.air_time + task.control_dt
    first_contact = foot_contact & (state.air_time > 0.0)
    torso = contact[:, task.torso]
    deviation = None
    if state.motion is not None:
        deviation = motion.deviation(state.motion, physics.qpos, physics.qvel[:, 6:], task.stature.height)
        # A trick may lie down; it has fallen where it is far from its frame.
        lost = jnp.abs(deviation.height) > task.config.motion.fall_height
        fell = lost | (deviation.tilted > task.config.fall_tilt) | ~readings.ok
    else:
        fell = (-gravity[:, 2] < np.cos(task.config.fall_tilt)) | torso.any(axis=1) | ~readings.ok
    offset = physics.qpos[:, 7:] - task.default_pose
    done = Motion(
        command=state.goal,
        linear_velocity=velocity,
        angular_velocity=physics.qvel[:, 3:6],
        gravity=gravity,
        height=physics.qpos[:, 2],
        joint_offset=offset,
        abduction=offset[:, np.array(task.robot.abduction_joints, int)],
        joint_velocity=physics.qvel[:, 6:],
        joint_acceleration=(physics.qvel[:, 6:] - before.qvel[:, 6:]) / task.control_dt,
        torque=readings.joint_torque,
        action=action,
        last_action=state.action,
        foot_contact=foot_contact,
        foot_velocity=feet.velocity,
        foot_height=feet.height,
        foot_air_time=flight * (~foot_contact | first_contact),
        first_contact=first_contact,
        knee_force=force[:, task.knees],
        torso_force=force[:, task.torso],
        fell=fell,
        gait_reference=None if state.gait is None else state.gait.reference,
        gait_stance=None if state.gait is None else state.gait.stance,
        stature=task.stature,
        idle=offset[:, task.idle] if len(task.idle) else None,
        deviation=deviation,
        foot_room=None if task.neighbours is None else task.neighbours.apart(readings, quaternion),
    )
    if len(task.spheres) < contact.shape[1]:  # others are there to touch one another
        contact = contact[:, task.grounded]
    return done, jnp.where(foot_contact, 0.0, flight), contact, velocity
