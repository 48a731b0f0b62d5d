"""An iteration on several devices: environments act on all of them at once, and what was seen is learned from together.

The groups of `Recipe.groups` are spread over the devices, and act there without a word between devices. On a CPU a
"device" is a share of its cores (`walkies.accel.cpu.use_cpu`): a group on a core of its own waits for nobody, whereas
cores that share every small operation wait for each other at each of them.

The policy is the same on every device. Where one native call does the whole update, the devices do it together, each
with its own part of the batch. Elsewhere every device gets the whole batch, and all do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from walkies.accel import cpu, ppo, threads
from walkies.accel.ppo import DEVICES
from walkies.mdp import Env
from walkies.rl import sizes, train
from walkies.rl.objectives import Batch
from walkies.rl.recipes import Recipe
from walkies.rl.samples import shares
from walkies.rl.samples.summary import Summary, joined
from walkies.rl.train import Metrics, TrainState
from walkies.rl.updates import fused

Array = jax.Array

LARGE = ("policy_observation", "critic_observation", "sample", "dist_params")
"""What the native call takes in parts."""


EVERYWHERE, APART = PartitionSpec(), PartitionSpec(DEVICES)
"""The same on every device; rows divided among them."""


def _mesh(devices: list[jax.Device]) -> Mesh:
    return Mesh(np.array(devices), (DEVICES,))


def _improve_together(
    recipe: Recipe, env: Env, state: TrainState, batch: Batch, summary: Summary, key: Array
) -> tuple[TrainState, Metrics]:
    """`train.improve` on the whole batch."""
    native = fused(recipe, train.make_policy(recipe, env)) if recipe.update == "minibatch_epochs" else None
    parts = LARGE if native and ppo.fits(native, state.learner, batch) else ()
    batch, summary = _gathered(batch, summary, parts)
    return train.improve(recipe, env, state, batch, joined(summary), key)


def _improve_apart(
    recipe: Recipe, env: Env, state: TrainState, batch: Batch, summary: Summary, key: Array, devices: int
) -> tuple[TrainState, Metrics]:
    """`train.improve` by the mean of gradients, each of a device's own share of the batch: between processes the batch
    would take longer than the gradients."""
    none: dict[str, Any] = dict.fromkeys(Batch._fields)
    _, summary = _gathered(batch._replace(**none), summary, ())
    with shares.apart(DEVICES):
        state, metrics = train.improve(recipe, env, state, batch, joined(summary), key)
        metrics = shares.average(metrics)
    return state, metrics | {"samples": metrics["samples"] * devices}


def devices_for(recipe: Recipe) -> list[jax.Device]:
    """As many of JAX's devices as the groups can be divided among equally: those of all processes that JAX computes on
    together."""
    there = jax.devices() if several_processes() else jax.local_devices()
    count = max(n for n in range(1, min(recipe.groups, len(there)) + 1) if recipe.groups % n == 0)
    return there[:count]


def make_iteration(
    recipe: Recipe, env: Env, report: Callable[[Metrics], Any] = dict
) -> Callable[[TrainState], tuple[TrainState, Any]]:
    """As `walkies.rl.train.make_iteration`, on as many devices as there are for the groups.

    Raises:
        UserError: the recipe's sizes fit neither each other nor this machine.
    """
    if len(devices := devices_for(recipe)) == 1:
        return train.make_iteration(recipe, env, report)
    sizes.refuse(recipe, env, train.steps_per_iteration(recipe, env))
    mesh = _mesh(devices)
    state = TrainState(*(EVERYWHERE,) * len(TrainState._fields))._replace(actors=APART, discounted_return=APART)  # type: ignore[arg-type]

    def iteration(state: TrainState) -> tuple[TrainState, Any]:
        key, act_keys, learn_key = train.split(recipe, state.key)
        first = jax.lax.axis_index(DEVICES) * (recipe.groups // len(devices))
        own_keys = jax.lax.dynamic_slice_in_dim(act_keys, first, recipe.groups // len(devices))
        with _sharing_threads(len(devices)):
            actors, discounted, batch, summary = train.act(
                recipe, env, state, state.actors, state.discounted_return, own_keys
            )
            state = state._replace(actors=actors, discounted_return=discounted, key=key)
            if several_processes() and recipe.update == "minibatch_epochs":
                state, metrics = _improve_apart(recipe, env, state, batch, summary, learn_key, len(devices))
            else:
                state, metrics = _improve_together(recipe, env, state, batch, summary, learn_key)
        return state, report(metrics)

    spread = jax.shard_map(iteration, mesh=mesh, in_specs=(state,), out_specs=(state, EVERYWHERE), check_vma=False)
    return jax.jit(spread, donate_argnums=0)


def place(recipe: Recipe, state: TrainState) -> TrainState:
    """The state, or its shapes, on the devices of `make_iteration`: otherwise that would be compiled again for the
    placement of its own result."""
    if len(devices := devices_for(recipe)) == 1:
        return state
    mesh = _mesh(devices)

    def put(spec: PartitionSpec, tree: Any) -> Any:
        sharding = NamedSharding(mesh, spec)

        def one(leaf: Any) -> Any:
            if isinstance(leaf, jax.ShapeDtypeStruct):
                return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
            if several_processes():
                return _put_own_part(leaf, sharding)
            # From NumPy: XLA would compile a program that divides an array of its own.
            return jax.device_put(leaf if _is_key(leaf) else np.asarray(leaf), sharding)

        return jax.tree.map(one, tree)

    environments = put(APART, state.actors), put(APART, state.discounted_return)
    rest = put(EVERYWHERE, state._replace(actors=None, discounted_return=None))  # type: ignore[arg-type]
    return rest._replace(actors=environments[0], discounted_return=environments[1])


def several_processes() -> bool:
    """Whether JAX computes on several processes together (`walkies.run.workers`)."""
    return jax.process_count() > 1


def _put_own_part(leaf: Any, sharding: NamedSharding) -> Array:
    """An array that all processes have, of which each puts its part on its devices."""
    if _is_key(leaf):
        data = _put_own_part(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def spread(recipe: Recipe, function: Callable[..., tuple[Any, Any]], *axes: int | None) -> Callable[..., Any]:
    """The compiled `function` of environments, on as many devices as an iteration uses, each with its share of them.

    Args:
        function: returns two PyTrees, with the environments on their first and on their second axis.
        axes: of each argument, the axis of the environments; None: all devices get the same.
    """
    if len(devices := devices_for(recipe)) == 1:
        return jax.jit(function)
    second = PartitionSpec(None, DEVICES)
    specs = tuple({None: EVERYWHERE, 0: APART, 1: second}[axis] for axis in axes)

    def alone(*arguments: Any) -> tuple[Any, Any]:
        with _sharing_threads(len(devices)):
            return function(*arguments)

    mesh = _mesh(devices)
    return jax.jit(jax.shard_map(alone, mesh=mesh, in_specs=specs, out_specs=(APART, second), check_vma=False))


def _sharing_threads(devices: int) -> AbstractContextManager[None]:
    """Custom calls of each device use its share of the threads."""
    return threads.at_most(max(1, cpu.pool_threads() // devices))


def _gathered(batch: Batch, summary: Summary, own: tuple[str, ...]) -> tuple[Batch, Summary]:
    """The batch of all devices, but for the fields `own`, and the summaries of all groups."""
    kept: dict[str, Any] = {name: getattr(batch, name) for name in own}
    none: dict[str, Any] = dict.fromkeys(own)
    leaves, structure = jax.tree.flatten((batch._replace(**none), summary))
    # One exchange and not one for each array: devices wait for each other in every one.
    words = [_words(leaf) for leaf in leaves]
    together = jax.lax.all_gather(jnp.concatenate(words), DEVICES)
    parts = jnp.split(together, np.cumsum([len(part) for part in words])[:-1], axis=1)
    whole = [_from_words(part, leaf) for part, leaf in zip(parts, leaves, strict=True)]
    batch, summary = jax.tree.unflatten(structure, whole)
    return batch._replace(**kept), summary


def _words(leaf: Array) -> Array:
    """The same bits as 32-bit words (words,)."""
    leaf = leaf.astype(jnp.uint32) if leaf.dtype == bool else leaf
    return jax.lax.bitcast_convert_type(leaf, jnp.uint32).ravel()


def _from_words(words: Array, like: Array) -> Array:
    """Arrays (devices · rows, …) from the words (devices, …) of each; like: that of one device, (rows, …)."""
    if like.dtype == bool:
        return words.reshape(-1, *like.shape[1:]).astype(bool)
    pair = (2,) if like.dtype.itemsize == 8 else ()
    return jax.lax.bitcast_convert_type(words.reshape(-1, *like.shape[1:], *pair), like.dtype)
