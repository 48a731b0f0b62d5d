"""Pupper in Gymnasium by its name: registration, and Gymnasium's own checker for one robot and for vectors."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from walkies import gym
from walkies.envs.gymnasium_adapter import ToGymnasium, ToGymnasiumVector
from walkies.errors import UserError

TASK = gym._task
LIMIT = 5
"""Steps of an episode in the vectors."""


@pytest.fixture(scope="module", autouse=True)
def one_task():
    """One robot and simulator for all tests: what differs between them is Gymnasium's side."""
    made = gym._task("native", 1)
    patch = pytest.MonkeyPatch()
    patch.setattr(gym, "_task", lambda simulator, threads: made)
    yield made
    patch.undo()


def check(env: gymnasium.Env) -> None:
    """Gymnasium's checker with every warning an error, but for those that are no more than advice."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*infinity.*|.*spec.*|.*different from the unwrapped.*")
        check_env(env, skip_render_check=True)


class OneOfTwo(gymnasium.Env):
    """The first robot of a vector of two, as the checker wants to see it; reset by whichever rule the vector has."""

    def __init__(self, mode: AutoresetMode):
        self.vector = gymnasium.make_vec(gym.PUPPER, 2, autoreset_mode=mode, time_limit=LIMIT)
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.heeds_seed = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        observation, info = self.vector.reset(seed=seed if self.heeds_seed else None)
        return observation[0], info

    def step(self, action):
        observation, reward, terminated, truncated, _ = self.vector.step(np.stack([action, action]))
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}


@pytest.fixture(scope="module", params=list(AutoresetMode))
def one_of_two(request):
    """Compiled once for each mode."""
    return OneOfTwo(request.param)


def test_one_pupper_passes_gymnasiums_checker(one_task):
    env = gymnasium.make(f"walkies.gym:{gym.PUPPER}")
    assert isinstance(env.unwrapped, ToGymnasium)
    assert env.observation_space.shape == (one_task.observation_size,)
    check(env.unwrapped)


def test_a_vector_passes_gymnasiums_checker_in_every_autoreset_mode(one_of_two):
    vector = one_of_two.vector
    assert isinstance(vector.unwrapped, ToGymnasiumVector) and vector.num_envs == 2
    check(one_of_two)
    one_of_two.heeds_seed = False
    with pytest.raises(AssertionError, match=r"(?i)determinis|seed"):
        check(one_of_two)


def test_vectors_end_at_the_time_limit_by_their_autoreset_mode(one_of_two):
    vector, mode = one_of_two.vector, one_of_two.vector.metadata["autoreset_mode"]
    still = np.zeros((2, 12), np.float32)
    vector.reset(seed=0)
    for _ in range(LIMIT - 1):
        assert not vector.step(still)[3].any()
    last, _, _, truncated, infos = vector.step(still)
    assert truncated.all()
    assert ("final_obs" in infos) == (mode is AutoresetMode.SAME_STEP)
    if mode is AutoresetMode.DISABLED:
        with pytest.raises(UserError, match="reset_mask"):
            vector.step(still)
    else:
        following, reward, _, truncated, _ = vector.step(still)
        assert not truncated.any()
        assert np.array_equal(reward, [0.0, 0.0]) == (mode is AutoresetMode.NEXT_STEP)
        assert not np.array_equal(following, last)


def test_an_unknown_simulator_is_refused():
    with pytest.raises(UserError, match="native or mujoco"):
        TASK("other", 1)


SEEN = "print('walkies/Pupper-v0' in gymnasium.registry, 'jax' in sys.modules)"


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("import sys, gymnasium; import walkies", "True False"),
        ("import sys, walkies.gym, gymnasium", "True False"),
        ("import sys, gymnasium", "False False"),
    ],
)
def test_imports_register_without_loading_anything_heavy(imports, expected):
    done = subprocess.run([sys.executable, "-c", f"{imports}\n{SEEN}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
