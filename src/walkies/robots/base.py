"""A robot is an MJCF file and this typed record of the facts that code needs to know by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

PerJoint: TypeAlias = float | tuple[float, ...]
"""One number for all joints, or one for each."""


IDLE = "idle"
"""The word for all joints of no leg, in `Robot.hold` and `--task.hold`."""


@dataclass(frozen=True)
class Range:
    """Plausible range of a number, and its reason."""

    low: float
    high: float
    unit: str
    reason: str
    """where the bounds come from"""

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"at least {self.low:g} {self.unit}"
        return f"{self.low:g} … {self.high:g} {self.unit}"


@dataclass(frozen=True)
class Plausible:
    """Plausible ranges of a policy file's numbers for one robot: typos, wrong units or joint orders lie outside."""

    kp: Range
    kd: Range
    action_scale: Range
    """of each joint, without its sign"""
    limit_width: Range
    """of each joint, upper minus lower limit"""
    foot_ahead: Range
    """of each foot in the default pose, as seen from the first joint of its leg; likewise:"""
    foot_outward: Range
    foot_below: Range


@dataclass(frozen=True)
class Delivery:
    """How to deploy a policy file with the robot's own software."""

    edition: int
    """Edition of the file format that the software reads (`walkies.deploy.policy_file.EDITIONS`)."""
    software: str
    """The repository cloned on the robot; paths are relative to it."""
    path: str
    """Where to put the file."""
    command: str
    """The command to run there. It checks the file, installs it and starts the robot's software."""
    upload: str
    """The command for a file in a Weights & Biases run, which it fetches itself."""
    start: str
    """The gamepad button that starts the policy."""
    stop: str
    """The gamepad button that stops it."""
    advice: str
    """Advice for its first run."""


@dataclass(frozen=True)
class Joints:
    """Joint properties that override those of the MJCF. In the order of `Robot.joint_names`."""

    armature: tuple[float, ...]
    """kg m²"""
    damping: tuple[float, ...]
    """N m s/rad"""
    frictionloss: tuple[float, ...]
    """N m"""


@dataclass(frozen=True)
class Robot:
    """Facts about one legged robot. Joint arrays follow the MJCF's joint order (leg by leg, outwards). SI, radians."""

    name: str
    mjcf: Path
    """MJCF file with ground plane, colliders (spheres) and visuals. It states joint limits and motors once more, as its
    format asks; `walkies.sim.params.check_record` holds them equal to this record."""
    base_body: str
    leg_names: tuple[str, ...]
    joint_names: tuple[str, ...]
    """All actuated hinge joints, leg by leg."""
    joint_labels: tuple[str, ...]
    """Common names of the joints of a leg, from the trunk outwards."""
    default_pose: tuple[float, ...]
    lower_limits: tuple[float, ...]
    upper_limits: tuple[float, ...]
    limit_inset: float
    """The motor board clamps targets this far inside the joint limits (rad)."""
    kp: PerJoint
    """N m/rad, servo stiffness with which policies are trained and act unless a task says otherwise."""
    kd: PerJoint
    """N m s/rad, servo damping, likewise."""
    torque_limit: PerJoint
    """N m"""
    kp_cap: float
    """N m/rad, the motor board's cap."""
    kd_cap: float
    """N m s/rad, likewise."""
    init_kp: PerJoint
    init_kd: PerJoint
    """Gains while the controller moves to the default pose after activation."""
    foot_geoms: tuple[str, ...]
    """Names of the colliding spheres of the feet, leg by leg, as many for each leg."""
    knee_geoms: tuple[str, ...]
    """Names of those of the legs above the feet."""
    torso_geoms: tuple[str, ...]
    """Names of those of the base: if one of them touches the ground, the robot has fallen."""
    foot_sites: tuple[str, ...]
    """Names of sites in the middle of `foot_geoms`, in their order."""
    imu_site: str
    reset_height: tuple[float, float]
    """Range of base heights (m) at which the default pose is clear of the ground or just above it."""
    standing_height: float
    """Base height (m) at which the robot settles in its default pose."""
    hip_height: float
    """m, of the middle of the hips above the lowest point of the feet in the default pose: the robot's unit of
    length."""
    mass: float
    """kg, of the whole robot."""
    mirror_joints: tuple[int, ...] | None
    """Left–right mirror: joint i of the mirrored robot is `mirror_signs[i] * q[mirror_joints[i]]`. None, as the two
    after it: left and right are no mirror images."""
    mirror_signs: tuple[float, ...] | None
    mirror_legs: tuple[int, ...] | None
    abduction_joints: tuple[int, ...]
    """Joints that move a leg sideways, by their index in `joint_names`; at most one per leg, in leg order."""
    swing: tuple[float, ...]
    """rad by which each joint may swing about the default pose while the robot is held in the air."""
    gamepad: tuple[float, float, float]
    """± m/s forward and leftward and rad/s of yaw: what its gamepad can ask for."""
    plausible: Plausible | None = None
    """Plausible ranges for this robot's policies; None: unknown."""
    torque_speed: PerJoint = math.inf
    """rad/s, above 0, at which a motor's torque in the direction of its speed has fallen to zero, linearly from
    `torque_limit`; ∞: it does not fall."""
    action_scale: PerJoint = 0.75
    """rad of joint target per unit of action unless a task says otherwise."""
    leg_joints: tuple[tuple[int, ...], ...] | None = None
    """Joints of each leg from the trunk outwards, by their index in `joint_names`; None: they come leg by leg."""
    fade_in: float = 1.0
    """s, length of the action fade-in. 0 for robots that do not stand on their servos alone: these are let down with
    the policy already acting."""
    kind: str = "quadruped"
    """quadruped, biped, humanoid, hexapod, or how many legs it has: selects the preset of a task."""
    trunk_length: float = 0.2
    """m, forward, of the box that has the base's mass and inertia."""
    payload_height: float = 0.1
    """m above the base's origin, over the trunk's centre of mass: where the judge puts a load."""
    hold: tuple[str, ...] = ()
    """Joints that its servos hold in the default pose while others move, as `--task.hold` takes them."""
    self_contacts: bool = False
    """Whether its parts are to touch one another in training, as they do in its examination."""
    joints: Joints | None = None
    """Numbers that replace those of the MJCF; None: the MJCF's own apply."""
    protocol: str = "generic"
    """Its control protocol, in `walkies.deploy.controllers`."""
    delivery: Delivery | None = None
    """How to deploy a policy file to it; None: unknown."""
    stance_points: tuple[tuple[float, float, float], ...] | None = None
    """m, frame of the trunk, legs in order: below these the feet of its gaits stand; None: where the default pose has
    them."""

    @property
    def legs(self) -> tuple[tuple[int, ...], ...]:
        """Of each leg its joints, from the trunk outwards, by their place in `joint_names`."""
        if self.leg_joints is not None:
            return self.leg_joints
        each = self.num_joints // len(self.leg_names)
        return tuple(tuple(range(leg * each, (leg + 1) * each)) for leg in range(len(self.leg_names)))

    @property
    def idle_joints(self) -> tuple[int, ...]:
        """Joints that belong to no leg, by their place in `joint_names`."""
        return tuple(sorted(set(range(self.num_joints)).difference(*self.legs)))

    @property
    def points(self) -> int:
        """Colliding spheres of a foot."""
        return len(self.foot_geoms) // len(self.leg_names)

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    def target_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint limits as the motor board applies them: inset by `limit_inset`. Two (num_joints,) arrays, rad."""
        return np.array(self.lower_limits) + self.limit_inset, np.array(self.upper_limits) - self.limit_inset
