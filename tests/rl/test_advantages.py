"""T6–T14: advantage estimators, by their defining properties, in float64."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walkies.rl import advantages

GAMMA, LAM = 0.9, 0.8
ADVANTAGES = {name: jax.jit(function) for name, function in advantages.ADVANTAGES.items()}
gae, reward_to_go, full_return = ADVANTAGES["gae"], ADVANTAGES["reward_to_go"], ADVANTAGES["full_return"]


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


scanned, composed = jax.jit(advantages.discounted_sums), jax.jit(advantages.discounted_sums_parallel)


class Case(NamedTuple):
    rewards: np.ndarray
    values: np.ndarray
    next_values: np.ndarray
    terminated: np.ndarray
    done: np.ndarray


def random_case(seed: int, time: int = 7, num_envs: int = 3) -> Case:
    """Terminations and truncations in any pattern; after a row that goes on, v' is the next row's v."""
    rng = np.random.default_rng(seed)
    rewards, values, elsewhere = rng.normal(size=(3, time, num_envs))
    terminated = rng.random((time, num_envs)) < 0.2
    done = terminated | (rng.random((time, num_envs)) < 0.2)
    following = np.vstack([values[1:], elsewhere[-1:]])
    return Case(rewards, values, np.where(done, elsewhere, following), terminated, done)


def by_hand(case: Case, gamma: float, lam: float, *, one_mask: bool = False, lam_in_trace: bool = True) -> np.ndarray:
    """Σ_k (γλ)^k δ_{t+k} to the end of the episode, as a plain loop; the flags are two wrong forms in use elsewhere."""
    time, num_envs = case.rewards.shape
    result = np.zeros((time, num_envs))
    for i in range(num_envs):
        for t in range(time):
            factor = 1.0
            for k in range(t, time):
                dead = case.done[k, i] if one_mask else case.terminated[k, i]
                delta = case.rewards[k, i] - case.values[k, i] + (0.0 if dead else gamma * case.next_values[k, i])
                result[t, i] += factor * delta
                factor *= gamma * (lam if lam_in_trace else 1.0)
                if case.done[k, i]:
                    break
    return result


def error(a, b) -> float:
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))


def test_lambda_zero_is_the_td_error():
    """T6: λ = 0 ⇒ A = δ. Control: the recursion with γ in place of γλ is far off."""
    case = random_case(0)
    delta = case.rewards + GAMMA * ~case.terminated * case.next_values - case.values
    assert error(gae(*case, GAMMA, 0.0), delta) < 1e-12
    assert error(by_hand(case, GAMMA, 0.0, lam_in_trace=False), delta) > 0.1


def test_lambda_one_is_the_return_minus_the_value():
    """T7: λ = 1 ⇒ A + v is the discounted sum with bootstrap where cut; `reward_to_go` is the same thing.

    Controls: the sum without the bootstrap, and λ = 0.9.
    """
    case = random_case(1)

    def returns(bootstrap: bool) -> np.ndarray:
        """Σ γ^k r to the end of the episode, and γ^n v' of the state in which it was cut."""
        found = np.zeros_like(case.rewards)
        for t, i in np.ndindex(*found.shape):
            end = next((k for k in range(t, len(found)) if case.done[k, i]), len(found) - 1)
            found[t, i] = sum(GAMMA ** (k - t) * case.rewards[k, i] for k in range(t, end + 1))
            if bootstrap and not case.terminated[end, i]:
                found[t, i] += GAMMA ** (end + 1 - t) * case.next_values[end, i]
        return found

    assert error(gae(*case, GAMMA, 1.0) + case.values, returns(bootstrap=True)) < 1e-12
    assert error(reward_to_go(*case, GAMMA) + case.values, returns(bootstrap=True)) < 1e-12
    assert error(gae(*case, GAMMA, 1.0) + case.values, returns(bootstrap=False)) > 0.1
    assert error(gae(*case, GAMMA, 0.9) + case.values, returns(bootstrap=True)) > 0.05


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_gae_is_its_sum(seed, gamma, lam):
    """T8: A_t = Σ (γλ)^k δ_{t+k} for any masks."""
    with jax.enable_x64(True):
        case = random_case(seed)
        assert error(gae(*case, gamma, lam), by_hand(case, gamma, lam)) < 1e-10


def test_a_time_limit_is_not_death():
    """T8, control: one mask for both differs wherever a time limit cuts, and nowhere else."""
    case = random_case(2)
    wrong = by_hand(case, GAMMA, LAM, one_mask=True)
    assert error(gae(*case, GAMMA, LAM), wrong) > 0.1
    only_deaths = case._replace(terminated=case.done)
    assert error(gae(*only_deaths, GAMMA, LAM), by_hand(only_deaths, GAMMA, LAM, one_mask=True)) < 1e-12


@pytest.mark.parametrize("name", ADVANTAGES)
def test_episodes_do_not_leak_into_each_other(name):
    """T9: a batch with an end inside is its two parts computed apart. Control: without the end it is not."""
    case = random_case(3)
    done = case.done.copy()
    done[3] = True
    case = case._replace(done=done)
    whole = ADVANTAGES[name](*case, GAMMA, LAM)
    parts = [ADVANTAGES[name](*(x[part] for x in case), GAMMA, LAM) for part in (slice(0, 4), slice(4, None))]
    assert error(whole, np.vstack(parts)) < 1e-12
    done = case.done.copy()
    done[3] = False
    joined = ADVANTAGES[name](*case._replace(done=done, terminated=case.terminated & done), GAMMA, LAM)
    assert error(joined, np.vstack(parts)) > 0.05


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_potential_shaping_changes_nothing(seed):
    """T10: r + γ (1 − term) Φ' − Φ with v − Φ gives the same advantages. Control: Φ' taken one row late does not."""
    with jax.enable_x64(True):
        case = random_case(seed)
        rng = np.random.default_rng(seed + 1)
        phi = rng.normal(size=case.values.shape)
        phi_next = np.where(case.done, rng.normal(size=phi.shape), np.vstack([phi[1:], rng.normal(size=phi[:1].shape)]))
        shaped = case._replace(
            rewards=case.rewards + GAMMA * ~case.terminated * phi_next - phi,
            values=case.values - phi,
            next_values=case.next_values - phi_next,
        )
        assert error(gae(*case, GAMMA, LAM), gae(*shaped, GAMMA, LAM)) < 1e-10
        late = shaped._replace(next_values=case.next_values - np.roll(phi_next, 1, axis=0))
        assert error(gae(*case, GAMMA, LAM), gae(*late, GAMMA, LAM)) > 1e-3


def test_scale():
    """T11: r and V times c ⇒ A times c. Control: r alone is not enough."""
    case = random_case(4)
    scaled = case._replace(rewards=3 * case.rewards, values=3 * case.values, next_values=3 * case.next_values)
    assert error(gae(*scaled, GAMMA, LAM), 3 * gae(*case, GAMMA, LAM)) < 1e-12
    assert error(gae(*case._replace(rewards=3 * case.rewards), GAMMA, LAM), 3 * gae(*case, GAMMA, LAM)) > 0.1


@pytest.mark.parametrize("end", range(5))
def test_powers_of_ten(end):
    """T12: rewards 1, 10, 100 … and one end: each digit shows which rewards were summed; done[t] ends *after* row t.

    Control: flags of the other convention, done[t] = "row t starts an episode", read as ours make other sums.
    """
    rewards = 10.0 ** np.arange(5)[:, None]
    zeros, done = np.zeros((5, 1)), np.arange(5)[:, None] == end
    expected = [sum(10.0**k for k in range(t, 5) if (t > end) == (k > end)) for t in range(5)]
    assert error(gae(rewards, zeros, zeros, done, done, 1.0, 1.0)[:, 0], expected) == 0.0
    starts = np.roll(done, 1, axis=0)
    starts[0] = True
    assert error(gae(rewards, zeros, zeros, starts, starts, 1.0, 1.0)[:, 0], expected) >= 1.0


def test_full_return_is_constant_within_an_episode():
    """Every step of an episode carries the return from its first step; the difference to reward to go is the past."""
    rewards = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    zeros, done = np.zeros((5, 1)), np.array([[False], [True], [False], [False], [True]])
    assert full_return(rewards, zeros, zeros, done, done, 0.5)[:, 0].tolist() == [2.0, 2.0, 12.0, 12.0, 12.0]
    assert reward_to_go(rewards, zeros, zeros, done, done, 0.5)[:, 0].tolist() == [2.0, 2.0, 12.0, 16.0, 16.0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_three_ways_to_sum(seed, factor):
    """T14: `lax.scan`, `associative_scan` and a Python loop agree."""
    with jax.enable_x64(True):
        case = random_case(seed)
        for sums in (scanned, composed):
            found = sums(jnp.asarray(case.rewards), jnp.asarray(case.done), factor)
            assert error(found, summed_by_hand(case, factor)) < 1e-12


@pytest.mark.parametrize("sums", [scanned, composed], ids=["scan", "associative scan"])
def test_ends_one_row_early_are_another_sum(sums):
    """T14, control: the mistake that a vectorized recursion invites is far off."""
    case = random_case(0)
    rewards, done = jnp.asarray(case.rewards), jnp.asarray(case.done)
    assert error(sums(rewards, done, LAM), summed_by_hand(case, LAM)) < 1e-12
    assert error(sums(rewards, jnp.roll(done, -1, axis=0), LAM), summed_by_hand(case, LAM)) > 0.1


def summed_by_hand(case, factor: float) -> np.ndarray:
    """y_t = r_t + factor (1 − done_t) y_{t+1}, backwards in a loop."""
    looped = np.zeros_like(case.rewards)
    for t in reversed(range(len(looped))):
        later = looped[t + 1] if t + 1 < len(looped) else 0.0
        looped[t] = case.rewards[t] + factor * np.where(case.done[t], 0.0, later)
    return looped
