"""The programs on docs/your-robot.md run as they stand there, with a made module `robot`."""

from __future__ import annotations

import re
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

import made_policies
from walkies import cli
from walkies.deploy.policy_file import write
from walkies.robots import get_robot

PAGE = (Path(__file__).parents[2] / "docs" / "your-robot.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```py\n(.*?)^```", PAGE, re.M | re.S)
ROBOT = get_robot("go")


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """What a robot is sent that lists its joints the other way round; it presses its stop after five seconds."""
    robot, found = types.ModuleType("robot"), []
    robot.NAMES = list(reversed(ROBOT.joint_names))
    robot.angles = lambda: np.array(ROBOT.default_pose[::-1]) + 0.1
    robot.gyro = robot.command = lambda: np.zeros(3)
    robot.orientation = lambda: np.array([0.0, 0.0, -1.0])
    robot.speeds = lambda: np.zeros(ROBOT.num_joints)
    robot.stop_pressed = lambda: len(found) > 250
    robot.send = lambda *what: found.append(what)
    monkeypatch.setitem(sys.modules, "robot", robot)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    return found


def test_the_wiggle_is_played(sent, capsys):
    assert cli.run(["excite", ROBOT.name, "--wiggle"]) == 0
    capsys.readouterr()
    exec(PROGRAMS[0], {})
    targets = np.array([what[0] for what in sent])[:, ::-1]
    np.testing.assert_allclose(targets[0], np.array(ROBOT.default_pose) + 0.1, atol=1e-4)
    assert np.abs(np.diff(targets, axis=0)).max() < 0.01, "no jumps"
    assert np.ptp(targets[150:], axis=0).min() > 0.1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "every joint in the default pose" and len(lines) == 1 + ROBOT.num_joints
    assert all(line.startswith(name) for line, name in zip(lines[1:], ROBOT.joint_names, strict=True))


def test_the_loop_runs_the_policy_until_it_is_stopped(sent, tmp_path, monkeypatch, capsys):
    write("policy.json", made_policies.tiny(ROBOT))
    assert cli.run(["export", "policy.json", "--runner", "--out", "."]) == 0
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("runner", "log"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    capsys.readouterr()
    exec(PROGRAMS[1], {})
    sys.modules.pop("runner"), sys.modules.pop("log")
    assert capsys.readouterr().out == "stopped: button\n"
    targets, kp, kd = (np.array(column) for column in zip(*sent, strict=True))
    assert np.abs(np.diff(targets[:100], axis=0)).max() < 0.01, "a slow start"
    assert np.ptp(targets[100:], axis=0).max() > 0.05
    assert kp[:-1].min() > 0 and not kp[-1].any() and kd[-1].min() > 0
    assert (tmp_path / "walk.csv").read_text().startswith("time,topic,values\n")


def test_the_table_on_the_page_is_what_is_printed(sent, capsys):
    assert cli.run(["excite", ROBOT.name, "--wiggle"]) == 0
    printed = " ".join(re.sub(r"[│┃]", " ", capsys.readouterr().out).split())
    (table,) = re.findall(r"^```text\n(.*?)^…", PAGE, re.M | re.S)
    rows = [" ".join(line.split()) for line in table.splitlines()[1:]]
    assert len(rows) == 3 and all(row in printed for row in rows)
