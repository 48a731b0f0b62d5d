"""The linter's rules on how a policy fits its robot: gains, action scale, joints and pose, rate and commands."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from walkies.deploy.blocks.command import AXES
from walkies.deploy.checks.findings import BOARD, CONTROLLER, ERROR, NEWER_CONTROLLER, NOTE, WARNING, Finding
from walkies.deploy.checks.stance import stance
from walkies.deploy.json_values import is_finite
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.policy_json import COMMANDS
from walkies.files import shown
from walkies.robots import known, names
from walkies.robots.base import Range, Robot

HELD = "target = default_joint_pos + action_scale · action"
LIMIT_WIDTH = Range(0.0, math.inf, "rad", "the lower limit comes first")
"""Default plausible ranges of a robot."""
GROSS = 10.0
"""A number this many times outside the plausible range is a typo or another unit, not a choice."""


def gains(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    """Stiffness and damping, and whether the IMU is used."""
    for key, gain, cap in (("kp", policy.kp, robot.kp_cap), ("kd", policy.kd, robot.kd_cap)):
        for value in sorted(set(np.ravel(gain).tolist())):
            if value > cap:
                message = f"{value:g} is above the board's cap: the robot will silently use {cap:g}"
                yield Finding("gain-over-cap", ERROR, key, message, BOARD, f"train with {key} ≤ {cap:g}")
            if robot.plausible is not None:
                plausible = getattr(robot.plausible, key)
                yield from _implausible("implausible-gain", key, value, plausible, "write the gain it was trained with")
    if not policy.use_imu:
        message = "the controller then demands an IMU that reports exactly no rotation, and fails at the first tilt"
        yield Finding("no-imu", WARNING, "use_imu", message, CONTROLLER, "set use_imu to true")


def scale(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    """Angle per unit of action."""
    scales = np.array(policy.action_scale)
    uniform = bool(np.all(scales == scales[0]))
    silent = _silent(policy)
    for i, value in enumerate(scales[:1] if uniform else scales):
        key = "action_scale" if uniform else f"action_scale[{i}]"
        which = "every joint" if uniform else robot.joint_names[i]
        if i in policy.held:
            message = f"{which} stays at its default pose: its action has no effect"
            if silent[i]:
                yield Finding("held-joint", NOTE, key, message, HELD, "none needed if it is meant to be held")
                continue
            mend = "write the scale it was trained with, or train with --task.hold"
            yield Finding("deaf-joint", WARNING, key, f"{message}, and the network moves it", HELD, mend)
        if value < 0:
            message = f"{value:g} turns {which} the other way than the policy means"
            yield Finding("mirrored-scale", ERROR, key, message, CONTROLLER, f"write {-value:g}")
        mend = "write the scale it was trained with, in rad per unit of action"
        if robot.plausible is not None:
            yield from _implausible("implausible-scale", key, abs(value), robot.plausible.action_scale, mend)


def _silent(policy: PolicyFile) -> np.ndarray:
    """(nu,) bool: the network's action for a joint is zero whatever it sees, as it is exported of held joints."""
    if not policy.layers:
        return np.zeros(policy.num_joints, bool)
    last = policy.layers[-1]
    return (last.bias == 0.0) & (last.weights is not None and np.all(last.weights == 0.0, axis=0))


def joints(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    """Default pose and limits beside one another, the robot's and the board's."""
    pose, lower, upper = (
        np.array(values) for values in (policy.default_joint_pos, policy.joint_lower_limits, policy.joint_upper_limits)
    )
    if np.any(np.abs(np.concatenate([pose, lower, upper])) > 2 * np.pi):
        message = "angles beyond a full turn: degrees instead of radians?"
        yield Finding("degrees", ERROR, "default_joint_pos", message, CONTROLLER, "write radians")
        return
    for i in np.flatnonzero((pose < lower) | (pose > upper)):
        message = f"{pose[i]:g} for {robot.joint_names[i]} is outside its limits {lower[i]:g} … {upper[i]:g}"
        mend = "the order of joints or the sign of the left legs may be wrong"
        yield Finding("pose-outside-limits", ERROR, f"default_joint_pos[{i}]", message, CONTROLLER, mend)
    width = LIMIT_WIDTH if robot.plausible is None else robot.plausible.limit_width
    for i in np.flatnonzero(upper - lower < width.low):
        message = f"limits leave {robot.joint_names[i]} {upper[i] - lower[i]:.3g} {width.unit}: it cannot move"
        yield Finding(
            "narrow-limits", WARNING, f"joint_lower_limits[{i}]", message, width.reason, "write the joint's limits"
        )
    hard_lower, hard_upper = np.array(robot.lower_limits), np.array(robot.upper_limits)
    for i in np.flatnonzero((lower < hard_lower - 1e-3) | (upper > hard_upper + 1e-3)):
        message = f"{lower[i]:g} … {upper[i]:g} is wider than {robot.joint_names[i]} can turn"
        mend = f"write {hard_lower[i]:g} … {hard_upper[i]:g}"
        yield Finding("limits-beyond-robot", WARNING, f"joint_lower_limits[{i}]", message, BOARD, mend)
    board_lower, board_upper = robot.target_limits()
    for i in np.flatnonzero((pose < board_lower) | (pose > board_upper)):
        message = (
            f"{pose[i]:g} for {robot.joint_names[i]} is outside the board's {board_lower[i]:g} … {board_upper[i]:g}"
        )
        yield Finding("pose-outside-board", WARNING, f"default_joint_pos[{i}]", message, BOARD, "choose another pose")
    if "robot" not in policy.walkies and np.any((lower < board_lower) | (upper > board_upper)):
        message = f"the board clamps {robot.limit_inset:g} rad inside the joint limits; was that clamp in the training?"
        mend = "train with targets clamped as the board clamps them, or write the inset limits"
        yield Finding("silent-clamp", WARNING, "joint_lower_limits", message, BOARD, mend)
    yield from _pose(pose, robot)


def training(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    """The file's statements about its training: robot, rate, commands."""
    about = policy.walkies
    if not known(policy.robot_name):
        message = f"made for {shown(policy.robot_name)}, unknown here; checked as if for {robot.name}"
        mend = f"write one of {', '.join(names())}"
        yield Finding("unknown-robot", WARNING, "walkies.robot", message, "walkies.robots", mend)
    dt = about.get("control_dt", 0.02)
    if not is_finite(dt) or abs(dt - 0.02) > 0.001:
        message = f"trained at {dt if is_finite(dt) else '?'} s per action; the robot acts every 0.019 … 0.02 s"
        yield Finding(
            "control-rate", ERROR, "walkies.control_dt", message, CONTROLLER, "train with a control_dt of 0.02"
        )
    if "command" not in policy.observation:
        return
    ranges = policy.command_range
    if not ranges:
        message = "the file does not say which commands it was trained to follow"
        mend = "find out, and scale the gamepad accordingly (teleop_twist_joy)"
        yield Finding("command-range-unknown", NOTE, "command_clip", message, CONTROLLER, mend)
        return
    for name, axis, most in zip(COMMANDS, AXES, robot.gamepad, strict=True):
        low, high = ranges.get(name, (0.0, 0.0))
        if not (low <= -most + 1e-6 and high >= most - 1e-6):
            trained = f"{low:g} … {high:g}" if name in ranges else "unknown"
            message = f"trained for {trained}, but the gamepad commands up to ±{most:g}: "
            mend = "scale the gamepad down (teleop_twist_joy), or train over the whole range"
            if policy.blocks.command_clip is None:
                message += "more than it ever saw in training"
                yield Finding("command-range", WARNING, f"walkies.command_range.{name}", message, CONTROLLER, mend)
            else:
                message += "the rest is clipped"
                yield Finding("command-range", NOTE, f"command_clip.{axis}", message, NEWER_CONTROLLER, mend)


def _implausible(code: str, key: str, value: float, plausible: Range, mend: str) -> Iterator[Finding]:
    if plausible.low <= value <= plausible.high:
        return
    gross = not plausible.low / GROSS <= value <= plausible.high * GROSS
    message = f"got {value:g} {plausible.unit}, plausible for this robot is {plausible}"
    yield Finding(code, ERROR if gross else WARNING, key, message, plausible.reason, mend)


def _pose(pose: np.ndarray, robot: Robot) -> Iterator[Finding]:
    """Whether the feet are under their hips; mixed-up joints or signs put them elsewhere."""
    if (plausible := robot.plausible) is None:
        return
    feet = stance(robot, pose)
    for where, distance, span in (
        ("ahead of", feet.ahead, plausible.foot_ahead),
        ("outward of", feet.outward, plausible.foot_outward),
        ("below", feet.below, plausible.foot_below),
    ):
        off = np.flatnonzero((distance < span.low) | (distance > span.high))
        if off.size:
            legs, mean = ", ".join(robot.leg_names[leg] for leg in off), float(distance[off].mean())
            message = f"in this pose feet are {mean:.3f} {span.unit} {where} their hips ({legs}), "
            message += f"plausible for this robot is {span}"
            mend = "look at the order of the joints, and at the signs of left and right legs"
            yield Finding("implausible-pose", WARNING, "default_joint_pos", message, span.reason, mend)
