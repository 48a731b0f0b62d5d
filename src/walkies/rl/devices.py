"""An iteration whose environments act on several devices at once; learning happens on the first of them.

The groups of `Recipe.groups` are spread over the devices. There they act, and what they saw becomes their part of the
batch, without a word between devices. On a CPU a "device" is a share of its cores (`walkies.accel.cpu.use_cpu`): a
group on a core of its own waits for nobody, whereas cores that share every small operation wait for each other at every
one of them.

What goes from one program to the other is a few large arrays: with a hundred small ones, the way would take longer than
is gained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from walkies.accel import library
from walkies.mdp import Env
from walkies.rl import sizes, train
from walkies.rl.recipes import Recipe
from walkies.rl.summary import joined
from walkies.rl.train import Metrics, TrainState
from walkies.rl.updates import Learner

Array = jax.Array

AXIS = "groups"


def devices_for(recipe: Recipe) -> list[jax.Device]:
    """As many of JAX's devices as the groups can be divided among equally."""
    there = jax.local_devices()
    count = max(n for n in range(1, min(recipe.groups, len(there)) + 1) if recipe.groups % n == 0)
    return there[:count]


def make_iteration(recipe: Recipe, env: Env) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
    """The compiled iteration, on as many devices as there are for the groups. Its argument's memory is reused.

    Raises:
        UserError: the recipe's sizes fit neither each other nor this machine.
    """
    if len(devices := devices_for(recipe)) == 1:
        return train.make_iteration(recipe, env)
    sizes.refuse(recipe, env, train.steps_per_iteration(recipe, env))
    return SpreadIteration(recipe, env, devices)


class SpreadIteration:
    """`walkies.rl.train.iterate` with the environments on several devices: state → (state, metrics).

    The argument's memory is reused for the result.
    """

    def __init__(self, recipe: Recipe, env: Env, devices: Sequence[jax.Device]) -> None:
        mesh = Mesh(np.array(devices), (AXIS,))
        everywhere, apart = PartitionSpec(), PartitionSpec(AXIS)
        self._first = SingleDeviceSharding(devices[0])
        self._everywhere, self._apart = NamedSharding(mesh, everywhere), NamedSharding(mesh, apart)
        shapes = jax.eval_shape(partial(train.init, recipe, env), jax.random.key(0))
        act = jax.shard_map(
            partial(train.act, recipe, env),
            mesh=mesh,
            in_specs=(everywhere, apart, apart, apart),
            out_specs=(apart, apart, apart, apart),
            check_vma=False,
        )

        def acting(known: Array, actors: Any, discounted: Array) -> Any:
            state = _unpacked(known, _known(shapes))
            _, keys, _ = train.split(recipe, state.key)
            with library.threads(1):
                *ended, summary = act(state, actors, discounted, keys)
            return *ended, _packed(summary, 1)

        def learning(state: TrainState, parts: Sequence[Any], summaries: Sequence[Array]) -> tuple[TrainState, Metrics]:
            batch = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
            summary = _unpacked(jnp.concatenate(summaries), self._summary, 1)
            key, _, learn_key = train.split(recipe, state.key)
            return train.improve(recipe, env, state._replace(key=key), batch, joined(summary), learn_key)

        keys = jax.eval_shape(partial(train.split, recipe), shapes.key)[1]
        self._summary = jax.eval_shape(act, shapes, shapes.actors, shapes.discounted_return, keys)[-1]
        self._acting = jax.jit(acting, donate_argnums=(1, 2))
        self._learning = jax.jit(learning, donate_argnums=0)

    def __call__(self, state: TrainState) -> tuple[TrainState, Metrics]:
        environments = state.actors, state.discounted_return
        if state.discounted_return.sharding != self._apart:
            environments = jax.device_put(environments, self._apart)
        known = jax.device_put(_packed_on_host(_known(state)), self._everywhere)
        actors, discounted, batch, summary = self._acting(known, *environments)
        state = state._replace(actors=None, discounted_return=None)
        state, metrics = self._learning(state, *self._gathered((batch, summary)))
        return state._replace(actors=actors, discounted_return=discounted), metrics

    def _gathered(self, tree: Any) -> Any:
        """The parts of every leaf, all on the first device."""
        leaves, structure = jax.tree.flatten(tree)
        parts = []
        for i in range(self._apart.num_devices):
            there = [leaf.addressable_data(i) for leaf in leaves]
            if i > 0 and jax.default_backend() == "cpu":
                # JAX copies between its CPU devices; an array that comes from NumPy it takes as it is.
                there = [np.asarray(leaf) for leaf in there]
            parts.append(jax.tree.unflatten(structure, jax.device_put(there, self._first) if i else there))
        return tuple(zip(*parts, strict=True))


def _known(state: TrainState) -> TrainState:
    """What acting needs of a training's state besides the environments."""
    learner = Learner(state.learner.params, None, None, None, None)  # type: ignore[arg-type]
    return state._replace(learner=learner, actors=None, discounted_return=None, episode_return=None, episode_length=None)


def _words(x: Any, xp: Any) -> Any:
    """The same bits as 32-bit words."""


def _packed(tree: Any, leading: int = 0) -> Array:
    """All leaves' bits, as 32-bit words behind their leading axes."""
    leaves = [leaf.reshape(*leaf.shape[:leading], -1) for leaf in jax.tree.leaves(tree)]
    words = [jax.lax.bitcast_convert_type(leaf, jnp.uint32) for leaf in leaves]
    return jnp.concatenate(words, axis=leading)


def _packed_on_host(tree: Any) -> np.ndarray:
    leaves = [jax.random.key_data(x) if _is_key(x) else x for x in jax.tree.leaves(tree)]
    return np.concatenate([np.asarray(leaf).ravel().view(np.uint32) for leaf in leaves])


def _unpacked(words: Array, like: Any, leading: int = 0) -> Any:
    """The tree that was packed; like: its shapes and types."""
    leaves, structure = jax.tree.flatten(like)
    found, start = [], 0
    for leaf in leaves:
        key = _is_key(leaf)
        shape = (*leaf.shape, *((2,) if key else ()))
        size = int(np.prod(shape[leading:]))
        part = words[..., start : start + size].reshape(*words.shape[:leading], *shape[leading:])
        start += size
        found.append(jax.random.wrap_key_data(part) if key else jax.lax.bitcast_convert_type(part, leaf.dtype))
    return jax.tree.unflatten(structure, found)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
