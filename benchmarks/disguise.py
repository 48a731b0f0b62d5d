"""A robot's URDF in disguise: the same robot, of which only the geometry still says what is what.

Links and joints get names that mean nothing, elements any order, and about half of the hinges turn about the opposite
axis, with their limits turned round.
"""

from __future__ import annotations

import random
from xml.etree import ElementTree

MOVING = ("revolute", "continuous")
REFERENCES = ("link", "joint")
"""Attributes that name a link or a joint, besides `name` of the elements themselves."""


def disguised(urdf: str, seed: int) -> str:
    """The text of a URDF in disguise; the same seed gives the same."""
    rng = random.Random(seed)
    robot = ElementTree.fromstring(urdf)
    names: dict[str, dict[str, str]] = {}
    for kind in REFERENCES:
        own = [element.get("name", "") for element in robot.findall(kind)]
        names[kind] = dict(zip(own, rng.sample([f"{kind[0]}{i:03d}" for i in range(1000)], len(own)), strict=True))
    for element in robot.iter():
        for kind in REFERENCES:
            if element.tag == kind and "name" in element.attrib:
                element.set("name", names[kind].get(element.attrib["name"], element.attrib["name"]))
            if kind in element.attrib:
                element.set(kind, names[kind].get(element.attrib[kind], element.attrib[kind]))
    for joint in robot.findall("joint"):
        if joint.get("type") in MOVING and rng.random() < 0.5:
            _turn_round(joint)
    parts = list(robot)
    rng.shuffle(parts)
    robot[:] = parts
    return ElementTree.tostring(robot, encoding="unicode")


def _turn_round(joint: ElementTree.Element) -> None:
    axis, limit = joint.find("axis"), joint.find("limit")
    along = (axis.get("xyz", "1 0 0") if axis is not None else "1 0 0").split()
    if axis is None:
        axis = ElementTree.SubElement(joint, "axis")
    axis.set("xyz", " ".join(f"{-float(part):g}" for part in along))
    if limit is not None and "lower" in limit.attrib and "upper" in limit.attrib:
        low, high = float(limit.attrib["lower"]), float(limit.attrib["upper"])
        limit.set("lower", repr(-high)), limit.set("upper", repr(-low))
