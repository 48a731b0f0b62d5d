"""Advantage estimators: three estimates of how good an action was.

∇J = E Σ_t ∇log π(a_t | s_t) Ψ_t, Ψ the full return, the reward to go, or the advantage (Schulman et al. 2016, eq. 1).
Bias over whole episodes at γ = 1:

- `full_return` and `reward_to_go` are unbiased for any values: these only serve as a baseline;
- `gae` is unbiased at λ = 1, and at every λ if the values are V^π itself. With λ < 1 and learned values it is biased
  by their errors, for less variance.

A truncated episode bootstraps from the value of the state it reached, whose error is then a bias in all three. As is
common, the factor γ^t of the discounted problem is omitted: at γ < 1 all but `full_return` are biased, and the discount
is another way to trade bias for variance. Which of the three has the least variance depends on the problem.

Two masks separate what much code confuses. `terminated`: the next state has value 0. `done`: the next row
belongs to another episode (terminated, or truncated by a time limit). All arrays are (time, num_envs).
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
    next_values: v' of the state the action led to, even if the next row is a new episode. The value target is A + v.
    """
    deltas = rewards + gamma * jnp.where(terminated, 0.0, next_values) - values
    return discounted_sums(deltas, done, gamma * lam)


def reward_to_go(
    rewards: Array, values: Array, next_values: Array, terminated: Array, done: Array, gamma: float, lam: float = 1.0
) -> Array:
    """Σ_{k≥t} γ^{k−t} r_k to the end of the episode, minus the baseline v_t, (time, num_envs); gae at λ = 1.

    A truncated episode (time limit, end of the rollout) bootstraps with γ v'. Without a value function pass zeros: then
    there is no baseline, and rewards after the truncation count as 0. `lam` is ignored.
    """
    last = jnp.arange(rewards.shape[0])[:, None] == rewards.shape[0] - 1
    cut = (done | last) & ~terminated
    return discounted_sums(rewards + gamma * jnp.where(cut, next_values, 0.0), done, gamma) - values


def full_return(
    rewards: Array, values: Array, next_values: Array, terminated: Array, done: Array, gamma: float, lam: float = 1.0
) -> Array:
    """The return of the whole episode at each of its steps, minus v_t, (time, num_envs) (Williams 1992).

    Discounted from the episode's first step in this rollout. Truncated episodes as in `reward_to_go`; `lam` is ignored.
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
