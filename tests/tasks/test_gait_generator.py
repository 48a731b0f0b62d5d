"""A gait as data: where its feet go, and the joint angles that bring them there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import made_robots
from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.tasks.gait.generator import LIFT, TROT, Gait, feet, keyframes, on_ground, since_touchdown, table
from walkies.tasks.gait.kinematics import Legs

ROBOT = get_robot("pupper")
STANCE = np.array(ROBOT.stance_points)
COURSE_FRONT = {0: (0.579, -0.085, -0.542), 1: (-0.070, 0.085, 0.570)}
"""rad: row 0 of the course's trot, front right and front left. Its inverse kinematics stops at a mean error of 0.1 mm
per axis, here 0.5 mm above the point; exact angles differ by 0.011 rad."""
COURSE_IK, COURSE_ANGLES = 6e-4, 0.012


@pytest.fixture(scope="module")
def legs() -> Legs:
    return Legs(ROBOT)


def reachable(robot, rng):
    """A pose within a radian of the default one and within the limits."""
    pose = np.array(robot.default_pose) + rng.uniform(-1, 1, robot.num_joints)
    return np.clip(pose, robot.lower_limits, robot.upper_limits)


@pytest.mark.parametrize("size", [None, (4, 3), (2, 6)], ids=str)
def test_inverse_kinematics_undoes_forward_kinematics(size, tmp_path):
    robot = ROBOT if size is None else made_robots.make(tmp_path, *size)
    legs, rng = Legs(robot), np.random.default_rng(0)
    for _ in range(20):
        feet = legs.feet(reachable(robot, rng))
        angles = legs.angles(feet)
        np.testing.assert_allclose(legs.feet(angles), feet, rtol=0, atol=1e-9)
        assert np.all(angles >= robot.lower_limits) and np.all(angles <= robot.upper_limits)


def test_a_point_out_of_reach_is_refused_with_leg_point_and_distance(legs):
    """Control of the test above: pulled 3 cm beyond a leg's 17 cm, which has the foot stay those 3 cm away."""
    feet = legs.feet(np.array(ROBOT.default_pose))
    feet[2] = legs.points(np.array(ROBOT.default_pose))[2, 0] + [0.0, 0.0, -0.2]
    with pytest.raises(UserError, match=r"leg back_r of pupper.*\(-0\.075, .*, -0\.200\) m.*stays 0\.0[23]\d m away"):
        legs.angles(feet)
    assert legs.angles(feet, within=0.05).shape == (ROBOT.num_joints,), "where so near is enough"


def test_keyframes_of_the_trot_are_the_courses():
    phases, points = keyframes(TROT)
    np.testing.assert_allclose(phases, np.arange(7) / 6)
    np.testing.assert_allclose(points[:, 0], [0.05, 0.025, 0.0, -0.025, -0.05, 0.0, 0.05], atol=1e-12)
    np.testing.assert_allclose(points[:, 1], [-0.14] * 5 + [-0.05, -0.14], atol=1e-12)


def test_the_trot_is_the_courses(legs):
    """Golden: its row 0, as exactly as it solves it. Control: the phases run backwards, and then the left front leg,
    half a cycle on, is in front of where the course has it."""
    rows = table(TROT, legs)
    assert rows.shape == (100, 12)
    for leg, angles in COURSE_FRONT.items():
        np.testing.assert_allclose(rows[0, 3 * leg : 3 * leg + 3], angles, atol=COURSE_ANGLES)
        theirs = legs.feet(np.concatenate([[0.0] * 3 * leg, angles, [0.0] * (9 - 3 * leg)]))[leg]
        np.testing.assert_allclose(theirs, legs.feet(rows[0])[leg], atol=COURSE_IK)
    ahead = legs.feet(rows[0]) - STANCE
    np.testing.assert_allclose(ahead[:2], [[0.05, 0, -0.14], [-0.025, 0, -0.14]], atol=1e-9)
    late = table(replace(TROT, touchdown=(0.0, 0.4, 0.4, 0.0)), legs)
    assert np.abs(late[0, 3:6] - COURSE_FRONT[1]).max() > 5 * COURSE_ANGLES
    backwards = np.roll(rows[::-1], 1, axis=0)
    np.testing.assert_array_equal(backwards[0], rows[0])
    assert np.abs(backwards[5] - rows[5]).max() > 5 * COURSE_ANGLES, "direction shows behind row 0"
    np.testing.assert_allclose(legs.feet(rows[10])[0, 0], STANCE[0, 0] + 0.05 - 0.1 * 0.1 / (4 / 6), atol=1e-9)


def test_feet_on_the_ground_are_where_the_gait_says_and_swinging_ones_as_near_as_joints_let_them(legs):
    for gait in (TROT, LIFT, replace(LIFT, touchdown=(0.0, 0.5, 0.75, 0.25), duty=0.8)):
        rows, points = table(gait, legs), feet(gait, STANCE)
        reached = np.array([legs.feet(row) for row in rows])
        distance, swings = np.linalg.norm(reached - points, axis=-1), since_touchdown(gait) > gait.duty
        assert distance[~swings].max() < 1e-9 and distance.max() < 0.01
        assert (on_ground(rows, legs) >= ~swings).all()
        assert abs(on_ground(rows, legs).mean() - gait.duty) < 0.06
        assert np.abs(np.diff(rows, axis=0, append=rows[:1])).max() < 0.25, "no leg jumps to its other solution"
        assert np.all(rows >= ROBOT.lower_limits) and np.all(rows <= ROBOT.upper_limits)


def test_a_lift_stays_on_the_spot(legs):
    """Control: the trot does not."""

    def travel(gait: Gait) -> float:
        return float(np.ptp([legs.feet(row)[:, 0] for row in table(gait, legs)], axis=0).max())

    assert travel(LIFT) < 1e-6 < 0.09 < travel(TROT)
    heights = np.array([legs.feet(row)[:, 2] for row in table(LIFT, legs)])
    np.testing.assert_allclose(np.ptp(heights, axis=0), LIFT.swing_lift, atol=2e-3)


def test_a_gait_of_other_legs_or_beyond_reach_is_refused(legs, tmp_path):
    with pytest.raises(UserError, match="touchdown: got 2 phases, expected 4"):
        table(replace(TROT, touchdown=(0.0, 0.5)), legs)
    with pytest.raises(UserError, match="cannot bring its foot"):
        table(replace(TROT, stride=0.4), legs)
    two = Legs(made_robots.make(tmp_path, 2, 6))
    steps = Gait(touchdown=(0.0, 0.5), stride=0.06, stance_height=0.26, swing_lift=0.03)
    assert table(steps, two).shape == (100, 12), "a robot whose record names no points stands where its pose has it"
