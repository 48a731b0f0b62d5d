"""A stochastic policy π_θ(a | s): a network whose outputs are the parameters of a distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from walkies.errors import UserError
from walkies.mdp import Discrete, Sizes, Space
from walkies.rl import networks
from walkies.rl.distributions import Categorical, Distribution, Normal, TanhNormal, masked
from walkies.rl.networks import Network

Array = jax.Array


def _no_mirror(sample: Array) -> Array:
    raise UserError("this environment has no mirror")


class PolicyParams(NamedTuple):
    """θ of a policy. log_std: (size,), or (0,) for discrete actions."""

    layers: Any
    """The network's; of a dense one, `networks.Layers`."""
    log_std: Array


@dataclass(frozen=True)
class Policy:
    """The structure of a policy; its parameters live outside. Observations are expected normalized."""

    observation_size: Sizes
    action_space: Space
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    """One of `networks.ACTIVATIONS`."""
    bound: Literal["clip", "mean", "sample"] = "clip"
    """How a `Box` bounds actions. clip: Gaussian samples are clipped on their way to the environment. mean: the mean is
    tanh(network), scaled to the box (to ±1 where the box has no bounds), the noise is added outside, and what leaves
    the box is clipped. sample: the sample itself passes through tanh (squashed Gaussian)."""
    initial_std: float = 1.0
    """Initial σ, in units of half the box for bounds other than clip. It does not depend on the observation."""
    networks: Literal["xla", "native"] = "xla"
    """What evaluates the network; see `Recipe.networks`."""
    mirror: Callable[[Array], Array] = _no_mirror
    """Samples (…, size) of the mirrored robot, where there is one."""
    architecture: str = "dense"
    """One of `networks.ARCHITECTURES`."""

    def __post_init__(self) -> None:
        if self.activation not in networks.ACTIVATIONS:
            raise UserError(f"activation is {self.activation!r}; choose one of {', '.join(networks.ACTIVATIONS)}")
        if not self.initial_std > 0.0:
            raise UserError(f"initial_std is {self.initial_std}; a standard deviation must be positive")

    @property
    def network(self) -> Network:
        """From observations to `dist_params`, but for the tanh of `bound` "mean"."""
        return networks.make(self.architecture, self.hidden, self.activation, self.networks)

    def init(self, key: Array) -> PolicyParams:
        """Draw parameters: outputs near zero, σ = initial_std."""
        out = self.action_space.n if isinstance(self.action_space, Discrete) else self.action_space.size
        layers = self.network.init(key, self.observation_size, out, output_gain=0.01)
        size = 0 if isinstance(self.action_space, Discrete) else out
        return PolicyParams(layers, jnp.full(size, math.log(self.initial_std), jax.tree.leaves(layers)[0].dtype))

    def dist_params(self, params: PolicyParams, observation: Any, action_mask: Array | None = None) -> Array:
        """The distribution's observation-dependent parameters, mean or logits (…, size or n).

        observation: normalized, arrays (…, *shape). action_mask: (…, n) of `mdp.Observation`.
        """
        out = self.network.apply(params.layers, observation)
        if isinstance(self.action_space, Discrete):
            return masked(out, action_mask)
        return jnp.tanh(out) if self.bound == "mean" else out

    def distribution(self, params: PolicyParams, dist_params: Array) -> Distribution:
        """The distribution that has these `dist_params` (…, size or n)."""
        if isinstance(self.action_space, Discrete):
            return Categorical(dist_params)
        kind = TanhNormal if self.bound == "sample" else Normal
        return kind(dist_params, params.log_std)

    def apply(self, params: PolicyParams, observation: Any, action_mask: Array | None = None) -> Distribution:
        """π_θ(· | observation); arguments as of `dist_params`."""
        return self.distribution(params, self.dist_params(params, observation, action_mask))

    def action(self, sample: Array) -> Array:
        """Actions for the environment from samples (…, size) or (…,). The rollout stores and scores the samples."""
        space = self.action_space
        if isinstance(space, Discrete):
            return sample
        low, high = jnp.asarray(space.low, sample.dtype), jnp.asarray(space.high, sample.dtype)
        if self.bound != "clip":
            bounded = jnp.isfinite(high - low)
            middle, half = jnp.where(bounded, 0.5 * (low + high), 0.0), jnp.where(bounded, 0.5 * (high - low), 1.0)
            sample = middle + half * (jnp.tanh(sample) if self.bound == "sample" else sample)
        return jnp.clip(sample, low, high)
