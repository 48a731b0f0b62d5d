"""Feet of one sphere or several: when they touch the ground, how high they are, and how fast."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.later import Array, jnp
from walkies.sim.base import Readings


class Feet(NamedTuple):
    """Of each foot, (n, legs, …)."""

    contact: Array
    """whether it is on the ground"""
    height: Array
    """m"""
    velocity: Array
    """(n, legs, 3) m/s, world frame"""


def lowest(readings: Readings, contact: Array, spheres: np.ndarray) -> Feet:
    """A foot touches the ground if one of its spheres does; its position is that of its lowest sphere.

    Args:
        contact: (n, all spheres) bool.
        spheres: (legs, spheres of a foot) indices among all.
    """
    distance, velocity = readings.contact_distance[:, spheres], readings.contact_velocity[:, spheres]
    if spheres.shape[1] == 1:
        return Feet(contact[:, spheres[:, 0]], distance[..., 0], velocity[:, :, 0])
    which = jnp.argmin(distance, axis=-1)[..., None]
    return Feet(
        contact[:, spheres].any(axis=-1),
        jnp.take_along_axis(distance, which, axis=-1)[..., 0],
        jnp.take_along_axis(velocity, which[..., None], axis=2)[:, :, 0],
    )
