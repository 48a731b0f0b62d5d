"""Orientations of many robots at once, numpy and JAX arrays alike: unit quaternions (…, 4), w x y z, body to world."""

from __future__ import annotations

from typing import Any

import numpy as np

from walkies.arrays import namespace

Array = Any
"""numpy.ndarray or jax.Array"""

CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0], np.float32)


def product(a: Array, b: Array) -> Array:
    """First b, then a."""
    aw, ax, ay, az = _parts(a)
    bw, bx, by, bz = _parts(b)
    return namespace(a).stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def conjugate(a: Array) -> Array:
    """The inverse turn."""
    return a * CONJUGATE


def rotation_of(a: Array) -> Array:
    """Rotation matrices (…, 3, 3)."""
    xp = namespace(a)
    w, x, y, z = _parts(a)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def up_in_body(a: Array) -> Array:
    """The world's unit z axis (…, 3) in the body frame: Rᵀ (0, 0, 1)."""
    w, x, y, z = _parts(a)
    return namespace(a).stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1)


def yaw_of(a: Array) -> Array:
    """Headings (…) rad, as the robot's controller takes them."""
    w, x, y, z = _parts(a)
    return namespace(a).arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def about_z(angle: Array) -> Array:
    """Turns (n, 4) by `angle` (n,) rad about the world's z axis."""
    xp = namespace(angle)
    zero = xp.zeros_like(angle)
    return xp.stack([xp.cos(angle / 2), zero, zero, xp.sin(angle / 2)], axis=-1)


def shortest(a: Array, b: Array) -> Array:
    """The smallest turns (…, 4) that bring unit vectors a (…, 3), none of them opposite to its b, to b (…, 3)."""
    xp = namespace(a)
    turn = xp.concatenate([1 + xp.sum(a * b, axis=-1, keepdims=True), xp.cross(a, b)], axis=-1)
    return turn / xp.linalg.norm(turn, axis=-1, keepdims=True)


def _parts(a: Array) -> tuple[Array, Array, Array, Array]:
    return a[..., 0], a[..., 1], a[..., 2], a[..., 3]
