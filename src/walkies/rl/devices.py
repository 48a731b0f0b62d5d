"""An iteration on several devices: environments act on all of them at once, and what was seen is learned from together.

The groups of `Recipe.groups` are spread over the devices, and act there without a word between devices. On a CPU a
"device" is a share of its cores (`walkies.accel.cpu.use_cpu`): a group on a core of its own waits for nobody, whereas
cores that share every small operation wait for each other at each of them.

The policy is the same on every device. Where one native call does the whole update, the devices do it together, each
with its own part of the batch. Elsewhere every device gets the whole batch, and all do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from walkies.accel import library, ppo
from walkies.accel.ppo import DEVICES
from walkies.mdp import Env
from walkies.rl import sizes, train
from walkies.rl.objectives import Batch
from walkies.rl.recipes import Recipe
from walkies.rl.summary import Summary, joined
from walkies.rl.train import Metrics, TrainState
from walkies.rl.updates import fused

Array = jax.Array

LARGE = ("policy_observation", "critic_observation", "sample", "dist_params")
"""What the native call takes in parts."""


def devices_for(recipe: Recipe) -> list[jax.Device]:
    """As many of JAX's devices as the groups can be divided among equally."""
    there = jax.local_devices()
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
    mesh = Mesh(np.array(devices), (DEVICES,))
    everywhere, apart = PartitionSpec(), PartitionSpec(DEVICES)
    state = TrainState(*(everywhere,) * len(TrainState._fields))._replace(actors=apart, discounted_return=apart)  # type: ignore[arg-type]

    def iteration(state: TrainState) -> tuple[TrainState, Any]:
        key, act_keys, learn_key = train.split(recipe, state.key)
        first = jax.lax.axis_index(DEVICES) * (recipe.groups // len(devices))
        own_keys = jax.lax.dynamic_slice_in_dim(act_keys, first, recipe.groups // len(devices))
        with library.threads(1):
            actors, discounted, batch, summary = train.act(
                recipe, env, state, state.actors, state.discounted_return, own_keys
            )
        native = fused(recipe, train.make_policy(recipe, env))
        batch, summary = _gathered(batch, summary, LARGE if native and ppo.fits(native, state.learner, batch) else ())
        state = state._replace(actors=actors, discounted_return=discounted, key=key)
        state, metrics = train.improve(recipe, env, state, batch, joined(summary), learn_key)
        return state, report(metrics)

    on = lambda spec: NamedSharding(mesh, spec)  # noqa: E731
    placed = jax.tree.map(on, state, is_leaf=lambda x: isinstance(x, PartitionSpec))
    spread = jax.shard_map(iteration, mesh=mesh, in_specs=(state,), out_specs=(state, everywhere), check_vma=False)
    return jax.jit(spread, donate_argnums=0, in_shardings=(placed,), out_shardings=(placed, on(everywhere)))


def _gathered(batch: Batch, summary: Summary, own: tuple[str, ...]) -> tuple[Batch, Summary]:
    """The batch of all devices, but for the fields `own`, and the summaries of all groups."""
    kept: dict[str, Any] = {name: getattr(batch, name) for name in own}
    none: dict[str, Any] = dict.fromkeys(own)
    leaves, structure = jax.tree.flatten((batch._replace(**none), summary))
    # One exchange for each type and not for each array: devices wait for each other in every one.
    for kind in dict.fromkeys(leaf.dtype for leaf in leaves):
        places = [i for i, leaf in enumerate(leaves) if leaf.dtype == kind]
        flat = jax.lax.all_gather(jnp.concatenate([leaves[i].ravel() for i in places]), DEVICES)
        ends = np.cumsum([leaves[i].size for i in places])[:-1]
        for i, part in zip(places, jnp.split(flat, ends, axis=1), strict=True):
            leaves[i] = part.reshape(-1, *leaves[i].shape[1:])
    batch, summary = jax.tree.unflatten(structure, leaves)
    return batch._replace(**kept), summary
