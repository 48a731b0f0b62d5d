"""A level of a platform game, small enough to list every way to play it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from walkies.envs.tabular import Tabular, enumerate_rollouts, tabular
from walkies.mdp import rollout_log_probability
from walkies.rl.distributions import Categorical

WALK, JUMP = 0, 1
START, PIT, FLAG = 0, 4, 7
STEPS = 7
"""Enough for every way to play: each action moves forward."""


def level(short_jump: float = 0.1) -> Tabular:
    """Eight places in a row. Walking moves 1, jumping 2, or 1 with probability `short_jump`.

    The pit and the flag end the game. Each action costs 1 (the clock), the flag pays 10, the pit costs 5.
    """
    transition = np.zeros((FLAG + 1, 2, FLAG + 1))
    for place in range(FLAG + 1):
        near, far = min(place + 1, FLAG), min(place + 2, FLAG)
        transition[place, WALK, near] = 1.0
        transition[place, JUMP, near] += short_jump
        transition[place, JUMP, far] += 1.0 - short_jump
    arrival = np.full(FLAG + 1, -1.0)
    arrival[FLAG] += 10.0
    arrival[PIT] -= 5.0
    reward = np.broadcast_to(arrival, transition.shape)
    places = np.arange(FLAG + 1)
    return tabular(transition, reward, initial=places == START, terminal=(places == PIT) | (places == FLAG))


MARIO = level()
WAYS = enumerate_rollouts(MARIO, STEPS)
"""Every way to play, (time, ways)."""


def probabilities(theta: jax.Array) -> jax.Array:
    """p(τ) of every way to play (ways,) under π(a | s) = softmax(theta[s]), theta (places, actions)."""
    initial, transition = (jnp.log(jnp.asarray(table, jnp.float32)) for table in (MARIO.initial, MARIO.transition))
    return jnp.exp(
        rollout_log_probability(
            jnp.asarray(WAYS.states),
            jnp.asarray(WAYS.actions),
            lambda place: initial[place],
            lambda place, action: Categorical(theta[place]).log_prob(action),
            lambda place, action, following: transition[place, action, following],
            jnp.asarray(WAYS.valid),
        )
    )


def estimates(theta: jax.Array, psi: jax.Array) -> jax.Array:
    """Σ_t ∇log π(a_t | s_t) Ψ_t of every way to play, (ways, parameters); psi: (time, ways)."""

    def weighted(theta: jax.Array) -> jax.Array:
        log_prob = Categorical(theta[WAYS.states[:-1]]).log_prob(jnp.asarray(WAYS.actions))
        return jnp.sum(jnp.where(WAYS.valid, log_prob * psi, 0.0), axis=0)

    return jax.jacobian(weighted)(theta).reshape(WAYS.valid.shape[1], -1)


def moments(theta: jax.Array, psi: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean (parameters,) and total variance () of the estimate from one game, exactly: by listing all games."""
    each, p = estimates(theta, psi), probabilities(theta)
    mean = p @ each
    return mean, p @ jnp.sum((each - mean) ** 2, axis=1)
