"""`walkies export`: write a policy as ONNX or in another edition of the robot's format, or say how to deploy it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from walkies.deploy import delivery
from walkies.deploy.checks.findings import ERROR, UNCHECKED
from walkies.deploy.checks.lint import lint, text
from walkies.deploy.contract_file import NAME, contract_of, require_runnable
from walkies.deploy.onnx_file import export_onnx
from walkies.deploy.policy_file import PolicyFileError, in_edition, read, write
from walkies.errors import UserError
from walkies.files import write_text
from walkies.judge.exam import robot_of
from walkies.run.folders import find_policy
from walkies.terminal import say

ONNX = "policy.onnx"
PROGRAMS = [Path(delivery.__file__).with_name(name) for name in ("runner.py", "log.py")]
"""Of walkies' own files the one that goes onto robots, where there is no walkies."""


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    contract: Literal[2025, 2026] | None = None,
    to_robot: bool = False,
    runner: bool = False,
    out: Path | None = None,
) -> int:
    """Write a policy as ONNX, verified with onnxruntime, with names, units, gains and limits in its metadata.

    Also writes contract.yaml, which holds everything a robot's own program needs to run the policy. With --runner,
    writes a folder with both files and runner.py, a program that runs the policy with only numpy and onnxruntime; with
    log.py beside it, it writes a log for `walkies replay`.

    With --contract, writes the policy in the format of that year's robot software instead. --to-robot checks the file
    as the robot's software does, and says how to copy it to the robot; exit status 1 if the robot would refuse it.

    Args:
        target: a run folder, or any policy.json.
        contract: write the policy in the format of the robot's software of this year.
        to_robot: say how to copy the file to the robot, or why the robot would refuse it.
        runner: write a folder for any kind of robot: policy.onnx, contract.yaml, runner.py and log.py.
        out: where to write; default: beside the policy.json, as policy.onnx, policy-2025.json or policy-2026.json, or
            the folder `runner`.
    """
    path = find_policy(target)
    if runner:
        if contract is not None or to_robot:
            raise UserError(
                "--runner: does not combine with --contract or --to-robot; give it alone, or with --out FOLDER"
            )
        return _runner(path, out or path.with_name("runner"))
    if contract is not None:
        path = _rewrite(path, contract, out)
    elif to_robot and out is not None:
        raise UserError("--out: --to-robot alone writes nothing; leave one of them out")
    if to_robot:
        return _to_robot(path)
    if contract is None:
        policy = read(path)
        out = out or path.with_suffix(".onnx")
        say(f"{out}: {export_onnx(out, policy, robot_of(policy))}; checked with onnxruntime")
    return 0


def _runner(path: Path, folder: Path) -> int:
    """Write everything a robot needs into a folder."""
    policy = read(path)
    robot = robot_of(policy)
    require_runnable(contract_of(policy, robot, ONNX))  # before anything is written
    agreement = export_onnx(folder / ONNX, policy, robot)
    for program in PROGRAMS:
        write_text(folder / program.name, program.read_text(encoding="utf-8"))
    written = ", ".join([ONNX, NAME, *(program.name for program in PROGRAMS)])
    say(f"{folder}: {written}; {agreement}; checked with onnxruntime.")
    say(f"First, move each joint alone on the robot: walkies excite {robot.name} --wiggle; then docs/your-robot.md")
    return 0


def _rewrite(path: Path, edition: int, out: Path | None) -> Path:
    """Write the policy in the format of that year; returns its path."""
    policy = read(path)
    out = out or path.with_name(f"{path.stem}-{edition}.json")
    try:
        write(out, in_edition(policy, edition))
    except PolicyFileError as error:
        raise PolicyFileError(f"--contract {edition}: {error}") from error
    before = "unchanged" if policy.edition == edition else f"converted from {policy.edition}"
    say(f"{out}: the policy in the format of {edition}; {before}")
    return out


def _to_robot(path: Path) -> int:
    """Check the file and say what to do with it; 0 if the robot's software takes it."""
    found = lint(path)
    if any(finding.severity in (ERROR, UNCHECKED) for finding in found):
        say(text(path, found))
        return 1
    policy = read(path)
    way = delivery.delivery_of(robot_of(policy))
    if (why := delivery.refusal(path, policy, way)) is not None:
        say(why)
        return 1
    say(text(path, found))
    say(f"It passes the checks of {way.software}.\n\n{delivery.steps(path, way)}")
    return 0
