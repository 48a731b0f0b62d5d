"""Another default pose for a robot of the working folder, written into its `robot.toml` as by hand.

`record.write` decides what counts as a change by hand: a value other than the one walkies had read from the model. A
saved pose is one, and so are the numbers that follow from it; all of them stay when the robot's file is added again.

The pose determines other values too. Saving it also sets

- `standing_height` and `hip_height`, measured in the new pose;
- `reset_height` and `payload_height`, which keep their shares of the hips' height above the base and above the hips;
- `fade_in`, where the robot now stands on its servos alone and did not before, or the other way round.

It leaves `commands`, `joints.scale` and servos that were estimated, which were chosen for the pose that the model's
file gave: another pose alone is no reason to ask for another speed. Nor is `robot.xml` written: its feet are the
spheres on which the robot stood in that pose, and parts that overlap in the new one may touch. `LEFT` says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from walkies import records
from walkies.errors import UserError
from walkies.files import read_text, shown, write_text
from walkies.robots import ROBOTS, folders, get_robot, load_model, record
from walkies.robots.base import Robot
from walkies.robots.folders import HERE, RECORD, ZOO
from walkies.robots.reading.trials import stands
from walkies.robots.record import Body, Record
from walkies.robots.standing import standing

DIGITS = 4
"""Of angles in rad: a hundredth of a degree, finer than any servo."""
SAME = 1e-4
"""Of the hips' height: heights that differ by less are one, rounded otherwise."""
LEAST = 0.1
"""Of the hips' height as it is: lower is no pose to stand in, and a task would have next to no unit of length."""
LEFT = (
    "commands, joints.scale, kp and the choice of feet stay as they were read for the pose of the model's file; check "
    "them if the new pose is much lower or higher"
)
SOURCE = "model.xml"
"""In a folder of the zoo: the file that its robot was read from."""
POSE = "an angle in rad for each joint of the robot"


class Saved(NamedTuple):
    """What was written."""

    path: Path
    changed: dict[str, tuple[Any, Any]]
    """Old and new values by their place in the record: `joints.hip.pose`."""


def own_folder(name: str) -> Path | None:
    """The folder of a robot whose record may be changed: of the working folder, not one that comes with walkies."""
    folder = folders.find(name)
    if name in ROBOTS or folder is None or folder.parent != HERE:
        return None
    return None if folder.resolve().is_relative_to(ZOO.resolve()) else folder  # a link leads there too


def instead(robot: Robot) -> str:
    """What to do with a pose of a robot that comes with walkies."""
    source = robot.mjcf.with_name(SOURCE)
    file, name = source if source.is_file() else robot.mjcf, f"my-{robot.name}"
    return (
        f"{robot.name} comes with walkies and is not changed. Make it your own: `walkies robot add {file} --name "
        f"{name}`, then `walkies robot view {name}`, and paste the pose there"
    )


def angles_of(robot: Robot, content: Any) -> np.ndarray:
    """(joints,) rad, of a pose as JSON: an object with a finite number within its limits for every joint.

    Raises:
        UserError: it is anything else.
    """
    pose = records.build(content, dict[str, float], "the pose", POSE)
    if unknown := set(pose) - set(robot.joint_names):
        raise UserError(f"{robot.name} has no joint {shown(min(unknown))}; expected {POSE}")
    if missing := set(robot.joint_names) - set(pose):
        raise UserError(f"the pose says nothing of {shown(min(missing))}; expected {POSE}")
    for name, low, high in zip(robot.joint_names, robot.lower_limits, robot.upper_limits, strict=True):
        if not low <= pose[name] <= high:
            raise UserError(f"{name}: got {pose[name]:g}, expected an angle within its limits, {low:g} … {high:g} rad")
    return np.array([pose[name] for name in robot.joint_names])


def save(name: str, content: Any) -> Saved:
    """Make a pose the default pose of a robot of the working folder.

    Args:
        content: as `angles_of` takes it, for the robot as its record is now.

    Raises:
        UserError: the robot comes with walkies, the pose is none of this robot's or none to stand in, or its robot.toml
            is laid out otherwise than walkies writes it; nothing is written then.
    """
    folder = own_folder(name)
    if folder is None:
        raise UserError(instead(get_robot(name)))
    path = folder / RECORD
    text = read_text(path, record.EXPECTED)
    found = record.in_text(text, path)
    robot = record.robot_of(found, folder)
    wanted = _rounded(robot, angles_of(robot, content))
    before, after = record.flat(found), record.flat(_with_pose(found, folder, wanted))
    changed = {place: (before[place], value) for place, value in after.items() if value != before[place]}
    if changed:
        new = replaced(text, {place: value for place, (_, value) in changed.items()})
        if record.flat(record.in_text(new, path)) != after:
            raise UserError(
                f"{path} is not laid out as walkies writes it; write into it by hand: "
                + ", ".join(f"{place} = {value}" for place, (_, value) in changed.items())
            )
        write_text(path, new)
    return Saved(path, changed)


def _rounded(robot: Robot, angles: np.ndarray) -> dict[str, float]:
    """Angles by joint, rounded within the limits; one that is what the record has stays it to the last digit."""
    found = {}
    limits = zip(robot.joint_names, robot.default_pose, robot.lower_limits, robot.upper_limits, angles, strict=True)
    for name, old, low, high, angle in limits:
        near = abs(angle - old) < 0.5 * 10**-DIGITS
        found[name] = old if near else float(np.clip(round(float(angle), DIGITS), low, high))
    return found


def _with_pose(found: Record, folder: Path, pose: Mapping[str, float]) -> Record:
    """The record with another pose and the numbers that follow it."""
    before = record.robot_of(found, folder)
    joints = {name: one._replace(pose=pose[name]) for name, one in found.joints.items()}
    model = load_model(before, visuals=False)
    now = standing(model, before, np.array([pose[name] for name in before.joint_names]))
    if now.hips < LEAST * found.robot.hip_height:
        raise UserError(
            f"the hips would be {now.hips:.3g} m above the feet, where they are {found.robot.hip_height:g} m now; "
            "expected a pose to stand in"
        )
    body = _heights(found.robot, now.height, now.hips)
    after = found._replace(robot=body, joints=joints)
    if joints != found.joints:
        falls = [not stands(load_model(one, visuals=False), one) for one in (before, record.robot_of(after, folder))]
        if falls[0] != falls[1]:
            fade_in = 0.0 if falls[1] else Body._field_defaults["fade_in"]
            after = after._replace(robot=body._replace(fade_in=fade_in))
    return after


def _heights(old: Body, height: float, hips: float) -> Body:
    """The heights of a robot in another pose, m: what was a share of the hips' height stays that share.

    Args:
        height: of the base above the ground.
        hips: of the hips above it.
    """
    if max(abs(height - old.standing_height), abs(hips - old.hip_height)) < SAME * old.hip_height:
        return old
    grown = hips / old.hip_height
    above = [height + grown * (one - old.standing_height) for one in old.reset_height]
    load = hips - height + grown * (old.payload_height - (old.hip_height - old.standing_height))
    return old._replace(
        standing_height=float(f"{height:.5g}"),
        hip_height=float(f"{hips:.5g}"),
        reset_height=(float(f"{above[0]:.4g}"), float(f"{above[1]:.4g}")),
        payload_height=float(f"{load:.4g}"),
    )


def replaced(text: str, values: Mapping[str, Any]) -> str:
    """The text of a record with other numbers in some places, its comments and everything else as they are.

    Finds values where `record.write` puts them, a joint's within one line; the caller checks that it did.

    Args:
        values: floats or lists of them by their place: `robot.hip_height`, `joints.hip.kp`.
    """
    lines, table = text.splitlines(keepends=True), ""
    for number, line in enumerate(lines):
        if header := re.match(r"\s*\[([\w-]+)\]", line):
            table = header[1]
        for place, value in values.items():
            part, _, rest = place.partition(".")
            if part != table:
                continue
            item, _, field = rest.rpartition(".")
            inside = rf"\{{[^#\n]*?\b{field}\s*=\s*" if item else ""
            pattern = rf"(\s*{re.escape(record.key_of(item or field))}\s*=\s*{inside})(\[[^\]]*\]|[^\s,#}}]+)"
            if at := re.match(pattern, line):
                line = f"{at[1]}{value!r}{line[at.end() :]}"
        lines[number] = line
    return "".join(lines)
