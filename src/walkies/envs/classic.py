"""Cart-pole and pendulum, by the equations of Gymnasium's CartPole-v1 and Pendulum-v1, as JAX environments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from walkies.mdp import Array, Box, Discrete, Key, Observation, Outcome


@dataclass(frozen=True)
class CartPole:
    """Keep a pole upright on a cart that is pushed left (0) or right (1). State and observation: x, ẋ, θ, θ̇.

    SI units. Reward 1 per step. Terminal beyond ±2.4 m or ±12°. Dynamics: Barto, Sutton & Anderson 1983, corrected by
    Florian 2007, integrated by explicit Euler (gymnasium/envs/classic_control/cartpole.py).
    """

    gravity: float = 9.8
    cart_mass: float = 1.0
    pole_mass: float = 0.1
    half_length: float = 0.5
    """m, from the hinge to the pole's centre of mass."""
    force: float = 10.0
    dt: float = 0.02
    position_limit: float = 2.4
    angle_limit: float = math.radians(12.0)
    time_limit: int | None = 500

    observation_size = 4
    privileged_size = 4
    action_space = Discrete(2)

    def reset(self, key: Key, num_envs: int) -> Array:
        return jax.random.uniform(key, (num_envs, 4), minval=-0.05, maxval=0.05)

    def observe(self, state: Array) -> Observation:
        return Observation(state, state)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        x, speed, angle, spin = jnp.moveaxis(state, -1, 0)
        sin, cos = jnp.sin(angle), jnp.cos(angle)
        mass = self.cart_mass + self.pole_mass
        moment = self.pole_mass * self.half_length
        push = jnp.where(action == 1, self.force, -self.force)
        drive = (push + moment * spin**2 * sin) / mass
        angular = (self.gravity * sin - cos * drive) / (self.half_length * (4.0 / 3.0 - self.pole_mass * cos**2 / mass))
        linear = drive - moment * angular * cos / mass
        following = state + self.dt * jnp.stack([speed, linear, spin, angular], axis=-1)
        fallen = (jnp.abs(following[:, 0]) > self.position_limit) | (jnp.abs(following[:, 2]) > self.angle_limit)
        return following, Outcome(jnp.ones_like(x), fallen, {})


@dataclass(frozen=True)
class Pendulum:
    """Swing a pendulum up and hold it there. State: θ (0 is up, not wrapped), θ̇. Observation: cos θ, sin θ, θ̇.

    Action: torque in N m, clipped to ±2. Reward −(wrap(θ)² + 0.1 θ̇² + 0.001 u²), with θ and θ̇ before the step. Never
    terminal. A rod of mass m and length l, semi-implicit Euler (gymnasium/envs/classic_control/pendulum.py).
    """

    gravity: float = 10.0
    mass: float = 1.0
    length: float = 1.0
    dt: float = 0.05
    max_torque: float = 2.0
    max_speed: float = 8.0
    """rad/s; the speed is clipped to it."""
    time_limit: int | None = 200

    observation_size = 3
    privileged_size = 3

    @property
    def action_space(self) -> Box:
        return Box(1, -self.max_torque, self.max_torque)

    def reset(self, key: Key, num_envs: int) -> Array:
        return jax.random.uniform(key, (num_envs, 2), minval=-1.0, maxval=1.0) * jnp.array([jnp.pi, 1.0])

    def observe(self, state: Array) -> Observation:
        angle, spin = state[:, 0], state[:, 1]
        seen = jnp.stack([jnp.cos(angle), jnp.sin(angle), spin], axis=-1)
        return Observation(seen, seen)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        angle, spin = state[:, 0], state[:, 1]
        torque = jnp.clip(action[:, 0], -self.max_torque, self.max_torque)
        wrapped = jnp.mod(angle + jnp.pi, 2.0 * jnp.pi) - jnp.pi
        reward = -(wrapped**2 + 0.1 * spin**2 + 0.001 * torque**2)
        inertia = self.mass * self.length**2 / 3.0
        weight = 0.5 * self.mass * self.gravity * self.length * jnp.sin(angle)
        spin = jnp.clip(spin + (weight + torque) / inertia * self.dt, -self.max_speed, self.max_speed)
        following = jnp.stack([angle + spin * self.dt, spin], axis=-1)
        return following, Outcome(reward, jnp.zeros_like(angle, bool), {})
