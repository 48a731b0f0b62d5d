"""What a policy does, recorded: the loop is the controller's, and the record is what MuJoCo did."""

import numpy as np
import pytest
from standing import standing_policy

from walkies.robots import get_robot
from walkies.show import replay
from walkies.show.pictures import gait

PUPPER = get_robot("pupper")
SHORT = (replay.Segment(0.5, (0.0, 0.0, 0.0)), replay.Segment(0.5, (0.3, -0.1, 1.0)))


@pytest.fixture(scope="module")
def motion():
    return replay.record(standing_policy(), SHORT)


def test_a_standing_robot_stands(motion):
    assert motion.qpos[:, 2] == pytest.approx(PUPPER.standing_height, abs=0.01)
    assert np.abs(motion.velocity).max() < 0.1
    assert motion.contact[-1].all()
    assert motion.seconds == pytest.approx(1.0)


def test_commands_reach_the_policy():
    reacts = replay.record(standing_policy(command_gain=0.2), SHORT)
    still = replay.record(standing_policy(), SHORT)
    half = len(still.qpos) // 2
    assert np.array_equal(reacts.qpos[:half], still.qpos[:half])
    assert np.abs(reacts.qpos[-1, 7:] - still.qpos[-1, 7:]).max() > 0.02


def test_action_fades_in():
    """A constant action moves the joints no further than its share of the first second."""
    pushed = replay.record(standing_policy(bias=0.2), (replay.Segment(1.5, (0.0, 0.0, 0.0)),))
    offset = np.abs(pushed.qpos[:, 7:] - np.array(PUPPER.default_pose)).max(axis=1)
    steps_per_second = round(1 / pushed.timestep)
    assert offset[round(0.1 * steps_per_second)] < 0.4 * offset[steps_per_second]


def test_commands_are_cut_to_the_trained_range():
    policy = standing_policy(command_range={"vx": [-0.2, 0.2], "vy": [-0.1, 0.1], "yaw_rate": [-0.5, 0.5]})
    commands = replay.clip_commands(policy, np.array([[1.0, -1.0, 0.3]], np.float32))
    assert commands == pytest.approx(np.array([[0.2, -0.1, 0.3]]))
    assert replay.clip_commands(standing_policy(), np.ones((1, 3))).tolist() == [[1.0, 1.0, 1.0]]


def test_sampling_times(motion):
    rows = motion.at(25.0)
    assert len(rows) == 25
    assert np.abs(rows * motion.timestep - np.arange(25) / 25).max() <= motion.timestep / 2 + 1e-9


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ((0.0, 0.0, 0.0), "stand still"),
        ((0.5, 0.0, 0.0), "forward 0.50 m/s"),
        ((-0.25, -0.1, 0.0), "backward 0.25 m/s, right 0.10 m/s"),
        ((0.0, 0.3, -1.0), "left 0.30 m/s, turn right 1.0 rad/s"),
    ],
)
def test_commands_in_words(command, text):
    assert replay.describe(command) == text


def test_smoothing_is_a_centred_mean():
    values = np.random.default_rng(0).normal(size=(50, 2))
    smoothed = replay.smooth(values, 5)
    assert smoothed[20] == pytest.approx(values[18:23].mean(0))
    assert smoothed[0] == pytest.approx(values[:3].mean(0))


def test_script_stretches():
    script = replay.stretched(replay.TOUR, 8.0)
    assert sum(segment.seconds for segment in script) == pytest.approx(8.0)
    assert [segment.command for segment in script] == [segment.command for segment in replay.TOUR]


def test_stances():
    assert gait.stances(np.array([1, 1, 0, 0, 1], bool)) == [(0, 2), (4, 5)]
    assert gait.stances(np.zeros(3, bool)) == [] and gait.stances(np.ones(3, bool)) == [(0, 3)]


def test_gait_diagram_is_drawn(motion, tmp_path):
    assert gait.draw(motion, tmp_path / "gait.png").stat().st_size > 1000
