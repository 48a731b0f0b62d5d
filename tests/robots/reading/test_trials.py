"""What a robot's model shows as it moves."""

from dataclasses import replace

import mujoco
import pytest

from walkies.robots import get_robot, load_model
from walkies.robots.base import IDLE
from walkies.robots.folders import ZOO
from walkies.robots.reading import trials
from walkies.robots.reading.infer import add
from walkies.run.config import of_robot


def test_who_stands_on_strong_servos_alone_starts_without_a_fade_in(monkeypatch):
    """A biped of the zoo; as its servos may be weaker than they say, it is not left to them. Control: with theirs it
    stands."""
    robot = get_robot("biped")
    model = load_model(robot, visuals=False)
    assert robot.fade_in == 0.0 and not trials.stands(model, robot)
    monkeypatch.setattr(trials, "WEAK", 1.0)
    assert trials.stands(model, robot)


@pytest.mark.parametrize(("name", "crossing"), [("go", True), ("humanoid", True), ("servo-dog", False)])
def test_whose_parts_meet(name, crossing):
    """Controls: where a unit of action turns little none do, and where it turns much all do."""
    robot = get_robot(name)
    model = load_model(robot, visuals=False)
    assert trials.meet(model, robot) == crossing == robot.self_contacts
    assert not trials.meet(model, replace(robot, action_scale=0.02))
    assert trials.meet(model, replace(robot, action_scale=2.0))


def test_a_waist_that_topples_is_not_held(tmp_path):
    """A full-size humanoid whose waist was made soft. Controls: as it is, or with less gravity, it is held."""
    firm = get_robot("humanoid")
    assert firm.hold == (IDLE,) and trials.topples(load_model(firm, visuals=False), firm) == ()
    text = (ZOO / "humanoid" / "model.xml").read_text(encoding="utf-8")
    file = tmp_path / "soft.xml"
    file.write_text(text.replace('<position kp="300" kv="3"/>', '<position kp="28.5" kv="1.8"/>'), encoding="utf-8")
    robot = add(file, place=tmp_path).robot
    model = load_model(robot, visuals=False)
    soft = trials.topples(model, robot)
    assert [robot.joint_names[joint] for joint in soft] == ["waist_roll", "waist_pitch"]
    assert set(robot.hold) == {robot.joint_names[joint] for joint in robot.idle_joints if joint not in soft}
    assert of_robot(robot).task.hold == robot.hold
    moon = model.__copy__()
    moon.opt.gravity[2] /= 6.0
    assert trials.topples(moon, robot) == ()


@pytest.mark.parametrize(("length", "kp", "held"), [(1.0, 70.0, True), (1.0, 60.0, False), (-1.0, 1.0, True)])
def test_gravity_pulls_as_it_does_at_a_pole(length, kp, held):
    """2 kg at the end of 1 m, above a hinge or below it: m g l = 19.62 N m/rad, so kp is 65.4 at least."""
    text = f"""<mujoco><worldbody><body name="base"><freejoint/><geom size="0.1" mass="1"/>
    <body><joint name="pole" axis="0 1 0"/><geom size="0.05" mass="2" pos="0 0 {length}"/></body>
    <body><joint name="leg" axis="0 1 0"/><geom size="0.05" mass="2" pos="0 0 -1"/></body></body></worldbody>
    <keyframe><key qpos="0 0 2 1 0 0 0 0 0"/></keyframe></mujoco>"""
    robot = replace(get_robot("go"), joint_names=("pole", "leg"), leg_joints=((1,),), kp=kp)
    found = trials.topples(mujoco.MjModel.from_xml_string(text), robot)
    assert found == (() if held else (0,))


def test_who_has_nothing_soft_holds_all_that_is_no_leg():
    assert get_robot("small-humanoid").hold == (IDLE,) and get_robot("biped").hold == ()
