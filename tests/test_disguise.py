"""A robot in disguise is the same robot: what walkies reads off it does not depend on names, order and signs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robots.reading.test_source import ball, joint, link
from scripts import script
from walkies.robots.reading.infer import add

SAME = ("mass", "hip_height", "standing_height", "gamepad", "points", "self_contacts", "fade_in")


@pytest.fixture(scope="module")
def disguise():
    return script("disguise")


def dog() -> str:
    """Two hinges to a leg, with limits that are not symmetric, and feet that are welded on."""
    parts = [link("trunk", 3.0, 0.03, '<collision><geometry><box size="0.5 0.16 0.08"/></geometry></collision>')]
    for leg, (x, y) in {"fl": (0.25, 0.1), "fr": (0.25, -0.1), "bl": (-0.25, 0.1), "br": (-0.25, -0.1)}.items():
        parts += [
            link(f"{leg}_thigh", 0.2, 1e-3),
            link(f"{leg}_shank", 0.1, 1e-3),
            link(f"{leg}_foot", 0.05, 1e-4, ball()),
        ]
        parts += [
            joint(f"{leg}_hip", "trunk", f"{leg}_thigh", f"{x} {y} 0"),
            joint(f"{leg}_knee", f"{leg}_thigh", f"{leg}_shank", "0 0 -0.15").replace('lower="-1"', 'lower="-2.5"'),
            joint(f"{leg}_ankle", f"{leg}_shank", f"{leg}_foot", "0 0 -0.15", "fixed"),
        ]
    return f'<robot name="dog">{"".join(parts)}</robot>'


def test_a_robot_in_disguise_is_read_as_the_same_robot(disguise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {"plain": dog(), **{f"hidden{seed}": disguise.disguised(dog(), seed) for seed in range(3)}}
    robots = {}
    for name, text in files.items():
        Path(f"{name}.urdf").write_text(text)
        robots[name] = add(Path(f"{name}.urdf")).robot
    plain = robots.pop("plain")
    for robot in robots.values():
        assert robot.kind == plain.kind == "quadruped"
        for fact in SAME:
            assert getattr(robot, fact) == pytest.approx(getattr(plain, fact), rel=1e-3), fact
        for each in ("kp", "torque_limit", "action_scale"):
            assert sorted(getattr(robot, each)) == pytest.approx(sorted(getattr(plain, each)), rel=1e-3), each
        assert sorted(map(abs, robot.default_pose)) == pytest.approx(sorted(map(abs, plain.default_pose)), abs=2e-3)
        assert robot.mirror_joints is not None and set(robot.leg_names) == set(plain.leg_names)


def test_a_disguise_hides_names_and_turns_hinges_round(disguise):
    """Control: what it leaves would be seen."""
    text = disguise.disguised(dog(), 0)
    assert not re.search("trunk|thigh|shank|foot|hip|knee|ankle", text)
    turned, plain = text.count('xyz="0 -1 0"') + text.count('xyz="-0 -1 -0"'), text.count('xyz="0 1 0"')
    assert turned > 1 and plain > 1
    assert text.count('upper="2.5"') + text.count('lower="-2.5"') == 4
    assert disguise.disguised(dog(), 0) == text != disguise.disguised(dog(), 1)
