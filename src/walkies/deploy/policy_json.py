"""Strict reading of the robot's `policy.json`: JSON text to a document, and everything wrong with a document.

The format is RTNeural's Keras-style JSON with the keys that the robot's `neural_controller` reads (pupperv3-monorepo).
A document is plain dicts and lists; `problems` never raises on one, whatever it holds, so that a checker can list
every fault of a file at once while a reader stops at the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from walkies import robots
from walkies.deploy import blocks
from walkies.deploy.json_values import (
    MAX_PROBLEMS,
    PolicyFileError,
    Problem,
    are_numbers,
    describe,
    is_finite,
    size,
    whole,
)
from walkies.deploy.rtneural import check_layers
from walkies.errors import UserError
from walkies.files import read_json, shown
from walkies.robots.base import Robot
from walkies.tasks import signal

COMMANDS = ("vx", "vy", "yaw_rate")
"""What a file calls the parts of a command: m/s forward and leftward, rad/s."""
MAX_HISTORY = 1000
"""Frames; more is a damaged file (20 s of memory)."""
JOINT_KEYS = ("default_joint_pos", "joint_lower_limits", "joint_upper_limits")
NEWEST_FIRST = "newest_first"
"""The one order of frames that the robot knows."""
REQUIRED = ("in_shape", "kp", "kd", "action_scale", "joint_lower_limits", "joint_upper_limits", "layers")
"""Keys without which the robot does not load a file, with the parameters that its launch files set."""


def load_document(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, parsed strictly.

    A byte order mark is passed over, as the robot's parser does. Refused is what that parser would refuse (NaN and
    Infinity, text that is not UTF-8) or take without a word (repeated keys, text behind the object).

    Raises:
        PolicyFileError: the file cannot be read, is too large or is not one strict JSON object.
    """
    expected = "a policy.json, such as a run folder holds"
    for folder in path.absolute().parents[:2]:  # earlier stages of a training lie one folder deeper
        robots.folders.know_copy(folder)
    try:
        document = read_json(path, expected)
    except UserError as error:
        raise PolicyFileError(f"{error}. Copy it again, or give its run") from error
    if not isinstance(document, dict):
        raise PolicyFileError(f"{path}: got {describe(document)} at the top, expected {expected}")
    return document


def problems(document: dict[str, Any]) -> list[Problem]:
    """Every fault that would keep the robot (or this library) from running the policy, in the order of the keys."""
    joints = robot_of(document).num_joints
    found = [Problem("missing-key", key, "nothing", "this key") for key in REQUIRED if key not in document]
    if "use_imu" in document and not isinstance(document["use_imu"], bool):
        found.append(Problem("wrong-type", "use_imu", describe(document["use_imu"]), "true or false"))
    inputs = _check_input(document, joints, found)
    for key in ("kp", "kd"):
        if key in document and not _is_gain(document[key], joints, robot_of(document).protocol == Robot.protocol):
            found.append(Problem("bad-gain", key, describe(document[key]), "one number ≥ 0 for all joints"))
    scale = document.get("action_scale", 0.0)
    if not is_finite(scale) and not are_numbers(scale, joints):
        found.append(Problem("bad-scale", "action_scale", describe(scale), f"a number or {joints} numbers, finite"))
    _check_joints(document, joints, found)
    blocks.check(document, joints, frame(document), found)
    if "layers" in document:
        check_layers(document["layers"], inputs, joints, found)
    return found[:MAX_PROBLEMS]


def _is_gain(value: Any, joints: int, each: bool) -> bool:
    """A number that is not negative; or one for each joint, where the robot's software takes such."""
    if each and are_numbers(value, joints):
        return all(number >= 0 for number in value)
    return is_finite(value) and value >= 0


def history(document: Mapping[str, Any]) -> int | None:
    """Frames in an observation, 1 where the document does not say, as on the robot; None where it says nonsense."""
    frames = whole(document.get("observation_history", 1))
    return frames if frames is not None and 1 <= frames <= MAX_HISTORY else None


def robot_of(document: Mapping[str, Any]) -> Robot:
    """The robot that a file is for: as it says where that is known, else the one whose course made the format."""
    about = document.get("walkies")
    name = about.get("robot") if isinstance(about, dict) else None
    return robots.get_robot(name if isinstance(name, str) and robots.known(name) else robots.DEFAULT)


def frame(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of the signals in the file's frame; None where walkies does not know one of them.

    `obs_spec`, a key of 2026 (pupper_gait_deploy), lists them; a file without it has the frame of 2025.
    """
    spec = document.get("obs_spec")
    components = spec.get("components") if isinstance(spec, dict) else None
    if not isinstance(components, list):
        return signal.FRAME if spec is None else None
    known = {one.in_files: name for name, one in signal.SIGNALS.items()}
    names = [known.get(str(part.get("name"))) if isinstance(part, dict) else None for part in components]
    robot = robot_of(document)
    sizes = [signal.SIGNALS[name].size(robot) if name else None for name in names]
    if not names or None in names or len(set(names)) < len(names):
        return None
    return tuple(map(str, names)) if sizes == [whole(part.get("size")) for part in components] else None


def frame_document(names: tuple[str, ...], robot: signal.Jointed, frames: int) -> dict[str, Any]:
    """`obs_spec` of an observation of so many frames."""
    components = [{"name": one.in_files, "size": one.size(robot)} for one in signal.chosen(names)]
    return {"frame_order": NEWEST_FIRST, "history": frames, "components": components}


def _check_input(document: dict[str, Any], joints: int, found: list[Problem]) -> int | None:
    """Checks observation_history, obs_spec and in_shape; the input size where it is known."""
    frames = history(document)
    if frames is None:
        expected = f"a whole number of frames, 1 … {MAX_HISTORY}"
        got = describe(document["observation_history"])
        found.append(Problem("bad-history", "observation_history", got, expected))
    names = frame(document)
    if names is None:
        known = ", ".join(f"{one.in_files} ({one.size(robot_of(document))})" for name, one in signal.SIGNALS.items())
        expected = f"none, or a list of components, each once, of: {known}"
        found.append(Problem("unsupported-frame", "obs_spec", "another frame", expected))
    of_frame = signal.total(signal.chosen(names), robot_of(document)) if names else None
    if "in_shape" not in document:
        _check_spec(document, frames, of_frame, found)
        return of_frame * frames if frames and of_frame else None
    shape = document["in_shape"]
    inputs = size(shape) if isinstance(shape, list) and len(shape) == 2 else None
    if inputs is None:
        short = isinstance(shape, list) and len(shape) <= 4 and not any(isinstance(v, list | dict) for v in shape)
        got = shown(str(shape)) if short else describe(shape)
        found.append(Problem("bad-input-size", "in_shape", got, "[null, inputs]"))
    elif frames and of_frame and inputs != of_frame * frames:
        expected = f"{of_frame} × observation_history ({frames}) = {of_frame * frames}"
        found.append(Problem("bad-input-size", "in_shape[1]", str(inputs), expected))
    _check_spec(document, frames, of_frame, found)
    return inputs


def _check_spec(document: dict[str, Any], frames: int | None, of_frame: int | None, found: list[Problem]) -> None:
    """Consistency of `obs_spec` and `single_observation_size`."""
    spec = document.get("obs_spec")
    if isinstance(spec, dict):
        if spec.get("frame_order", NEWEST_FIRST) != NEWEST_FIRST:
            found.append(Problem("bad-spec", "obs_spec.frame_order", describe(spec["frame_order"]), NEWEST_FIRST))
        if frames and "history" in spec and whole(spec["history"]) != frames:
            expected = f"observation_history, {frames}"
            found.append(Problem("bad-spec", "obs_spec.history", describe(spec["history"]), expected))
    said = document.get("single_observation_size")
    if said is not None and of_frame and whole(said) != of_frame:
        found.append(Problem("bad-spec", "single_observation_size", describe(said), f"{of_frame}, the frame's size"))


def _check_joints(document: dict[str, Any], joints: int, found: list[Problem]) -> None:
    good = {}
    for key in JOINT_KEYS:
        if key not in document:
            continue
        if are_numbers(document[key], joints):
            good[key] = document[key]
        else:
            code = "missing-limits" if document[key] == [] else "bad-joint-array"
            found.append(Problem(code, key, describe(document[key]), f"{joints} finite numbers (rad)"))
    if "default_joint_pos" not in document:
        found.append(Problem("missing-pose", "default_joint_pos", "nothing", f"{joints} finite numbers (rad)"))
    if "joint_lower_limits" in good and "joint_upper_limits" in good:
        pairs = zip(good["joint_lower_limits"], good["joint_upper_limits"], strict=True)
        for index, (lower, upper) in enumerate(pairs):
            if not lower < upper:
                got = f"{lower} … {upper}"
                found.append(Problem("inverted-limits", f"joint_lower_limits[{index}]", got, "lower < upper"))
