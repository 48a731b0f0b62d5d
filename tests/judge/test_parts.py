"""What the report card says of a robot's own parts: contacts with itself, joints at rest, causes of falls."""

import json
from dataclasses import replace
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from walkies.deploy.layers import Layer
from walkies.deploy.policy_file import PolicyFile, per_joint
from walkies.judge import report_card
from walkies.judge.exam import examine
from walkies.judge.loop import layout, standing
from walkies.judge.parts import EVERY, Parts
from walkies.robots import get_robot, load_model
from walkies.show import page

ROBOT = get_robot("small-humanoid")
PUPPER = get_robot("pupper")


def asking(robot, **offsets):
    """A policy that asks for the default pose, but for some joints moved by so many rad."""
    size, scale = 3 * (9 + 3 + 2 * robot.num_joints), np.ones(robot.num_joints)
    moved = np.array([offsets.get(name, 0.0) for name in robot.joint_names])
    layer = Layer(np.zeros((size, robot.num_joints)), np.arctanh(moved / 3.0), "tanh")
    return PolicyFile(
        layers=(layer,), observation_history=3, kp=per_joint(robot.kp), kd=per_joint(robot.kd),
        action_scale=tuple((3.0 * scale).tolist()), default_joint_pos=robot.default_pose,
        joint_lower_limits=robot.lower_limits, joint_upper_limits=robot.upper_limits,
        walkies={"robot": robot.name, "control_dt": 0.02},
    )  # fmt: skip


@pytest.fixture(scope="module")
def stands():
    return examine(asking(ROBOT), episodes=2)


@pytest.fixture(scope="module")
def folds():
    """Legs pressed together until the feet meet; it stands on them."""
    return examine(asking(ROBOT, left_hip_roll=0.4, right_hip_roll=-0.4), episodes=2)


def test_a_robot_that_folds_onto_itself_is_counted_and_one_that_stands_is_not(stands, folds):
    assert stands["own_contacts"] == {"share": 0.0, "pairs": []}, "its feet touch the ground all the time"
    assert 0.5 < folds["own_contacts"]["share"] <= 1.0
    first = folds["own_contacts"]["pairs"][0]
    assert sorted(first["bodies"]) == ["left_foot", "right_foot"] and first["share"] > 0.5
    assert "touched" not in report_card.markdown(stands)
    assert "touched one another in" in report_card.markdown(folds) and "right\\_foot" in report_card.markdown(folds)
    assert "touched one another in" in page.card(folds) and "touched" not in page.card(stands)


def watched(robot, resting):
    """Something that looks at one robot, and the pose qpos (1, nq) in which it stands."""
    model = load_model(robot)
    qpos = standing(model, robot, robot.default_pose, np.zeros(1))
    loop = SimpleNamespace(
        simulation=SimpleNamespace(model=model), where=layout(model, robot), robot=robot, alive=np.ones(1, bool)
    )
    return Parts(loop, resting, np.array(robot.default_pose)), loop, qpos


def motion(qpos):
    return SimpleNamespace(qpos=np.asarray(qpos)[:, None])


def test_contacts_are_those_that_mujoco_finds():
    """In random poses, in the air. Control: there are poses with and without."""
    parts, loop, qpos = watched(ROBOT, ())
    model, rng = loop.simulation.model, np.random.default_rng(0)
    data, expected, looked = mujoco.MjData(model), 0, 300
    for step in range(looked):
        qpos[0, 2], qpos[0, loop.where.qpos] = 3.0, rng.uniform(ROBOT.lower_limits, ROBOT.upper_limits)
        data.qpos[:] = qpos[0]
        mujoco.mj_forward(model, data)
        expected += any(contact.dist <= 0 for contact in data.contact)
        parts.look(EVERY * step, motion(qpos))
    assert parts.own_contacts()["share"] == pytest.approx(expected / looked) and 10 < expected < looked - 10


def test_joints_at_rest_are_measured_in_closed_form():
    """Mean over joints and steps, and the worst; a fallen robot counts no more."""
    joints = [ROBOT.joint_names.index(name) for name in ("left_elbow", "head_pan")]
    parts, loop, qpos = watched(ROBOT, joints)
    place = loop.where.qpos[joints]
    for step, away in enumerate([(0.1, 0.0), (-0.3, 0.2)]):
        moved = qpos.copy()
        moved[0, place] += away
        moved[0, loop.where.qpos[0]] += 1.0  # of a leg
        parts.look(step, motion(moved))
    loop.alive[:] = False
    parts.look(2, motion(qpos + 5.0))
    found = parts.at_rest()
    assert found["joints"] == ["left_elbow", "head_pan"] and found["worst_joint"] == "left_elbow"
    assert (found["mean"], found["worst"]) == (pytest.approx(0.15), pytest.approx(0.3))


def test_where_nobody_walked_nothing_is_said():
    parts, loop, qpos = watched(ROBOT, ROBOT.idle_joints)
    loop.alive[:] = False
    parts.look(0, motion(qpos))
    assert parts.own_contacts() is None and parts.at_rest() is None


def test_arms_that_move_stray_and_arms_that_are_held_do_not(stands):
    """The same network, with and without a scale for its arms."""
    waving = asking(ROBOT, left_elbow=0.5, right_elbow=-0.5)
    scale = [0.0 if joint in ROBOT.idle_joints else s for joint, s in enumerate(waving.action_scale)]
    held = replace(waving, action_scale=tuple(scale))
    strays, rests = (examine(policy, episodes=1)["resting"] for policy in (waving, held))
    assert strays["worst"] > 0.4 and strays["worst_joint"].endswith("elbow")
    assert rests["worst"] < 0.1 > stands["resting"]["worst"] and rests["mean"] <= rests["worst"]
    assert len(rests["joints"]) == len(ROBOT.idle_joints)


def test_a_robot_of_legs_alone_has_a_line_for_joints_that_it_holds_and_else_none():
    """So its card is as it was, with a share of contacts more."""
    plain = asking(PUPPER)
    card = examine(plain, episodes=1)
    assert "resting" not in card and "default pose" not in report_card.markdown(card)
    assert list(card) == [
        "passed", "survival", "survival_interval", "lin_vel_error", "yaw_rate_error", "episodes", "seed",
        "episode_seconds", "robot", "marks", "falls", "own_contacts",
    ]  # fmt: skip
    held = replace(plain, action_scale=(0.0, *plain.action_scale[1:]))
    assert examine(held, episodes=1)["resting"]["joints"] == [PUPPER.joint_names[0]]


def test_cards_are_read_again_and_so_are_older_ones(folds, tmp_path):
    data, _ = report_card.write(folds, tmp_path)
    assert report_card.read(data) == json.loads(data.read_text()) == folds
    older = {key: value for key, value in folds.items() if key not in ("own_contacts", "resting")}
    data.write_text(json.dumps(older))
    assert report_card.read(data) == older and report_card.remarks(older) == []
    assert "touched" not in report_card.markdown(older) + page.card(older)


def test_falls_are_counted_by_cause(stands):
    fall = {
        "episode": 0, "seed": 0, "time": 1.0, "cause": "tilt", "command": [0.0] * 3, "command_held_s": 1.0,
        "command_before": [0.0] * 3, "friction": 1.0, "payload_kg": 0.0, "trunk_mass_scale": 1.0,
        "com_shift_m": [0.0] * 2, "kp_scale": 1.0, "kd_scale": 1.0, "command_delay_ms": 0.0, "imu_delay_ms": 0.0,
        "last_push_m_s": 0.0,
    }  # fmt: skip
    card = {**stands, "falls": [fall, {**fall, "cause": "trunk touched the ground"}, fall]}
    assert report_card.causes(card) == "tilt: 2, trunk touched the ground: 1" and report_card.causes(stands) == ""
    assert "tilt: 2, trunk touched the ground: 1" in report_card.markdown(card)
    assert "Falls by cause: tilt: 2" in page.card(card) and "Falls by cause" not in page.card(stands)
