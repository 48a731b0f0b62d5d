"""The pathwise gradient: differentiate Σ r through the dynamics along the rollout.

    J(θ) = E Σ_t γ^t r(s_t, a_t),   a_t = f_θ(s_t, ε_t),   s_{t+1} = step(s_t, a_t)

With ε drawn beforehand the return is an ordinary function of θ, and reverse-mode differentiation goes back through
every step. It needs a deterministic or reparametrized policy but no likelihood, and usually far fewer samples than
the likelihood-ratio gradient if the dynamics are smooth. It fails where that one does not: a step-shaped reward has
derivative zero, contact can multiply the Jacobians ∂s′/∂s until the gradient explodes (Suh et al. 2022). Hence short
horizons with a value function at the end (Xu et al. 2022), in `walkies.rl.pathwise.short_horizon`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies.mdp import Array, Env, Key

Act = Callable[[Any, Array, Any], Array]
"""(parameters, observation (num_envs, size), noise of this step) → action. A deterministic policy ignores the noise."""


class Path(NamedTuple):
    """A differentiable rollout, (time, num_envs, …)."""

    states: Any
    """The state before each step."""
    actions: Array
    rewards: Array
    """0 after the end of an episode."""
    alive: Array
    """bool: the episode had not ended before this step."""
    last: Any
    """The state after the last step, (num_envs, …)."""
    going: Array
    """(num_envs,) bool: the episode has not ended at all."""


def unroll(env: Env, act: Act, params: Any, state: Any, key: Key, horizon: int, noise: Any = None) -> Path:
    """Follow `act` for `horizon` steps from `state`, without resets; differentiable in `params` and `state`.

    noise: PyTree of (time, …), one row passed to `act` per step; None passes None. key: randomness of the environment.
    """

    def step(carry: tuple[Any, Array], row: tuple[Key, Any]) -> tuple[tuple[Any, Array], tuple]:
        state, alive = carry
        key, drawn = row
        action = act(params, env.observe(state).policy, drawn)
        following, outcome = env.step(state, action, key)
        reward = jnp.where(alive, outcome.reward, 0.0)
        return (following, alive & ~outcome.terminated), (state, action, reward, alive)

    num_envs = jax.tree.leaves(state)[0].shape[0]
    keys = jax.random.split(key, horizon)
    (last, going), rows = jax.lax.scan(step, (state, jnp.ones(num_envs, bool)), (keys, noise))
    states, actions, rewards, alive = rows
    return Path(states, actions, rewards, alive, last, going)


def pathwise_return(
    env: Env,
    act: Act,
    params: Any,
    state: Any,
    key: Key,
    horizon: int,
    gamma: float = 1.0,
    noise: Any = None,
    value: Callable[[Array], Array] | None = None,
) -> Array:
    """Mean over environments of Σ_{t<H} γ^t r_t + γ^H V(s_H): maximize it with `jax.grad`; a scalar.

    value: critic observation (num_envs, size) → V (num_envs,), for rewards after the horizon; None: zero. The rest as
    in `unroll`.
    """
    path = unroll(env, act, params, state, key, horizon, noise)
    total = jnp.sum(gamma ** jnp.arange(horizon)[:, None] * path.rewards, axis=0)
    if value is not None:
        total += gamma**horizon * jnp.where(path.going, value(env.observe(path.last).critic), 0.0)
    return jnp.mean(total)
