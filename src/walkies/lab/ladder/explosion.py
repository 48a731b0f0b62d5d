"""Why the gradient is hard: through contact it grows exponentially with the horizon, and its noise with it.

One number b is to be learned: a constant push, a_t = b + σ ε_t. Two gradients of E Σ r with respect to b:

    through the world:  d/db Σ r_t  along each rollout            likelihood ratio:  Σ_t ε_t / σ · (Σ r_t − mean)

The first is unbiased, the second up to a factor of 1 − 1/n, as the mean is that of the n rollouts themselves. The first
multiplies Jacobians ∂s′/∂s, the second never looks at them (Suh et al. 2022; Metz et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies.mdp import Array, Env, Key
from walkies.rl.pathwise.deterministic import unroll

SIGMA = 0.5
"""σ of the push, in the action's unit (N)."""


class Growth(NamedTuple):
    """Both gradients against the horizon, (horizons,) each; horizon h means the sum of the first h rewards."""

    horizons: np.ndarray
    size: np.ndarray
    """Mean |d/db Σ r| through the world, over rollouts one by one."""
    pathwise_noise: np.ndarray
    """Standard deviation over rollouts of the gradient through the world."""
    likelihood_ratio_noise: np.ndarray
    """Standard deviation over rollouts of the likelihood-ratio gradient, mean return subtracted."""


def push(bias: Array, observation: Array, noise: Array) -> Array:
    """Actions (num_envs, 1): the constant push and its noise."""
    return bias + noise


def growth(env: Env, horizon: int, rollouts: int, key: Key, sigma: float = SIGMA) -> Growth:
    """Both gradients at b = 0 for every horizon up to `horizon`, from `rollouts` rollouts of a differentiable world.

    One forward derivative gives all horizons at once: the return of h steps is the running sum of rewards.
    """

    @jax.jit  # the noise is drawn inside: as constants of the program, XLA would sum it up at compile time, slowly
    def both(key: Key) -> tuple[Array, Array, Array]:
        start_key, noise_key, world_key = jax.random.split(key, 3)
        state = env.reset(start_key, rollouts)
        noise = sigma * jax.random.normal(noise_key, (horizon, rollouts, 1))

        def returns(bias: Array) -> Array:
            return jnp.cumsum(unroll(env, push, bias, state, world_key, horizon, noise).rewards, axis=0)

        earned, slope = jax.jvp(returns, (jnp.zeros(()),), (jnp.ones(()),))
        score = jnp.cumsum(noise[..., 0], axis=0) / sigma**2
        ratio = score * (earned - earned.mean(axis=1, keepdims=True))
        return jnp.mean(jnp.abs(slope), axis=1), jnp.std(slope, axis=1), jnp.std(ratio, axis=1)

    size, pathwise, ratio = (np.asarray(x, np.float64) for x in both(key))
    return Growth(np.arange(1, horizon + 1), size, pathwise, ratio)


def worlds() -> dict[str, Any]:
    """The same ball over bumps and on a flat floor, and a linear world: contact that deflects, contact, none."""
    from walkies.envs.ball import BouncingBall
    from walkies.envs.lqr import double_integrator

    ball = BouncingBall()
    return {
        "ball over bumps": ball,
        "ball on a flat floor": BouncingBall(bump=0.0),
        "mass on a line": double_integrator(dt=ball.dt),
    }


def explosion(horizon: int = 1000, rollouts: int = 1024, seed: int = 0) -> dict[str, Growth]:
    """`growth` in each of the `worlds`, from the same seed."""
    run = partial(growth, horizon=horizon, rollouts=rollouts, key=jax.random.key(seed))
    return {name: run(env) for name, env in worlds().items()}


def draw(found: Mapping[str, Growth], out: Path) -> Path:
    """Left: the size of the gradient through each world. Right: the noise of both estimates in the first world."""
    from walkies.show.pictures import theme

    with theme.figure(1, 2) as (made, axes):
        left, right = axes[0]
        for name, world in found.items():
            left.plot(world.horizons, world.size, label=name)
        name, world = next(iter(found.items()))
        right.plot(world.horizons, world.pathwise_noise, label="through the world")
        right.plot(world.horizons, world.likelihood_ratio_noise, label="likelihood ratio")
        left.set_title("Size of the gradient through the world")
        right.set_title(f"Noise of one rollout, {name}")
        for axis in (left, right):
            axis.set_yscale("log")
            axis.set_xlabel("horizon (steps)")
            axis.legend()
        return theme.save(made, out)
