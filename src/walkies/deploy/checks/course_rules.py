"""What the course's own validator refuses (pupper_gait_deploy, download_policy.py); every deployment runs it.

A deployment runs it on the student's file, and stops if it reports anything. Its checks are repeated here one by one,
in its order; other rules cover what it does not check (gains, action scale, weights, numbers of a gait). A value of
another type, which would crash it, is a problem too. Sizes are the robot's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from walkies.deploy.blocks import MOTION_SIGNALS, gait, jump, trick
from walkies.deploy.blocks.command import AXES
from walkies.deploy.json_values import MAX_PROBLEMS, Problem, describe, describe_span, is_finite, is_span, size, whole
from walkies.deploy.policy_json import JOINT_KEYS, NEWEST_FIRST
from walkies.files import shown
from walkies.robots.base import Robot
from walkies.tasks import signal

CODE = "course-check"
QUATERNION = 4
SHORTEST_CLIP = 2
"""Frames."""


def problems(document: Mapping[str, Any], robot: Robot) -> list[Problem]:
    """Everything that the validator lists, for any document; empty if it accepts the file.

    A file without `in_shape` or `layers` is not a policy to it: then it checks nothing else.
    """
    missing = [key for key in ("in_shape", "layers") if key not in document]
    if missing:
        return [_problem(key, "nothing", "this key") for key in missing]
    return list(islice(_every(document, robot), MAX_PROBLEMS))


def _every(document: Mapping[str, Any], robot: Robot) -> Iterator[Problem]:
    names = yield from _frame(document, robot)
    yield from _sizes(document, robot)
    yield from _gait(document.get(gait.KEY), gait.KEY in names, robot)
    yield from _jump(document.get(jump.KEY), document.get(gait.KEY) is not None, robot)
    motion = {signal.SIGNALS[name].in_files for name in MOTION_SIGNALS}
    yield from _motion(document, bool(motion & names), robot)
    yield from _clip(document.get("command_clip"))


def _frame(document: Mapping[str, Any], robot: Robot) -> Generator[Problem, None, set[str]]:
    """Checks obs_spec; returns the names of the components."""
    spec = document.get("obs_spec")
    names: set[str] = set()
    if not isinstance(spec, dict):
        got = "nothing" if spec is None else describe(spec)
        yield _problem("obs_spec", got, "the components of a frame; an old exporter wrote this file")
        return names
    if spec.get("frame_order") != NEWEST_FIRST:
        yield _problem("obs_spec.frame_order", _got(spec, "frame_order"), NEWEST_FIRST)
    components = spec.get("components", [])
    if not isinstance(components, list):
        yield _problem("obs_spec.components", describe(components), "a list")
        return names
    known = {one.in_files: one.size(robot) for name, one in signal.SIGNALS.items()}
    total = 0
    for index, component in enumerate(components):
        key = f"obs_spec.components[{index}]"
        name = component.get("name") if isinstance(component, dict) else None
        if not isinstance(name, str) or name not in known:
            yield _problem(key, describe(component if name is None else name), f"one of {', '.join(known)}")
        elif whole(component.get("size")) != known[name]:
            yield _problem(f"{key}.size", _got(component, "size"), f"{known[name]}, the size of {name}")
        if isinstance(name, str):
            if name in names:
                yield _problem(f"{key}.name", describe(name), "each component once")
            names.add(name)
        total += (whole(component.get("size")) or 0) if isinstance(component, dict) else 0
    if _frame_size(document, robot) != total:
        expected = f"{total}, the sum of the components"
        yield _problem("single_observation_size", _got(document, "single_observation_size"), expected)
    frames = document.get("observation_history")
    if spec.get("history") not in (None, frames):
        got, expected = describe(spec["history"]), f"observation_history, {_got(document, 'observation_history')}"
        yield _problem("obs_spec.history", got, expected)
    return names


def _frame_size(document: Mapping[str, Any], robot: Robot) -> int | None:
    """Of which the file says its frame is, the plain one's where it says nothing; None where that is no number."""
    plain = signal.total(signal.chosen(signal.FRAME), robot)
    return whole(document.get("single_observation_size", plain))


def _sizes(document: Mapping[str, Any], robot: Robot) -> Iterator[Problem]:
    """History and input, joints, and outputs."""
    frames, frame, shape = document.get("observation_history"), _frame_size(document, robot), document["in_shape"]
    inputs = whole(shape[1]) if isinstance(shape, list) and len(shape) > 1 else None
    if frames is None:
        yield _problem("observation_history", "nothing", "this key")
    elif not is_finite(frames):
        yield _problem("observation_history", describe(frames), "a number of frames")
    elif inputs is None:
        yield _problem("in_shape", describe(shape), "[null, inputs]")
    elif frame is not None and frames * frame != inputs:
        expected = f"observation_history × single_observation_size = {describe(frames)} × {frame}"
        yield _problem("in_shape[1]", str(inputs), expected)
    for key in JOINT_KEYS:
        value = document.get(key)
        if not isinstance(value, list) or len(value) != robot.num_joints:
            yield _problem(key, _got(document, key), f"{robot.num_joints} angles")
    layers = document["layers"]
    if not isinstance(layers, list) or not layers:
        yield _problem("layers", describe(layers), "a list of layers")
        return
    last = layers[-1].get("shape") if isinstance(layers[-1], dict) else None
    if not isinstance(last, list) or len(last) < 2 or whole(last[1]) != robot.num_joints:
        got = str(size(last)) if size(last) else describe(last)
        yield _problem(f"layers[{len(layers) - 1}].shape", got, f"{robot.num_joints} actions")


def _gait(block: Any, shown: bool, robot: Robot) -> Iterator[Problem]:
    """shown: whether the frame has the component."""
    if (block is not None) != shown:
        yield _together(gait.KEY, block is not None, gait.KEY)
    if block is None:
        return
    if not isinstance(block, dict):
        yield _problem(gait.KEY, describe(block), "an object")
        return
    rows = whole(block.get("n_samples", 0))
    for name in (*gait.TABLES, *(name for name in gait.OPTIONAL_TABLES if name in block)):
        yield from _table(block, gait.KEY, name, rows, robot.num_joints)
    if block.get("joint_names") and block["joint_names"] != list(robot.joint_names):
        expected = f"the robot's, in its order: {robot.joint_names[0]} … {robot.joint_names[-1]}"
        yield _problem(f"{gait.KEY}.joint_names", describe(block["joint_names"]), expected)


def _jump(block: Any, beside_gait: bool, robot: Robot) -> Iterator[Problem]:
    if block is None:
        return
    if not beside_gait:
        yield _problem(jump.KEY, "no gait_reference", "the gait that a jump interrupts")
    if not isinstance(block, dict):
        yield _problem(jump.KEY, describe(block), "an object")
        return
    yield from _table(block, jump.KEY, "jump_table", whole(block.get("n_samples", 0)), robot.num_joints)
    for name in jump.TIMES:
        if name not in block:
            yield _problem(f"{jump.KEY}.{name}", "nothing", "this key, in s")


def _motion(document: Mapping[str, Any], shown: bool, robot: Robot) -> Iterator[Problem]:
    """shown: whether the frame has a component of a movement."""
    motion, block = document.get(trick.MOTION), document.get(trick.TRICK)
    if (motion is not None) != shown:
        names = [signal.SIGNALS[name].in_files for name in MOTION_SIGNALS]
        yield _together(trick.MOTION, motion is not None, " or ".join(names))
    if motion is None:
        return
    if not isinstance(block, dict) or "fps" not in block:
        yield _problem(f"{trick.TRICK}.fps", "nothing", "frames per second of the motion")
    if not isinstance(motion, dict):
        yield _problem(trick.MOTION, describe(motion), "an object")
        return
    first = motion.get("joint_pos", [])
    frames = len(first) if isinstance(first, list) else None
    joints = robot.num_joints
    for name, width in (("joint_pos", joints), ("joint_vel", joints), ("anchor_quat_wxyz", QUATERNION)):
        yield from _table(motion, trick.MOTION, name, frames, width)
    if isinstance(block, dict):
        yield from _clips(block.get("clips", []), frames or 0)


def _clips(clips: Any, frames: int) -> Iterator[Problem]:
    if not isinstance(clips, list) or not all(isinstance(clip, dict) for clip in clips):
        yield _problem("trick.clips", describe(clips), "a list of objects")
        return
    names = {name for clip in clips if isinstance(name := clip.get("name"), str)}
    seen: set[str] = set()
    for index, clip in enumerate(clips):
        key, name, following = f"trick.clips[{index}]", clip.get("name"), clip.get("next")
        start, end = clip.get("start"), clip.get("end")
        if not (is_finite(start) and is_finite(end) and 0 <= start <= end - SHORTEST_CLIP and end <= frames):
            got = f"{_got(clip, 'start')} … {_got(clip, 'end')}"
            yield _problem(key, got, f"within {frames} frames, at least {SHORTEST_CLIP} of them")
        if following is not None and not (isinstance(following, str) and following in names):
            yield _problem(f"{key}.next", describe(following), "the name of a clip")
        if not isinstance(name, str) or name in seen:
            yield _problem(f"{key}.name", describe(name), "a name of its own")
        else:
            seen.add(name)


def _clip(block: Any) -> Iterator[Problem]:
    """`command_clip`."""
    if block is None:
        return
    if not isinstance(block, dict):
        yield _problem("command_clip", describe(block), f"an object with {', '.join(AXES)}")
        return
    for axis, pair in block.items():
        key = f"command_clip.{shown(axis)}"
        if axis not in AXES:
            yield _problem(key, "an unknown axis", f"one of {', '.join(AXES)}")
        elif not is_span(pair):
            yield _problem(key, describe_span(pair), "[low, high], low ≤ high")


def _table(block: Mapping[str, Any], key: str, name: str, rows: int | None, columns: int) -> Iterator[Problem]:
    """A problem unless there are this many rows of this many numbers; the values are not checked."""
    table = block.get(name, [])
    if not isinstance(table, list) or len(table) != rows or not _have_columns(table, columns):
        yield _problem(f"{key}.{name}", _got(block, name), f"{'rows' if rows is None else rows} × {columns} numbers")


def _have_columns(table: Sequence[Any], columns: int) -> bool:
    return all(isinstance(row, list) and len(row) == columns for row in table)


def _together(key: str, there: bool, component: str) -> Problem:
    if there:
        return _problem(key, "no such component in obs_spec", component)
    return _problem(key, "nothing", f"this block, since obs_spec has {component}")


def _got(block: Mapping[str, Any], key: str) -> str:
    return describe(block[key]) if key in block else "nothing"


def _problem(key: str, got: str, expected: str) -> Problem:
    return Problem(CODE, key, got, expected)
