"""Rotations of many robots at once; quaternions are w x y z."""

from __future__ import annotations

import numpy as np

from walkies.later import Array, jnp

DOWN = np.array([0.0, 0.0, -1.0], np.float32)
"""Into the ground, world frame."""


def quaternion_of(roll: Array, pitch: Array, yaw: Array) -> Array:
    """Unit quaternions (n, 4), w x y z, of yaw, then pitch, then roll (intrinsic z-y-x)."""
    cr, sr, cp, sp = jnp.cos(roll / 2), jnp.sin(roll / 2), jnp.cos(pitch / 2), jnp.sin(pitch / 2)
    cy, sy = jnp.cos(yaw / 2), jnp.sin(yaw / 2)
    return jnp.stack(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ],
        axis=1,
    )


def to_body(quaternion: Array, vector: Array | np.ndarray) -> Array:
    """World vectors (n, 3) or (3,) in the body frames given by quaternions (n, 4)."""
    w, xyz = quaternion[:, :1], -quaternion[:, 1:]
    vector = jnp.broadcast_to(vector, xyz.shape)
    t = 2.0 * jnp.cross(xyz, vector)
    return vector + w * t + jnp.cross(xyz, t)
