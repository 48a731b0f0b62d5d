"""`contract.yaml`: everything a robot's own program needs to run an ONNX policy, beside the ONNX file.

The file is YAML of the simplest kind. Every line is a key, a colon and a JSON value, continued in lines that begin with
a space; comments have their own lines. Any YAML library reads it, and a program without one reads it with a JSON parser
and two lines of code (`walkies.deploy.runner` does).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import walkies
from walkies import records
from walkies.deploy.blocks import beyond_2025
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.policy_file import PolicyFile, PolicyFileError
from walkies.deploy.policy_json import COMMANDS, NEWEST_FIRST
from walkies.errors import UserError
from walkies.files import parse_json, read_text, write_text
from walkies.robots.base import Robot
from walkies.tasks.contract import OBSERVATION_CLIP
from walkies.tasks.signal import SIGNALS

NAME = "contract.yaml"
FORMAT = 1
"""Of the file; a reader refuses others."""
START_SECONDS = 2.0
"""From wherever the joints are to the default pose: as the init_duration of the course's robots of 2026."""
TILT_STOP = 1.0
"""rad: as the limit of the course's default policy of 2026; the examination counts 0.9 as a fall."""
UNBOUNDED = 1000.0
"""m/s and rad/s: where a policy's file states no range."""
MADE = ("gyro", "gravity", "command", "desired_up", "joint_position", "last_action", "joint_velocity")
"""Signals that the runner makes."""


class Component(NamedTuple):
    """One part of a frame."""

    name: str
    size: int
    unit: str
    scale: float
    """by which the network's input is the signal in its unit"""
    initial: list[float]
    """what the history holds before the first frame"""


class ContractFile(NamedTuple):
    """The content of the file, keys in its order. Lists are as long as `joint_names` where nothing else is said."""

    format: int
    producer: str
    robot: str
    policy: str
    requires: list[str]
    control_dt: float
    joint_names: list[str]
    default_pose: list[float]
    lower: list[float]
    upper: list[float]
    kp: list[float]
    kd: list[float]
    action_scale: list[float]
    observation: list[Component]
    observation_clip: float
    observation_history: int
    history_order: str
    command_low: list[float]
    command_high: list[float]
    start_seconds: float
    fade_in_seconds: float
    tilt_stop: float


COMMENTS = {
    "format": "of this file",
    "producer": "what wrote it",
    "robot": "its name in walkies",
    "policy": 'the network, in this folder: input "observation" (batch, history · frame), output "action", float32',
    "requires": "blocks of policy.json that commands or references need and this file does not hold; mostly none",
    "control_dt": "s between two actions",
    "joint_names": "the order of joints in every list here, in observations and in actions",
    "default_pose": "rad; what an action of zero means",
    "lower": "rad; targets are clamped to this",
    "upper": "rad; and to this",
    "kp": "N m/rad, stiffness of the servos while the policy acts: torque = kp (target - angle) - kd velocity",
    "kd": "N m s/rad, their damping",
    "action_scale": "rad; target = default_pose + action_scale · fade_in · action",
    "observation": "one frame, its parts in order; each is the signal in its unit times scale, and initial is what "
    "stands there before the first frame. joint_pos_rel: angles minus default_pose. last_action: the action times its "
    "fade-in. projected_gravity: unit vector of gravity in the body frame (x forward, y left, z up). The network holds "
    "the normalization",
    "observation_clip": "every number of a frame is clamped to ± this",
    "observation_history": "frames in an observation",
    "history_order": "of these frames",
    "command_low": "m/s forward, m/s leftward, rad/s of yaw counterclockwise; commands are clamped to this,",
    "command_high": "and to this: the range of the training, ±1000 if unknown",
    "start_seconds": "s from the pose in which the robot is found to default_pose, before the policy acts",
    "fade_in_seconds": "s over which actions then grow to full size",
    "tilt_stop": "rad between the body's z axis and the vertical; beyond it the robot lets go",
}
"""What stands above each key."""


def contract_of(policy: PolicyFile, robot: Robot, onnx: str) -> ContractFile:
    """The contract of a policy whose network is in the file named `onnx`.

    Gains and limits are those that reach the motors, as in `GenericController`: within what the motor board allows.

    Raises:
        PolicyFileError: the limits of the policy and of the robot have no angle in common.
    """
    controller = GenericController(policy, robot)
    lower, upper = controller.contract.robot.target_limits()
    clip = policy.blocks.command_clip
    ends = [pair or (-UNBOUNDED, UNBOUNDED) for pair in ((clip.vx, clip.vy, clip.wz) if clip else (None,) * 3)]
    return ContractFile(
        format=FORMAT,
        producer=f"walkies {walkies.__version__}",
        robot=robot.name,
        policy=onnx,
        requires=needed(policy, robot),
        control_dt=policy.control_dt,
        joint_names=list(robot.joint_names),
        default_pose=list(policy.default_joint_pos),
        lower=lower.tolist(),
        upper=upper.tolist(),
        kp=each(controller.policy.kp, robot),
        kd=each(controller.policy.kd, robot),
        action_scale=list(policy.action_scale),
        observation=[
            Component(one.in_files, size, one.unit, 1.0, list(one.initial or (0.0,) * size))
            for one in policy.signals
            for size in [one.size(policy)]
        ],
        observation_clip=OBSERVATION_CLIP,
        observation_history=policy.observation_history,
        history_order=NEWEST_FIRST,
        command_low=[float(low) for low, _ in ends],
        command_high=[float(high) for _, high in ends],
        start_seconds=START_SECONDS,
        fade_in_seconds=robot.fade_in,
        tilt_stop=TILT_STOP,
    )


def needed(policy: PolicyFile, robot: Robot) -> list[str]:
    """What the policy is shown or told that the contract does not hold: blocks of its file, signals of its frame."""
    blocks = beyond_2025(policy.blocks.document(robot.joint_names))
    if policy.blocks.hold.on and "heading_hold" not in blocks:  # on where a file with a gait says nothing
        blocks.append("heading_hold")
    signals = [SIGNALS[name].in_files for name in policy.observation if name not in MADE]
    return list(dict.fromkeys([*blocks, *signals]))


def each(numbers: Any, robot: Robot) -> list[float]:
    """One number for each joint."""
    return np.broadcast_to(np.asarray(numbers, float), robot.num_joints).tolist()


def write_contract(path: Path, contract: ContractFile) -> None:
    """Write it, atomically."""
    write_text(path, text(contract))


def text(contract: ContractFile) -> str:
    """The file's content."""
    lines = ["# How a robot's own program runs this policy. Joint angles in rad, SI units. Each value is JSON."]
    for name, value in contract._asdict().items():
        lines += [f"# {COMMENTS[name]}", f"{name}: {_value(value)}"]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """As JSON, which YAML 1.1 reads alike: there 1e-05 would be text, and 1.0e-05 is a number in both."""
    if isinstance(value, Component):
        return "{" + ", ".join(f'"{key}": {_value(item)}' for key, item in value._asdict().items()) + "}"
    if isinstance(value, list):
        long = any(isinstance(item, Component) for item in value)
        return "[" + ("\n  " if long else "") + (",\n  " if long else ", ").join(map(_value, value)) + "]"
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return json.dumps(value, ensure_ascii=False)


def read_contract(path: Path) -> ContractFile:
    """The contract in a file, checked strictly.

    Raises:
        UserError: it is damaged, of another format, or its lists do not fit each other.
    """
    expected = "what `walkies export` writes"
    found: dict[str, Any] = {}
    lines = "\n".join(line for line in read_text(path, expected).splitlines() if not line.startswith("#"))
    for entry in re.split(r"\n(?=\S)", lines.strip()):
        key, _, value = entry.partition(": ")
        if key in found or key not in ContractFile._fields:
            raise UserError(f"{path}: got the key {key!r} {'twice' if key in found else ''}; expected {expected}")
        found[key] = parse_json(value, f"{key} of {path}", expected)
    contract = records.build(found, ContractFile, str(path), expected)
    if contract.format != FORMAT:
        raise UserError(f"{path}: got format {contract.format}, expected {FORMAT}; export the policy again")
    joints = len(contract.joint_names)
    sizes = dict.fromkeys(("default_pose", "lower", "upper", "kp", "kd", "action_scale"), joints)
    sizes |= {"command_low": len(COMMANDS), "command_high": len(COMMANDS)}
    for name, size in sizes.items():
        if len(getattr(contract, name)) != size:
            raise UserError(f"{path}: {name} has {len(getattr(contract, name))} numbers; expected {size}")
    for part in contract.observation:
        if len(part.initial) != part.size:
            raise UserError(f"{path}: initial of {part.name} has {len(part.initial)} numbers; expected {part.size}")
    return contract


def require_runnable(contract: ContractFile) -> None:
    """Refuse what the runner would show or tell otherwise than the training did.

    Raises:
        PolicyFileError: which blocks.
    """
    if contract.requires:
        made = ", ".join(SIGNALS[name].in_files for name in MADE)
        raise PolicyFileError(
            f"--runner: the policy needs {', '.join(contract.requires)}, which the runner does not do; expected a "
            f"policy that observes only {made}. Train one without a reference (no --preset), or run "
            "this one with the robot's own software"
        )
