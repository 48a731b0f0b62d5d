"""Gymnasium in both directions: the environment checker, vectors in three autoreset modes, spaces, user errors."""

from __future__ import annotations

import warnings

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from walkies.envs.classic import CartPole, Pendulum
from walkies.errors import UserError
from walkies.gymnasium.adapter import ToGymnasium, ToGymnasiumVector, from_gymnasium_space, into_box, to_gymnasium_space
from walkies.mdp import Box, Discrete

MODES = list(AutoresetMode)


@pytest.mark.parametrize("env", [CartPole(), Pendulum()], ids=["discrete", "continuous"])
def test_passes_gymnasiums_environment_checker(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The checker prefers bounded observations and actions within ±1; neither is an error.
        warnings.filterwarnings("ignore", message=".*infinity.*|.*symmetric.*|.*spec.*")
        check_env(ToGymnasium(env), skip_render_check=True)


def test_time_limit_truncates_and_never_terminates():
    env = ToGymnasium(Pendulum(), time_limit=3)
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_pole_falls_to_one_side_and_terminates():
    env = ToGymnasium(CartPole())
    env.reset(seed=0)
    ends = [env.step(1)[2:4] for _ in range(12)]
    assert (True, False) in ends


@pytest.mark.parametrize("make", [ToGymnasium, lambda env: ToGymnasiumVector(env, 2)], ids=["one", "vector"])
def test_stepping_before_reset_says_what_to_do(make):
    with pytest.raises(UserError, match="reset"):
        make(CartPole()).step(np.zeros(2, int))


def run_vector(mode, steps=60):
    """A vector of pendulums and its columns: observations, rewards, truncated, infos."""
    envs = ToGymnasiumVector(Pendulum(), 3, time_limit=7, autoreset_mode=mode)
    seen = [envs.reset(seed=0)[0]]
    rewards, truncated, finals = [], [], []
    for _ in range(steps):
        observation, reward, _, cut, infos = envs.step(np.zeros((3, 1), np.float32))
        if mode is AutoresetMode.DISABLED and cut.any():
            observation, _ = envs.reset(options={"reset_mask": cut})
        seen.append(observation)
        rewards.append(reward)
        truncated.append(cut)
        finals.append(infos.get("final_obs"))
    return envs, np.array(seen), np.array(rewards), np.array(truncated), finals


@pytest.mark.parametrize("mode", MODES)
def test_episodes_have_the_length_of_the_time_limit(mode):
    """In NEXT_STEP mode each end is followed by a row without reward, the reset; in the others by the next episode."""
    envs, _, rewards, truncated, finals = run_vector(mode)
    period = 8 if mode is AutoresetMode.NEXT_STEP else 7
    expected = np.arange(1, 61) % period == 7 % period
    np.testing.assert_array_equal(truncated[:, 0], expected)
    assert envs.metadata["autoreset_mode"] is mode
    assert (sum(f is not None for f in finals) > 0) == (mode is AutoresetMode.SAME_STEP)
    if mode is AutoresetMode.NEXT_STEP:
        np.testing.assert_array_equal(rewards[1:][truncated[:-1]], 0.0)
        assert np.all(rewards[truncated] < 0.0)


def test_final_observation_is_the_state_reached():
    """SAME_STEP: final_obs continues the old episode, the returned observation starts another."""
    _, seen, _, truncated, finals = run_vector(AutoresetMode.SAME_STEP)
    t = int(np.flatnonzero(truncated[:, 0])[0])
    env, state = Pendulum(), seen[t]
    angle = np.arctan2(state[:, 1], state[:, 0])
    reached, _ = env.step(np.stack([angle, state[:, 2]], axis=1), np.zeros((3, 1), np.float32), jax.random.key(0))
    np.testing.assert_allclose(finals[t], env.observe(reached).policy, atol=1e-5)
    assert np.abs(seen[t + 1] - finals[t]).max() > 0.01


def test_disabled_mode_refuses_to_step_a_finished_copy():
    envs = ToGymnasiumVector(Pendulum(), 2, time_limit=1, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    envs.step(np.zeros((2, 1), np.float32))
    with pytest.raises(UserError, match="reset_mask"):
        envs.step(np.zeros((2, 1), np.float32))
    envs.reset(options={"reset_mask": np.array([True, True])})
    envs.step(np.zeros((2, 1), np.float32))


def test_same_seed_same_vector():
    first, second = (run_vector(AutoresetMode.SAME_STEP, steps=20) for _ in range(2))
    np.testing.assert_array_equal(first[1], second[1])


def test_registered_environments_can_be_made():
    """`gymnasium.make` and `make_vec` work on the two classes as entry points."""
    name = "walkies-test/CartPole-v0"
    gymnasium.register(
        name,
        entry_point=lambda **options: ToGymnasium(CartPole(), **options),
        vector_entry_point=lambda num_envs, **options: ToGymnasiumVector(CartPole(), num_envs, **options),
    )
    try:
        env = gymnasium.make(name)
        assert env.reset(seed=0)[0].shape == (4,)
        vector = gymnasium.make_vec(name, 3)
        assert vector.reset(seed=0)[0].shape == (3, 4)
        assert vector.step(vector.action_space.sample())[1].shape == (3,)
    finally:
        del gymnasium.registry[name]


def test_spaces_there_and_back():
    for space in (Discrete(3), Box(2, (-1.0, -2.0), (1.0, 2.0))):
        assert from_gymnasium_space(to_gymnasium_space(space)) == space
    assert to_gymnasium_space(Box(2, -1.0, 1.0)) == spaces.Box(-1.0, 1.0, (2,), np.float32)
    hash(from_gymnasium_space(spaces.Box(-1.0, 1.0, (2,), np.float32)))


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=1), spaces.Box(0, 1, (2, 2)), spaces.Dict()])
@pytest.mark.parametrize(("role", "wrapper"), [("observation", "FlattenObservation"), ("action", "TransformAction")])
def test_unsupported_spaces_are_named_with_a_wrapper_that_helps(space, role, wrapper):
    with pytest.raises(UserError, match=f"the {role} space .* is not supported.*{wrapper}"):
        from_gymnasium_space(space, role)
    assert hasattr(gymnasium.wrappers, wrapper)


@pytest.mark.parametrize(
    ("space", "actions", "expected"),
    [
        (spaces.Box(-0.1, 0.1, (2,), np.float64), [0.1, -0.05], [0.1, np.float32(-0.05)]),
        (spaces.Box(-0.1, 0.1, (2,), np.float16), [0.1, -0.1], np.array([0.1, -0.1], np.float16)),
        (spaces.Box(0, 3, (2,), np.int32), [2.6, 0.2], [3, 0]),
        (spaces.Box(-3, 3, (2,), np.int64), [-7.0, 1.5], [-3, 2]),
        (spaces.Box(0, 255, (2,), np.uint8), [300.0, -2.0], [255, 0]),
    ],
)
def test_actions_are_made_such_that_their_space_contains_them(space, actions, expected):
    actions = np.array(actions, np.float32)
    assert not space.contains(actions) and not space.contains(actions.astype(np.float64)), "else there is nothing to do"
    batch = into_box(space)(np.stack([actions, 0.0 * actions]))
    assert all(space.contains(row) for row in batch)
    np.testing.assert_array_equal(batch[0], expected)


def test_of_other_spaces_actions_stay_as_they_are():
    for space in (spaces.Box(-0.1, 0.1, (2,), np.float32), spaces.Discrete(3)):
        actions = np.array([1, 2])
        assert into_box(space)(actions) is actions


def test_rendering_is_declared_where_there_is_some():
    assert ToGymnasium(CartPole()).metadata["render_modes"] == []
    with pytest.raises(UserError, match="this environment has none"):
        ToGymnasium(CartPole(), render_mode="rgb_array")
