"""All minibatches of PPO's update as one custom call: networks, losses, gradients, Adam, and the step size.

XLA runs a minibatch as about a hundred operations, and writes the activations of all its samples to memory between
them. Here about a hundred samples go through a network, its loss and back while they are in the cache, and the threads
stay awake from the first minibatch to the last. This is a faster implementation of the same function, equal up to
rounding (the tests compare them). The caller has the definition, constants included.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from walkies.accel import library
from walkies.accel.networks import ACTIVATIONS, MOST_LAYERS

Array = jax.Array

Steps = Callable[[Any, Any, Array], tuple[Any, dict[str, Array]]]
"""(learner, batch, orders (epochs, minibatches, size) int32) → new learner, metrics (epochs, minibatches).

The learner has `params` and `moments`, both of `policy` and `critic`, and two step sizes: `walkies.rl.updates.Learner`.
The batch is `walkies.rl.objectives.Batch`.
"""

Gradient = Callable[[Any, Array], tuple[Any, dict[str, Array]]]
"""(parameters, rows of a minibatch (size,) int32) → gradient of the losses by them, metrics ()."""

METRICS = ("policy_loss", "kl", "entropy", "clip_fraction", "value_loss")
"""Columns of what the custom call reports."""

DEVICES = "devices"
"""Name of the axis of the devices that update together (`walkies.run.devices`)."""

MOST_ACTIONS = 256
"""That the custom call takes."""


@dataclass(frozen=True)
class Settings:
    """The clipped surrogate and the squared error of a value function, diagonal Gaussians and dense networks."""

    activation: str
    """Of hidden layers: a key of `walkies.accel.networks.ACTIVATIONS`."""
    bounded: bool
    """The mean is the tanh of the network's outputs."""
    standardize: bool
    """Advantages are normalized to mean 0 and standard deviation 1 over the samples of a minibatch that count."""
    clip: float
    """ε of the surrogate."""
    entropy_coefficient: float
    """Weight of the entropy bonus, per nat."""
    value_clip: float | None
    """The larger loss of V and of V kept within this of V_old."""
    adaptive: bool
    """The policy's step size follows the KL: by `kl_factor` up below `low_kl` (but not at 0), down above `high_kl`."""
    low_kl: float
    high_kl: float
    kl_factor: float
    min_rate: float
    max_rate: float
    stop_kl: float | None
    """Early stopping: no policy updates from the first minibatch on whose KL exceeds this."""
    max_norm: float
    """Global-norm gradient clipping, separately for both networks."""
    decay: tuple[float, float]
    """Adam's β₁ and β₂."""
    epsilon: float
    """Adam's ε."""


def faster(definition: Steps, settings: Settings | None) -> Steps:
    """`definition`, which does what `settings` says, by the native library where it fits; settings: None where it
    does something else."""

    def chosen(learner: Any, batch: Any, orders: Array) -> tuple[Any, dict[str, Array]]:
        if settings is None or not fits(settings, learner, batch):
            return definition(learner, batch, orders)
        return steps(settings, learner, batch, orders)

    return chosen


def fits(settings: Settings, learner: Any, batch: Any) -> bool:
    """Whether `steps` can take these: vectors in float32 on a CPU, at most MOST_LAYERS layers and MOST_ACTIONS actions,
    none of them masked, and no symmetry loss."""
    vectors = (batch.policy_observation, batch.critic_observation, batch.sample)
    single = all(x.dtype == jnp.float32 for x in jax.tree.leaves((learner.params, batch)))
    return (
        single
        and all(len(jax.tree.leaves(x)) == 1 and jax.tree.leaves(x)[0].ndim == 2 for x in vectors)
        and batch.sample.shape[1] <= MOST_ACTIONS
        and batch.mirrored_observation is None
        and batch.action_mask is None
        and settings.activation in ACTIVATIONS
        and all(len(layers) <= MOST_LAYERS for layers in (learner.params.policy.layers, learner.params.critic))
        and jax.default_backend() == "cpu"
        and library.available()
    )


def steps(settings: Settings, learner: Any, batch: Any, orders: Array) -> tuple[Any, dict[str, Array]]:
    """One Adam step of both networks for each minibatch of `orders` (epochs, minibatches, size); its metrics (epochs,
    minibatches). The learner's flag `stopped` stays what it was.

    On several devices, within `jax.shard_map` over the axis DEVICES, each may bring its own part of the observations,
    samples and parameters of distributions, and all numbers of the rest: what they do together is the same on each.
    """
    parts = batch.mask.shape[0] // batch.sample.shape[0]
    device = jax.lax.axis_index(DEVICES) if parts > 1 else jnp.int32(0)
    of_batch = [device, orders, *_of_batch(batch, learner.params.policy)]
    both = (
        (learner.learning_rate, learner.params.policy, learner.moments.policy),
        (learner.critic_learning_rate, learner.params.critic, learner.moments.critic),
    )
    given: list[Array] = []
    for rate, params, (_, adam) in both:
        given += [jnp.asarray(rate, jnp.float32), adam.count, *jax.tree.leaves((params, adam.mu, adam.nu))]
    results = [jax.ShapeDtypeStruct((*orders.shape[:2], len(METRICS)), jnp.float32)]
    results += [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in given]
    # Parameters and moments are renewed in place, where nobody needs the old ones.
    here = {len(of_batch) + i: 1 + i for i in range(len(given))}
    call = jax.ffi.ffi_call(library.PPO_TARGET, results, vmap_method="sequential", input_output_aliases=here)
    told, *new = call(*of_batch, *given, **_attributes(settings, learner.params))
    moved = []
    for _, params, (nothing, _) in both:
        structure, each = jax.tree.structure(params), len(jax.tree.leaves(params))
        rate, count, *leaves = new[: 2 + 3 * each]
        new = new[2 + 3 * each :]
        params, mu, nu = (jax.tree.unflatten(structure, leaves[i : i + each]) for i in range(0, 3 * each, each))
        moved.append((rate, params, (nothing, optax.ScaleByAdamState(count, mu, nu))))
    rates, params, moments = zip(*moved, strict=True)
    learner = learner._replace(
        params=type(learner.params)(*params),
        moments=type(learner.moments)(*moments),
        learning_rate=rates[0],
        critic_learning_rate=rates[1],
    )
    return learner, {name: told[..., i] for i, name in enumerate(METRICS)}


def faster_gradient(definition: Gradient, settings: Settings | None, learner: Any, batch: Any) -> Gradient:
    """`definition`, which is of minibatches of this batch, by the native library where it fits; settings: as in
    `faster`; learner: the one that acted.
    """
    if settings is None or not fits(settings, learner, batch):
        return definition
    return partial(gradient, settings, _of_batch(batch, learner.params.policy))


def gradient(settings: Settings, of_batch: list[Array], params: Any, rows: Array) -> tuple[Any, dict[str, Array]]:
    """The gradient that `steps` would take its step along, before it is clipped, and the minibatch's metrics ().

    For who adds other gradients to it first.
    """
    leaves, structure = jax.tree.flatten((params.policy, params.critic))
    results = [jax.ShapeDtypeStruct((1, 1, len(METRICS)), jnp.float32)]
    results += [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]
    call = jax.ffi.ffi_call(library.PPO_TARGET, results, vmap_method="sequential")
    attributes = _attributes(settings, params) | {"gradient_only": np.int64(True)}
    told, *found = call(jnp.int32(0), rows[None, None], *of_batch, *leaves, **attributes)
    return type(params)(*jax.tree.unflatten(structure, found)), {name: told[0, 0, i] for i, name in enumerate(METRICS)}


def _of_batch(batch: Any, old: Any) -> list[Array]:
    """The batch as the custom call takes it; old: the policy that acted."""
    return [
        *jax.tree.leaves((batch.policy_observation, batch.critic_observation)),
        batch.sample, batch.dist_params, batch.log_prob, batch.advantage, batch.target, batch.value, batch.mask,
        old.log_std,
    ]  # fmt: skip


def _attributes(settings: Settings, params: Any) -> dict[str, Any]:
    """What the custom call is told, in the types in which it reads it."""
    layers = {"layers": len(params.policy.layers), "critic_layers": len(params.critic)}
    numbers = dataclasses.asdict(settings)
    first, second = numbers.pop("decay")
    numbers |= {
        "value_clip": settings.value_clip or 0.0,
        "stop_kl": math.inf if settings.stop_kl is None else settings.stop_kl,
    }
    choices = layers | {
        "gradient_only": False,
        "activation": ACTIVATIONS[numbers.pop("activation")],
        "value_clipped": settings.value_clip is not None,
        **{name: numbers.pop(name) for name in ("bounded", "standardize", "adaptive")},
    }
    return (
        {name: np.float32(x) for name, x in numbers.items()}
        | {name: np.int64(x) for name, x in choices.items()}
        | {"first_decay": np.float64(first), "second_decay": np.float64(second)}
    )
