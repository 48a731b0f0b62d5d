"""Running mean and variance of observations.

Statistics are frozen while an iteration acts and learns, and merged once at its end: with different statistics the
policy would be a different one (the importance ratio would not start at 1).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies.mdp import Sizes, map_shapes

Array = jax.Array

MIN_STD = 1e-3
"""Floor of the standard deviation, so that an input that has hardly varied yet does not become huge when it does. In
the input's own unit."""
OBSERVATION_CLIP = 10.0
"""Clip range of `ClippedNormalizer`, in standard deviations (Stable-Baselines3's VecNormalize, CleanRL)."""


class Normalizer(NamedTuple):
    """Running moments of each number of an observation: an array, or a PyTree of arrays.

    They are moments of x − origin, where origin is the first value seen: an input that never varied then has a variance
    of exactly zero, which rounding would otherwise hide, and a large offset costs no precision.
    """

    samples: Array
    """() how many, float."""
    origin: Any
    """As an observation: (size,), or a PyTree of (…)."""
    offset: Any
    """Mean of x − origin."""
    variance: Any

    @property
    def limit(self) -> float:
        """Largest magnitude of the normalized values."""
        return math.inf

    @property
    def mean(self) -> Any:
        """As an observation."""
        return jax.tree.map(lambda origin, offset: origin + offset, self.origin, self.offset)

    @property
    def scale(self) -> Any:
        """Factor after centring: 1/σ, exactly 0 for inputs that never varied, 1 before any data."""

        def of(variance: Array) -> Array:
            scale = jnp.where(variance > 0.0, 1.0 / jnp.maximum(jnp.sqrt(variance), MIN_STD), 0.0)
            return jnp.where(self.samples > 0.0, scale, 1.0)

        return jax.tree.map(of, self.variance)

    def __call__(self, x: Any) -> Any:
        """(x − mean) · scale for observations x, arrays (…, *shape)."""
        return jax.tree.map(lambda x, mean, scale: (x - mean) * scale, x, self.mean, self.scale)

    def empty(self) -> Normalizer:
        """The same before any data."""
        return jax.tree.map(jnp.zeros_like, self)

    def leading(self, x: Any) -> tuple[int, ...]:
        """The shape of a batch of observations: its arrays' axes before those of a single one."""
        batch, one = jax.tree.leaves(x)[0], jax.tree.leaves(self.origin)[0]
        return batch.shape[: batch.ndim - one.ndim]


class ClippedNormalizer(Normalizer):
    """A `Normalizer` whose output is clipped to ±OBSERVATION_CLIP, as in public libraries.

    For repeating their results: a robot's file cannot hold the clip, so robots are trained without it.
    """

    @property
    def limit(self) -> float:
        return OBSERVATION_CLIP

    def __call__(self, x: Any) -> Any:
        """(x − mean) · scale within the limits, for observations x."""
        return jax.tree.map(lambda x: jnp.clip(x, -self.limit, self.limit), super().__call__(x))


def init(sizes: Sizes, dtype: jnp.dtype = jnp.float32) -> Normalizer:
    """Statistics before any data: the identity."""
    zeros = map_shapes(lambda shape: jnp.zeros(shape, dtype), sizes)
    return Normalizer(jnp.zeros((), dtype), zeros, zeros, zeros)


def update(old: Normalizer, x: Any) -> Normalizer:
    """Statistics of what `old` has seen and of observations x, arrays (…, *shape)."""
    return merge(old, moments(old, x))


def moments(like: Normalizer, x: Any) -> Normalizer:
    """Statistics of observations x alone, arrays (…, *shape), about the origin of `like` if that has one."""
    count = math.prod(like.leading(x))

    def of(origin: Array, x: Array) -> tuple[Array, Array, Array]:
        axes = range(x.ndim - origin.ndim)
        origin = jnp.where(like.samples > 0.0, origin, x[(0,) * len(axes)])
        # One axis after the other: XLA takes half as long again to average over all of them at once.
        mean_of = lambda x: functools.reduce(lambda x, _: x.mean(axis=0), axes, x)  # noqa: E731
        shifted = x - origin
        mean = mean_of(shifted)
        return origin, mean, mean_of(jnp.square(shifted - mean))

    return _each(like, of, like.origin, x)._replace(samples=jnp.asarray(count, like.samples.dtype))


def merge(old: Normalizer, new: Normalizer) -> Normalizer:
    """Statistics of what either has seen (Chan, Golub & LeVeque 1979, eq. 2.1)."""
    samples = old.samples + new.samples
    weight = new.samples / jnp.maximum(samples, 1.0)

    def of(origin: Array, offset: Array, variance: Array, *other: Array) -> tuple[Array, Array, Array]:
        other_origin, other_offset, other_variance = other
        origin = jnp.where(old.samples > 0.0, origin, other_origin)
        delta = (other_origin - origin) + other_offset - offset
        variance = (1.0 - weight) * variance + weight * other_variance + weight * (1.0 - weight) * delta * delta
        return origin, offset + weight * delta, variance

    merged = _each(old, of, old.origin, old.offset, old.variance, new.origin, new.offset, new.variance)
    return merged._replace(samples=samples)


def _each(like: Normalizer, of: Callable[..., tuple[Array, Array, Array]], *trees: Any) -> Normalizer:
    """`of` each array of observations: from the leaves of `trees` to its origin, offset and variance."""
    structure = jax.tree.structure(like.origin)
    results = [of(*leaves) for leaves in zip(*map(jax.tree.leaves, trees), strict=True)]
    trees = tuple(jax.tree.unflatten(structure, leaves) for leaves in zip(*results, strict=True))
    return like._replace(origin=trees[0], offset=trees[1], variance=trees[2])
