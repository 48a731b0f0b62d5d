"""What the critic observes beyond the policy's observation: the true state, the drawn robot and its world."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from walkies.geometry import DOWN, to_body
from walkies.later import jnp, mujoco
from walkies.robots import in_default_pose
from walkies.robots.base import Robot
from walkies.sim.base import Simulator
from walkies.tasks.randomization import Randomization
from walkies.tasks.randomization.draw import privileged_size
from walkies.tasks.signal import COMMAND, GAIT, SIGNALS, SPIN, VECTOR, Image, Signal, mirrored_joints, signed, three


class Task(Protocol):
    """What sizes and mirror images are taken from: a `walkies.tasks.walk.Walk`."""

    robot: Robot
    simulator: Simulator
    spheres: tuple[str, ...]
    feet: np.ndarray
    default_pose: np.ndarray


Privileged = Signal[Task, Any]
"""An element of the critic's observation; the source is a `walkies.tasks.walk.WalkState`."""

FORCE_SCALE = 0.1
"""1/N: lasting forces are about ±10 N."""


def signals(randomization: Randomization, gait: bool = False, motion: bool = False) -> tuple[Privileged, ...]:
    """The critic's observation under a randomization: with slopes it includes gravity, with lasting forces the force,
    with a gait its reference, and with a movement its frame."""
    factors = privileged_size(randomization)
    found: list[Privileged] = [
        Signal("angular_velocity", "rad/s", "of the base, body frame", three,
               lambda s: s.physics.qvel[:, 3:6], signed(SPIN)),
        Signal("down", "1", "into the ground, body frame", three,
               lambda s: to_body(s.physics.qpos[:, 3:7], DOWN), signed(VECTOR)),
        Signal("command", "m/s, m/s, rad/s", "the commanded velocity", three, lambda s: s.command, signed(COMMAND)),
        Signal("goal", "m/s, m/s, rad/s", "the velocity that is rewarded", three, lambda s: s.goal, signed(COMMAND)),
        Signal("joint_position", "rad", "joint angles minus the default pose", _joints,
               lambda s: s.physics.qpos[:, 7:], _mirrored_joints, express=lambda q, task: q - task.default_pose),
        Signal("last_action", "1", "the action last executed", _joints, lambda s: s.action, _mirrored_joints),
        Signal("velocity", "m/s", "of the base, body frame", three, lambda s: s.velocity, signed(VECTOR)),
        Signal("height", "m", "of the base origin", _one, lambda s: s.physics.qpos[:, 2:3], signed(np.ones(1))),
        Signal("joint_velocity", "rad/s", "of each joint", _joints, lambda s: s.physics.qvel[:, 6:], _mirrored_joints),
        Signal("contact", "1", "whether each colliding sphere touches the ground", lambda task: len(task.spheres),
               lambda s: s.contact.astype(jnp.float32), _mirrored_spheres),
        Signal("air_time", "s", "of each foot since it last touched the ground", lambda task: len(task.feet),
               lambda s: s.air_time, _mirrored_legs),
        Signal("factors", "1", "how the drawn robot differs from the nominal one", lambda task: factors,
               lambda s: s.factors, signed(np.ones(factors))),
        Signal("fade_in", "1", "share of an action that is executed", _one,
               lambda s: jnp.minimum(s.clock / s.fade_in, 1.0)[:, None], signed(np.ones(1))),
    ]  # fmt: skip
    if not randomization.contact.slope.off:
        found.append(Signal("gravity", "1", "unit vector of gravity, body frame", three,
                            lambda s: to_body(s.physics.qpos[:, 3:7], s.down), signed(VECTOR)))  # fmt: skip
    if not randomization.pushes.force.off:
        found.append(Signal("force", "10 N", "force on the trunk that lasts, body frame", three,
                            lambda s: to_body(s.physics.qpos[:, 3:7], FORCE_SCALE * s.force.now()),
                            signed(VECTOR)))  # fmt: skip
    if gait:
        found.append(Signal(GAIT, "rad", "joint angles of a reference gait minus the default pose", _joints,
                            lambda s: s.gait.reference, _mirrored_joints))  # fmt: skip
    if motion:
        command, anchor = SIGNALS["motion_command"], SIGNALS["motion_anchor"]
        found += [
            Signal(command.name, command.unit, command.meaning, lambda task: command.size(task.robot),
                   lambda s: s.motion.command, lambda task: command.mirror(task.robot)),
            Signal(anchor.name, anchor.unit, anchor.meaning, lambda task: anchor.size(task.robot),
                   lambda s: s.motion.seen_from(s.physics.qpos[:, 3:7]), lambda task: anchor.mirror(task.robot)),
            Signal("motion_height", "m", "of the base origin in that frame", _one,
                   lambda s: s.motion.height[:, None], signed(np.ones(1))),
        ]  # fmt: skip
    return tuple(found)


def _one(task: Any) -> int:
    return 1


def _joints(task: Task) -> int:
    return task.robot.num_joints


def _mirrored_joints(task: Task) -> Image:
    return mirrored_joints(task.robot)


def _mirrored_legs(task: Task) -> Image:
    legs = task.robot.mirror_legs or ()
    return Image(np.array(legs), np.ones(len(legs)))


def _mirrored_spheres(task: Task) -> Image:
    """Each is paired with that which lies nearest to its mirror image as the robot stands."""
    place = sphere_places(task.robot, task.simulator.model, task.spheres)
    image = np.linalg.norm(place[:, None] - place[None] * VECTOR, axis=-1).argmin(axis=1)
    return Image(image, np.ones(len(image)))


def sphere_places(robot: Robot, model: mujoco.MjModel, spheres: tuple[str, ...]) -> np.ndarray:
    """Where spheres (k) are in the default pose: (k, 3) m, frame of the trunk."""
    data = in_default_pose(model, robot)
    base = data.body(robot.base_body)
    places = np.array([data.geom(name).xpos for name in spheres])
    return (places - base.xpos) @ base.xmat.reshape(3, 3)
