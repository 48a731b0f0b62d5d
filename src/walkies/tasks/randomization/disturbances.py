"""Disturbances drawn during an episode: velocity kicks, and forces that last."""

from __future__ import annotations

from typing import NamedTuple

from walkies.later import Array, jnp
from walkies.tasks.randomization import Pushes

KICK_DRAWS = 3
"""Number of uniform random numbers that a kick takes."""


def kick(uniform: Array, pushes: Pushes, control_dt: float) -> Array:
    """Changes of the base's horizontal velocity (n, 2), m/s, of this control step.

    uniform: (n, KICK_DRAWS) in [0, 1), decides whether there is a kick, its direction and its size.
    """
    happens = uniform[:, 0] < control_dt / pushes.kick_interval
    angle, speed = 2.0 * jnp.pi * uniform[:, 1], pushes.kick_speed.value(uniform[:, 2]) * happens
    return jnp.stack([speed * jnp.cos(angle), speed * jnp.sin(angle)], axis=1)


class Force(NamedTuple):
    """A force that lasts."""

    newton: Array
    """(n, 3) world frame; keeps its last value after the force ends."""
    left: Array
    """(n,) s remaining; no force acts where this is not positive."""

    @classmethod
    def none(cls, num_envs: int) -> Force:
        return cls(jnp.zeros((num_envs, 3)), jnp.zeros(num_envs))

    def now(self) -> Array:
        """(n, 3) N in this control step."""
        return jnp.where(self.left[:, None] > 0.0, self.newton, 0.0)


FORCE_DRAWS = 4
"""Number of uniform random numbers that a force takes."""


def next_force(force: Force, uniform: Array, pushes: Pushes, control_dt: float) -> Force:
    """The force of the next control step: the current one until it ends, then at random times another.

    uniform: (n, FORCE_DRAWS) in [0, 1), decides whether there is a new force, its direction, size and duration.
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
