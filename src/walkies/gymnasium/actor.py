"""Acting in NumPy, for loops in Python: for a handful of environments a compiled call costs more than its arithmetic.

Only sampling happens here. Log-probabilities and distribution parameters are computed later for the whole rollout, by
the same compiled function that learns from them: the importance ratio starts at 1 whatever NumPy's rounding, because
any value is a valid sample.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from walkies.errors import UserError
from walkies.mdp import Discrete
from walkies.rl.normalize import Normalizer
from walkies.rl.policy import Policy, PolicyParams

Array = jax.Array

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "elu": lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))),
}
"""As `walkies.rl.networks.ACTIVATIONS`."""


def make_actor(
    policy: Policy, params: PolicyParams, normalizer: Normalizer, key: Array, num_envs: int, horizon: int
) -> Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]:
    """A function (raw observations (num_envs, size) float32, row) → (samples, what the environments receive).

    All randomness of the rollout's `horizon` rows is drawn here. Raises UserError for networks other than dense ones.
    """
    if policy.architecture != "dense":
        raise UserError(f"architecture is {policy.architecture!r}; in Gymnasium's environments only dense networks act")
    size = params.layers[-1][1].shape[0]
    noise = np.asarray(_noise(isinstance(policy.action_space, Discrete), key, (horizon, num_envs, size)))
    layers, log_std = jax.device_get((params.layers, params.log_std))
    see = _normalization(normalizer)
    activation, std = ACTIVATIONS[policy.activation], np.exp(log_std)

    def act(observation: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
        x = see(observation)
        for weights, bias in layers[:-1]:
            x = activation(x @ weights + bias)
        dist_params = x @ layers[-1][0] + layers[-1][1]
        if isinstance(policy.action_space, Discrete):
            sample = np.argmax(dist_params + noise[row], axis=-1).astype(np.int32)
            return sample, sample
        mean = np.tanh(dist_params) if policy.bound == "mean" else dist_params
        sample = mean + std * noise[row]
        return sample, bounded(sample)

    bounded = _bounded(policy)
    return act


@partial(jax.jit, static_argnums=0)
def score(
    policy: Policy, params: PolicyParams, normalizer: Normalizer, observations: Array, samples: Array
) -> tuple[Array, Array]:
    """`dist_params` (…, size or n) and log-probabilities (…,).

    observations: raw (…, size). samples: (…, size) or (…,).
    """
    dist_params = policy.dist_params(params, normalizer(observations))
    return dist_params, policy.distribution(params, dist_params).log_prob(samples)


@partial(jax.jit, static_argnums=(0, 2))
def _noise(discrete: bool, key: Array, shape: tuple[int, ...]) -> Array:
    """Noise that makes samples: Gumbel, whose argmax with logits is categorical, or standard normal."""
    return jax.random.gumbel(key, shape) if discrete else jax.random.normal(key, shape)


def _normalization(normalizer: Normalizer) -> Callable[[np.ndarray], np.ndarray]:
    """`normalizer` on NumPy arrays."""
    mean, scale = (np.asarray(value, np.float32) for value in (normalizer.mean, normalizer.scale))
    limit = np.float32(normalizer.limit)
    return lambda x: np.clip((x - mean) * scale, -limit, limit)


def _bounded(policy: Policy) -> Callable[[np.ndarray], np.ndarray]:
    """`policy.action` on NumPy arrays."""
    if isinstance(policy.action_space, Discrete):
        return lambda sample: sample
    low, high = (np.asarray(bound, np.float32) for bound in (policy.action_space.low, policy.action_space.high))
    if policy.bound == "clip":
        return lambda sample: np.clip(sample, low, high)
    inside = np.isfinite(high - low)
    middle = np.float32(0.5) * (np.where(inside, low, 0.0) + np.where(inside, high, 0.0)).astype(np.float32)
    half = np.float32(0.5) * (np.where(inside, high, 2.0) - np.where(inside, low, 0.0)).astype(np.float32)
    squash = np.tanh if policy.bound == "sample" else (lambda sample: sample)
    return lambda sample: np.clip(middle + half * squash(sample), low, high)
