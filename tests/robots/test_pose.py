"""A saved pose: the robot's from then on, kept as a change by hand, and never of a robot that comes with walkies."""

import math
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.robots import folders, get_robot, load_model, names, pose
from walkies.robots.folders import RECORD, ZOO
from walkies.robots.pose import replaced
from walkies.robots.reading.anatomy import lowest
from walkies.robots.reading.infer import add

SOURCE = ZOO / "servo-dog" / "model.xml"


@pytest.fixture
def robot(tmp_path, monkeypatch):
    """One of the working folder."""
    monkeypatch.chdir(tmp_path)
    return add(SOURCE, "mine").robot


def poses(robot):
    return dict(zip(robot.joint_names, robot.default_pose, strict=True))


def crouched(robot):
    """Its knees bent more, and its thighs with them."""
    changed = poses(robot)
    for leg in robot.legs:
        changed[robot.joint_names[leg[1]]] += 0.25
        changed[robot.joint_names[leg[2]]] -= 0.4
    return {name: round(angle, 4) for name, angle in changed.items()}


def off_the_ground(robot):
    """m, of the feet's lowest point in the pose in which a training begins."""
    model = load_model(robot)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_kinematics(model, data)
    return min(lowest(model, data, model.geom(name).id) for name in robot.foot_geoms)


def test_a_saved_pose_is_the_robots_and_stays_when_its_file_is_added_again(robot):
    wanted = crouched(robot)
    saved = pose.save("mine", wanted)
    now = get_robot("mine")
    assert poses(now) == wanted != poses(robot)
    again = add(SOURCE, "mine")
    assert poses(again.robot) == wanted and set(again.kept) == set(saved.changed)
    assert again.robot == now
    (Path("robots/mine") / "robot.read.json").unlink()  # the control: then nobody knows what was changed
    assert poses(add(SOURCE, "mine").robot) == poses(robot)


def test_the_heights_follow_the_pose(robot):
    """It stands on the ground, and what was above keeps its share. Control: the pose alone, written by hand."""
    path = Path("robots/mine") / RECORD
    before = path.read_text()
    saved = pose.save("mine", crouched(robot))
    now = get_robot("mine")
    assert abs(off_the_ground(now)) < 1e-5 and now.hip_height < 0.95 * robot.hip_height
    for old, new in zip(robot.reset_height, now.reset_height, strict=True):
        shares = ((old - robot.standing_height) / robot.hip_height, (new - now.standing_height) / now.hip_height)
        assert shares[0] == pytest.approx(shares[1], rel=0.02)
    assert now.gamepad == robot.gamepad and now.action_scale == robot.action_scale and now.kp == robot.kp
    path.write_text(replaced(before, {k: new for k, (_, new) in saved.changed.items() if k.startswith("joints.")}))
    assert poses(get_robot("mine")) == crouched(robot) and off_the_ground(get_robot("mine")) > 0.01


def test_heights_are_those_of_reading_the_robot_in_that_pose(robot):
    """With the pose as a keyframe of its file, `robot add` finds what saving sets."""
    wanted = crouched(robot)
    pose.save("mine", wanted)
    spec = mujoco.MjSpec.from_file(str(SOURCE))
    order = [joint.name for joint in spec.joints if joint.name in wanted]
    spec.add_key(name="home", qpos=[0, 0, 0.3, 1, 0, 0, 0, *(wanted[name] for name in order)])
    spec.compile()
    Path("posed.xml").write_text(spec.to_xml())
    read, saved = add(Path("posed.xml"), "posed").robot, get_robot("mine")
    assert poses(read) == pytest.approx(poses(saved))
    for fact in ("standing_height", "hip_height", "reset_height", "payload_height", "fade_in"):
        assert getattr(saved, fact) == pytest.approx(getattr(read, fact), rel=2e-3), fact


def test_nothing_else_of_the_file_changes(robot):
    path = Path("robots/mine") / RECORD
    path.write_text(path.read_text().replace("[commands]", "[commands]  # mine, all of them\n# pose = 3.0"))
    before = path.read_text()
    saved = pose.save("mine", crouched(robot))
    after = path.read_text()
    lines = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(lines) == len(saved.changed) and "# pose = 3.0" in after
    numbers = r"-?\d[\d.e-]*"
    assert all(re.sub(numbers, "", a) == re.sub(numbers, "", b) for a, b in lines)


def test_a_pose_that_it_has_already_changes_nothing(robot):
    """Not a byte. Control: half a degree."""
    path = Path("robots/mine") / RECORD
    before = path.read_bytes()
    assert pose.save("mine", poses(robot)).changed == {} and path.read_bytes() == before
    joint = robot.joint_names[0]
    changed = pose.save("mine", poses(robot) | {joint: 0.01}).changed
    assert changed[f"joints.{joint}.pose"] == (robot.default_pose[0], 0.01) and path.read_bytes() != before


def test_whether_it_falls_on_its_servos_alone_is_looked_at_again(robot):
    """On the legs of one side it does; and the answer goes back with the pose."""
    tipping = poses(robot)
    for leg in robot.legs[::2]:
        tipping[robot.joint_names[leg[1]]] += 0.9
        tipping[robot.joint_names[leg[2]]] -= 1.1
    pose.save("mine", tipping)
    assert (robot.fade_in, get_robot("mine").fade_in) == (1.0, 0.0)
    pose.save("mine", poses(robot))
    assert get_robot("mine").fade_in == 1.0


def test_a_limit_is_an_angle_too_and_a_robot_on_its_back_no_pose_to_stand_in(robot):
    """Its feet above its hips, and of that nothing is written."""
    joint, path = robot.joint_names[2], Path("robots/mine") / RECORD
    for limit in (robot.lower_limits[2], robot.upper_limits[2]):
        pose.save("mine", poses(robot) | {joint: limit})
        assert poses(get_robot("mine"))[joint] == limit
    before = path.read_bytes()
    with pytest.raises(UserError, match="expected a pose to stand in"):
        pose.save("mine", dict(zip(robot.joint_names, robot.upper_limits, strict=True)))
    assert path.read_bytes() == before


BAD = {
    "beyond": (lambda p, name, top: p | {name: math.nextafter(top, 9.0)}, "expected an angle within its limits"),
    "far below": (lambda p, name, top: p | {name: -1e9}, "expected an angle within its limits"),
    "infinite": (lambda p, name, top: p | {name: math.inf}, "a finite number"),
    "no number": (lambda p, name, top: p | {name: math.nan}, "a finite number"),
    "text": (lambda p, name, top: p | {name: "0.1"}, "a finite number"),
    "truth": (lambda p, name, top: p | {name: True}, "a finite number"),
    "nothing": (lambda p, name, top: p | {name: None}, "a finite number"),
    "a joint too few": (lambda p, name, top: {k: v for k, v in p.items() if k != name}, "the pose says nothing of"),
    "a joint too many": (lambda p, name, top: p | {"tail": 0.0}, "has no joint tail"),
    "another fact": (lambda p, name, top: p | {f"{name}.kp": 0.0}, "has no joint"),
    "a list": (lambda p, name, top: list(p.values()), "an object"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_pose_of_the_robot_is_refused(robot, bad):
    """And nothing is written. Control: the pose that it was made of."""
    path = Path("robots/mine") / RECORD
    before = path.read_bytes()
    change, said = BAD[bad]
    with pytest.raises(UserError, match=re.escape(said)):
        pose.save("mine", change(crouched(robot), robot.joint_names[0], robot.upper_limits[0]))
    assert path.read_bytes() == before
    pose.save("mine", crouched(robot))
    assert path.read_bytes() != before


def test_robots_that_come_with_walkies_are_never_written(robot, monkeypatch):
    """Also where a link of the working folder leads to one. Control: the same robot in a folder of its own."""
    monkeypatch.setattr(pose, "write_text", lambda *_: pytest.fail("something was written"))
    for name in sorted(set(names()) - {"mine"}):
        assert pose.own_folder(name) is None
        own = get_robot(name)
        with pytest.raises(UserError, match=f"walkies robot add .* --name my-{name}") as caught:
            pose.save(name, poses(own))
        named = re.search(r"robot add (\S+)", str(caught.value))
        assert named and Path(named[1]).is_file(), "the file that it names is there"
    Path("robots/linked").symlink_to(ZOO / "go")
    assert folders.find("linked") is not None and pose.own_folder("linked") is None
    Path("robots/pupper").symlink_to("mine")  # a folder that nobody reads: that name's record is code
    assert pose.own_folder("pupper") is None
    assert pose.own_folder("mine") == Path("robots/mine")


def test_a_record_that_is_laid_out_otherwise_is_left_alone_and_said(robot):
    path = Path("robots/mine") / RECORD
    joint = robot.joint_names[0]
    text = path.read_text()
    line = re.search(rf"^{joint}\s*= \{{(.*)\}}$", text, re.M)
    assert line
    table = "\n".join([f"[joints.{joint}]", *re.findall(r'(\w+ = (?:"[^"]*"|[^,]+))', line[1])])
    path.write_text(text.replace(line[0], "") + table + "\n")
    before = path.read_text()
    assert poses(get_robot("mine")).keys() == poses(robot).keys()
    order = {name: 0.01 if name == joint else angle for name, angle in poses(robot).items()}
    with pytest.raises(UserError, match=rf"write into it by hand: .*joints\.{joint}\.pose = 0\.01"):
        pose.save("mine", order)
    assert path.read_text() == before


def test_names_of_any_letters_are_found():
    text = (
        '[joints]\n"a.b # c" = { pose = 0.5, kp = 1.0 }  # pose = 7\nab = { pose = 0.5, kp = 2.0 }\n'
        "[legs]\nab = { pose = 0.5 }\n"
    )
    assert replaced(text, {"joints.a.b # c.pose": 1.5, "joints.ab.kp": 3.0}) == text.replace(
        "pose = 0.5, kp = 1.0", "pose = 1.5, kp = 1.0"
    ).replace("kp = 2.0", "kp = 3.0")
    assert replaced(text, {}) == text
    both = "[robot]\nreset_height = [1.0, 2.0]  # m\nheight = 1.0\n"
    assert replaced(both, {"robot.reset_height": [3.0, 4.0]}) == both.replace("[1.0, 2.0]", "[3.0, 4.0]")


def test_an_untouched_joint_keeps_its_last_digit(robot):
    """What a page sends of it is what it was told. Control: the joint that moves is rounded."""
    path = Path("robots/mine") / RECORD
    names_ = robot.joint_names
    path.write_text(replaced(path.read_text(), {f"joints.{names_[0]}.pose": 0.123456789}))
    pose.save("mine", poses(get_robot("mine")) | {names_[3]: -0.123456789})
    now = poses(get_robot("mine"))
    assert (now[names_[0]], now[names_[3]]) == (0.123456789, -0.1235)
    assert np.isfinite(list(now.values())).all()
