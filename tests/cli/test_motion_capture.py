"""`walkies motion capture`: a policy whose gait is known is rolled out, and its gait is what the file has."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from walkies import cli
from walkies.deploy import policy_file
from walkies.deploy.blocks import NO_HOLD, Blocks, CommandClip
from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.files import read_json
from walkies.judge import steady
from walkies.robots import get_robot
from walkies.tasks.gait import fast
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.presets import STABLE_GAIT
from walkies.tasks.gait.task import GaitConfig
from walkies.tasks.signal import GAIT

ROBOT = get_robot("pupper")
HERTZ = 1.5
"""Of the clock of the course's trot."""


SHARE = 0.5
"""Of the trot's size; at its full size it falls backward, where it walks without looking."""


def open_loop(share: float = SHARE) -> PolicyFile:
    """A policy that plays the reference's trot, `share` of its size, whatever it senses: targets are the reference's
    angles."""
    reference = gait.reference(replace(STABLE_GAIT.gait, tables="trot", frequency=HERTZ), ROBOT)
    blocks = Blocks(CommandClip(vx=(-0.7, 0.7)), NO_HOLD, reference)
    joints = ROBOT.num_joints
    plain = PolicyFile(
        (Layer(np.zeros((48, joints)), np.zeros(joints), ""),), 1, 5.5, 0.25, (0.75,) * joints, ROBOT.default_pose,
        ROBOT.lower_limits, ROBOT.upper_limits, observation=STABLE_GAIT.observation, blocks=blocks,
    )  # fmt: skip
    weights = np.zeros((48, joints))
    weights[plain.slices[GAIT]] = share * np.eye(joints) / 0.75
    return replace(plain, layers=(Layer(weights, np.zeros(joints), ""),))


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("policies") / "policy.json"
    policy_file.write(path, open_loop())
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(steady, "SECONDS", 8.0)


def said(capsys, *arguments) -> tuple[int, str]:
    """Exit status, and what was printed, of `walkies motion capture` with these arguments."""
    status = cli.run(["motion", "capture", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_gait_played_by_the_clock_is_captured(policy, tmp_path, capsys):
    """Its frequency is the clock's, its tables the reference's as far as servos follow, forward and backward."""
    out = tmp_path / "fast.json"
    status, text = said(capsys, policy, "--speed", "0.3", "--out", out)
    assert status == 0 and "forward" in text and str(out) in text
    status, text_of_table = said(capsys, policy, "--speed", "0.3", "--out", out, "--json")
    assert status == 0 and [row["told"] for row in json.loads(text_of_table)["Captured"]] == ["0.3 m/s", "-0.3 m/s"]
    found = fast.read(out, ROBOT, 100)
    np.testing.assert_allclose([found.frequency, found.back_frequency], HERTZ, rtol=1e-3)
    assert found.back_speed < -0.02 < 0.02 < found.speed, "slower than its feet go, but in their directions"
    assert f"{found.speed:.3f} m/s" in text and f"{found.back_speed:.3f} m/s" in text
    pose, trot = np.array(ROBOT.default_pose), open_loop().blocks.gait_reference.trot_table
    played = pose + SHARE * (trot - pose)
    table, back = np.array(found.gallop_table), np.array(found.gallop_back_table)

    def apart(table: np.ndarray) -> float:
        """rad, root mean square, from what is played some rows earlier: the clock runs on, and servos lag."""
        return min(np.sqrt(np.mean(np.square(table - np.roll(played, lag, axis=0)))) for lag in range(100))

    assert apart(table) < 0.1 < apart(table[::-1]), "the control: a trot that runs backward"
    # Walking backward the trot is played in reverse, and the file has that for a phase that runs backward.
    assert apart(back) < 0.1 < apart(back[::-1])
    assert set(read_json(out, "")) == set(fast.FastGait._fields)


def test_another_training_takes_the_file(policy, tmp_path, capsys):
    """Control: with a file of another robot it does not."""
    out = tmp_path / "fast.json"
    assert said(capsys, policy, "--speed", "0.3", "--no-mirror", "--out", out)[0] == 0
    made = gait.reference(GaitConfig(tables="zero", frequency=4 / 3, fast=out, gallop_speed=0.5), ROBOT)
    assert made.gallop_freq_mult == pytest.approx(HERTZ / (4 / 3), rel=1e-3)
    assert made.gallop_table.tolist() == fast.read(out, ROBOT, 100).gallop_table
    with pytest.raises(ValueError, match="expected one of other"):
        gait.reference(GaitConfig(tables="zero", fast=out), replace(ROBOT, name="other"))


def test_mistakes_are_answered(policy, tmp_path, capsys):
    out, still = tmp_path / "fast.json", tmp_path / "still.json"
    policy_file.write(still, open_loop(0.0))
    for arguments, answer in (
        ((policy,), "--speed: got 1.2, -1.2 m/s, expected from -0.7 to 0.7"),
        ((policy, "--speed", "0"), "--speed: got 0, expected more than 0"),
        ((still, "--speed", "0.3"), "forward at 0.3 m/s: no steady gait: the joints move by 0.0"),
        ((tmp_path, "--speed", "0.3"), "no policy in"),
        ((policy, "--out", policy / "fast.json"), "is a file; expected a folder"),
    ):
        status, text = said(capsys, *(("--out", out) if "--out" not in arguments else ()), *arguments)
        assert status == 2 and answer in text, text
    assert not out.exists()


def test_a_robot_that_falls_is_told(policy, tmp_path, capsys):
    """The trot at its full size."""
    wild = tmp_path / "wild.json"
    policy_file.write(wild, open_loop(1.0))
    status, text = said(capsys, wild, "--speed", "0.5", "--out", tmp_path / "fast.json")
    assert (
        status == 2
        and "backward at 0.5 m/s the robot fell (trunk touched the ground)" in text
        and "choose a lower speed" in text
    )
