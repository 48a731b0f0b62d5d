"""Which robot a command line means: a known one by name, or one in a file, which is read into a folder first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from walkies.robots import get_robot, known
from walkies.robots.base import Robot
from walkies.terminal import say

ENDINGS = (".xml", ".urdf", ".mjcf")
"""Of files that have a robot."""
SWITCHES = ("--resume", "--film", "--view", "--self-contacts", "--json")
"""Flags without a value, besides those that begin with --no-: what follows them is no value of theirs."""


def taken(arguments: Sequence[str]) -> tuple[Robot | None, list[str]]:
    """The robot that the arguments name, and the arguments with its name in place of a file's; None if they name no
    known robot.

    Raises:
        UserError: the file contains no robot that could be trained.
    """
    rest = list(arguments)
    for at in _places(rest):
        word = rest[at]
        if word.lower().endswith(ENDINGS) and Path(word).is_file():
            robot = added(Path(word))
            return robot, [*rest[:at], robot.name, *rest[at + 1 :]]
        if known(word):
            return get_robot(word), rest
    return None, rest


def named(arguments: Sequence[str]) -> Robot | None:
    """The robot whose name is among the arguments."""
    words = [arguments[at] for at in _places(arguments)]
    return next((get_robot(word) for word in words if known(word)), None)


def _places(arguments: Sequence[str]) -> Iterator[int]:
    """Places of the arguments that are neither flags nor their values; none where help is asked for."""
    if "--help" in arguments or "-h" in arguments:
        return
    for at, word in enumerate(arguments):
        before = arguments[at - 1] if at else ""
        takes = before.startswith("--") and "=" not in before
        takes = takes and before not in SWITCHES and not before.startswith("--no-")
        if not word.startswith("-") and not takes:
            yield at


def strained(robot: Robot) -> list[str]:
    """Motors for which standing alone takes too much torque, a sentence each; only for robots whose record was read
    from a model."""
    if robot.joints is None:
        return []
    from walkies.robots import load_model
    from walkies.robots.reading.anatomy import anatomy
    from walkies.robots.reading.check import STRAINED, torque_limits, torques
    from walkies.robots.reading.stand import stand

    model = load_model(robot, visuals=False)
    parts = anatomy(model)
    needed, most = abs(torques(model, parts, stand(model, parts))), torque_limits(model, parts)
    shares = [(model.joint(joint).name, share) for joint, share in zip(parts.joints, needed / most, strict=True)]
    return [f"{name} needs {share:.0%} of its motor's torque just to stand: it may never walk; a stronger motor, a "
            "lighter robot or a straighter pose would help" for name, share in shares if share > STRAINED]  # fmt: skip


def added(path: Path, name: str | None = None) -> Robot:
    """The robot in a file, now in its own folder; prints what was found."""
    from walkies.robots.reading.infer import add

    found = add(path, name)
    say(f"{path}: a {found.robot.kind} of {found.robot.mass:.3g} kg with {found.robot.num_joints} joints; what was "
        f"read is in {found.folder}, where you can change it")  # fmt: skip
    for what in found.kept:
        say(f"Kept your change: {what}")
    for note in found.notes:
        say(f"Note: {note}.")
    return found.robot
