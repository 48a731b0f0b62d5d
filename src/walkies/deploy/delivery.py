"""From a policy file to the robot: whether its software accepts the file, and how to deploy it."""

from __future__ import annotations

import shlex
from pathlib import Path

from walkies.deploy.policy_file import PolicyFile
from walkies.errors import UserError
from walkies.robots.base import Delivery, Robot


def delivery_of(robot: Robot) -> Delivery:
    """How a policy gets onto the robot.

    Raises:
        UserError: walkies does not know how.
    """
    if robot.delivery is None:
        raise UserError(
            f"--to-robot: walkies does not know how to deploy to {robot.name}; its record (`walkies.robots`) has no "
            "delivery. Without the flag the policy is written as ONNX"
        )
    return robot.delivery


def refusal(path: Path, policy: PolicyFile, delivery: Delivery) -> str | None:
    """Why the robot's software would refuse the file for its format, and the fix; None if it would not."""
    if policy.edition >= delivery.edition:
        return None
    mend = f"walkies export {shlex.quote(str(path))} --contract {delivery.edition} --to-robot"
    return (
        f"{path} is in the format of {policy.edition}; {delivery.software}, which is on the robot, refuses it, and as "
        f"long as the file is there, every other deployment too.\nfix: {mend}"
    )


def steps(path: Path, delivery: Delivery) -> str:
    """How to deploy a file that the robot's software accepts, step by step."""
    name = delivery.software.rpartition("/")[2]
    return "\n".join(
        [
            f"1. Copy it onto the robot, into its clone of {delivery.software}:",
            f"       {shlex.quote(str(path))} → {name}/{delivery.path}",
            f"2. On the robot, in {name}: {delivery.command}",
            "   It checks the file again, installs it and starts the robot's software. If a training with --wandb",
            f"   uploaded the file, this replaces both steps: {delivery.upload}",
            f"3. {delivery.advice}",
            f"4. On the gamepad: {delivery.start} starts the policy, {delivery.stop} stops it.",
        ]
    )
