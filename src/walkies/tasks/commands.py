"""Velocity commands: what the robot is commanded to do, and when the command changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from walkies.bounds import Between, Share
from walkies.errors import UserError
from walkies.later import Array, jax, jnp
from walkies.tasks.gait.heading import NO_HOLD, HeadingHold

Speed = Annotated[float, Between(0.0, 100.0)]
"""m/s or rad/s"""


@dataclass(frozen=True)
class Commands:
    """Distribution of commanded velocities in the body frame."""

    forward: Speed = 0.75
    """Forward velocity is uniform in ± this, m/s."""
    sideways: Speed = 0.5
    """Leftward velocity is uniform in ± this, m/s."""
    yaw: Speed = 2.0
    """Yaw rate is uniform in ± this, rad/s."""
    zero_probability: Share = 0.15
    """Share of commands that are exactly zero: stand still."""
    axis_probability: Share = 0.15
    """Share of commands with only one nonzero component."""
    interval: Annotated[float, Between(0.0, 1e6, "(]")] = 2.0
    """Mean time between command changes, s. Memoryless: the value of a state does not depend on a hidden clock."""
    acceleration: Annotated[float, Between(0.0, 1e6, "(]")] = 1.2
    """The rewarded velocity follows a change of command at this rate, m/s²: abrupt braking does not pay."""
    yaw_acceleration: Annotated[float, Between(0.0, 1e6, "(]")] = 6.0
    """The same for the yaw rate, rad/s²."""
    heading_hold: HeadingHold = NO_HOLD
    """Part of the robot's controller of 2026, which then acts in training too."""

    def __post_init__(self) -> None:
        if self.zero_probability + self.axis_probability > 1.0:
            raise UserError(
                f"zero_probability {self.zero_probability:g} and axis_probability {self.axis_probability:g} are shares "
                "of the same commands; expected a sum of at most 1"
            )


DRAWS = 5
"""Uniform numbers in [0, 1) that one command takes."""


def draw_command(uniform: Array, config: Commands) -> Array:
    """Commands (n, 3) from uniform numbers (n, DRAWS) in [0, 1)."""
    limits = jnp.array([config.forward, config.sideways, config.yaw])
    command = (2.0 * uniform[:, :3] - 1.0) * limits
    kind = uniform[:, 3:4]
    axis = jnp.floor(uniform[:, 4] * 3.0).astype(jnp.int32)
    alone = jnp.where(jax.nn.one_hot(axis, 3) > 0, command, 0.0)
    command = jnp.where(kind < config.zero_probability + config.axis_probability, alone, command)
    return jnp.where(kind < config.zero_probability, 0.0, command)


def change_command(command: Array, uniform: Array, config: Commands, control_dt: float) -> tuple[Array, Array]:
    """Each command (n, 3) is replaced with probability control_dt / interval; uniform: (n, 1 + DRAWS) in [0, 1).

    Returns the commands and which of them changed (n,) bool.
    """
    changes = uniform[:, 0] < control_dt / config.interval
    return jnp.where(changes[:, None], draw_command(uniform[:, 1:], config), command), changes


def approach(goal: Array, command: Array, config: Commands, control_dt: float) -> Array:
    """The rewarded velocity (n, 3) one control step later, on its way from `goal` to `command`."""
    most = control_dt * jnp.array([config.acceleration, config.acceleration, config.yaw_acceleration])
    return goal + jnp.clip(command - goal, -most, most)
