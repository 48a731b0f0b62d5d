"""How a robot stands in a pose: the record's own heights, MuJoCo's positions, and closed forms of the support."""

import itertools

import mujoco
import numpy as np
import pytest

from made_robots import make
from walkies.robots import folders, get_robot, load_model
from walkies.robots.reading.anatomy import lowest
from walkies.robots.standing import corners, margin, standing

SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])


@pytest.mark.parametrize("name", folders.names())
def test_a_robot_stands_in_its_pose_as_its_record_says(name):
    """Heights, feet, balance, torques. Control: its knees bent otherwise."""
    robot = get_robot(name)
    model = load_model(robot)
    stands = standing(model, robot, np.array(robot.default_pose))
    assert stands.height == pytest.approx(robot.standing_height, rel=1e-4)
    assert stands.hips == pytest.approx(robot.hip_height, rel=1e-4)
    assert stands.feet.max() < 1e-6 and stands.margin > 0 and not stands.lower
    assert (np.abs(stands.torques) < stands.torque_limits).all()
    bent = np.array(robot.default_pose)
    for leg in robot.legs:
        bent[leg[len(leg) // 2 + (len(leg) == 3)]] *= 0.5
    assert standing(model, robot, bent).height != pytest.approx(robot.standing_height, rel=1e-3)


@pytest.mark.parametrize(("legs", "joints"), [(2, 5), (4, 3), (6, 3), (8, 6)])
def test_on_the_ground_it_is_where_mujoco_puts_it(tmp_path, legs, joints):
    """Of any number of legs and joints: the lowest foot at zero, heights of the others, and the centre of mass."""
    robot = make(tmp_path, legs, joints)
    model = load_model(robot)
    rng = np.random.default_rng(legs)
    angles = np.array(robot.default_pose) + rng.normal(0, 0.1, robot.num_joints)
    stands = standing(model, robot, angles)
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, stands.height, 1, 0, 0, 0]
    for name, angle in zip(robot.joint_names, angles, strict=True):
        data.joint(name).qpos = angle
    mujoco.mj_forward(model, data)
    low = [lowest(model, data, model.geom(name).id) for name in robot.foot_geoms]
    np.testing.assert_allclose(stands.feet, low, atol=1e-12)
    assert abs(min(low)) < 1e-12 < max(low)
    np.testing.assert_allclose(stands.centre, data.subtree_com[model.body(robot.base_body).id], atol=1e-12)


def test_a_lifted_foot_carries_nothing():
    """Nor do its motors need more than for the leg itself; those of the other legs carry the robot."""
    robot = get_robot("go")
    model, angles = load_model(robot), np.array(robot.default_pose)
    before = standing(model, robot, angles)
    lifted = robot.legs[0]
    angles[list(lifted)] += [0.0, 0.6, -0.6]
    after = standing(model, robot, angles)
    assert after.feet[0] > 0.02 and (after.feet[1:] < 1e-9).all()
    assert (len(before.support), len(after.support)) == (4, 3)
    own = np.abs(after.torques[list(lifted)]).max()
    assert own < 0.5 * np.abs(before.torques[list(lifted)]).max()
    assert after.margin < before.margin


def test_what_is_lower_than_the_feet_is_named():
    """Of a robot that lies on its knees. Control: as it stands."""
    robot = get_robot("go")
    model, angles = load_model(robot), np.array(robot.default_pose)
    assert standing(model, robot, angles).lower == {}
    angles[[leg[1] for leg in robot.legs]] = 0.0
    angles[[leg[2] for leg in robot.legs]] = np.array(robot.lower_limits)[[leg[2] for leg in robot.legs]]
    low = standing(model, robot, angles).lower
    assert low and set(low) <= {*robot.knee_geoms, *robot.torso_geoms} and min(low.values()) > 0


@pytest.mark.parametrize(
    ("polygon", "point", "expected"),
    [
        (SQUARE, (1.0, 1.0), 1.0),
        (SQUARE, (0.5, 1.0), 0.5),
        (SQUARE, (3.0, 1.0), -1.0),
        (SQUARE, (5.0, 6.0), -5.0),
        (SQUARE[:2], (1.0, 0.5), -0.5),
        (SQUARE[:2], (1.0, 0.0), 0.0),
        (SQUARE[[0, 0]], (3.0, 4.0), -5.0),
    ],
)
def test_the_margin_of_a_support(polygon, point, expected):
    assert margin(corners(polygon), np.array(point)) == pytest.approx(expected, abs=1e-12)


def test_corners_are_those_of_the_hull_in_order_and_a_line_has_two():
    inner = np.array([[1.0, 1.0], [0.3, 1.2]])
    found = corners(np.vstack([inner, SQUARE[[2, 0, 3, 1]]]))
    turn = [list(map(tuple, SQUARE)).index(tuple(corner)) for corner in found]
    assert len(turn) == 4 and all((b - a) % 4 == 1 for a, b in itertools.pairwise(turn))
    line = np.array([[1.0, 1.0], [3.0, 3.0], [0.0, 0.0], [2.0, 2.0]])
    assert sorted(map(tuple, corners(line))) == [(0.0, 0.0), (3.0, 3.0)]
