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

from walkies.cli import doctor
from walkies.errors import UserError
from walkies.gymnasium import walking
from walkies.gymnasium.adapter import ToGymnasium, ToGymnasiumVector
from walkies.show.rendering import gl

PUPPER = "walkies/Pupper-v0"
TASK = walking._task
LIMIT = 5
"""Steps of an episode in the vectors."""


@pytest.fixture(scope="module", autouse=True)
def one_task():
    """One robot and simulator for all tests: what differs between them is Gymnasium's side."""
    made = walking._task("pupper", "native", 1)
    patch = pytest.MonkeyPatch()
    patch.setattr(walking, "_task", lambda robot, simulator, threads: made)
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
        self.vector = gymnasium.make_vec(PUPPER, 2, autoreset_mode=mode, time_limit=LIMIT)
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


@pytest.fixture(scope="module")
def one_pupper():
    """Made as Stable-Baselines3's `make_vec_env` makes every environment that it is given by name."""
    with gymnasium.make(f"walkies.gymnasium.walking:{PUPPER}", render_mode="rgb_array") as env:
        yield env


def test_one_pupper_passes_gymnasiums_checker(one_pupper, one_task):
    assert isinstance(one_pupper.unwrapped, ToGymnasium)
    assert one_pupper.observation_space.shape == (one_task.observation_size,)
    check(one_pupper.unwrapped)


def test_it_is_drawn_as_is_declared_or_the_error_says_what_to_do(one_pupper):
    assert one_pupper.metadata == {"render_modes": ["rgb_array"], "render_fps": 50}
    assert one_pupper.render_mode == "rgb_array"
    one_pupper.reset(seed=0)
    try:
        picture = one_pupper.render()
    except UserError as error:
        assert gl.advice() in str(error) and doctor.graphics().status != "ok"
        return
    assert picture.shape == (*walking.PICTURE[::-1], 3) and picture.dtype == np.uint8 and picture.flags.writeable
    assert picture.std() > 10, "a blank picture"
    state = one_pupper.unwrapped._state
    away = state.physics._replace(qpos=state.physics.qpos + np.eye(19)[2] * 10.0)
    gone = one_pupper.unwrapped._render(state._replace(physics=away))
    assert np.abs(gone.astype(float) - picture).max() > 30, "the robot is seen"


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
        TASK("pupper", "other", 1)


SEEN = "print('walkies/Pupper-v0' in gymnasium.registry, 'jax' in sys.modules)"


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("import sys, gymnasium; import walkies", "True False"),
        ("import sys, walkies; import gymnasium", "True False"),
        ("import sys, walkies.gymnasium.walking, gymnasium", "True False"),
        ("import sys, gymnasium", "False False"),
    ],
)
def test_imports_register_without_loading_anything_heavy(imports, expected):
    done = subprocess.run([sys.executable, "-c", f"{imports}\n{SEEN}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


FORKING = """
import gymnasium
import walkies
from jax._src import xla_bridge
from walkies.envs.classic import CartPole
from walkies.gymnasium.adapter import ToGymnasium

gymnasium.make("walkies/Pupper-v0", render_mode="rgb_array").close()
print(xla_bridge.backends_are_initialized())
gymnasium.register("Pole", entry_point=lambda: ToGymnasium(CartPole()))
for _ in range(2):
    envs = gymnasium.make_vec("Pole", 2, vectorization_mode="async", vector_kwargs={"context": "fork"})
    try:
        print(envs.reset(seed=0)[0].shape)
        print(envs.step(envs.action_space.sample())[1])
    except walkies.errors.UserError as error:
        print(error)
    envs.close(terminate=True)
    import jax
    jax.numpy.zeros(3)
"""
"""Vectors of forked processes: before JAX starts in the one that they are forked off, and afterwards."""


def test_forked_vectors_work_until_jax_has_started_and_then_say_what_to_do():
    """To make an environment does not start it. They would wait without end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, text=True, check=True, timeout=300
    )
    started, shape, rewards, told = done.stdout.splitlines()
    assert (started, shape, rewards) == ("False", "(2, 4)", "[1. 1.]")
    assert 'vector_kwargs={"context": "spawn"}' in told
