"""Feet of several spheres: where they are, and when they touch the ground."""

from dataclasses import replace

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from walkies.quaternions import about_z
from walkies.robots import get_robot, in_default_pose, load_model
from walkies.run.config import build, of_robot
from walkies.sim.base import Readings
from walkies.sim.params import on_itself
from walkies.tasks.gait import feet


@pytest.mark.parametrize("name", ["biped", "pupper"])
def test_a_foot_is_its_lowest_sphere(name):
    task = build(of_robot(get_robot(name)))
    n, spheres, rng = 5, len(task.simulator.spheres), np.random.default_rng(0)
    distance, velocity = rng.normal(0, 0.01, (n, spheres)), rng.normal(0, 1, (n, spheres, 3))
    empty = {field: None for field in Readings._fields}
    readings = Readings(
        **(empty | {"contact_distance": jnp.asarray(distance), "contact_velocity": jnp.asarray(velocity)})
    )
    found = feet.lowest(readings, jnp.asarray(distance < 0), task.feet)
    points = task.robot.points
    assert points == (4 if name == "biped" else 1)
    for leg in range(len(task.robot.leg_names)):
        own = [task.simulator.spheres.index(geom) for geom in task.robot.foot_geoms[leg * points : (leg + 1) * points]]
        for robot in range(n):
            lowest = own[int(np.argmin(distance[robot, own]))]
            assert found.contact[robot, leg] == (distance[robot, own] < 0).any()
            assert found.height[robot, leg] == pytest.approx(distance[robot, lowest], rel=1e-6)
            np.testing.assert_allclose(found.velocity[robot, leg], velocity[robot, lowest], rtol=1e-6)


@pytest.mark.parametrize("name", ["biped", "small-humanoid", "pupper", "hexapod"])
def test_the_room_between_feet_is_theirs(name):
    """Of robots that stand anywhere, one foot moved sideways: by hand, from MuJoCo's places of spheres. Control: the
    foot moved on forward leaves it as it is."""
    robot = get_robot(name)
    task = build(of_robot(robot))
    found = feet.neighbours(robot, task.simulator.model, task.feet)
    data = in_default_pose(task.simulator.model, robot)
    place = np.array([data.geom(geom).xpos if geom else np.zeros(3) for geom in task.simulator.spheres])
    yaw = np.linspace(-3.0, 3.0, 7)
    turns = np.array([[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]] for a in yaw])

    def apart(place):
        readings = Readings(**dict.fromkeys(Readings._fields))._replace(
            contact_position=jnp.asarray(place @ turns.transpose(0, 2, 1) + [3.0, -2.0, 0.0], jnp.float32)
        )
        return np.array(found.apart(readings, jnp.asarray(about_z(yaw), jnp.float32)))

    assert len(found.room) == len(robot.leg_names) // 2
    np.testing.assert_allclose(apart(place), 1.0, atol=2e-4)
    for axis, expected in ((1, 1.0 - 1.5), (0, 1.0)):
        moved = place.copy()
        moved[found.left[0], axis] -= 1.5 * found.room[0]
        np.testing.assert_allclose(apart(moved), [[expected, *[1.0] * (len(found.room) - 1)]] * len(yaw), atol=2e-4)


def test_the_room_is_what_mujoco_measures_between_soles():
    """Within their rims. Control: the thighs are further apart."""
    for name in ("biped", "small-humanoid"):
        robot = get_robot(name)
        model = load_model(robot, visuals=False)
        found = feet.neighbours(robot, model, np.arange(2 * robot.points).reshape(2, -1))
        data = in_default_pose(model, robot)
        gap = {}
        for pair in on_itself(model):
            bodies = tuple(sorted(model.body(model.geom_bodyid[geom]).name for geom in pair))
            gap[bodies] = mujoco.mj_geomDistance(model, data, *pair, 1.0, None)
        assert found.room[0] == pytest.approx(gap["left_foot", "right_foot"], abs=1e-3)
        assert gap["left_thigh", "right_thigh"] > found.room[0] + 5e-3


def test_feet_that_cannot_meet_are_no_neighbours():
    """Two on one side, and feet that stand past each other already. Control: as they stand."""
    robot = get_robot("biped")
    model, spheres = load_model(robot, visuals=False), np.arange(8).reshape(2, 4)
    assert feet.neighbours(robot, model, spheres) is not None
    swapped = replace(robot, foot_geoms=robot.foot_geoms[:4] * 2)
    assert feet.neighbours(swapped, model, spheres) is None
    rolls = [i for i, name in enumerate(robot.joint_names) if name.endswith("hip_roll")]
    for inwards, meet in ((-0.16, False), (0.16, True)):
        pose = np.array(robot.default_pose)
        pose[rolls] -= inwards * np.array([1.0, -1.0])
        assert (feet.neighbours(replace(robot, default_pose=tuple(pose)), model, spheres) is None) == meet


def test_every_robot_can_be_trained():
    """Its task is built: every name in its record is in its model, and its numbers are in range."""
    for name in ("go", "hexapod", "humanoid", "servo-dog"):
        robot = get_robot(name)
        task = build(of_robot(robot))
        assert task.observation_size == 3 * (12 + 2 * robot.num_joints)
        assert len(task.idle) == robot.num_joints - sum(map(len, robot.legs))
        moved = range(task.action_space.size)
        assert len(moved) == robot.num_joints - {"humanoid": 17}.get(name, 0), "waist and arms keep still"
        assert task.mirror is not None and sorted(task.mirror.action.source) == list(moved)
