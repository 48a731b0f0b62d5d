"""Conditions of a rehearsal, written into MuJoCo: bodies, motors, gears, ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

import mujoco
import mujoco.batch
import numpy as np

from walkies.deploy.controllers.twin import PHYSICS_PER_TICK, SOLVER_ITERATIONS
from walkies.judge.ranges import set_bodies
from walkies.judge.rehearsal_conditions import Condition, Script
from walkies.robots import load_spec
from walkies.robots.base import Robot

ELLIPTIC_IMPRATIO = 100.0
"""of the robot's own simulator (pupperv3-monorepo, pupper_v3_description)"""
GAP = "_gap"
GAP_ARMATURE, GAP_DAMPING, GAP_SOLREF = 1e-5, 1e-3, (0.004, 1.0)
"""kg m², N m s/rad and (s, 1): next to nothing between the ends of the play, and hard at them."""


class Layout(NamedTuple):
    """Where things lie in this model's arrays."""

    qpos: np.ndarray
    """(12,) addresses of the motors' angles"""
    qvel: np.ndarray
    """(12,) of their speeds"""
    trunk: int
    """body"""


def model_for(robot: Robot, tick_rate: float, backlash: bool) -> mujoco.MjModel:
    """The twin's model; with `backlash` each link hangs on its motor by a joint of small play, `name` + GAP."""
    spec = load_spec(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    if backlash:
        for name in robot.joint_names:
            joint = spec.joint(name)
            gap = joint.parent.add_joint(name=name + GAP, type=mujoco.mjtJoint.mjJNT_HINGE, axis=joint.axis)
            gap.range, gap.limited = (-1e-3, 1e-3), mujoco.mjtLimited.mjLIMITED_TRUE
            gap.armature, gap.frictionloss = GAP_ARMATURE, 0.0
            gap.damping[0] = GAP_DAMPING
            gap.solref_limit = GAP_SOLREF
        for key in list(spec.keys):
            spec.delete(key)
    model = spec.compile()
    model.opt.timestep = 1.0 / (tick_rate * PHYSICS_PER_TICK)
    # The midphase's bounding boxes are stored about the nominal centre of mass; where that moves they miss contacts.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    return model


def layout(model: mujoco.MjModel, robot: Robot) -> Layout:
    """Addresses of the robot's motors and trunk, whatever other joints there are."""
    joints = [model.joint(name) for name in robot.joint_names]
    addresses = np.array([joint.qposadr[0] for joint in joints]), np.array([joint.dofadr[0] for joint in joints])
    return Layout(*addresses, trunk=model.body(robot.base_body).id)


def columns(conditions: Sequence[Condition]) -> dict[str, np.ndarray]:
    """Each field of the conditions as an array (n,)."""
    return {f.name: np.array([getattr(condition, f.name) for condition in conditions]) for f in fields(Condition)}


def apply(batch: mujoco.batch.Batch, robot: Robot, given: dict[str, np.ndarray], script: Script) -> None:
    """Give every robot of the batch its body, ground, contacts, play and torque limit. Gains are the driver's."""
    model, n = batch.model, batch.nsim
    bodies = int(np.sum(model.body_rootid == model.body(robot.base_body).id))
    batch.expand("geom_solref")[:, :, 0] = given["contact_time"][:, None]
    if given["elliptic"].any():
        elliptic = given["elliptic"] > 0
        batch.expand("opt.cone")[elliptic] = int(mujoco.mjtCone.mjCONE_ELLIPTIC)
        batch.expand("opt.impratio")[elliptic] = ELLIPTIC_IMPRATIO
    if given["slope"].any():
        batch.expand("opt.gravity")[:] = float(np.linalg.norm(model.opt.gravity)) * down(given, script)
    if given["backlash"].any():
        gaps = [model.joint(name + GAP).id for name in robot.joint_names]
        play = np.maximum(given["backlash"], 1e-6)[:, None]
        batch.expand("jnt_range")[:, gaps] = np.stack([-play, play], axis=-1)
    batch.expand("geom_friction")[:, :, 0] = given["friction"][:, None]
    shift = np.stack([given["com_x"], given["com_y"], np.zeros(n)], axis=-1)
    set_bodies(batch, robot, np.repeat(given["mass"][:, None], bodies, axis=1), given["payload"], shift)
    batch.set_const()
    batch.bind("xfrc_applied")[:, model.body(robot.base_body).id, :2] = given["side_force"][:, None] * np.stack(
        [np.cos(script.force_direction), np.sin(script.force_direction)], axis=-1
    )


def level(given: dict[str, np.ndarray], script: Script) -> np.ndarray:
    """Quaternions (n, 4) that turn the ground's frame, in which MuJoCo works, into the level frame of gravity."""
    half = given["slope"] / 2
    axis = np.stack([np.cos(script.slope_direction), np.sin(script.slope_direction)], axis=-1)
    return np.concatenate([np.cos(half)[:, None], np.sin(half)[:, None] * axis, np.zeros((len(half), 1))], axis=-1)


def down(given: dict[str, np.ndarray], script: Script) -> np.ndarray:
    """Unit vectors (n, 3) of gravity in the ground's frame: the level frame's −z turned back."""
    s, c = np.sin(given["slope"]), np.cos(given["slope"])
    x, y = np.cos(script.slope_direction), np.sin(script.slope_direction)
    return np.stack([s * y, -s * x, -c], axis=-1)


def strength(given: dict[str, np.ndarray], script: Script, robot: Robot) -> np.ndarray:
    """(n, 12) factor on each motor's torque."""
    legs = np.repeat(np.arange(len(robot.leg_names)), robot.num_joints // len(robot.leg_names))
    return np.where(legs[None] == script.weak_leg[:, None], given["weak_leg"][:, None], 1.0)


def torque_limits(given: dict[str, np.ndarray], factor: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest torque (n, 12), N m, of motors at joint speeds (n, 12), rad/s.

    As in a DC motor the torque that can be had falls linearly with the speed in its own direction, to nothing at the
    no-load speed; against it, it stays.
    """
    limit = given["torque_limit"][:, None] * factor
    share = speed / given["no_load_speed"][:, None]
    return -limit * np.clip(1 + share, 0, 1), limit * np.clip(1 - share, 0, 1)


def set_motors(batch: mujoco.batch.Batch, kp: np.ndarray, kd: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Servos with τ = clip(kp (target - q) - kd q̇, low, high), all (n, 12)."""
    batch.expand("actuator_gainprm")[:, :, 0] = kp
    batch.expand("actuator_biasprm")[:, :, 1] = -kp
    batch.expand("actuator_biasprm")[:, :, 2] = -kd
    batch.expand("actuator_forcerange")[:] = np.stack([low, high], axis=-1)
