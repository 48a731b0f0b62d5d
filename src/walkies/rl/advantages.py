"""Advantage estimators: three answers to "how good was this action?".

∇J = E Σ_t ∇log π(a_t | s_t) Ψ_t, Ψ the full return, the reward to go, or the advantage (Schulman et al. 2016, eq. 1).
Over whole episodes at γ = 1, what this does to the mean of the estimate:

- `full_return` and `reward_to_go` are unbiased whatever values they are given: these are a baseline only;
- `gae` is unbiased at λ = 1, and at every λ where the values are V^π itself. With λ < 1 and learned values it is biased
  by their errors, for less variance.

An episode that is cut goes on with the value of the state it reached, whose error is then a bias in all three. As is
usual the factor γ^t of the discounted problem is left out: at γ < 1 all but `full_return` are biased, and the discount
is one more way to trade bias for variance. Which of the three is the least noisy depends on the problem.

Two masks keep apart what most code confuses. `terminated`: the next state is worth nothing. `done`: the next row
belongs to another episode (terminated, truncated by a time limit). All arrays are (time, num_envs).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from walkies import renamed

Array = jax.Array


def gae(
    rewards: Array, values: Array, next_values: Array, terminated: Array, done: Array, gamma: float, lam: float
) -> Array:
    """Generalized advantage estimate (Schulman et al. 2016, eq. 16), (time, num_envs).

    δ_t = r_t + γ (1 − terminated_t) v'_t − v_t and A_t = δ_t + γλ (1 − done_t) A_{t+1}.
    next_values: v' of the state the action really led to, also where the next row is a new episode. Target of the value
    function: A + v.
    """
    deltas = rewards + gamma * jnp.where(terminated, 0.0, next_values) - values
    return discounted_sums(deltas, done, gamma * lam)


def reward_to_go(
    rewards: Array, values: Array, next_values: Array, terminated: Array, done: Array, gamma: float, lam: float = 1.0
) -> Array:
    """Σ_{k≥t} γ^{k−t} r_k to the end of the episode, minus the baseline v_t, (time, num_envs); gae at λ = 1.

    An episode that is cut (time limit, end of the rollout) goes on with γ v'. Without a value function give zeros: then
    nothing is subtracted and what follows the cut counts as nothing. `lam` is ignored.
    """
    last = jnp.arange(rewards.shape[0])[:, None] == rewards.shape[0] - 1
    cut = (done | last) & ~terminated
    return discounted_sums(rewards + gamma * jnp.where(cut, next_values, 0.0), done, gamma) - values


def full_return(
    rewards: Array, values: Array, next_values: Array, terminated: Array, done: Array, gamma: float, lam: float = 1.0
) -> Array:
    """The return of the whole episode at every one of its steps, minus v_t, (time, num_envs) (Williams 1992).

    Discounted from the episode's first step in this rollout. Cut episodes as in `reward_to_go`; `lam` is ignored.
    """
    zeros = jnp.zeros_like(values)
    from_here = reward_to_go(rewards, zeros, next_values, terminated, done, gamma)
    first = jnp.concatenate([jnp.ones_like(done[:1]), done[:-1]])

    def carry_on(current: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        is_first, value = row
        current = jnp.where(is_first, value, current)
        return current, current

    _, returns = jax.lax.scan(carry_on, from_here[0], (first, from_here))
    return returns - values


def discounted_sums(x: Array, done: Array, factor: float) -> Array:
    """y_t = x_t + factor (1 − done_t) y_{t+1}, with y = 0 after the last row, (time, num_envs)."""

    def backwards(y: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        x_t, keep = row
        y = x_t + factor * keep * y
        return y, y

    _, sums = jax.lax.scan(backwards, jnp.zeros_like(x[0]), (x, 1.0 - done.astype(x.dtype)), reverse=True)
    return sums


def discounted_sums_parallel(x: Array, done: Array, factor: float) -> Array:
    """The same as `discounted_sums` in O(log time) dependent steps, for accelerators: maps composed in a tree."""

    def compose(later: tuple[Array, Array], earlier: tuple[Array, Array]) -> tuple[Array, Array]:
        return earlier[0] * later[0], earlier[1] + earlier[0] * later[1]

    slopes = factor * (1.0 - done.astype(x.dtype))
    return jax.lax.associative_scan(compose, (slopes, x), reverse=True)[1]


ADVANTAGES: dict[str, Callable[..., Array]] = {"full_return": full_return, "reward_to_go": reward_to_go, "gae": gae}

renamed.names(globals(), WEIGHTS="ADVANTAGES")
