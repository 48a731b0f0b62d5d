"""A row that is stopped and continued equals one that was not, to the bit; scores count what they say."""

from __future__ import annotations

import json
from dataclasses import replace

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from walkies.errors import UserError
from walkies.gymnasium.state import load_state, save_state
from walkies.lab.published import trials
from walkies.lab.published.protocols import PROTOCOLS, Row


def short(name: str, env: str, steps: int, **changes) -> Row:
    """A protocol with small networks and batches."""
    protocol = next(protocol for protocol in PROTOCOLS if (protocol.name, protocol.env) == (name, env))
    small = {"hidden": (8,), "critic_hidden": (8,), "epochs": 1, "minibatches": 2}
    return Row(replace(protocol, steps=steps, recipe=replace(protocol.recipe, **small, **changes)), 1)


HOPPER = short("ppo-cleanrl", "Hopper-v4", 6 * 64, horizon=64)
CARTPOLE = short("reinforce", "CartPole-v1", 1000, num_envs=3)


def test_resumed_training_is_the_same_to_the_bit(tmp_path):
    straight, resumed = trials.Trial(HOPPER), trials.Trial(HOPPER)
    for _ in range(2):
        straight.advance()
    straight.save(tmp_path / "half.safetensors")
    resumed.load(tmp_path / "half.safetensors")
    for _ in range(2):
        straight.advance()
        resumed.advance()
    assert same(straight, resumed)
    assert straight.episodes.save() == resumed.episodes.save()
    straight.advance()
    assert not same(straight, resumed), "another iteration changes the parameters"


def same(a: trials.Trial, b: trials.Trial) -> bool:
    """Networks, moments, statistics, and where the environments are."""
    leaves = [jax.tree.leaves((trial.training.state._replace(key=None), trial.training.actors)) for trial in (a, b)]
    return all(np.array_equal(x, y) for x, y in zip(*leaves, strict=True))


@pytest.mark.parametrize("name", ["Hopper-v4", "Walker2d-v4", "CartPole-v1", "Pendulum-v1"])
def test_a_saved_world_goes_on_to_the_bit(name):
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    one, other = gymnasium.make(name, max_episode_steps=25), gymnasium.make(name, max_episode_steps=25)
    one.reset(seed=3)
    other.reset(seed=4)
    rng = np.random.default_rng(0)
    actions = [one.action_space.sample() if name == "CartPole-v1" else rng.uniform(-1, 1, one.action_space.shape)
               for _ in range(60)]  # fmt: skip
    advance(one, actions[:9])
    before = json.dumps(save_state(one))
    load_state(other, json.loads(before))
    np.testing.assert_array_equal(advance(one, actions[9:]), advance(other, actions[9:]))
    stranger = gymnasium.make(name, max_episode_steps=25)
    stranger.reset(seed=4)
    assert not np.array_equal(advance(one, actions), advance(stranger, actions))


def advance(env: gymnasium.Env, actions) -> np.ndarray:
    """Observations under `actions`, resetting where episodes end."""
    seen = []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
        seen.append(np.append(observation, [reward, terminated, truncated]))
    return np.array(seen)


def test_worlds_of_other_kinds_are_refused():
    class Other(gymnasium.Env):
        pass

    with pytest.raises(UserError, match="cannot be saved"):
        save_state(Other())


def test_a_time_limit_is_death_only_under_protocols_that_say_so():
    ends = {}
    for dead in (True, False):
        protocol = replace(HOPPER.protocol, env="HalfCheetah-v4", limit_is_death=dead)
        envs = trials.make_envs(protocol)
        envs.reset(seed=0)
        for _ in range(1000):
            _, _, terminated, truncated, _ = envs.step(np.zeros((1, 6), np.float32))
        ends[dead] = (bool(terminated[0]), bool(truncated[0]))
        assert isinstance(envs, SyncVectorEnv) and envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        envs.close()
    assert ends == {True: (True, False), False: (False, True)}


def test_whole_episodes_are_counted_once_and_transitions_all():
    """Three poles: each iteration follows one episode of each, while those that fell early go on unheeded."""
    trial = trials.Trial(CARTPOLE)
    records = []
    count, steps = trial.episodes.count, trial.episodes.steps
    watch = trial.episodes.watch
    trial.iterate = trials.make_iteration(
        CARTPOLE.protocol.recipe, trial.envs, lambda record: (records.append(record), watch(record))
    )
    trial.advance()
    (record,) = records
    rows = int(jnp.sum(record.valid[:, 0]))
    assert 10 < rows < 500 and bool(jnp.all(~record.valid[rows:])) and bool(jnp.any(record.done[rows - 1]))
    assert trial.episodes.count == count + 3
    assert trial.episodes.steps == steps + 3 * rows
    firsts = [float(record.episode_returns[np.argmax(record.done[:, i]), i]) for i in range(3)]
    assert sorted(trial.episodes.recent) == sorted(firsts) and max(firsts) == rows


def test_score_is_the_mean_of_the_last_hundred_training_episodes():
    episodes = trials.Episodes(False, total=1000)
    for value in range(150):
        episodes.add(10, [float(value)])
    assert episodes.recent == [float(value) for value in range(50, 150)]
    assert episodes.count == 150 and episodes.steps == 1500
    assert episodes.curve[0] == (10, 0.0)
    assert np.mean([mean for _, mean in episodes.curve]) == pytest.approx(np.mean(range(len(episodes.curve))))


def test_a_row_leaves_its_result_and_no_checkpoint(tmp_path):
    row = short("ppo-cleanrl", "CartPole-v1", 1024)
    path = trials.train_row(row, tmp_path)
    result = json.loads(path.read_text())
    assert result["steps"] == 1024 and 0.0 < result["training_return"] < 500.0
    assert 0.0 < result["evaluation_return"] <= 500.0
    assert (tmp_path / "curves" / f"{row.key}.csv").read_text().startswith("steps,episode_return\n")
    assert not list(tmp_path.rglob("*.safetensors")) and not list(tmp_path.rglob(".*.part"))
