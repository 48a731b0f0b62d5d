"""Principal axes of rigid-body inertias: MuJoCo's representation of a body's inertia."""

from __future__ import annotations

import numpy as np


def principal_inertia(inertia: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal moments and axes of inertias.

    Args:
        inertia: (…, 6) xx yy zz xy xz yz, kg m².

    Returns:
        Moments (…, 3), kg m², rising; and the unit quaternion (…, 4), w x y z, that turns principal axes into the axes
        in which `inertia` is given: inertia = R(quaternion) diag(moments) R(quaternion)ᵀ. float64.
    """
    matrix = np.asarray(inertia, np.float64)[..., [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
    moments, axes = np.linalg.eigh(matrix)
    # Eigenvectors are known up to their sign: make the third axis complete a right-handed frame.
    axes[..., 2] *= np.linalg.det(axes)[..., None]
    return moments, quaternion_from_matrix(axes)


def quaternion_from_matrix(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternions (…, 4), w x y z, of proper rotation matrices (…, 3, 3).

    4 q qᵀ is linear in the matrix's entries; q is its column of largest diagonal entry, scaled (Bar-Itzhack 2000).
    """
    r = rotation
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    outer = np.empty((*r.shape[:-2], 4, 4))
    outer[..., 0, 0] = 1 + trace
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        outer[..., i + 1, i + 1] = 1 - trace + 2 * r[..., i, i]
        outer[..., 0, i + 1] = outer[..., i + 1, 0] = r[..., k, j] - r[..., j, k]
        outer[..., j + 1, k + 1] = outer[..., k + 1, j + 1] = r[..., j, k] + r[..., k, j]
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    column = np.take_along_axis(outer, largest[..., None, None], axis=-1)[..., 0]
    return column / np.linalg.norm(column, axis=-1, keepdims=True)
