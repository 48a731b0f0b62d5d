"""Principal axes of rigid-body inertias: MuJoCo's representation of a body's inertia."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def principal_inertia(inertia: Any, xp: ModuleType = np) -> tuple[Any, Any]:
    """Principal moments and axes of inertias.

    Args:
        inertia: (…, 6) xx yy zz xy xz yz, kg m².
        xp: NumPy, which computes in float64, or `jax.numpy`, in the precision of `inertia`.

    Returns:
        Moments (…, 3), kg m², rising; and the unit quaternion (…, 4), w x y z, that turns principal axes into the axes
        in which `inertia` is given: inertia = R(quaternion) diag(moments) R(quaternion)ᵀ.
    """
    if xp is np:
        inertia = np.asarray(inertia, np.float64)
    matrix = inertia[..., np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]
    moments, axes = xp.linalg.eigh(matrix)
    # Eigenvectors are known up to their sign: make the third axis complete a right-handed frame.
    third = axes[..., 2] * xp.linalg.det(axes)[..., None]
    return moments, quaternion_from_matrix(xp.concatenate([axes[..., :2], third[..., None]], axis=-1), xp)


def quaternion_from_matrix(rotation: Any, xp: ModuleType = np) -> Any:
    """Unit quaternions (…, 4), w x y z, of proper rotation matrices (…, 3, 3).

    4 q qᵀ is linear in the matrix's entries; q is its column of largest diagonal entry, scaled (Bar-Itzhack 2000).
    """
    r = rotation
    xx, yy, zz = (r[..., i, i] for i in range(3))
    wx, wy, wz = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    outer = [
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ]
    columns = xp.stack([xp.stack(column, axis=-1) for column in outer], axis=-2)  # symmetric: rows are columns
    largest = xp.argmax(xp.stack([outer[i][i] for i in range(4)], axis=-1), axis=-1)
    column = xp.take_along_axis(columns, largest[..., None, None], axis=-2)[..., 0, :]
    return column / xp.linalg.norm(column, axis=-1, keepdims=True)
