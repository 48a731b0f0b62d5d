"""Running mean and variance of observations.

Statistics are frozen while an iteration acts and learns and merged once at its end: a policy that is scored under other
statistics than it acted under is another policy (the importance ratio would start away from 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

MIN_STD = 1e-3
"""Inputs that move less than this are scaled as if they moved this much, so that one that hardly moved yet does not
become huge when it does. In the input's own unit."""
OBSERVATION_CLIP = 10.0
"""What `ClippedNormalizer` lets through, in deviations (Stable-Baselines3's VecNormalize, CleanRL)."""


class Normalizer(NamedTuple):
    """Moments of everything seen so far.

    They are kept of x − origin, origin being the first value seen: an input that never moved then has a variance of
    exactly zero, which rounding would otherwise hide, and a large offset costs no precision.
    """

    samples: Array
    """() how many, float."""
    origin: Array
    """(size,)"""
    offset: Array
    """(size,) mean of x − origin."""
    variance: Array
    """(size,)"""

    @property
    def limit(self) -> float:
        """Largest magnitude of what `self` returns."""
        return math.inf

    @property
    def mean(self) -> Array:
        """(size,)"""
        return self.origin + self.offset

    @property
    def scale(self) -> Array:
        """(size,) factor after centring: 1/σ, exactly 0 for inputs that never moved, 1 before anything was seen."""
        scale = jnp.where(self.variance > 0.0, 1.0 / jnp.maximum(jnp.sqrt(self.variance), MIN_STD), 0.0)
        return jnp.where(self.samples > 0.0, scale, 1.0)

    def __call__(self, x: Array) -> Array:
        """(x − mean) · scale for x (…, size)."""
        return (x - self.mean) * self.scale


class ClippedNormalizer(Normalizer):
    """A `Normalizer` whose output is kept within ±OBSERVATION_CLIP, as public libraries have it.

    For repeating their results: a robot's file cannot hold the clip, so no robot is trained with it.
    """

    @property
    def limit(self) -> float:
        return OBSERVATION_CLIP

    def __call__(self, x: Array) -> Array:
        """(x − mean) · scale within the limits, for x (…, size)."""
        return jnp.clip(super().__call__(x), -self.limit, self.limit)


def init(size: int, dtype: jnp.dtype = jnp.float32) -> Normalizer:
    """Statistics of nothing: the identity."""
    zeros = jnp.zeros(size, dtype)
    return Normalizer(jnp.zeros((), dtype), zeros, zeros, zeros)


def update(old: Normalizer, x: Array) -> Normalizer:
    """Statistics of what `old` has seen and of x (…, size) (Chan, Golub & LeVeque 1979, eq. 2.1)."""
    x = x.reshape(-1, x.shape[-1])
    origin = jnp.where(old.samples > 0.0, old.origin, x[0])
    shifted = x - origin
    offset = shifted.mean(axis=0)
    variance = jnp.mean(jnp.square(shifted - offset), axis=0)
    weight = x.shape[0] / (old.samples + x.shape[0])
    delta = offset - old.offset
    return old._replace(
        samples=old.samples + x.shape[0],
        origin=origin,
        offset=old.offset + weight * delta,
        variance=(1.0 - weight) * old.variance + weight * variance + weight * (1.0 - weight) * delta * delta,
    )
