"""Orientations of many robots at once in numpy: unit quaternions (…, 4), w x y z, body to world."""

from __future__ import annotations

import numpy as np


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """First b, then a."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def conjugate(a: np.ndarray) -> np.ndarray:
    """The inverse turn."""
    return a * np.array([1.0, -1.0, -1.0, -1.0])


def rotation_of(a: np.ndarray) -> np.ndarray:
    """Rotation matrices (…, 3, 3)."""
    w, x, y, z = np.moveaxis(a, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def up_in_body(a: np.ndarray) -> np.ndarray:
    """The world's unit z axis (…, 3) in the body frame: Rᵀ (0, 0, 1)."""
    w, x, y, z = np.moveaxis(a, -1, 0)
    return np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1)


def yaw_of(a: np.ndarray) -> np.ndarray:
    """Headings (…) rad, as the robot's controller takes them."""
    w, x, y, z = np.moveaxis(a, -1, 0)
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def about_z(angle: np.ndarray) -> np.ndarray:
    """Turns (n, 4) by `angle` (n,) rad about the world's z axis."""
    zero = np.zeros_like(angle)
    return np.stack([np.cos(angle / 2), zero, zero, np.sin(angle / 2)], axis=-1)
