"""Feet of several spheres: where they are, and when they touch the ground."""

import jax.numpy as jnp
import numpy as np
import pytest

from walkies.robots import get_robot
from walkies.run.config import build, of_robot
from walkies.sim.base import Readings
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
