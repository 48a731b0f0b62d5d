"""`walkies explain` of a policy file shows what the file says, in either format; of a robot, all of its task."""

import json
from dataclasses import fields

import pytest

from deploy import synthetic
from walkies import cli
from walkies.deploy.policy_file import in_edition, read, write
from walkies.tasks.curriculum import Ramp
from walkies.tasks.walk import WalkConfig


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal on which no sentence is wrapped."""
    monkeypatch.setenv("COLUMNS", "300")


def said(capsys, *arguments, status=0):
    assert cli.run([*map(str, arguments)]) == status
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).replace("│", " ").split())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "policy.json"


def test_a_gait_with_its_jump_and_hold(path, capsys):
    path.write_text(json.dumps(synthetic.gaits(history=2, hidden=(4,))))
    out = said(capsys, "explain", path)
    for words in (
        "format of 2026: 96 numbers = 2 frame(s) of 48, newest first",
        "36–47 gait_reference",
        "9–11 desired_world_z desired_up",
        "96 → 4 (elu) → 12 (linear)",
        "servo kp 5.5 N·m/rad, kd 0.25",
        "command_clip.vx -1.5 … 1.5 m/s",
        "kp 1 rad/s per rad, at most 0.3 rad/s",
        "says the file",
        "gait_reference.frequency 1.33333 Hz",
        "gait_reference.lift_table 100 × 12 up to 0.15 rad",
        "gait_reference.gallop_back_table 100 × 12 up to 0.40 rad",
        "100 rows in 0.94 s, 0.8 s long",
        "0.49 m/s, 1.5 with button 1",
        "leg_back_l_3",
    ):
        assert words in out, words


def test_what_the_robot_takes_where_the_file_says_nothing(path, capsys):
    """With a gait the heading is held all the same; an axis that is not named is not bounded."""
    document = synthetic.gaits(history=1, hidden=(4,))
    del document["heading_hold"], document["jump_slot"], document["command_clip"]["vy"]
    del document["gait_reference"]["lift_table"]
    path.write_text(json.dumps(document))
    out = said(capsys, "explain", path.parent)
    assert "kp 1 rad/s per rad" in out and "the robot's choice" in out and "command_clip.vy not bounded" in out
    assert "gait_reference.lift_table none" in out and "jump_slot none" in out


def test_a_recorded_movement(path, capsys):
    path.write_text(json.dumps(synthetic.trick(hidden=(4,))))
    out = said(capsys, "explain", path)
    assert "24–29 motion_anchor_ori_b" in out and "greeting: 100 frames at 50 Hz" in out
    assert "bow frames 0 … 39, then wave" in out and "wave frames 40 … 99, loops" in out
    assert "heading_hold off" in out and "gait_reference none" in out


def test_a_file_of_2025(sound_policy, path, capsys):
    write(path, in_edition(sound_policy, 2025))
    out = said(capsys, "explain", path)
    assert "format of 2025: 72 numbers = 2 frame(s) of 36" in out
    assert "walkies.command_range.vx -0.75 … 0.75" in out and "the robot clips nothing" in out


@pytest.fixture
def sound_policy(tmp_path):
    document = synthetic.plain(history=2, hidden=(4,))
    document["command_clip"] = {"vx": [-0.75, 0.75], "vy": [-0.5, 0.5], "wz": [-2.0, 2.0]}
    (tmp_path / "new.json").write_text(json.dumps(document))
    return read(tmp_path / "new.json")


def test_a_name_of_neither_robot_nor_file_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = said(capsys, "explain", "puper", status=2)
    assert "unknown robot 'puper'" in out and "nor is there a run folder or policy.json of that name" in out
    (tmp_path / "puper").mkdir()
    assert "no policy in puper" in said(capsys, "explain", "puper", status=2)


def test_a_robot_is_still_its_task(tmp_path, monkeypatch, capsys):
    """Also where a folder has its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pupper").mkdir()
    assert "Reward of a step" in said(capsys, "explain", "pupper")


def test_all_that_grows_in_training_is_explained(capsys):
    """The numbers of every ramp, and of every other record of numbers."""
    found = said(capsys, "explain", "pupper", "--task.twisting.after", "123456")
    ramps = [field.name for field in fields(WalkConfig) if isinstance(getattr(WalkConfig(), field.name), Ramp)]
    assert "twisting" in ramps and len(ramps) > 1
    for name in ramps:
        assert all(f"{name}.{field.name}" in found for field in fields(Ramp)), name
    assert "twisting.after 123456" in found


def test_held_joints_have_no_action(capsys):
    """Of a task; humanoids hold those of no leg unless told otherwise. Control: told to hold nothing, all have one."""
    held = said(capsys, "explain", "small-humanoid", "--task.hold", "arms")
    assert "Action: 12 numbers" in held and held.count("held at the default") == 8 and "– left_elbow" in held
    assert "Action: 12 numbers" in said(capsys, "explain", "small-humanoid")
    plain = said(capsys, "explain", "small-humanoid", "--task.hold")
    assert "Action: 20 numbers" in plain and "held at the default" not in plain and "14 left_elbow" in plain


def test_names_are_whole_on_a_narrow_terminal(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path.write_text(json.dumps(synthetic.gaits(history=2, hidden=(4,))))
    assert "index 36–47 component gait_reference in walkies gait_reference" in said(capsys, "explain", path)
