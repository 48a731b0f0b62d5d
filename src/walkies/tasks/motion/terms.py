"""Rewards for following a movement: the mean squared deviation of each kind, as BeyondMimic's (Liao et al. 2025,
arXiv:2508.08241), of what the sensors of a robot and its policy's frame can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from walkies.later import Array, jnp

if TYPE_CHECKING:
    from walkies.tasks.rewards import Motion, RewardParams


class Deviation(NamedTuple):
    """How n robots differ from the frames that they were shown."""

    joints: Array
    """(n, nu) rad"""
    speeds: Array
    """(n, nu) rad/s"""
    turned: Array
    """(n,) rad, of the orientation"""
    tilted: Array
    """(n,) rad, between the two upward directions"""
    height: Array
    """(n,) of the trunk, in hip heights"""


def motion_joints(m: Motion, s: RewardParams) -> Array:
    """Have the joint angles of the movement."""
    return _near(m, None if m.deviation is None else jnp.square(m.deviation.joints), s.motion_joints)


def motion_speeds(m: Motion, s: RewardParams) -> Array:
    """Move the joints as fast as the movement."""
    return _near(m, None if m.deviation is None else jnp.square(m.deviation.speeds), s.motion_speeds)


def motion_orientation(m: Motion, s: RewardParams) -> Array:
    """Lean and turn the trunk as in the movement."""
    return _near(m, None if m.deviation is None else jnp.square(m.deviation.turned)[:, None], s.motion_orientation)


def motion_height(m: Motion, s: RewardParams) -> Array:
    """Have the trunk as high as in the movement."""
    return _near(m, None if m.deviation is None else jnp.square(m.deviation.height)[:, None], s.motion_height)


def _near(m: Motion, squares: Array | None, width: float) -> Array:
    """(n,) exp(−mean/width²) of squares (n, k); 0 where there is no movement."""
    if squares is None:
        return jnp.zeros(len(m.joint_offset))
    return jnp.exp(-jnp.mean(squares, axis=-1) / width**2)
