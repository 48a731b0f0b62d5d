"""T15: one environment under Gymnasium's three autoreset modes gives the same transitions and advantages."""

from __future__ import annotations

from contextlib import nullcontext

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from walkies.errors import UserError
from walkies.gymnasium.adapter import from_gymnasium_space
from walkies.gymnasium.rollout import rollout, start
from walkies.rl import normalize
from walkies.rl.advantages import gae
from walkies.rl.policy import Policy

NUM_ENVS, HORIZON = 3, 60
GAMMA, LAM = 0.9, 0.8
WEIGHTS = jnp.array([1.0, -0.5])


class Dice(gymnasium.Env):
    """Random observations and rewards, whatever the action; ends by termination or time limit after a few steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def _see(self):
        return self.np_random.normal(size=2).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age, self.length = 0, int(self.np_random.integers(2, 7))
        return self._see(), {}

    def step(self, action):
        self.age += 1
        over = self.age >= self.length
        dies = over and self.np_random.random() < 0.5
        return self._see(), float(self.np_random.normal()), dies, over and not dies, {}


def value(observations):
    return observations @ WEIGHTS


def advantages(record):
    values = value(jnp.concatenate([record.observations.critic, record.last.critic[None]]))
    return gae(
        record.rewards, values[:-1], record.next_values(values), record.terminated, record.done, GAMMA, LAM
    )  # fmt: skip


def collect(mode):
    """Two rollouts in a row."""
    envs = SyncVectorEnv([Dice] * NUM_ENVS, autoreset_mode=mode)
    policy = Policy(2, from_gymnasium_space(envs.single_action_space), hidden=(4,))
    params, actors = policy.init(jax.random.key(0)), start(envs, seed=0)
    records = []
    for key in jax.random.split(jax.random.key(1)):
        actors, record = rollout(envs, policy, params, normalize.init(2), value, actors, key, HORIZON)
        records.append(record)
    return records


@pytest.fixture(scope="module")
def records():
    return {mode: collect(mode) for mode in AutoresetMode}


def transitions(record, env, psi=None):
    """Transitions of one environment's episodes that ended here: observation, reward, the two ends, advantage."""
    valid = np.ones((HORIZON, NUM_ENVS), bool) if record.valid is None else np.asarray(record.valid)
    until = int(np.flatnonzero(record.done[:, env])[-1]) + 1
    rows = np.flatnonzero(valid[:until, env])
    psi = advantages(record) if psi is None else psi
    columns = (record.observations.policy, record.rewards[..., None], record.terminated[..., None],
               record.truncated[..., None], psi[..., None])  # fmt: skip
    return np.concatenate([np.asarray(column)[rows, env] for column in columns], axis=1)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_autoreset_modes_agree(records, mode):
    """T15: observations, rewards, ends and advantages of all transitions are the same bits."""
    for env in range(NUM_ENVS):
        one, other = transitions(records[mode][0], env), transitions(records[AutoresetMode.DISABLED][0], env)
        shared = min(len(one), len(other))
        assert shared > 20 and one[:shared, 3].any() and one[:shared, 4].any()  # both kinds of end occur
        np.testing.assert_array_equal(one[:shared], other[:shared])


def test_ignoring_the_final_observation_is_noticed(records):
    """T15, control: taking the next row's observation for the state reached changes advantages where time ran out."""
    record = records[AutoresetMode.SAME_STEP][0]
    careless = advantages(record._replace(cut_values=None))
    difference = np.abs(np.asarray(careless - advantages(record)))
    assert difference[np.asarray(record.truncated)].min() > 1e-3


def test_the_reset_row_is_no_transition(records):
    """T15, control: counted as a transition, NEXT_STEP's reset row adds one fake per episode."""
    first, second = records[AutoresetMode.NEXT_STEP]
    done, valid = np.asarray(first.done), np.asarray(first.valid)
    np.testing.assert_array_equal(~valid[1:], done[:-1])
    # The row after a rollout that ended on a last step belongs to the next rollout.
    np.testing.assert_array_equal(~np.asarray(second.valid)[0], done[-1])
    counted = transitions(first._replace(valid=None), 0)
    assert len(counted) - len(transitions(first, 0)) == done[:-1, 0].sum()
    assert records[AutoresetMode.SAME_STEP][0].valid is None and records[AutoresetMode.DISABLED][0].valid is None


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_episode_statistics(records, mode):
    """Lengths and returns are reported where episodes end, across the border between two rollouts."""
    whole = [np.concatenate([np.asarray(getattr(r, name)) for r in records[mode]])
             for name in ("rewards", "episode_returns", "episode_lengths", "done")]  # fmt: skip
    rewards, returns, lengths, done = (column[:, 0] for column in whole)
    ones = np.ones((HORIZON, NUM_ENVS), bool)
    valid = np.concatenate([ones if r.valid is None else np.asarray(r.valid) for r in records[mode]])[:, 0]
    start = 0
    for end in np.flatnonzero(done):
        assert lengths[end] == valid[start : end + 1].sum()
        assert returns[end] == pytest.approx(rewards[start : end + 1].sum(), abs=1e-5)
        start = end + 1
    assert not np.any(returns[~done]) and not np.any(lengths[~done])


def test_unknown_autoreset_mode_is_an_error():
    envs = SyncVectorEnv([Dice])
    envs.metadata = {}
    with pytest.raises(UserError, match="autoreset_mode"):
        rollout(envs, None, None, None, value, None, jax.random.key(0), 1)


class Exacting(gymnasium.Env):
    """Takes no action but those that its action space contains."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.zeros(2), 0.0, False, False, {}


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize(
    "space", [spaces.Box(-0.1, 0.1, (2,), np.float64), spaces.Box(0, 3, (2,), np.int8)], ids=["doubles", "integers"]
)
def test_environments_get_actions_of_their_own_type_and_within_their_bounds(space, careless, monkeypatch):
    envs = SyncVectorEnv([lambda: Exacting(space)] * NUM_ENVS)
    policy = Policy(2, from_gymnasium_space(space), hidden=(4,))
    params, actors = policy.init(jax.random.key(0)), start(envs, seed=0)
    if careless:
        monkeypatch.setattr("walkies.gymnasium.rollout.into_box", lambda space: lambda action: action)
    with pytest.raises(AssertionError) if careless else nullcontext():
        rollout(envs, policy, params, normalize.init(2), value, actors, jax.random.key(1), 20)


class Breaking(Dice):
    """Gives one number that is not finite, in its fourth step, which is the last of an episode in one of two ways."""

    def __init__(self, reward=0.0, observation=0.0, ends=(False, False), after=0.0):
        self.reward, self.observation, self.ends, self.after = reward, observation, ends, after

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = getattr(self, "count", 0) + 1
        return np.array([0.0, self.after if self.count == 2 else 0.0], np.float32), {}

    def step(self, action):
        self.age += 1
        now = self.age == 4
        seen = np.array([0.0, self.observation if now else 0.0])
        return seen, self.reward if now else 0.0, *(self.ends if now else (False, False)), {}


NAN, TERMINATED, TRUNCATED = float("nan"), (True, False), (False, True)
MODE = AutoresetMode


@pytest.mark.parametrize(
    ("mode", "broken", "told"),
    [
        (MODE.NEXT_STEP, {"reward": NAN}, "the reward of environment 1 is nan"),
        (MODE.NEXT_STEP, {"reward": -1e39}, "the reward of environment 1 is -1e"),
        (MODE.NEXT_STEP, {"observation": float("inf")}, "element 1 of the observation of environment 1 is inf"),
        (MODE.SAME_STEP, {"observation": NAN}, "element 1 of the observation of environment 1 is nan"),
        (MODE.SAME_STEP, {"observation": NAN, "ends": TRUNCATED}, "observation of environment 1 is nan"),
        (MODE.DISABLED, {"observation": NAN, "ends": TRUNCATED}, "observation of environment 1 is nan"),
        (MODE.DISABLED, {"ends": TERMINATED, "after": NAN}, "observation of environment 1 is nan"),
        # A world may end because its state is no longer finite: that state is not learned from.
        (MODE.SAME_STEP, {"observation": NAN, "ends": TERMINATED}, None),
        (MODE.DISABLED, {"observation": NAN, "ends": TERMINATED}, None),
        (MODE.NEXT_STEP, {"reward": 1e37}, None),
    ],
)
def test_a_number_that_is_not_finite_is_told_with_its_environment(mode, broken, told):
    envs = SyncVectorEnv([Breaking, lambda: Breaking(**broken), Breaking], autoreset_mode=mode)
    policy = Policy(2, from_gymnasium_space(envs.single_action_space), hidden=(4,))
    params, actors = policy.init(jax.random.key(0)), start(envs, seed=0)
    with pytest.raises(UserError, match=f"{told}.*Nothing was learned.*wrappers") if told else nullcontext():
        rollout(envs, policy, params, normalize.init(2), value, actors, jax.random.key(1), 6)


def test_a_first_observation_that_is_not_finite_is_told():
    envs = SyncVectorEnv([Breaking, lambda: Breaking(after=NAN)])
    start(envs)
    with pytest.raises(UserError, match="observation of environment 1 is nan"):
        start(envs)
