"""The wiggle test and the excitation: for any robot each joint moves, within its limits, and as is said."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from walkies import cli
from walkies.deploy.excite import excitation, oscillators
from walkies.deploy.policy_file import per_joint, read, write
from walkies.deploy.wiggle import AMPLITUDE, COLUMNS, RATE, sequence, wiggles
from walkies.robots import get_robot, load_model, names

ROBOTS = names()


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request):
    return get_robot(request.param)


def test_each_joint_goes_alone_slowly_and_within_its_limits(robot):
    moves = wiggles(robot)
    assert [move.joint for move in moves] == list(range(robot.num_joints))
    assert all(0.02 < abs(move.by) <= AMPLITUDE for move in moves)
    rows = sequence(robot, moves)
    targets = np.array([row[2] for row in rows])
    lower, upper = robot.target_limits()
    assert np.all(targets >= lower - 1e-9) and np.all(targets <= upper + 1e-9)
    away = targets - np.array(robot.default_pose)
    assert np.all(np.count_nonzero(np.abs(away) > 1e-9, axis=1) <= 1), "one at a time"
    assert np.all(np.abs(np.diff(targets, axis=0)).max(axis=0) * RATE < 0.2), "rad/s"
    np.testing.assert_allclose([max(away[:, m.joint], key=abs) for m in moves], [m.by for m in moves])
    assert not np.any(away[0]) and np.allclose(away[-1], 0)


SENTENCE = re.compile(r"(\w+) foot moves (.+) by ([\d.]+) cm")
AXES = {"forward": (0, 1), "backward": (0, -1), "up": (2, 1), "down": (2, -1)}
AXES |= {"to the robot's left": (1, 1), "to the robot's right": (1, -1)}


def foot_moves(robot, model, joint, by, leg):
    """How the foot of a leg moves, m, by the Jacobian of the model rather than by two poses."""
    data = mujoco.MjData(model)
    for name, angle in zip(robot.joint_names, robot.default_pose, strict=True):
        data.qpos[model.joint(name).qposadr] = angle
    mujoco.mj_forward(model, data)
    sites = robot.foot_sites[leg * robot.points : (leg + 1) * robot.points]
    total, jacobian = np.zeros(3), np.zeros((3, model.nv))
    for site in sites:
        mujoco.mj_jacSite(model, data, jacobian, None, model.site(site).id)
        total += by * jacobian[:, model.joint(robot.joint_names[joint]).dofadr[0]] / len(sites)
    return total


def wrong(robot, moves):
    """Sentences about feet that the model does not bear out."""
    model, found, told = load_model(robot, visuals=False), [], 0
    for move in moves:
        if (said := SENTENCE.fullmatch(move.see)) is None:
            continue
        told += 1
        truth = foot_moves(robot, model, move.joint, move.by, robot.leg_names.index(said[1]))
        for way in said[2].split(" and "):
            axis, sign = AXES[way]
            if sign * truth[axis] < 0.3 * np.abs(truth).max():
                found.append((robot.joint_names[move.joint], move.see))
    assert told >= 2 * len(robot.legs)
    return found


def test_what_is_to_be_seen_is_what_the_model_does(robot):
    moves = wiggles(robot)
    assert wrong(robot, moves) == []
    backwards = [move._replace(by=-move.by) for move in moves]
    assert len(wrong(robot, backwards)) >= 2 * len(robot.legs), "a joint that turns the other way is noticed"
    swapped = [move._replace(joint=(move.joint + 1) % robot.num_joints) for move in moves]
    assert wrong(robot, swapped), "joints in another order are noticed"


def test_a_joint_without_room_above_goes_down():
    robot = get_robot("pupper")
    tight = replace(robot, upper_limits=tuple(pose + robot.limit_inset for pose in robot.default_pose))
    assert all(move.by == -AMPLITUDE for move in wiggles(tight))


def test_the_file_names_its_joints_and_the_table_says_what_to_see(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # a narrower terminal breaks the lines of the table
    robot = get_robot("go")
    assert cli.run(["excite", "go", "--wiggle", "--out", str(tmp_path / "wiggle.csv")]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in robot.joint_names) and "foot moves to the robot's left" in said
    with (tmp_path / "wiggle.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*COLUMNS, *robot.joint_names]
    targets = np.array([[float(row[name]) for name in robot.joint_names] for row in rows])
    moving = [robot.joint_names.index(row["joint"]) for row in rows if row["joint"]]
    assert sorted(set(moving)) == list(range(robot.num_joints)) and np.ptp(targets, axis=0).min() > 0.1
    assert float(rows[1]["time"]) == pytest.approx(1 / RATE)
    assert cli.run(["excite", "go", "--wiggle", "--kp", "5"]) == 2
    assert "--wiggle holds only joint targets" in capsys.readouterr().err
    assert cli.run(["excite", "goo"]) == 2
    assert "unknown robot 'goo'" in capsys.readouterr().err


# The excitation


def shaken(robot, policy):
    """Ten seconds of actions (T, nu): its own last ones are all that it sees."""
    contract = policy.contract(robot)
    history, frame = contract.initial_history()[None], np.zeros((1, contract.frame_size), np.float32)
    actions = []
    for _ in range(500):
        history = contract.push(history, frame)
        actions.append(policy.act(history)[0])
        frame[0, contract.slices["last_action"]] = actions[-1]
    return np.array(actions)


def test_every_joint_of_every_robot_is_shaken(robot):
    actions = shaken(robot, excitation(robot))[200:]
    assert np.abs(actions).max() <= 1.0 and np.ptp(actions, axis=0).min() > 0.9
    spectrum = np.abs(np.fft.rfft(actions - actions.mean(axis=0), axis=0))
    peak = np.fft.rfftfreq(len(actions), 0.02)[spectrum.argmax(axis=0)]
    assert peak.min() > 0.6 and peak.max() < 4.6
    paired = [joint for pair in oscillators(robot) for joint in pair]
    assert len(set(paired)) == len(paired) >= robot.num_joints - 1


def test_it_is_a_policy_of_that_robot(robot, tmp_path):
    write(tmp_path / "shake.json", excitation(robot))
    policy = read(tmp_path / "shake.json")
    assert (policy.robot_name, policy.kp, policy.action_scale) == (robot.name, per_joint(robot.kp), robot.swing)
