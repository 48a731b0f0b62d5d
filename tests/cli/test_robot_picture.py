"""The picture of a robot of one's own shows its record as it is now."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from walkies import cli
from walkies.robots import folders, get_robot
from walkies.robots.folders import RECORD, ZOO
from walkies.robots.reading.infer import add
from walkies.show.pictures import robot as robot_picture
from walkies.show.pose_page import Poser
from walkies.show.pose_page.server import PoseServer

LATER = 2 * 10**9
"""ns: on every file system the time is another."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Of a robot of the working folder, with its picture."""
    monkeypatch.chdir(tmp_path)
    robot = add(ZOO / "servo-dog" / "model.xml", "mine").robot
    robot_picture.draw(robot, robot.mjcf.with_name(robot_picture.PICTURE))
    return robot.mjcf.parent


def picture(folder):
    path = folder / robot_picture.PICTURE
    return path.read_bytes(), path.stat().st_mtime_ns


def crouch(folder):
    """Change the record by hand, some time after the picture was drawn."""
    path, robot = folder / RECORD, get_robot(folder.name)
    angle = robot.default_pose[robot.legs[0][1]]
    before = path.read_text()
    after = before.replace(f"pose = {angle:g}", f"pose = {angle + 0.2:g}")
    assert after != before
    path.write_text(after)
    moment = (folder / robot_picture.PICTURE).stat().st_mtime_ns - LATER
    os.utime(folder / robot_picture.PICTURE, ns=(moment, moment))


COMMANDS = {
    "check": lambda: cli.run(["robot", "check", "mine"]),
    "check, for a program": lambda: cli.run(["robot", "check", "mine", "--json"]),
    "view": lambda: cli.run(["robot", "view", "mine", "--no-open"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_drawn_again_where_the_record_is_newer(folder, command, monkeypatch, capsys):
    """Control: before that nothing is drawn."""
    monkeypatch.setattr(PoseServer, "run", lambda server: None)
    before = picture(folder)
    COMMANDS[command]()
    assert picture(folder) == before and "Drawn" not in capsys.readouterr().out
    crouch(folder)
    COMMANDS[command]()
    assert picture(folder)[0] != before[0]
    said = capsys.readouterr().out
    if "program" in command:
        assert json.loads(said)["kind"] == "quadruped"
    else:
        assert f"Drawn as robot.toml now is: {folder / robot_picture.PICTURE}" in said


def test_it_shows_a_pose_that_is_saved(folder):
    """Control: one that is refused."""
    before, poser, robot = picture(folder), Poser("mine"), get_robot("mine")
    angles = dict(zip(robot.joint_names, robot.default_pose, strict=True))
    assert "refused" in poser.answer(json.dumps({"save": {}})) and picture(folder)[0] == before[0]
    for leg in robot.legs:
        angles[robot.joint_names[leg[1]]] += 0.1
    os.utime(folder / robot_picture.PICTURE, ns=(0, 0))
    lines = poser.answer(json.dumps({"save": angles}))["saved"]
    assert lines[-1].startswith("Drawn as robot.toml now is") and picture(folder)[0] != before[0]


def test_a_picture_that_is_missing_is_drawn(folder):
    (folder / robot_picture.PICTURE).unlink()
    assert robot_picture.refresh("mine") is not None and robot_picture.refresh("mine") is None


def test_only_robots_of_the_working_folder_have_one(folder, monkeypatch):
    """Not those that come with walkies, nor a run's copy."""
    drawn = []
    monkeypatch.setattr(robot_picture, "draw", lambda robot, path: drawn.append(path))
    monkeypatch.setattr(folders, "_copies", {})
    assert robot_picture.refresh("go") is robot_picture.refresh("pupper") is None
    crouch(folder)
    folders.keep_copy("mine", Path("run"))
    folders.know_copy(Path("run"))
    assert robot_picture.refresh("mine") is None and drawn == []
    folders._copies.clear()  # the control
    assert robot_picture.refresh("mine") is not None and drawn == [folder / robot_picture.PICTURE]


def test_a_folder_that_may_only_be_read_keeps_nobody_from_anything(folder, monkeypatch, capsys):
    def refused(robot, path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(robot_picture, "draw", refused)
    crouch(folder)
    assert cli.run(["robot", "check", "mine"]) in (0, 1)
    assert "robot.png cannot be drawn: [Errno 13] Permission denied" in capsys.readouterr().out
