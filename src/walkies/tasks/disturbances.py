"""What is drawn during an episode: kicks, forces that last, late commands; and readings that come late."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from walkies.sim.base import TARGET_MEMORY
from walkies.tasks.randomization import Pushes, Range

Array = jax.Array


KICK_DRAWS = 3
"""Uniform numbers that a kick takes."""


def kick(uniform: Array, pushes: Pushes, control_dt: float) -> Array:
    """Changes of the base's horizontal velocity (n, 2), m/s, of this control step.

    uniform: (n, KICK_DRAWS) in [0, 1), decides whether, whither and how hard.
    """
    happens = uniform[:, 0] < control_dt / pushes.kick_interval
    angle, speed = 2.0 * jnp.pi * uniform[:, 1], pushes.kick_speed.value(uniform[:, 2]) * happens
    return jnp.stack([speed * jnp.cos(angle), speed * jnp.sin(angle)], axis=1)


class Force(NamedTuple):
    """A force that lasts."""

    newton: Array
    """(n, 3) world frame; keeps its last value when it is over."""
    left: Array
    """(n,) s that it still lasts; none acts where this is not positive."""

    @classmethod
    def none(cls, num_envs: int) -> Force:
        return cls(jnp.zeros((num_envs, 3)), jnp.zeros(num_envs))

    def now(self) -> Array:
        """(n, 3) N in this control step."""
        return jnp.where(self.left[:, None] > 0.0, self.newton, 0.0)


FORCE_DRAWS = 4
"""Uniform numbers that a force takes."""


def next_force(force: Force, uniform: Array, pushes: Pushes, control_dt: float) -> Force:
    """The force of the next control step: the present one until its time is over, then, at random, another.

    uniform: (n, FORCE_DRAWS) in [0, 1), decides whether, whither, how hard and how long.
    """
    left = force.left - control_dt
    over = left <= 0.5 * control_dt  # half a step: durations are rounded to control steps
    starts = over & (uniform[:, 0] < control_dt / pushes.force_interval)
    angle, size = 2.0 * jnp.pi * uniform[:, 1], pushes.force.value(uniform[:, 2])
    newton = jnp.stack([size * jnp.cos(angle), size * jnp.sin(angle), jnp.zeros_like(size)], axis=1)
    duration = jnp.maximum(pushes.force_duration.value(uniform[:, 3]), control_dt)
    return Force(
        newton=jnp.where(starts[:, None], newton, force.newton),
        left=jnp.where(starts, duration, jnp.where(over, 0.0, left)),
    )


def late(lateness: Array, uniform: Array, jitter: Range, timestep: float) -> Array:
    """Lateness (n, TARGET_MEMORY), physics steps, with that of a new target put in front; uniform: (n, 1) in [0, 1)."""
    return jnp.concatenate([jnp.round(jitter.value(uniform) / timestep), lateness[:, : TARGET_MEMORY - 1]], axis=1)


class LateImu(NamedTuple):
    """An IMU whose readings are whole control steps old."""

    lag: Array
    """(n,) int32, control steps, 0 … K."""
    past: Array
    """(n, K, 6): earlier readings of gyro and gravity, newest first."""


def lagged(imu: LateImu, gyro: Array, gravity: Array) -> tuple[LateImu, Array, Array]:
    """The IMU after the newest readings, each (n, 3), and what it shows: the gyro and gravity of `lag` steps ago."""
    newest = jnp.concatenate([gyro, gravity], axis=1)
    known = jnp.concatenate([newest[:, None], imu.past], axis=1)
    shown = jnp.take_along_axis(known, imu.lag[:, None, None], axis=1)[:, 0]
    return imu._replace(past=known[:, :-1]), shown[:, :3], shown[:, 3:]
