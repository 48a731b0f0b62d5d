"""Check a policy file before it reaches a robot: every known way in which one that loads can still go wrong.

Works on any file in the robot's format, whoever wrote it. Each finding has a stable code, a severity, where upstream
the trouble was seen, and what to do about it.
"""

from __future__ import annotations

import difflib
import json as json_module
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from walkies.contract import FRAME_SIZE, SLICES
from walkies.deploy.controller import ControllerConfig
from walkies.deploy.policy_file import PolicyFile, PolicyFileError, from_document
from walkies.deploy.policy_json import REQUIRED, Problem, is_finite, load_document, printable, problems
from walkies.robots import ROBOTS, get_robot
from walkies.robots.base import Robot
from walkies.runs import find_policy

ERROR, WARNING, NOTE = "error", "warning", "note"
KNOWN_KEYS = (*REQUIRED, "use_imu", "walkies", "control_orientation", "maximum_pitch_command", "maximum_roll_command")
IGNORED_KEYS = ("control_orientation", "maximum_pitch_command", "maximum_roll_command")
JOYSTICK = {"vx": 0.75, "vy": 0.5, "yaw_rate": 2.0}
"""± m/s, m/s, rad/s: what the robot's gamepad can ask for."""
NEVER_VARIED = 300.0
"""An input whose weights are this many times the median input's never varied in training: its deviation was a floor."""
MAX_UNKNOWN_KEYS = 20
"""told one by one"""
MAX_PARAMETERS = 1_000_000
"""Weights; above it one inference takes a Raspberry Pi a good part of its 19 ms."""
OBSERVATIONS, FEWEST_OBSERVATIONS, MAX_WORK = 200, 25, 100_000_000
"""A large network is asked less often, at most so many multiplications: a check takes a second."""
SATURATED = 0.99
SATURATION_SHARE = 0.3
JUMP = 0.6
"""rad: how far sensor noise alone may move the worst joint's target between two control steps (95th percentile)."""
ROUNDING = 1e-3
"""Largest difference between float32, as on the robot, and float64."""

CONTROLLER = "pupperv3-monorepo, neural_controller"
BOARD = "pupperv3-monorepo, control_board_hardware_interface"
COURSE = "pupperv3-mjx"


@dataclass(frozen=True)
class Finding:
    """One thing to know about a policy file."""

    code: str
    severity: str
    """error: the robot will not load it, or may harm itself; warning: look before you walk; note: good to know."""
    key: str
    message: str
    reference: str
    mend: str


_RETRAIN = "export again; `walkies train` writes this key"
_PROBLEMS = {
    "missing-key": (f"{CONTROLLER}: read in on_init", _RETRAIN),
    "bad-gain": (f"{CONTROLLER}: one scalar for all joints", "write one number, in N m/rad and N m s/rad"),
    "bad-scale": (f"{CONTROLLER}: a scalar or one number per joint", "write one number, in rad per unit of action"),
    "missing-limits": (f"{COURSE} (ai/rl): export_policy wrote empty limits", "copy the robot's 12 joint limits in"),
    "bad-joint-array": (
        f"{CONTROLLER}: on_init fails unless there are 12",
        "write 12 numbers in the robot's joint order",
    ),
    "inverted-limits": (f"{CONTROLLER}: std::clamp needs lower ≤ upper", "swap the two limits"),
    "bad-input-size": (
        f"{CONTROLLER}: in_shape[1] must be 36 × history",
        "export with the history it was trained with",
    ),
    "bad-history": (f"{CONTROLLER}: observation_history", "write the number of frames it was trained with"),
    "unknown-activation": ("RTNeural: an unknown name becomes a null layer", "train with elu, tanh, relu or sigmoid"),
    "bad-layer": ("RTNeural: JSON layers", "export dense layers as [matrix by input, bias]"),
    "bad-layer-size": (
        "RTNeural: sizes are taken on trust",
        "export again; the matrix is stored by input, then output",
    ),
    "bad-output-size": (f"{CONTROLLER}: 12 actions", "keep only the mean half of the last layer"),
    "not-finite": ("RTNeural: a NaN weight makes every action NaN", "go back to an earlier checkpoint"),
    "wrong-type": (f"{CONTROLLER}: JSON types are strict", "write a value of the expected type"),
}


def lint(path: Path | str) -> list[Finding]:
    """Everything found in the file at `path`, errors first. Never raises on the content of a file."""
    try:
        document = load_document(Path(path))
    except PolicyFileError as error:
        mend = "give the path of a policy.json; if it was one, export it again"
        return [Finding("unreadable", ERROR, "", str(error), f"{CONTROLLER}: nlohmann::json::parse throws", mend)]
    return check(document)


def check(document: dict[str, Any]) -> list[Finding]:
    """Everything found in a parsed policy document, errors first."""
    found = [_of_problem(problem) for problem in problems(document)]
    found += _keys(document)
    if not any(finding.severity == ERROR for finding in found):
        policy = from_document(document)
        robot = _robot(policy)
        for rule in (_gains, _joints, _inputs, _network, _behaviour, _training):
            found += rule(policy, robot)
    return sorted(found, key=lambda finding: (ERROR, WARNING, NOTE).index(finding.severity))


def command(target: Annotated[Path, tyro.conf.Positional], /, json: bool = False) -> None:
    """Check a policy file before it reaches a robot. Exit status 1 if there is an error.

    Args:
        target: a run folder, or any policy.json, from walkies or from elsewhere.
        json: print the findings as JSON.
    """
    path = find_policy(target)
    found = lint(path)
    if json:
        print(json_module.dumps([asdict(finding) for finding in found], indent=2))
    else:
        print(text(path, found))
    if any(finding.severity == ERROR for finding in found):
        raise SystemExit(1)


def text(path: Path, found: list[Finding]) -> str:
    """The findings for people."""
    lines = []
    for finding in found:
        where = f" at {finding.key}" if finding.key else ""
        lines += [f"{finding.severity} [{finding.code}]{where}: {finding.message}", f"    mend: {finding.mend}"]
        lines.append(f"    seen: {finding.reference}")
    counts = {name: sum(finding.severity == name for finding in found) for name in (ERROR, WARNING, NOTE)}
    verdict = "not fit for the robot" if counts[ERROR] else "look before you walk" if counts[WARNING] else "fit to try"
    summary = ", ".join(f"{count} {name}{'s' if count != 1 else ''}" for name, count in counts.items())
    return "\n".join([*lines, f"{path}: {summary}: {verdict}"])


def _of_problem(problem: Problem) -> Finding:
    reference, mend = _PROBLEMS[problem.code]
    return Finding(problem.code, ERROR, problem.key, f"got {problem.got}, expected {problem.expected}", reference, mend)


def _keys(document: dict[str, Any]) -> Iterator[Finding]:
    unknown = [key for key in document if key not in KNOWN_KEYS]
    if len(unknown) > MAX_UNKNOWN_KEYS:
        message = f"and {len(unknown) - MAX_UNKNOWN_KEYS:,} more keys that the robot does not know"
        yield Finding("unknown-key", NOTE, "", message, CONTROLLER, "is this a policy?")
    for key in (*(key for key in document if key in KNOWN_KEYS), *unknown[:MAX_UNKNOWN_KEYS]):
        if key in IGNORED_KEYS:
            message = "written by some trainers, ignored by the robot"
            yield Finding("ignored-key", NOTE, key, message, f"{CONTROLLER}: never reads it", "nothing to do")
        elif key not in KNOWN_KEYS:
            near = difflib.get_close_matches(key[:60], KNOWN_KEYS, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            mend = "rename or remove it; what is yours may stand in the object `walkies`"
            severity = WARNING if near else NOTE
            yield Finding(
                "unknown-key", severity, printable(key), f"the robot does not know this key{meant}", CONTROLLER, mend
            )


def _gains(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    config = ControllerConfig()
    for key, value, cap in (("kp", policy.kp, config.kp_cap), ("kd", policy.kd, config.kd_cap)):
        if value > cap:
            message = f"{value:g} is above the board's cap: the robot will use {cap:g} without a word"
            yield Finding("gain-over-cap", ERROR, key, message, BOARD, f"train with {key} ≤ {cap:g}")
    if policy.kp == 0.0:
        message = "with no stiffness the joints follow nothing"
        yield Finding("gain-zero", ERROR, "kp", message, CONTROLLER, "write the stiffness it was trained with")
    if not policy.use_imu:
        message = "the controller then demands an IMU that reports exactly no rotation, and fails at the first tilt"
        yield Finding("no-imu", WARNING, "use_imu", message, CONTROLLER, "set use_imu to true")


def _joints(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    pose, lower, upper = (
        np.array(values) for values in (policy.default_joint_pos, policy.joint_lower_limits, policy.joint_upper_limits)
    )
    if np.any(np.abs(np.concatenate([pose, lower, upper])) > 2 * np.pi):
        message = "angles beyond a full turn: degrees where radians belong?"
        yield Finding("degrees", ERROR, "default_joint_pos", message, CONTROLLER, "write radians")
        return
    for i in np.flatnonzero((pose < lower) | (pose > upper)):
        message = f"{pose[i]:g} for {robot.joint_names[i]} is outside its limits {lower[i]:g} … {upper[i]:g}"
        mend = "the order of joints or the sign of the left legs may be wrong"
        yield Finding("pose-outside-limits", ERROR, f"default_joint_pos[{i}]", message, CONTROLLER, mend)
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


def _inputs(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    first = policy.layers[0].weights
    if first is None:
        return
    size = np.abs(first).max(axis=1).reshape(policy.observation_history, FRAME_SIZE)
    typical = float(np.median(size[size > 0])) if np.any(size > 0) else 0.0
    if typical == 0.0:
        mend = "train longer, or export the right checkpoint"
        yield Finding("deaf", WARNING, "layers[0]", "all weights are zero: the policy senses nothing", COURSE, mend)
        return
    constant = size[:, SLICES["desired_up"]]
    if np.any(constant > 0):
        huge = bool(np.any(constant > NEVER_VARIED * typical))
        message = f"weights up to {constant.max():.3g} on desired_up, which a course's training holds constant"
        reference = f"{COURSE} with brax running_statistics: 1/σ of a constant input is a million"
        mend = "set these rows to zero and add their (0, 0, 1) to the bias; never publish /cmd_pose until then"
        yield Finding("constant-input", ERROR if huge else WARNING, "layers[0]", message, reference, mend)
    others = size.copy()
    others[:, SLICES["desired_up"]] = 0.0
    for frame, entry in np.argwhere(others > NEVER_VARIED * typical)[:5]:
        name = next(name for name, part in SLICES.items() if part.start <= entry < part.stop)
        message = (
            f"{name}[{entry - SLICES[name].start}] of frame {frame} weighs {others[frame, entry] / typical:.0f} × the"
        )
        message += " median input: it never varied in training, and will on the robot"
        mend = "train with noise on this input, or drop it (scale 0 in the normalizer)"
        key = f"layers[0].weights[0][{frame * FRAME_SIZE + entry}]"
        yield Finding("never-varied", ERROR, key, message, f"{COURSE}: normalizer folded as W/σ", mend)


def _network(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    last = len(policy.layers) - 1
    if policy.layers[last].activation not in ("tanh", "sigmoid", "softmax"):
        message = "nothing bounds the actions but the joint limits"
        yield Finding("unbounded", WARNING, f"layers[{last}].activation", message, COURSE, "export with a final tanh")
    count = policy.num_parameters
    if count > MAX_PARAMETERS:
        message = f"{count:,} weights; an action must be ready within 19 ms on the robot's computer"
        reference = f"{CONTROLLER}: policy_latest.json has 38.9 MB; watch ~/policy_inference_latency_seconds"
        yield Finding(
            "large", WARNING, "layers", message, reference, "train a smaller network (two layers of 128 walk)"
        )


def _behaviour(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    """What the policy does on plausible observations, and on the same ones a moment later with other sensor noise."""
    now, later = _observations(policy, max(FEWEST_OBSERVATIONS, min(OBSERVATIONS, MAX_WORK // policy.num_parameters)))
    actions, after = policy.act(now), policy.act(later)
    if not (np.all(np.isfinite(actions)) and np.all(np.isfinite(after))):
        message = "on ordinary observations some actions are not finite"
        yield Finding("overflow", ERROR, "layers", message, f"{CONTROLLER}: NaN stops the controller", "train again")
        return
    exact = policy.act_exactly(now)
    if (rounding := float(np.abs(actions - exact).max())) > ROUNDING:
        message = f"float32, as on the robot, differs from exact arithmetic by {rounding:.2g}"
        yield Finding("rounding", WARNING, "layers", message, "RTNeural computes in float32", "look for huge weights")
    share = float(np.mean(np.abs(actions) > SATURATED))
    if policy.layers[-1].activation == "tanh" and share > SATURATION_SHARE:
        message = f"{share:.0%} of actions are saturated on ordinary observations: bang-bang control"
        mend = "train with a larger action-rate or torque cost, or a larger action scale"
        yield Finding("saturated", WARNING, f"layers[{len(policy.layers) - 1}]", message, COURSE, mend)
    jumps = np.abs(after - actions) * np.array(policy.action_scale)
    worst = float(np.quantile(jumps.max(axis=-1), 0.95))
    if worst > JUMP:
        message = f"sensor noise alone moves some joint's target by {worst:.2f} rad between two control steps"
        mend = "train with the sensors' noise and a larger action-rate cost"
        yield Finding("jumpy", WARNING, "layers", message, f"{COURSE}: action_rate -0.1, noise ±0.05 rad", mend)


def _training(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    about = policy.walkies
    if policy.robot_name not in ROBOTS:
        message = f"made for {printable(policy.robot_name)}, unknown here; checked as if for {robot.name}"
        mend = f"write one of {', '.join(sorted(ROBOTS))}"
        yield Finding("unknown-robot", WARNING, "walkies.robot", message, "walkies.robots", mend)
    dt = about.get("control_dt", 0.02)
    if not is_finite(dt) or abs(dt - 0.02) > 0.001:
        message = f"trained at {dt if is_finite(dt) else '?'} s per action; the robot acts every 0.019 … 0.02 s"
        yield Finding(
            "control-rate", ERROR, "walkies.control_dt", message, CONTROLLER, "train with a control_dt of 0.02"
        )
    ranges = about.get("command_range")
    if not isinstance(ranges, dict):
        message = "the file does not say which commands it was trained to follow"
        mend = "find out, and scale the gamepad to it (teleop_twist_joy)"
        yield Finding("command-range-unknown", NOTE, "walkies.command_range", message, CONTROLLER, mend)
        return
    for name, most in JOYSTICK.items():
        pair = ranges.get(name)
        low, high = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        good = is_finite(low) and is_finite(high)
        if not (good and low <= -most + 1e-6 and high >= most - 1e-6):  # type: ignore[operator]
            shown = f"{low:g} … {high:g}" if good else "unknown"
            message = f"trained for {shown}, but the gamepad commands up to ±{most:g}: more than it ever met"
            mend = "scale the gamepad down (teleop_twist_joy), or train over the whole range"
            yield Finding("command-range", WARNING, f"walkies.command_range.{name}", message, CONTROLLER, mend)


def _robot(policy: PolicyFile) -> Robot:
    return get_robot(policy.robot_name if policy.robot_name in ROBOTS else "pupper")


def _observations(policy: PolicyFile, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(now, later), each (count, H·36): plausible states held over the history; one step on with new sensor noise."""
    rng = np.random.default_rng(0)
    frame = np.zeros((count, FRAME_SIZE))
    frame[:, SLICES["gyro"]] = rng.uniform(-0.7, 0.7, (count, 3))
    lean = rng.uniform(-0.15, 0.15, (count, 2))
    frame[:, SLICES["gravity"]] = np.concatenate([lean, -np.sqrt(1 - (lean**2).sum(axis=1, keepdims=True))], axis=1)
    frame[:, SLICES["command"]] = rng.uniform(-1, 1, (count, 3)) * list(JOYSTICK.values())
    frame[:, SLICES["desired_up"]] = (0.0, 0.0, 1.0)
    frame[:, SLICES["joint_position"]] = rng.uniform(-0.3, 0.3, (count, 12))
    frame[:, SLICES["last_action"]] = rng.uniform(-0.5, 0.5, (count, 12))
    noise = np.zeros(FRAME_SIZE)
    for name, width in (("gyro", 0.1), ("gravity", 0.05), ("joint_position", 0.05)):
        noise[SLICES[name]] = width
    now = np.concatenate(
        [frame + noise * rng.uniform(-1, 1, frame.shape) for _ in range(policy.observation_history)], 1
    )
    newest = frame + noise * rng.uniform(-1, 1, frame.shape)
    later = np.concatenate([newest, now[:, :-FRAME_SIZE]], axis=1)
    return now, later
