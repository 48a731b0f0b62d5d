"""Episodes: where they end, what the value of the end is, how they start again."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toys import Counter
from walkies.rl.advantages import gae
from walkies.rl.policy import Policy
from walkies.rl.rollout import EpisodeState, Rollout, rollout, start


def run(env, num_envs, horizon, rollouts=1, stagger=False, value=lambda x: 10.0 * x[..., 0], seed=0, **options):
    """Several rollouts joined in time, each with (time, num_envs) values and next values under V = 10 × steps."""
    policy = Policy(env.observation_size, env.action_space, hidden=(4,))
    params = policy.init(jax.random.key(1))
    act = jax.jit(lambda actors, key: rollout(env, policy, params, lambda x: x, value, actors, key, horizon, **options))
    actors = start(env, jax.random.key(seed), num_envs, stagger)
    records: list[Rollout] = []
    next_values = []
    for i in range(rollouts):
        actors, record = act(actors, jax.random.key(seed + i + 1))
        observations = jnp.concatenate([record.observations.critic, record.last.critic[None]])
        next_values.append(record.next_values(value(observations)))
        records.append(record)
    joined = jax.tree.map(lambda *x: np.concatenate(x), *(r._replace(last=None, metrics=None) for r in records))
    return joined, np.concatenate(next_values), actors, records


def test_deaths_end_episodes_and_start_new_ones():
    """Copies that die after 3, 5 and never: rows, returns and lengths are those of a plain loop."""
    env = Counter(lifetimes=(3, 5, 0))
    record, _, actors, _ = run(env, 3, 12)
    for i, life in enumerate(env.lifetimes):
        steps = np.arange(12) % life if life else np.arange(12)
        np.testing.assert_array_equal(record.observations.policy[:, i, 0], steps)
        dead = steps == life - 1
        np.testing.assert_array_equal(record.terminated[:, i], dead)
        np.testing.assert_array_equal(record.episode_lengths[:, i], np.where(dead, life, 0))
        np.testing.assert_array_equal(record.episode_returns[:, i], np.where(dead, life, 0.0))
    assert not record.truncated.any()
    np.testing.assert_array_equal(actors.length, [0, 2, 12])


def test_ages_and_lengths_are_the_same_integers_in_double_precision():
    """Else the loop over steps could not go on with what it began with."""
    with jax.enable_x64(True):
        record, _, actors, _ = run(
            Counter(lifetimes=(3, 0), time_limit=8), 2, 4, stagger=True, time_limits="rollout_end"
        )
    assert actors.age.dtype == actors.length.dtype == record.episode_lengths.dtype == np.int32
    assert record.rewards.dtype == np.float64, "which is what double precision is about"


@pytest.mark.parametrize("horizon", [5, 12])
def test_exact_time_limits_keep_the_value_of_the_state_reached(horizon):
    """At a limit of 4 the next value is V(4) = 40, not that of the reset (0) or of the state before (30)."""
    record, next_values, _, _ = run(Counter(lifetimes=(0, 3), time_limit=4), 2, horizon)
    steps = record.observations.policy[..., 0]
    np.testing.assert_array_equal(record.truncated[:, 0], steps[:, 0] == 3)
    np.testing.assert_array_equal(next_values[:, 0], 10.0 * (steps[:, 0] + 1))
    assert not record.truncated[:, 1].any(), "a death just before the limit is a death"


def test_death_on_the_limit_is_death():
    """Terminated and at the limit together is only terminated: no bootstrap."""
    record, *_ = run(Counter(lifetimes=(4,), time_limit=4), 1, 8)
    assert record.terminated.sum() == 2 and not record.truncated.any()


def test_limits_at_the_rollout_end():
    """Episodes are cut only in last rows, never exceed the limit, and their next value is that of the state reached."""
    limit, horizon = 10, 4
    env = Counter(time_limit=limit)
    record, next_values, _, _ = run(env, 64, horizon, rollouts=12, stagger=True, time_limits="rollout_end")
    steps = record.observations.policy[..., 0]
    last_rows = np.arange(len(steps)) % horizon == horizon - 1
    assert record.cut_values is None
    assert record.truncated.any() and not record.truncated[~last_rows].any()
    np.testing.assert_array_equal(next_values, 10.0 * (steps + 1))
    assert steps.max() + 1 <= limit
    assert record.episode_lengths[record.done].max() == 8, "the last multiple of the horizon within the limit"
    per_rollout = record.truncated[last_rows].sum(axis=1)
    assert per_rollout.max() < 64, "staggered ages spread the cuts"
    assert (run(env, 64, horizon, rollouts=3, time_limits="rollout_end")[0].truncated[-5] == 1).all()  # the control


def test_split_rollouts_are_one():
    """T9, through the acting path: two rollouts of 6 hold the same advantages as one of 12, given V at the seam."""
    env = Counter(lifetimes=(5, 0), time_limit=7)
    whole, whole_next, _, _ = run(env, 2, 12)
    split, split_next, _, _ = run(env, 2, 6, rollouts=2)
    np.testing.assert_array_equal(whole.observations.critic[..., 0], split.observations.critic[..., 0])
    np.testing.assert_array_equal(whole_next[~whole.terminated], split_next[~whole.terminated])
    values = 10.0 * whole.observations.critic[..., 0]

    def advantages(part, nexts):
        return gae(whole.rewards[part], values[part], nexts[part], whole.terminated[part], whole.done[part], 0.9, 0.0)

    parts = [advantages(slice(0, 6), split_next), advantages(slice(6, 12), split_next)]
    np.testing.assert_allclose(advantages(slice(None), whole_next), np.concatenate(parts), atol=1e-5)


def test_resets_once_per_rollout_or_per_step():
    """Both give states of ρ₀; "rollout" gives a robot one start per rollout, another in the next."""

    class Born(Counter):
        """The lifetime field is a random number, so that births can be told apart."""

        def reset(self, key, num_envs):
            return super().reset(key, num_envs)._replace(lifetime=-jax.random.uniform(key, (num_envs,)))

    env = Born(dies_at_limit=2)
    births = {
        kind: run(env, 4, 8, rollouts=2, resets=kind)[0].observations.critic[::2, :, 1] for kind in ("step", "rollout")
    }
    assert [len(np.unique(births["step"][:, i])) for i in range(4)] == [8] * 4
    # One from the very start, one per rollout. The first row of the second rollout was born at the end of the first.
    assert [len(np.unique(births["rollout"][:, i])) for i in range(4)] == [3] * 4
    assert len(np.unique(births["rollout"][1])) == 4, "robots differ among each other"


def test_the_world_gets_the_clipped_action_and_the_record_the_sample():
    """T37 through the acting path: samples leave the box, actions do not, densities are of the samples."""
    env = Counter()
    policy = Policy(2, env.action_space, hidden=(4,))
    params = policy.init(jax.random.key(0))
    actors = start(env, jax.random.key(0), 64, stagger=False)
    _, record = jax.jit(partial(rollout, env, policy, horizon=8, normalize=lambda x: x, value=None))(
        params=params, actors=actors, key=jax.random.key(1)
    )
    assert np.abs(record.samples).max() > 1.5
    np.testing.assert_allclose(
        record.observations.critic[1:, :, 2], np.clip(record.samples[:-1, :, 0], -1.0, 1.0), atol=1e-7
    )
    scored = policy.distribution(params, record.dist_params).log_prob(record.samples)
    np.testing.assert_allclose(record.log_probs, scored, atol=1e-6)


def test_metrics_are_means():
    """What the environment reports comes back averaged over time and copies."""
    *_, records = run(Counter(), 3, 4)
    assert float(records[0].metrics["steps"]) == pytest.approx(2.5)
    assert isinstance(run(Counter(), 3, 4)[2], EpisodeState)
