"""Distributions of a stochastic policy: diagonal Gaussian, tanh-squashed Gaussian, categorical.

Each is a record of parameters with the same five methods. The density refers to a *sample*; the environment may receive
a function of it (squashed, clipped), while a rollout stores the sample itself and its log-probability. `kl` is
KL(self ‖ other): call it on the old policy with the new one as argument (Schulman et al. 2015, eq. 12).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies.accel import random

Array = jax.Array

INVALID = -1e9
"""Logit of an invalid action: its probability is 0 in any precision, and it adds 0 to entropy and KL, which infinity
would make NaN."""
LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Normal(NamedTuple):
    """Gaussian with independent components. mean: (…, size); log_std: broadcastable to it. σ = exp(log_std) > 0."""

    mean: Array
    log_std: Array

    def sample(self, key: Array) -> Array:
        """Draw samples (…, size)."""
        return self.mean + jnp.exp(self.log_std) * random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> Array:
        """The mode (…, size)."""
        return self.mean

    def log_prob(self, sample: Array) -> Array:
        """Log-density (…,) of samples (…, size)."""
        z = (sample - self.mean) * jnp.exp(-self.log_std)
        return -jnp.sum(0.5 * z * z + self.log_std + LOG_SQRT_2PI, axis=-1)

    def entropy(self) -> Array:
        """Differential entropy (…,), nats."""
        return jnp.sum(jnp.broadcast_to(self.log_std, self.mean.shape) + 0.5 + LOG_SQRT_2PI, axis=-1)

    def kl(self, other: Any) -> Array:
        """KL(self ‖ other) (…,), nats, to another of its kind."""
        ratio = jnp.exp(2.0 * (self.log_std - other.log_std))
        z = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return jnp.sum(0.5 * (ratio + z * z - 1.0) + other.log_std - self.log_std, axis=-1)


class TanhNormal(NamedTuple):
    """Density of tanh(u) with u ~ Normal(mean, exp(log_std)); its *samples* are u, so atanh is never needed."""

    mean: Array
    log_std: Array

    @property
    def base(self) -> Normal:
        return Normal(self.mean, self.log_std)

    def sample(self, key: Array) -> Array:
        """Draw u (…, size), before the tanh."""
        return self.base.sample(key)

    def mode(self) -> Array:
        """u (…, size) of the median action, tanh of the mean."""
        return self.mean

    def log_prob(self, sample: Array) -> Array:
        """Log-density (…,) of tanh(u), given u (…, size)."""
        return self.base.log_prob(sample) - jnp.sum(log_tanh_slope(sample), axis=-1)

    def entropy(self) -> Array:
        """Differential entropy (…,) of tanh(u), nats: H(u) + E log(1 − tanh² u), by Gauss–Hermite quadrature."""
        nodes = jnp.asarray(_NODES, self.mean.dtype)
        u = self.mean[..., None] + jnp.exp(jnp.asarray(self.log_std))[..., None] * nodes
        slope = log_tanh_slope(u) @ jnp.asarray(_WEIGHTS, self.mean.dtype)
        return self.base.entropy() + jnp.sum(slope, axis=-1)

    def kl(self, other: Any) -> Array:
        """KL(self ‖ other) (…,), nats: that of the Gaussians, since KL is invariant under an invertible map."""
        return self.base.kl(other.base)


class Categorical(NamedTuple):
    """One of n choices. logits: (…, n), up to a constant the log-probabilities. Samples are int32 (…,)."""

    logits: Array

    @property
    def log_probs(self) -> Array:
        """Normalised log-probabilities (…, n)."""
        return jax.nn.log_softmax(self.logits)

    def sample(self, key: Array) -> Array:
        """Draw choices (…,), int32."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Array:
        """The mode (…,), int32."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, sample: Array) -> Array:
        """Log-probability (…,) of choices (…,)."""
        return jnp.take_along_axis(self.log_probs, sample[..., None].astype(jnp.int32), axis=-1)[..., 0]

    def entropy(self) -> Array:
        """Entropy (…,), nats."""
        return -jnp.sum(jnp.exp(self.log_probs) * self.log_probs, axis=-1)

    def kl(self, other: Any) -> Array:
        """KL(self ‖ other) (…,), nats, to another of its kind."""
        return jnp.sum(jnp.exp(self.log_probs) * (self.log_probs - other.log_probs), axis=-1)


def masked(logits: Array, valid: Array | None) -> Array:
    """Logits (…, n) with probability only for actions that are `valid` (…, n); None: all are.

    The distribution depends only on the logits of valid actions; an invalid one gets no gradient.
    """
    return logits if valid is None else jnp.where(valid, logits, INVALID)


Distribution = Normal | TanhNormal | Categorical


def log_tanh_slope(u: Array) -> Array:
    """log(1 − tanh² u), elementwise, finite with finite gradient for every u: 2 (log 2 − u − softplus(−2u))."""
    return 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))
