"""The examination of movements: a policy that stands passes where it is to stand, and fails where it is to sit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from walkies.deploy.blocks import Blocks
from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.judge import report_card
from walkies.judge.exam import examine
from walkies.judge.motion.replay import between, verdicts
from walkies.judge.rehearsal.conditions import Condition
from walkies.judge.rehearsal.drive import drive
from walkies.quaternions import about_z
from walkies.robots import get_robot, load_model
from walkies.show import replay
from walkies.tasks.gait.presets import TRICK
from walkies.tasks.motion import design
from walkies.tasks.motion.task import MotionConfig, load

ROBOT = get_robot("pupper")
MODEL = load_model(ROBOT, visuals=False)
STAND = '[[clips]]\nname = "stand"\nloop = true\nkeys = [{ seconds = 0.0 }, { seconds = 1.0 }]\n'


def follower(movement) -> PolicyFile:
    """A policy that asks its servos for the angles that it is shown: (q − default) / scale, cut by nothing."""
    gain = np.zeros((69, 12))
    gain[:12] = np.eye(12) / 0.75
    return PolicyFile(
        (Layer(gain, -np.array(ROBOT.default_pose) / 0.75, ""),), 1, 5.0, 0.25, (0.75,) * 12, ROBOT.default_pose,
        ROBOT.lower_limits, ROBOT.upper_limits, observation=TRICK.observation, blocks=Blocks(trick=movement),
        walkies={"robot": "pupper"},
    )  # fmt: skip


def stander(movement) -> PolicyFile:
    """A policy whose action is zero."""
    one = follower(movement)
    return replace(one, layers=(Layer(np.zeros((69, 12)), np.zeros(12), ""),))


def made(name: str):
    return load(MotionConfig(file=name), ROBOT, MODEL).movement


def test_it_asks_for_every_clip_and_measures_the_distance_to_its_frames():
    """Playing the angles to the servos stays near the sit; standing does not, though nobody falls."""
    follows, stands = (examine(kind(made("sit")), episodes=4, seed=5) for kind in (follower, stander))
    marks = [{mark["key"]: mark for mark in card["marks"]} for card in (follows, stands)]
    assert follows["clips"] == ["rise", "sit"] or set(follows["clips"]) == {"stand", "sit", "rise"}
    assert marks[0]["tilt_error_p95"]["value"] < 12.0 < 20.0 < marks[1]["tilt_error_p95"]["value"]
    assert not stands["passed"] and not marks[1]["tilt_error_p95"]["met"]
    assert marks[1]["joint_error"]["value"] > 2 * marks[0]["joint_error"]["value"]
    assert "lin_vel_error" not in follows and report_card.errors(follows) == ["", ""]
    text = report_card.markdown(follows)
    assert "tilt of the trunk" in text and "°" in report_card.decisive(follows)


def test_who_stands_is_near_where_it_is_to_stand(tmp_path):
    """Nearer than it is to the sit; but pushed and loaded, with servos alone, not always level enough to pass."""
    cards = [
        examine(stander(one), episodes=4, seed=5)
        for one in (design.read(_stand(tmp_path), ROBOT, MODEL)[0], made("sit"))
    ]
    stands, sits = ({mark["key"]: mark["value"] for mark in card["marks"]} for card in cards)
    assert cards[0]["survival"] == 1.0 and cards[0]["clips"] == ["stand"]
    assert stands["height_error_p95"] < 0.03 and stands["tilt_error_p95"] < sits["tilt_error_p95"] - 5.0
    for card in cards:
        assert card["passed"] == all(mark["met"] for mark in card["marks"] if mark["gates"])


def test_who_is_far_away_is_lost(tmp_path):
    """A movement that turns onto its side, which a robot that stands does not."""
    one = design.read(_stand(tmp_path), ROBOT, MODEL).movement
    lying = np.tile([np.cos(0.6), np.sin(0.6), 0.0, 0.0], (len(one.anchor_quat_wxyz), 1))
    card = examine(stander(replace(one, anchor_quat_wxyz=lying)), episodes=3, seed=5)
    assert card["survival"] == 0.0 and {fall["cause"] for fall in card["falls"]} <= {
        "tilt far from its frame", "trunk far from its frame",
    }  # fmt: skip


def _stand(folder):
    (folder / "stand.toml").write_text(STAND)
    return folder / "stand.toml"


def test_the_robots_own_loop_plays_the_clips_too():
    """Two policies in the twin of the controller. A policy without commands has no velocity error."""
    outcome = drive(follower(made("sit")), ROBOT, [Condition()] * 2, [0, 1], 8.0)
    assert outcome.cause.tolist() == ["", ""] and np.isnan(outcome.lin_vel_error).all()
    assert np.isfinite(outcome.power).all()
    still = drive(stander(made("sit")), ROBOT, [Condition()] * 2, [0, 1], 8.0)
    assert (outcome.power > 2 * still.power).all(), "it moved"


def test_a_film_names_the_clips():
    motion = replay.record(follower(made("sit")), [replay.Segment(8.0, (0.0, 0.0, 0.0))])
    assert set(motion.clips) == {"stand", "sit", "rise"} and motion.words(0) == "stand"
    assert len(motion.clips) == len(motion.qpos)


def test_a_movement_that_stands_holds_up_and_one_that_floats_falls(tmp_path):
    one = design.read(_stand(tmp_path), ROBOT, MODEL)
    (good,) = verdicts(one, ROBOT)
    assert (good.clip, good.says) == ("stand", "holds up") and good.distance < 0.02
    (floats,) = verdicts(one._replace(base=one.base + np.array([0.0, 0.0, 0.2])), ROBOT)
    assert floats.says == "falls" and floats.distance > 0.1
    moved = one._replace(base=one.base + np.linspace(0.0, 0.05, len(one.base))[:, None] * np.array([1.0, 0.0, 0.0]))
    assert verdicts(moved, ROBOT)[0].says == "strays"


@pytest.mark.parametrize("angle", [0.0, 0.1, 1.0, 3.0])
def test_the_angle_between_orientations(angle):
    a, b = about_z(np.array([0.3])), about_z(np.array([0.3 + angle]))
    np.testing.assert_allclose(between(a, b), angle, atol=1e-7)
    np.testing.assert_allclose(between(a, -b), angle, atol=1e-7)
