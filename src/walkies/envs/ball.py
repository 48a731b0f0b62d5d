"""A ball that bounces on an uneven floor: a minimal environment whose gradient explodes through contact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from walkies.mdp import Array, Box, Key, Observation, Outcome


@dataclass(frozen=True)
class BouncingBall:
    """Keep a bouncing ball of 1 kg above the origin by pushing it sideways. State and observation: x, z, ẋ, ż (m, m/s).

    The floor is z = bump · cos(2π x / wavelength), a stiff spring without friction or damping, so energy is kept. Where
    a ball lands decides where it goes: each bounce multiplies a small difference, and with it ∂s_T/∂s_0. With bump = 0
    the floor is flat and the difference only drifts apart. Action: sideways force in N. Reward −x² per step. Never
    terminal.
    """

    bump: float = 0.05
    """m"""
    wavelength: float = 1.0
    """m"""
    stiffness: float = 2500.0
    """N/m"""
    gravity: float = 9.81
    dt: float = 0.005
    time_limit: int | None = 1000

    observation_size = 4
    privileged_size = 4
    action_space = Box(1)

    def reset(self, key: Key, num_envs: int) -> Array:
        """At rest, 0.5 m up, x within ±0.25 m."""
        x = jax.random.uniform(key, (num_envs, 1), minval=-0.25, maxval=0.25)
        return jnp.concatenate([x, jnp.full_like(x, 0.5), jnp.zeros((num_envs, 2), x.dtype)], axis=1)

    def observe(self, state: Array) -> Observation:
        return Observation(state, state)

    def energy(self, state: Array) -> Array:
        """Kinetic, gravitational and contact energy (num_envs,), J; conserved up to the integrator's error."""
        x, z, vx, vz = jnp.moveaxis(state, -1, 0)
        return 0.5 * (vx**2 + vz**2) + self.gravity * z + 0.5 * self.stiffness * self._depth(x, z) ** 2

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        x, z, vx, vz = jnp.moveaxis(state, -1, 0)
        wave = 2.0 * math.pi / self.wavelength
        slope = -self.bump * wave * jnp.sin(wave * x)
        push = self.stiffness * self._depth(x, z)
        vx = vx + self.dt * (action[:, 0] - push * slope)  # semi-implicit Euler
        vz = vz + self.dt * (push - self.gravity)
        following = jnp.stack([x + self.dt * vx, z + self.dt * vz, vx, vz], axis=-1)
        return following, Outcome(-(following[:, 0] ** 2), jnp.zeros_like(x, bool), {})

    def _depth(self, x: Array, z: Array) -> Array:
        """Penetration of the ball into the floor, m."""
        return jnp.maximum(self.bump * jnp.cos(2.0 * math.pi * x / self.wavelength) - z, 0.0)
