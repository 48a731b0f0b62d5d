"""`walkies explain` of a policy file: what it observes, what its actions do, and what else the file contains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.table import Table

from walkies.cli.tables import titled
from walkies.deploy.blocks import Blocks, HeadingHold, Movement
from walkies.deploy.blocks.command import AXES
from walkies.deploy.policy_file import PolicyFile
from walkies.files import shown
from walkies.robots.base import PerJoint, Robot
from walkies.tasks.gait.reference import OPTIONAL_TABLES, TABLES
from walkies.tasks.signal import GAIT

UNITS = {"vx": "m/s", "vy": "m/s", "wz": "rad/s"}


def tables(policy: PolicyFile, robot: Robot) -> Iterator[Table]:
    """The file's content for people."""
    yield frame_table(policy)
    yield action_table(policy, robot)
    yield blocks_table(policy)


def frame_table(policy: PolicyFile) -> Table:
    """The frame by components, index by index."""
    history = policy.observation_history
    title = (
        f"Observation, format of {policy.edition}: {policy.observation_size} numbers = {history} frame(s) of "
        f"{policy.frame_size}, newest first, each number within ±100"
    )
    table = titled(title, "index", "component", "in walkies", "unit", "sensor", "meaning", names=3)
    for one in policy.signals:
        where = policy.slices[one.name]
        table.add_row(f"{where.start}–{where.stop - 1}", one.in_files, one.name, one.unit, one.sensor, one.meaning)
    return table


def action_table(policy: PolicyFile, robot: Robot) -> Table:
    """The network, and what each of its outputs does."""
    sizes = [policy.observation_size, *(len(layer.bias) for layer in policy.layers)]
    names = [layer.activation or "linear" for layer in policy.layers]
    network = " ".join([str(sizes[0]), *(f"→ {size} ({name})" for size, name in zip(sizes[1:], names, strict=True))])
    title = (
        f"Network: {network}; {policy.num_parameters:,} parameters. "
        f"Target = clip(default + scale · output), every {policy.control_dt * 1000:.0f} ms; "
        f"servo kp {gain(policy.kp)} N·m/rad, kd {gain(policy.kd)} N·m·s/rad; "
        f"IMU {'used' if policy.use_imu else 'not used'}"
    )
    table = titled(title, "index", "joint", "default (rad)", "scale (rad)", "limits (rad)", names=2)
    limits = zip(policy.joint_lower_limits, policy.joint_upper_limits, strict=True)
    rows = zip(robot.joint_names, policy.default_joint_pos, policy.action_scale, limits, strict=True)
    for i, (name, default, scale, (lower, upper)) in enumerate(rows):
        reach = "held at the default" if i in policy.held else f"[{lower:+.2f}, {upper:+.2f}]"
        table.add_row(str(i), name, f"{default:+.2f}", f"{scale:g}", reach)
    return table


def blocks_table(policy: PolicyFile) -> Table:
    """How commands and references reach the policy."""
    table = titled("Commands and references", "part", "value", "meaning")
    for row in (*_commands(policy), *_gait(policy), *_jump(policy.blocks)):
        table.add_row(*row)
    if policy.blocks.trick is not None:
        for row in _trick(policy.blocks.trick):
            table.add_row(*row)
    return table


def gain(value: PerJoint) -> str:
    """One number, or the range over the joints."""
    low, high = (min(value), max(value)) if isinstance(value, tuple) else (value, value)
    return f"{low:g}" if low == high else f"{low:g} … {high:g}"


Row = tuple[str, str, str]


def _commands(policy: PolicyFile) -> Iterator[Row]:
    clip = policy.blocks.command_clip
    if clip is not None:
        for axis in AXES:
            pair = getattr(clip, axis)
            value = "not bounded" if pair is None else f"{pair[0]:g} … {pair[1]:g} {UNITS[axis]}"
            yield f"command_clip.{axis}", value, "commands are clipped to it"
    else:
        for name, (low, high) in policy.command_range.items():
            yield f"walkies.command_range.{name}", f"{low:g} … {high:g}", "trained to follow; the robot clips nothing"
        if not policy.command_range:
            yield "command_clip", "none", "the file does not say which commands it was trained to follow"
    yield _hold(policy.blocks.hold, said=policy.blocks.heading_hold is not None)


def _hold(hold: HeadingHold, said: bool) -> Row:
    whose = "says the file" if said else "the robot's choice, since the file says nothing"
    if not hold.on:
        return "heading_hold", "off", whose
    value = f"kp {hold.kp:g} rad/s per rad, at most {hold.clip:g} rad/s"
    meaning = f"above {hold.walk_threshold:g} m/s and below {hold.yaw_threshold:g} rad/s of yaw command; {whose}"
    return "heading_hold", value, meaning


def _gait(policy: PolicyFile) -> Iterator[Row]:
    gait = policy.blocks.gait_reference
    if gait is None:
        yield GAIT, "none", ""
        return
    yield f"{GAIT}.frequency", f"{gait.frequency:g} Hz", "cycles of the trot, on the clock"
    yield f"{GAIT}.blend_speed", f"{gait.blend_speed:g}", "norm of the command at which the reference has its full size"
    yield f"{GAIT}.dir_threshold", f"{gait.dir_threshold:g} m/s", "below it lifts in place, in the direction of the yaw"
    fast = f"from it on it gallops, at {gait.gallop_freq_mult:g} × the frequency"
    yield f"{GAIT}.gallop_speed", f"{gait.gallop_speed:g} m/s", fast
    pose = np.asarray(policy.default_joint_pos)
    for name in (*TABLES, *OPTIONAL_TABLES):
        yield f"{GAIT}.{name}", *(_reach(gait.tables[name], pose) if name in gait.tables else ("none", ""))


def _reach(table: np.ndarray, pose: np.ndarray) -> tuple[str, str]:
    rows, joints = table.shape
    return f"{rows} × {joints}", f"up to {np.abs(table - pose).max():.2f} rad from the default pose"


def _jump(blocks: Blocks) -> Iterator[Row]:
    slot = blocks.jump_slot
    if slot is None:
        yield "jump_slot", "none", ""
        return
    times = f"{len(slot.jump_table)} rows in {slot.playback_s:g} s, {slot.active_s:g} s long"
    rhythm = f"on button {slot.trigger_button}, begun on multiples of {slot.grid_s:g} s, one in {slot.busy_s:g} s"
    yield "jump_slot", times, rhythm
    cap = f"{slot.walk_speed_cap:g} m/s, {slot.run_speed_cap:g} with button {slot.run_button}"
    yield "jump_slot, speed", cap, "vx and vy are capped at it"
    if slot.hop_table is not None:
        yield "jump_slot.hop_table", f"{len(slot.hop_table)} rows", f"in its place from {slot.hop_speed:g} m/s on"


def _trick(trick: Movement) -> Iterator[Row]:
    frames = len(trick.joint_pos)
    length = f"{frames} frames at {trick.fps:g} Hz"
    yield "trick", f"{shown(trick.name)}: {length}", "a recorded movement, shown frame by frame once faded in"
    for clip in trick.clips:
        then = "loops" if clip.loop else f"then {shown(clip.next)}" if clip.next is not None else "then holds its end"
        yield "trick.clips", shown(clip.name), f"frames {clip.start} … {clip.end - 1}, {then}"
