"""A trick for robots of any size: nothing of the first robot's numbers stays, and nothing is commanded."""

from dataclasses import fields

import pytest

from walkies.robots import get_robot
from walkies.robots.units import growth
from walkies.tasks.gait.presets import TRICK, VELOCITY_FS
from walkies.tasks.motion.task import TERMS
from walkies.tasks.scale.units import task_of


@pytest.mark.parametrize("name", ["go", "hexapod", "servo-dog"])
def test_a_trick_in_a_robots_own_units(name):
    robot = get_robot(name)
    task = task_of(robot, TRICK)
    assert (task.commands.forward, task.commands.sideways, task.commands.yaw) == (0.0, 0.0, 0.0)
    assert (task.kp, task.kd, task.action_scale) == (None, None, None) and task.motion == TRICK.motion
    assert task.shape.motion_height == TRICK.shape.motion_height, "in hip heights already"
    assert task.shape.motion_speeds == pytest.approx(TRICK.shape.motion_speeds * growth(robot, "rad/s"), rel=1e-3)
    rates = [getattr(task.rewards, term) / getattr(TRICK.rewards, term) for term in TERMS]
    assert rates == pytest.approx([1.0 / growth(robot, "s")] * len(TERMS), rel=1e-3), "the same per unit of time"


def test_a_task_with_commands_gets_the_robots_own():
    """Control of the test above; and the reference keeps its numbers."""
    robot = get_robot("go")
    task = task_of(robot, VELOCITY_FS)
    assert (task.commands.forward, task.kp) == (robot.gamepad[0], None)
    same = task_of(get_robot("pupper"), VELOCITY_FS)
    assert all(getattr(same, field.name) == getattr(VELOCITY_FS, field.name) for field in fields(same))
