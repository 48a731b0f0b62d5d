"""`walkies export` between the two formats and onto the robot: the policy stays the same, and a refusal says why."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from deploy import synthetic
from walkies.cli.export import command
from walkies.deploy.blocks import NO_HOLD, Blocks, CommandClip, HeadingHold
from walkies.deploy.controllers.inputs import begin, told
from walkies.deploy.policy_file import Layer, PolicyFile, PolicyFileError, in_edition, read, write
from walkies.errors import UserError
from walkies.robots import ROBOTS, get_robot

PUPPER = get_robot("pupper")
RANGE = {"vx": [-0.75, 0.75], "vy": [-0.5, 0.5], "yaw_rate": [-2.0, 2.0]}


@pytest.fixture
def policy(sound, tmp_path):
    """A file of 2026, alone in its folder."""
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(sound))
    return path


@pytest.fixture
def old(policy):
    """The same of 2025."""
    path = policy.with_name("old.json")
    write(path, in_edition(read(policy), 2025))
    return path


def test_there_and_back_it_is_the_same_policy(policy, capsys):
    assert command(policy, contract=2025) == 0
    old = policy.with_name("policy-2025.json")
    assert "format of 2025" in capsys.readouterr().out
    document = json.loads(old.read_text())
    assert not {"obs_spec", "single_observation_size", "command_clip", "heading_hold"} & set(document)
    assert document["walkies"]["command_range"] == RANGE
    command(old, contract=2026, out=policy.with_name("again.json"))
    before, again = (json.loads(path.read_text()) for path in (policy, policy.with_name("again.json")))
    assert before.pop("heading_hold")["kp"] == 0.0  # which is also what the robot takes where nothing is said
    assert again == before
    observation = np.random.default_rng(0).normal(size=(5, 72))
    np.testing.assert_array_equal(read(old).act(observation), read(policy).act(observation))


def test_a_run_folder_gets_the_file_beside_its_own(policy, capsys):
    command(policy.parent, contract=2025)
    assert sorted(path.name for path in policy.parent.iterdir()) == ["policy-2025.json", "policy.json"]
    command(policy.parent / "policy-2025.json", contract=2026)
    assert (policy.parent / "policy-2025-2026.json").is_file()


@pytest.mark.parametrize(
    ("document", "lost"),
    [
        (synthetic.gaits(1, (4,)), "one frame, gyro, gravity, .*; got .*gait_reference; write the format of 2026"),
        (synthetic.trick((4,)), "got motion_command"),
        ({**synthetic.plain(1, (4,)), "heading_hold": asdict(HeadingHold())}, "does not hold heading_hold"),
    ],
    ids=["gait", "trick", "hold"],
)
def test_what_the_format_of_2025_does_not_hold_is_refused(document, lost, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(document))
    with pytest.raises(PolicyFileError, match=f"--contract 2025: .*{lost}"):
        command(path, contract=2025)
    assert [one.name for one in tmp_path.iterdir()] == ["policy.json"]


def test_a_file_that_the_robot_takes_comes_with_the_way_there(policy, capsys):
    assert command(policy, to_robot=True) == 0
    out = capsys.readouterr().out
    for words in (
        "policies/test_policy.json",
        "./deploy.sh",
        "square",
        "in the air",
        "pupper_gait_deploy",
        str(policy),
    ):
        assert words in out
    assert [one.name for one in policy.parent.iterdir()] == ["policy.json"], "nothing is written"


def test_a_file_of_2025_is_refused_with_the_command_that_mends_it(old, capsys):
    assert command(old, to_robot=True) == 1
    out = capsys.readouterr().out
    assert f"walkies export {old} --contract 2026 --to-robot" in out and "./deploy.sh" not in out
    assert command(old, contract=2026, to_robot=True) == 0
    out = capsys.readouterr().out
    assert "old-2026.json" in out and "./deploy.sh" in out


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d["obs_spec"].pop("frame_order"), "[course-check] at obs_spec.frame_order"),
        (lambda d: d.update(kp=20.0), "[gain-over-cap]"),
        (lambda d: d.pop("default_joint_pos"), "[missing-pose]"),
        (lambda d: d["layers"][0].update(type="lstm"), "[unsupported-layer]"),
    ],
)
def test_a_file_that_would_be_refused_says_why(policy, change, why, capsys):
    document = json.loads(policy.read_text())
    change(document)
    policy.write_text(json.dumps(document))
    assert command(policy, to_robot=True) == 1
    out = capsys.readouterr().out
    assert why in out and "./deploy.sh" not in out


def test_a_robot_of_which_no_way_is_known_says_so(policy, monkeypatch):
    monkeypatch.setitem(ROBOTS, "stray", replace(PUPPER, name="stray", delivery=None))
    write(policy, replace(read(policy), walkies={**read(policy).walkies, "robot": "stray"}))
    with pytest.raises(UserError, match="does not know how to deploy to stray"):
        command(policy, to_robot=True)


def test_the_flags_that_write_nothing_take_no_name(policy, tmp_path):
    with pytest.raises(UserError, match="--out: --to-robot alone writes nothing"):
        command(policy, to_robot=True, out=tmp_path / "there.json")


def test_a_file_of_2025_has_no_blocks_before_it_is_written_and_after(tmp_path):
    """What a policy is told must not depend on whether its file was written in between. Control: that of 2026 clips."""
    layer = Layer(np.zeros((36, 12)), np.zeros(12), "tanh")
    blocks = Blocks(CommandClip(vx=(-0.4, 0.5)), NO_HOLD)
    limits = PUPPER.lower_limits, PUPPER.upper_limits
    new = PolicyFile((layer,), 1, 5.0, 0.25, (0.75,) * 12, PUPPER.default_pose, *limits, blocks=blocks)
    old = in_edition(new, 2025)
    write(tmp_path / "old.json", old)
    beside = {**json.loads((tmp_path / "old.json").read_text()), "command_clip": {"vx": [-0.1, 0.1]}}
    (tmp_path / "beside.json").write_text(json.dumps(beside))
    command, level = np.array([[0.9, 0.0, 0.0]]), np.array([[1.0, 0, 0, 0]])
    for policy, told_to in (
        (new, 0.5),
        (old, 0.9),
        (read(tmp_path / "old.json"), 0.9),
        (read(tmp_path / "beside.json"), 0.9),
    ):
        assert told(policy, begin(policy, 1), command, level).command[0, 0] == told_to
    assert read(tmp_path / "old.json").command_range == {"vx": (-0.4, 0.5)}
    assert in_edition(read(tmp_path / "old.json"), 2026).blocks.command_clip == CommandClip(vx=(-0.4, 0.5))
    with pytest.raises(PolicyFileError, match="does not hold heading_hold"):
        in_edition(replace(new, blocks=Blocks(heading_hold=HeadingHold())), 2025)
