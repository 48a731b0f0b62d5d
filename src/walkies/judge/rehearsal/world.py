"""Conditions of a rehearsal, written into MuJoCo and into the loop around it."""

from __future__ import annotations

import numpy as np

from walkies.deploy.controllers import Sensors
from walkies.deploy.controllers.twin import PHYSICS_PER_TICK, SOLVER_ITERATIONS
from walkies.judge.loop import Plant, Sense
from walkies.judge.rehearsal.conditions import Script
from walkies.later import mujoco
from walkies.quaternions import product, rotation_of
from walkies.robots import load_spec
from walkies.robots.base import Robot
from walkies.sim import conditions

LONGEST_STEP = 0.002
"""s, of physics, for controllers whose ticks are long."""
Given = dict[str, np.ndarray]
"""Each quantity of n robots, as `walkies.sim.conditions.columns` has them."""


def model_for(robot: Robot, tick_rate: float, backlash: bool) -> mujoco.MjModel:
    """The twin's model; with `backlash` each link hangs on its motor by a joint of small play."""
    spec = load_spec(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    if backlash:
        conditions.add_gaps(spec, robot)
    model = spec.compile()
    steps = max(PHYSICS_PER_TICK, int(np.ceil(1.0 / (tick_rate * LONGEST_STEP) - 1e-9)))
    model.opt.timestep = 1.0 / (tick_rate * steps)
    # The midphase's bounding boxes are stored about the nominal centre of mass; where that moves they miss contacts.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    return model


def apply(batch: mujoco.batch.Batch, robot: Robot, given: Given, script: Script) -> None:
    """Give every robot of the batch its body, ground, contacts and play. Motors are the loop's (`plant`)."""
    model, n = batch.model, batch.nsim
    bodies = len(conditions.bodies_of(model, robot))
    conditions.set_contact_time(batch, given["contact_time"])
    conditions.set_elliptic(batch, given["elliptic"])
    conditions.set_twisting(batch, given["twisting"])
    if given["slope"].any():
        conditions.set_gravity(batch, conditions.down(given["slope"], script.slope_direction))
    if given["backlash"].any():
        conditions.set_backlash(batch, robot, given["backlash"])
    if np.any(given["frictionloss"] != 1.0):
        dofs = [model.joint(name).dofadr[0] for name in robot.joint_names]
        conditions.set_frictionloss(
            batch, np.array(dofs), model.dof_frictionloss[dofs] * given["frictionloss"][:, None]
        )
    conditions.set_friction(batch, given["friction"])
    shift = np.stack([given["com_x"], given["com_y"], np.zeros(n)], axis=-1)
    conditions.set_bodies(batch, robot, np.repeat(given["mass"][:, None], bodies, axis=1), given["payload"], shift)
    batch.set_const()
    conditions.set_side_force(batch, robot, given["side_force"], script.force_direction)


def plant(given: Given, script: Script, robot: Robot, timestep: float) -> Plant:
    """Motors, delays and encoders."""
    kp, kd, limit = conditions.motors_of(given, robot, script.weak_leg)
    return Plant(
        kp=kp,
        kd=kd,
        torque_limit=limit,
        no_load_speed=np.minimum(given["no_load_speed"][:, None], np.asarray(robot.torque_speed) * np.ones_like(limit)),
        command_delay=np.round(given["command_delay"] / timestep).astype(int),
        imu_delay=np.round(given["imu_delay"] / timestep).astype(int),
        encoder_bias=given["encoder_bias"][:, None] * script.encoder_sign,
        imu_period=given["imu_period"] / timestep,
        encoder_step=given["encoder_step"],
    )


def pushes(given: Given, script: Script, dt: float) -> np.ndarray:
    """(n, A, 2) m/s added to each base at the beginning of each action of `dt` seconds."""
    happens = script.chance < (given["push_rate"] * dt)[:, None]
    return (given["push_speed"][:, None] * happens)[:, :, None] * script.push_direction


def senses(given: Given, script: Script) -> Sense:
    """Readings with noise and IMU misalignment, of an IMU that measures the slope."""
    level = conditions.level(given["slope"], script.slope_direction)
    misaligned = _turn(given["imu_tilt"], script.imu_axis)
    turn, bias = rotation_of(misaligned), given["gyro_bias"][:, None] * script.gyro_sign

    def sense(action: int | None, sensors: Sensors) -> Sensors:
        noise = script.noise[:, action or 0] * (given["noise"] * (action is not None))[:, None]
        body = product(misaligned, _turn_xy(noise[:, 3:5]))
        return sensors._replace(
            gyro=np.einsum("nij,ni->nj", turn, sensors.gyro) + noise[:, :3] + bias,
            orientation=product(product(level, sensors.orientation), body),
            joint_position=sensors.joint_position + noise[:, 5:],
        )

    return sense


def _turn(angle: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) of turns by `angle` about an axis in the x-y plane at angle `axis`, (n,) rad each."""
    return _turn_xy(angle[:, None] * np.stack([np.cos(axis), np.sin(axis)], axis=-1))


def _turn_xy(vector: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) of rotation vectors (n, 2) in the x-y plane."""
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    scale = np.sinc(angle / (2 * np.pi)) / 2  # sin(angle / 2) / angle
    return np.concatenate([np.cos(angle / 2), scale * vector, np.zeros_like(angle)], axis=-1)
