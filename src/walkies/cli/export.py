"""`walkies export`: a policy as ONNX, in another edition of the robot's format, or on its way onto the robot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from walkies.deploy import delivery
from walkies.deploy.checks.findings import ERROR, UNCHECKED
from walkies.deploy.checks.lint import lint, text
from walkies.deploy.onnx_file import export_onnx
from walkies.deploy.policy_file import PolicyFileError, in_edition, read, write
from walkies.errors import UserError
from walkies.judge.exam import robot_of
from walkies.run.folders import find_policy
from walkies.terminal import say


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    contract: Literal[2025, 2026] | None = None,
    to_robot: bool = False,
    out: Path | None = None,
) -> int:
    """Write a policy as ONNX, verified with onnxruntime, with names, units, gains and limits in its metadata.

    With --contract it is written in the format of that year's robot software instead. --to-robot checks the file as the
    robot's software does, and says how it gets onto the robot; exit status 1 where it would be refused there.

    Args:
        target: a run folder, or any policy.json.
        contract: write the policy in the format of the robot's software of this year.
        to_robot: say how the file gets onto the robot, or why it would be refused there.
        out: where to write; default: beside the policy.json, as policy.onnx, policy-2025.json or policy-2026.json.
    """
    path = find_policy(target)
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


def _rewrite(path: Path, edition: int, out: Path | None) -> Path:
    """Write the policy in the format of that year; where it is then."""
    policy = read(path)
    out = out or path.with_name(f"{path.stem}-{edition}.json")
    try:
        write(out, in_edition(policy, edition))
    except PolicyFileError as error:
        raise PolicyFileError(f"--contract {edition}: {error}") from error
    before = "as before" if policy.edition == edition else f"it was that of {policy.edition}"
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
