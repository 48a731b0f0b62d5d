"""Which joints a task holds at the default pose: the words of its `hold` as joints of a robot.

Arms and waist are found from the robot's record and the tree of its model, not from names.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from walkies.errors import UserError
from walkies.files import shown
from walkies.robots import load_model
from walkies.robots.base import IDLE, Robot

ARMS, WAIST = "arms", "waist"
GROUPS = {
    IDLE: "joints that belong to no leg",
    ARMS: "joints of other limbs than legs, a head or a tail among them",
    WAIST: "joints of no leg between the base and where limbs branch",
}
"""Words for joints, and what they mean."""
FLAG = "--task.hold"
MOST_NAMED = 40
"""Joints that an error lists."""


def held(robot: Robot, names: Sequence[str]) -> tuple[int, ...]:
    """Joints, by their index in the robot's record, that the words refer to: names of joints and legs, patterns
    of joint names (*, ?, [ab]), and GROUPS.

    Raises:
        UserError: a word matches nothing on this robot, or all of its joints would be held.
    """
    found = set[int]().union(*(_meant(robot, name) for name in names))
    if len(found) == robot.num_joints:
        raise UserError(
            f"{FLAG} {' '.join(map(shown, names))}: holds every joint of {robot.name}, so nothing is left to learn; "
            f"leave some out: {_some(robot.joint_names)}"
        )
    return tuple(sorted(found))


def groups(robot: Robot) -> dict[str, tuple[int, ...]]:
    """The joints of each of GROUPS; empty if a robot has none."""
    idle = robot.idle_joints
    waist = _waist(robot) if idle else set()
    return {
        IDLE: idle,
        ARMS: tuple(joint for joint in idle if joint not in waist),
        WAIST: tuple(joint for joint in idle if joint in waist),
    }


def _meant(robot: Robot, name: str) -> set[int]:
    """The joints that one word means: a joint's own name first."""
    if name in robot.joint_names:
        return {robot.joint_names.index(name)}
    if name in robot.leg_names:
        return set(robot.legs[robot.leg_names.index(name)])
    if name in GROUPS:
        if joints := groups(robot)[name]:
            return set(joints)
        why = "" if robot.idle_joints else ", since all of its joints belong to legs"
        raise UserError(f"{FLAG} {name}: means {GROUPS[name]}; {robot.name} has none{why}; {_expected(robot)}")
    if matching := {place for place, joint in enumerate(robot.joint_names) if fnmatchcase(joint, name)}:
        return matching
    near = difflib.get_close_matches(name.lower(), [*GROUPS, *robot.leg_names, *robot.joint_names], 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(
        f"{FLAG} {shown(name)}: no joint, leg or pattern of joints of {robot.name} has that name{hint}; "
        f"{_expected(robot)}"
    )


def _expected(robot: Robot) -> str:
    """What can be held."""
    own = groups(robot)
    words = [f"{name} ({len(own[name])} joints: {meaning})" for name, meaning in GROUPS.items() if own[name]]
    words += [f"a leg ({', '.join(robot.leg_names)})", f"joints, by name or pattern ({_some(robot.joint_names)})"]
    return f"expected {'; '.join(words)}"


def _some(names: Sequence[str]) -> str:
    """Names for a sentence, shortened if there are many."""
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")


def _waist(robot: Robot) -> set[int]:
    """Joints that several limbs share before any branches off, and that lie in the robot's middle.

    A shoulder whose hand has fingers is shared by these, and has a mirror image on the other side.
    """
    from walkies.robots.reading.anatomy import above  # which loads MuJoCo

    model = load_model(robot, visuals=False)
    hinges = tuple(model.joint(name).id for name in robot.joint_names)
    paths = [above(model, int(model.jnt_bodyid[hinge]), hinges) for hinge in hinges]
    paths = [path[: path.index(hinge) + 1] for path, hinge in zip(paths, hinges, strict=True)]
    ends = [path for path in paths if not any(len(other) > len(path) and other[: len(path)] == path for other in paths)]

    def limbs(hinge: int) -> list[tuple[int, ...]]:
        return [path for path in ends if hinge in path]

    mirror = robot.mirror_joints
    return {
        place
        for place, path in enumerate(paths)
        if len(limbs(path[-1])) > 1 and limbs(path[0]) == limbs(path[-1]) and (mirror is None or mirror[place] == place)
    }
