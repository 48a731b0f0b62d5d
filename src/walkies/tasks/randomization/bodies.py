"""Bodies with other masses, centres of mass and inertias, all of which could be built.

A rigid body's ten inertial parameters are its pseudo-inertia J = ∫ (x, 1)(x, 1)ᵀ dm, a 4×4 matrix, and a body exists if
and only if J is positive definite (Wensing, Kim & Slotine 2018, "Linear matrix inequalities for physically consistent
inertial parameter identification"). J ↦ μ U J Uᵀ keeps it so for every invertible U and μ > 0; with U upper triangular
that reaches every body from every other (Rucker & Wensing 2022, "Smooth parameterization of rigid-body inertia"). In
words: each body is moved by an affine map of its material, x ↦ c + s + A (x − c), and made μ times as dense.
"""

from __future__ import annotations

from walkies.later import Array, jnp


def transform_bodies(
    mass: Array,
    com: Array,
    inertia: Array,
    factor: Array,
    stretch: Array,
    shear: Array,
    shift: Array,
) -> tuple[Array, Array, Array]:
    """Bodies whose material is made heavier, stretched, slanted and shifted.

    All arguments broadcast over robots and bodies (…).

    Args:
        mass: (…) kg.
        com: (…, 3) m, centre of mass in the body frame.
        inertia: (…, 6) kg m², xx yy zz xy xz yz about the centre of mass.
        factor: (…) μ, of the mass.
        stretch: (…, 3) diagonal of A.
        shear: (…, 3) entries xy, xz, yz of A above its diagonal.
        shift: (…, 3) s, m.

    Returns:
        Mass, com and inertia of the new bodies.
    """
    xx, yy, zz, xy, xz, yz = (inertia[..., i] for i in range(6))
    dx, dy, dz = (stretch[..., i] for i in range(3))
    axy, axz, ayz = (shear[..., i] for i in range(3))
    # Second moments about the centre of mass, Σ = ∫ x xᵀ dm = ½ tr(I) 1 − I.
    half = 0.5 * (xx + yy + zz)
    sxx, syy, szz, sxy, sxz, syz = half - xx, half - yy, half - zz, -xy, -xz, -yz
    # Σ' = A Σ Aᵀ, rows of A Σ first.
    px, py, pz = dx * sxx + axy * sxy + axz * sxz, dx * sxy + axy * syy + axz * syz, dx * sxz + axy * syz + axz * szz
    qy, qz = dy * syy + ayz * syz, dy * syz + ayz * szz
    nxx, nxy, nxz = px * dx + py * axy + pz * axz, py * dy + pz * ayz, pz * dz
    nyy, nyz, nzz = qy * dy + qz * ayz, qz * dz, dz * szz * dz
    new = jnp.stack([nyy + nzz, nxx + nzz, nxx + nyy, -nxy, -nxz, -nyz], axis=-1)
    return mass * factor, com + shift, new * factor[..., None]


def add_payload(mass: Array, com: Array, inertia: Array, payload: Array, at: Array) -> tuple[Array, Array, Array]:
    """Bodies with a point mass.

    What is taken away (payload below zero) is taken from the whole body in proportion: the rest is a body that exists.

    Args:
        mass: (n,) kg. com: (n, 3) m. inertia: (n, 6) kg m².
        payload: (n,) kg.
        at: (n, 3) m, where the point mass is, in the body frame.

    Returns:
        Mass, com and inertia of both together.
    """
    lighter = 1.0 + jnp.minimum(payload, 0.0) / mass
    mass, inertia, payload = mass * lighter, inertia * lighter[:, None], jnp.maximum(payload, 0.0)
    total = mass + payload
    moved = (mass[:, None] * com + payload[:, None] * at) / total[:, None]
    # Two point-like masses about their common centre: reduced mass times squared distance (parallel axes).
    reduced = mass * payload / total
    d = at - com
    square = jnp.sum(d * d, axis=-1)
    x, y, z = d[:, 0], d[:, 1], d[:, 2]
    parallel = jnp.stack([square - x * x, square - y * y, square - z * z, -x * y, -x * z, -y * z], axis=-1)
    return total, moved, inertia + reduced[:, None] * parallel
