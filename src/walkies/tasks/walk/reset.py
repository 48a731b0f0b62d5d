"""How episodes of walking begin."""

from __future__ import annotations

from typing import Any

from walkies.accel import random
from walkies.geometry import DOWN, quaternion_of, to_body
from walkies.later import Array, jax, jnp
from walkies.sim import actuation
from walkies.sim.actuation import TARGET_MEMORY, initial_state
from walkies.tasks import commands
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.heading import told
from walkies.tasks.gait.task import GaitState
from walkies.tasks.motion import task as motion
from walkies.tasks.motion.task import MotionState
from walkies.tasks.randomization.disturbances import Force
from walkies.tasks.randomization.draw import Drawn, draw
from walkies.tasks.signal import Sensed
from walkies.tasks.walk.setup import Setup
from walkies.tasks.walk.state import WalkState

_GAIT_KEY, _MOTION_KEY = 5, 6
"""Folded into the key of new episodes for what belongs to their gait or movement; not below the number of keys that
`draw_state` splits it into, since those may be such folds too."""


def draw_state(task: Setup, key: Array, num_envs: int) -> WalkState:
    """New robots, near the default pose on or just above the ground."""
    n, joints, start = num_envs, task.robot.num_joints, task.config.start
    robots, chances, poses, noise, stale = jax.random.split(key, 5)
    drawn = draw(robots, n, task.randomization, task.nominal, task.simulator.timestep)
    chance = random.uniform(chances, (n, 2 + commands.DRAWS + (0 if start.fade_in.fixed else 1)))
    as_robot = chance[:, 0] < start.fade_probability
    wild = 1.0 - as_robot[:, None]

    u = random.uniform(poses, (n, 4 + 2 * joints + 6), minval=-1.0, maxval=1.0)
    low, high = task.robot.reset_height
    height = 0.5 * (low + high) + 0.5 * (high - low) * u[:, 0]
    roll, pitch, yaw = wild[:, 0] * start.tilt * u[:, 1], wild[:, 0] * start.tilt * u[:, 2], jnp.pi * u[:, 3]
    position = jnp.stack([jnp.zeros(n), jnp.zeros(n), height], axis=1)
    joint_position = task.default_pose + wild * start.joint_position * u[:, 4 : 4 + joints]
    joint_velocity = wild * start.joint_velocity * u[:, 4 + joints : 4 + 2 * joints]
    velocity = wild * start.velocity * u[:, 4 + 2 * joints :]
    qpos = jnp.concatenate([position, quaternion_of(roll, pitch, yaw), joint_position], axis=1)
    qvel = jnp.concatenate([velocity, joint_velocity], axis=1)
    qpos, qvel, moving = _new_motion(task, key, as_robot, yaw, qpos, qvel)
    target = jnp.broadcast_to(task.default_pose, (n, joints))

    given = commands.draw_command(chance[:, 2 : 2 + commands.DRAWS], task.config.commands)
    command, hold = told(task.config.commands.heading_hold, None, given, yaw)
    quaternion = qpos[:, 3:7]
    action = jnp.zeros((n, joints))
    gravity = to_body(quaternion, DOWN if drawn.down is None else drawn.down)
    noise_draws = random.uniform(noise, (n, task.noise_size))
    gait_state = _new_gait(task, key, as_robot, command)
    shown = None if gait_state is None else gait_state.reference
    sensed = Sensed(qvel[:, 3:6], gravity, command, qpos[:, 7:], qvel[:, 6:], action, gait_reference=shown)
    imu = jnp.concatenate([qvel[:, 3:6], gravity], axis=1)
    sensed = task.refer(sensed, moving, task.reported(quaternion, imu, jnp.zeros(n)))
    frame = task.sense(sensed, drawn.sensor_bias, noise_draws)
    history = jnp.broadcast_to(task.contract.initial_history(), (n, task.observation_size))
    # What an earlier activation left in the buffer: some other robot's frame, disturbed.
    left_over = jnp.roll(frame, 1, axis=0) + 0.3 * random.uniform(stale, frame.shape, minval=-1.0, maxval=1.0)
    left_over = jnp.tile(left_over, (1, task.contract.observation_history))
    history = jnp.where(chance[:, 1:2] < start.stale_history, left_over, history)
    return WalkState(
        physics=initial_state(qpos, qvel, target),
        params=task.simulator.prepare(drawn.params, n),
        delays=drawn.delays,
        sensor_bias=drawn.sensor_bias,
        factors=drawn.privileged,
        command=command,
        goal=jnp.zeros((n, 3)),
        action=action,
        clock=jnp.where(as_robot, 0.0, start.fade_in.high),
        fade_in=jnp.broadcast_to(start.fade_in.value(chance[:, -1]), n),
        history=task.contract.push(history, frame),
        air_time=jnp.zeros((n, len(task.feet))),
        contact=jnp.zeros((n, len(task.spheres)), bool),
        velocity=to_body(quaternion, qvel[:, :3]),
        gait=gait_state,
        motion=moving,
        hold=hold,
        **_outside(task, drawn, imu),
    )


def _new_gait(task: Setup, key: Array, as_robot: Array, command: Array) -> GaitState | None:
    """The gait clocks at the start of episodes, from their own random numbers: a gait changes no other draw."""
    if task.gait_reference is None:
        return None
    own = jax.random.fold_in(key, _GAIT_KEY)
    return gait.begin(
        task.config.gait, task.gait_reference, own, as_robot, command, task.default_pose, task.gait_stances
    )


def _new_motion(
    task: Setup, key: Array, as_robot: Array, yaw: Array, qpos: Array, qvel: Array
) -> tuple[Array, Array, MotionState | None]:
    """Positions, velocities and frames at the start of episodes: disturbed as they are, but about the frames of
    the movement, and not the default pose, for those that do not begin as on the robot."""
    if task.motion_reference is None:
        return qpos, qvel, None
    own = jax.random.fold_in(key, _MOTION_KEY)
    state = motion.begin(task.config.motion, task.motion_reference, own, as_robot, yaw)
    standing = jnp.append(task.robot.reset_height[0], task.default_pose)
    position, velocity = motion.about(state, yaw, standing, qpos, qvel)
    as_robot = as_robot[:, None]
    return jnp.where(as_robot, qpos, position), jnp.where(as_robot, qvel, velocity), state


def _outside(task: Setup, drawn: Drawn, imu: Array) -> dict[str, Any]:
    """What the randomization adds to a new state; imu (n, 6): the IMU has read the same all the time before."""
    config, n = task.randomization, len(imu)
    return {
        "down": drawn.down,
        "imu": actuation.late_imu(imu, task.imu_rows),
        "lateness": None if config.latency.command_jitter.off else jnp.zeros((n, TARGET_MEMORY)),
        "force": None if config.pushes.force.off else Force.none(n),
    }
