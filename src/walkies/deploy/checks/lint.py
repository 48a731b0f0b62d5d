"""Check a policy file before it reaches a robot: every known way in which a file that loads can still go wrong.

Works on any file in the robot's format, whatever wrote it. Each finding has a stable code, a severity, a reference to
where the problem was seen upstream, and a fix. Statements about the robot describe what its own loaders do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from walkies.deploy.blocks import BLOCKS, beyond_2025
from walkies.deploy.checks import course_rules, network_rules, robot_rules
from walkies.deploy.checks.findings import (
    CONTROLLER,
    COURSE,
    ERROR,
    LOADER,
    NEWER_CONTROLLER,
    NOTE,
    SEVERITIES,
    UNCHECKED,
    VALIDATOR,
    WARNING,
    Finding,
)
from walkies.deploy.json_values import PolicyFileError, Problem
from walkies.deploy.policy_file import from_document
from walkies.deploy.policy_json import JOINT_KEYS, REQUIRED, frame, load_document, problems, robot_of
from walkies.files import shown
from walkies.tasks.signal import FRAME

MAX_BYTES = 40 * 1024**2
"""Larger files are not parsed, which would take seconds; the largest published policy has 38.9 MB."""
NEWER_KEYS = ("obs_spec", "single_observation_size", *BLOCKS)
"""Read only by the controller of 2026."""
IGNORED_KEYS = ("control_orientation", *network_rules.POSE_COMMANDS, "contract_version")
KNOWN_KEYS = (*REQUIRED, *JOINT_KEYS, "observation_history", "use_imu", "walkies", *IGNORED_KEYS, *NEWER_KEYS)
MAX_UNKNOWN_KEYS = 20
"""Reported one by one."""

_RETRAIN = "export again; `walkies train` writes this key"
_PROBLEMS = {
    "missing-key": (ERROR, f"{CONTROLLER}: read in on_init", _RETRAIN),
    "missing-pose": (UNCHECKED, f"{CONTROLLER}: takes the pose of its config.yaml instead", _RETRAIN),
    "bad-gain": (ERROR, f"{CONTROLLER}: one scalar for all joints", "write one number, in N m/rad and N m s/rad"),
    "bad-scale": (
        ERROR,
        f"{CONTROLLER}: a scalar or one number per joint",
        "write one number, in rad per unit of action",
    ),
    "missing-limits": (
        ERROR,
        f"{COURSE} (ai/rl): export_policy wrote empty limits",
        "copy the robot's joint limits in",
    ),
    "bad-joint-array": (
        ERROR,
        f"{CONTROLLER}: on_init fails unless there is one per joint",
        "write one number per joint, in the robot's joint order",
    ),
    "inverted-limits": (ERROR, f"{CONTROLLER}: std::clamp needs lower ≤ upper", "swap the two limits"),
    "bad-input-size": (
        ERROR,
        f"{CONTROLLER}: in_shape[1] must be the frame × history",
        "export with the history it was trained with",
    ),
    "bad-history": (ERROR, f"{CONTROLLER}: observation_history", "write the number of frames it was trained with"),
    "unsupported-frame": (
        UNCHECKED,
        f"{NEWER_CONTROLLER}: obs_spec; that of 2025 reads one frame only",
        "rehearse it with the tools that it was trained with",
    ),
    "bad-spec": (
        ERROR,
        f"{NEWER_CONTROLLER}: on_init compares obs_spec with the rest of the file",
        "export again; `walkies export` writes these keys",
    ),
    "bad-block": (
        ERROR,
        f"{NEWER_CONTROLLER}: on_init refuses a damaged block, and one without its component",
        "export again, or remove block and component together",
    ),
    "unknown-activation": (
        ERROR,
        f"{LOADER}: an unknown name becomes a null layer",
        "train with elu, tanh, relu or sigmoid",
    ),
    "bad-layer": (
        ERROR,
        f"{LOADER}: refuses broken layers and passes over unknown ones",
        "export dense layers as [matrix by input, bias]",
    ),
    "unsupported-layer": (
        UNCHECKED,
        f"{LOADER}: builds it; walkies does not, and did not check what the network does",
        "train with dense layers to rehearse the policy here",
    ),
    "bad-layer-size": (
        ERROR,
        f"{LOADER}: sizes are taken on trust",
        "export again; the matrix is stored by input, then output",
    ),
    "bad-output-size": (
        ERROR,
        f"{CONTROLLER}: takes one output per joint, also where there are fewer",
        "keep only the mean half of the last layer",
    ),
    "not-finite": (ERROR, "RTNeural: a NaN weight makes every action NaN", "go back to an earlier checkpoint"),
    "wrong-type": (ERROR, f"{CONTROLLER}: JSON types are strict", "write a value of the expected type"),
    course_rules.CODE: (ERROR, f"{VALIDATOR}: stops every deployment", "export again, with an exporter of 2026"),
}
"""Severity, reference and fix of each kind of problem."""


def lint(path: Path | str) -> list[Finding]:
    """Everything found in the file at `path`, worst first. Never raises on the content of a file."""
    path = Path(path)
    if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
        message = f"{path}: {size:,} bytes, more than the {MAX_BYTES:,} that are checked; it was not examined"
        reference = f"{CONTROLLER}: the largest file published for it has 38.9 MB"
        mend = "is this a policy? train a smaller network (two layers of 128 are enough to walk)"
        return [Finding("too-large", UNCHECKED, "", message, reference, mend)]
    try:
        document = load_document(path)
    except PolicyFileError as error:
        reference = f"{CONTROLLER}: nlohmann::json refuses what is not JSON, lets the last of repeated keys count "
        reference += "and reads nothing behind the object"
        mend = "if it was a policy, export it again"
        return [Finding("unreadable", ERROR, "", str(error), reference, mend)]
    return check(document)


def check(document: dict[str, Any]) -> list[Finding]:
    """Everything found in a parsed policy document, worst first."""
    found = [_of_problem(problem) for problem in problems(document)]
    broken = [finding for finding in found if finding.severity == ERROR]
    found += _keys(document)
    found += _editions(document, [finding.key for finding in broken])
    if not broken:
        runs = not any(finding.code in ("unsupported-frame", "unsupported-layer") for finding in found)
        found += _rules(document, runs)
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def text(path: Path, found: list[Finding]) -> str:
    """The findings for people."""
    lines = []
    for finding in found:
        where = f" at {finding.key}" if finding.key else ""
        lines += [f"{finding.severity} [{finding.code}]{where}: {finding.message}", f"    fix: {finding.mend}"]
        lines.append(f"    seen: {finding.reference}")
    counts = {name: sum(finding.severity == name for finding in found) for name in SEVERITIES}
    told = [f"{counts[name]} {name}{'s' if counts[name] != 1 else ''}" for name in (ERROR, WARNING, NOTE)]
    if counts[UNCHECKED]:
        told.append(f"{counts[UNCHECKED]} {UNCHECKED}")
    if counts[ERROR]:
        verdict = "not fit for the robot"
    elif counts[UNCHECKED]:
        verdict = "walkies cannot tell whether it is fit for the robot"
    else:
        verdict = "check before you walk" if counts[WARNING] else "fit to try"
    return "\n".join([*lines, f"{path}: {', '.join(told)}: {verdict}"])


def _of_problem(problem: Problem) -> Finding:
    severity, reference, mend = _PROBLEMS[problem.code]
    return Finding(
        problem.code, severity, problem.key, f"got {problem.got}, expected {problem.expected}", reference, mend
    )


def _editions(document: dict[str, Any], broken: Sequence[str]) -> Iterator[Finding]:
    """Which of the robot's software takes the file; `broken`: keys of which an error says already what is wrong."""
    robot = robot_of(document)
    if robot.delivery is None:
        return
    if document.get("obs_spec") is None:
        message = "the file does not list its frame: every deployment with the course's software of 2026 refuses it; "
        message += "the robot of 2025 loads it"
        if ignored := [key for key in BLOCKS if key in document]:
            message += f" and ignores {', '.join(ignored)}"
        mend = "`walkies export TARGET --contract 2026` writes the newer format"
        yield Finding("no-obs-spec", NOTE, "obs_spec", message, VALIDATOR, mend)
        return
    for problem in course_rules.problems(document, robot):
        if not any(problem.key == key or problem.key.startswith((f"{key}.", f"{key}[")) for key in broken):
            yield _of_problem(problem)
    blocks = beyond_2025(document)
    if blocks or frame(document) not in (FRAME, None):
        what = ", ".join(blocks) if blocks else "a frame other than the one of 2025"
        message = f"{what}: only the robot's software of 2026 knows it; that of 2025 would give the policy other inputs"
        yield Finding("needs-2026", NOTE, "obs_spec", message, CONTROLLER, "deploy it with the software of 2026")


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
            mend = "rename or remove it; your own keys may go into the object `walkies`"
            severity = WARNING if near else NOTE
            yield Finding(
                "unknown-key", severity, shown(key), f"the robot does not know this key{meant}", CONTROLLER, mend
            )


def _rules(document: dict[str, Any], runs: bool) -> Iterator[Finding]:
    """What the rules find in a document that walkies can read.

    A pose that the file lacks is the robot's own. runs: whether walkies can run the network; else it is left out.
    """
    robot = robot_of(document)
    policy = from_document({"default_joint_pos": robot.default_pose, **document, **({} if runs else {"layers": []})})
    for rule in (robot_rules.gains, robot_rules.scale, robot_rules.joints, robot_rules.training):
        yield from rule(policy, robot)
    if runs:
        yield from network_rules.inputs(policy, network_rules.leans(document))
        yield from network_rules.size(policy)
        yield from network_rules.behaviour(policy, robot)
