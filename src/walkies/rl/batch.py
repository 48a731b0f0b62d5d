"""From what happened to what is learned from: values, weights, masks, mirror images, one row per sample."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Batch(NamedTuple):
    """Samples to learn from, (samples, …). Observations are normalised."""

    policy_observation: Array
    critic_observation: Array
    mirrored_observation: Array | None
    """What the policy sees of the mirrored state; None unless the symmetry loss needs it."""
    sample: Array
    head: Array
    """Head of the acting distribution."""
    log_prob: Array
    """Of the sample under the acting policy."""
    advantage: Array
    target: Array
    """What the value function should say."""
    value: Array
    """What it said."""
    mask: Array
    """1 for samples that count, 0 for those after the end of a whole episode."""


def standardize(x: Array, mask: Array) -> Array:
    """(x − mean) / (σ + 1e-8) over the samples that count, (samples,); ddof 0, and 0 for a single sample."""
    centred = (x - masked_mean(x, mask)) * mask
    return centred / (jnp.sqrt(masked_mean(centred * centred, mask)) + 1e-8)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean () of x (samples,) over the samples that count; 0 if none does."""
    return jnp.sum(x * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def mean(x: Array, mask: Array | None) -> Array:
    """Mean () of x (samples,): of all where there is no mask, else of the samples that count."""
    return jnp.mean(x) if mask is None else masked_mean(x, mask)
