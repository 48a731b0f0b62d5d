"""The examination and the rehearsal of robots of any size."""

from dataclasses import replace

import numpy as np
import pytest

from made_policies import tiny
from walkies.deploy.blocks import Blocks, CommandClip
from walkies.deploy.layers import Layer
from walkies.deploy.policy_file import PolicyFile, per_joint
from walkies.judge import exam, ranges, report_card
from walkies.judge.rehearsal.conditions import AXES, BASE, BOXES, axes_of, base_of, box_of
from walkies.judge.report import MARKS, ONE, marks_of, scale_of
from walkies.robots import get_robot, names
from walkies.robots.pupper import PUPPER

OTHERS = [name for name in names() if name != PUPPER.name]


def idle(robot):
    """A policy that always asks for the default pose."""
    observation = 3 * (9 + 3 + 2 * robot.num_joints)
    layer = Layer(np.zeros((observation, robot.num_joints)), np.zeros(robot.num_joints), "tanh")
    return PolicyFile(
        layers=(layer,), observation_history=3, kp=per_joint(robot.kp), kd=per_joint(robot.kd),
        action_scale=tuple(np.broadcast_to(robot.action_scale, robot.num_joints).tolist()),
        default_joint_pos=robot.default_pose, joint_lower_limits=robot.lower_limits,
        joint_upper_limits=robot.upper_limits, walkies={"robot": robot.name, "control_dt": 0.02},
    )  # fmt: skip


@pytest.mark.parametrize("name", [PUPPER.name, *OTHERS])
def test_who_only_stands_fails(name):
    """By the speeds where it stands, by its falls where it does not."""
    robot = get_robot(name)
    card = exam.examine(idle(robot), episodes=4)
    assert not card["passed"]
    speed = next(mark for mark in card["marks"] if mark["key"] == "lin_vel_error")
    assert speed["value"] > 1.5 * speed["pass_mark"]
    if robot.fade_in:
        assert card["survival"] >= 0.5, "robots that stand by themselves mostly do"


def test_the_reference_keeps_its_marks():
    assert scale_of(PUPPER) == ONE and marks_of(ONE) == MARKS
    assert base_of(PUPPER) == BASE and axes_of(PUPPER) == AXES and box_of(PUPPER, BOXES["harsh"]) == BOXES["harsh"]


@pytest.mark.parametrize("name", OTHERS)
def test_marks_are_shares_of_what_it_is_told(name):
    robot = get_robot(name)
    found = {mark.key: mark.limit for mark in marks_of(scale_of(robot))}
    plain = {mark.key: mark.limit for mark in MARKS}
    for key, axis in (("lin_vel_error", 0), ("yaw_rate_error", 2)):
        share = plain[key] / PUPPER.gamepad[axis]
        assert found[key] == pytest.approx(share * robot.gamepad[axis], rel=1e-3)
    assert found["survival"] == plain["survival"] and found["tilt"] == plain["tilt"]


def test_conditions_are_the_robots_own():
    """Loads in its mass, pushes in its speed; noise, delays and friction as they are."""
    robot = get_robot("anymal")
    bodies = 13
    ours, theirs = (ranges.draw(3, 120, one, bodies) for one in (PUPPER, robot))
    heavier, faster = robot.mass / PUPPER.mass, (robot.hip_height / PUPPER.hip_height) ** 0.5
    longer = robot.trunk_length / PUPPER.trunk_length
    sizes = {"payload": heavier, "com_shift": longer, "friction": 1.0, "mass": 1.0, "kp": 1.0, "kd": 1.0}
    for name, size in (sizes | {"command_delay": 1.0, "imu_delay": 1.0}).items():
        for end in (np.min, np.max):
            width = np.ptp(getattr(ours, name))
            assert abs(end(getattr(theirs, name)) / size - end(getattr(ours, name))) <= 0.06 * width, name
    pushed = [np.linalg.norm(one.push, axis=-1) for one in (ours, theirs)]
    assert pushed[1].max() == pytest.approx(faster * 0.25, rel=0.05)
    assert (pushed[1] > 0).mean() == pytest.approx((pushed[0] > 0).mean() / faster, rel=0.2)
    axes = {axis.name: axis for axis in axes_of(robot)}
    assert "torque" not in axes and axes["payload"].values[-1] == pytest.approx(1.5 * heavier, rel=1e-3)
    assert axes["friction"].values == next(axis for axis in AXES if axis.name == "friction").values
    for axis in axes.values():
        assert axis.values[axis.base] == getattr(base_of(robot), axis.fields[0])


def test_a_policy_for_the_full_stick_is_examined_at_the_full_stick():
    """By the same marks, and the card says so. Control: one for less than the gamepad asks for gets all of that."""
    robot = get_robot("pupper")
    fast, slow = (
        replace(tiny(robot), blocks=Blocks(command_clip=CommandClip(vx=(-most, most), vy=(-0.4, 0.4), wz=(-2.0, 2.0))))
        for most in (1.5, 0.3)
    )
    assert exam.at_full_stick(fast, robot).gamepad == (1.5, robot.gamepad[1], robot.gamepad[2])
    assert exam.at_full_stick(slow, robot) == robot
    cards = [exam.examine(policy, episodes=2, seed=3) for policy in (fast, slow)]
    assert cards[0]["commands"] == [1.5, *robot.gamepad[1:]] and "commands" not in cards[1]
    assert [mark["pass_mark"] for mark in cards[0]["marks"]] == [mark["pass_mark"] for mark in cards[1]["marks"]]
    assert "1.5 m/s forward" in report_card.about(cards[0]) and "forward" not in report_card.about(cards[1])
    drawn = [exam._drawn(policy, robot, 40, 3)[1].command for policy in (fast, slow)]
    assert 1.2 < np.abs(drawn[0][..., 0]).max() <= 1.5 and np.abs(drawn[1][..., 0]).max() <= robot.gamepad[0]
