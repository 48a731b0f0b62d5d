"""The bouncing ball: physics that keeps energy, and a gradient that explodes through bumps but not on a flat floor."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.envs.ball import BouncingBall
from walkies.rl.pathwise.deterministic import pathwise_return

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def fall(env, steps):
    state = env.reset(KEY, 8)
    step = jax.jit(lambda s, _: (env.step(s, jnp.zeros((8, 1)), KEY)[0],) * 2)
    return jax.lax.scan(step, state, None, steps)[1]


def test_energy_is_kept_while_it_bounces():
    """Up to the integrator's error, which is of first order: a tenth of the time step leaves a tenth of it."""
    errors = []
    for refinement in (1, 10):
        env = BouncingBall(dt=0.005 / refinement)
        path = fall(env, 400 * refinement)
        energy = np.asarray(env.energy(path))
        errors.append(np.abs(energy / energy[0] - 1.0).max())
        assert (
            np.ptp(np.sign(np.asarray(path[..., 3]))) == 2 and float(path[..., 1].min()) < 0.0
        )  # it falls, and bounces
    assert errors[0] < 0.2 and errors[1] < 0.2 * errors[0]


def gradient_norm(env, horizon):
    """|∂J/∂b| of a constant sideways force b, mean over 32 balls taken one by one."""

    def j(b, state):
        act = lambda b, observation, noise: jnp.full((1, 1), b)  # noqa: E731
        return pathwise_return(env, act, b, state[None], KEY, horizon)

    slopes = jax.jit(jax.vmap(jax.grad(j), in_axes=(None, 0)))(0.0, env.reset(KEY, 32))
    return float(jnp.mean(jnp.abs(slopes)))


def test_the_gradient_explodes_through_contact():
    """Five times the horizon multiplies it by more than 10⁴ over bumps; on a flat floor by 5³ = 125, as Σ t² does."""
    short, long = (gradient_norm(BouncingBall(), h) for h in (200, 1000))
    flat_short, flat_long = (gradient_norm(BouncingBall(bump=0.0), h) for h in (200, 1000))
    assert long / short > 1e4
    np.testing.assert_allclose(flat_long / flat_short, 125.0, rtol=0.02)
