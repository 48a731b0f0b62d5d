"""Any robot in Gymnasium by its name, alone and as a vector, with the task that `walkies train` gives it."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from walkies.errors import UserError
from walkies.gymnasium import walking
from walkies.robots import get_robot
from walkies.run.config import of_robot
from walkies.tasks.walk import WalkConfig

ROBOT = "biped"


@pytest.fixture(scope="module")
def made():
    """Tasks by what they were asked for with; those of one robot are one, so that it is compiled once."""
    build, tasks = walking._task, {}
    patch = pytest.MonkeyPatch()
    patch.setattr(walking, "_task", lambda *asked: tasks.setdefault(asked, build(*asked)))
    yield tasks
    patch.undo()


def test_its_task_is_the_robots_own(made):
    with gymnasium.make(walking.ANY, robot=ROBOT, threads=1) as env:
        task, robot = made[ROBOT, "native", 1], get_robot(ROBOT)
        assert task.robot == robot and task.config == of_robot(robot).task != WalkConfig()
        assert task.config.commands.forward == robot.gamepad[0] != WalkConfig().commands.forward
        assert env.action_space.shape == (robot.num_joints,)
        assert env.observation_space.shape == (task.observation_size,)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*infinity.*|.*spec.*|.*different from the unwrapped.*")
            check_env(env.unwrapped, skip_render_check=True)


def test_a_vector_of_it_steps_as_one(made):
    envs = gymnasium.make_vec(walking.ANY, 3, robot=ROBOT, threads=1)
    assert envs.num_envs == 3 and list(made) == [(ROBOT, "native", 1)]
    observations, _ = envs.reset(seed=0)
    again, _ = envs.reset(seed=0)
    other, _ = envs.reset(seed=1)
    np.testing.assert_array_equal(observations, again)
    assert not np.array_equal(observations, other)
    observations, rewards, ended, _, _ = envs.step(np.zeros((3, get_robot(ROBOT).num_joints), np.float32))
    assert np.isfinite(observations).all() and np.isfinite(rewards).all() and not ended.any()
    envs.close()


HELD = {"humanoid": 17}
"""Joints of arms and waist, which its task leaves alone."""


@pytest.mark.parametrize("robot", ["go", "hexapod", "humanoid"])
def test_other_robots_have_other_sizes(made, robot):
    with gymnasium.make(walking.ANY, robot=robot, threads=1) as env:
        assert env.action_space.shape == (get_robot(robot).num_joints - HELD.get(robot, 0),)
        assert made[robot, "native", 1].config == of_robot(get_robot(robot)).task


def test_an_unknown_robot_is_refused_with_what_to_do(made):
    with pytest.raises(UserError, match=r"unknown robot 'spot'; known robots: anymal.*robot add FILE"):
        gymnasium.make(walking.ANY, robot="spot")


def test_without_a_robot_it_is_the_default_one(made):
    spec = gymnasium.spec(walking.ANY)
    assert spec.kwargs == gymnasium.spec("walkies/Pupper-v0").kwargs
