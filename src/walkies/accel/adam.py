"""One Adam step with global-norm gradient clipping, on all parameters, as one custom call.

With optax it is about forty small operations, each too small to share between cores. This is a faster implementation of
the same step, equal up to rounding (the tests compare them). The caller has the definition, constants included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from walkies.accel import library

Array = jax.Array

Step = Callable[[Any, Any, Any, Array], tuple[Any, Any]]
"""(gradient, parameters, moments, rate) → new parameters and moments."""


def faster(definition: Step, max_norm: float, decay: tuple[float, float], epsilon: float) -> Step:
    """`definition`, which has these constants, by the native library if it applies."""

    def chosen(gradient: Any, params: Any, moments: Any, rate: Array) -> tuple[Any, Any]:
        if not fits(gradient, params):
            return definition(gradient, params, moments, rate)
        return step(gradient, params, moments, rate, max_norm, decay, epsilon)

    return chosen


def fits(*trees: Any) -> bool:
    """Whether `step` can take these: not empty, float32 throughout, on a CPU."""
    leaves = jax.tree.leaves(trees)
    single = bool(leaves) and all(x.dtype == jnp.float32 for x in leaves)
    return single and jax.default_backend() == "cpu" and library.available()


def step(
    gradient: Any,
    params: Any,
    moments: Any,
    rate: Array,
    max_norm: float,
    decay: tuple[float, float],
    epsilon: float,
) -> tuple[Any, Any]:
    """New parameters and moments (Kingma & Ba 2015, algorithm 1) for PyTrees of one structure.

    moments: as of `optax.chain(optax.clip_by_global_norm(max_norm), optax.scale_by_adam(*decay, epsilon))`. rate: ()
    step size.
    """
    nothing, adam = moments
    count = optax.safe_increment(adam.count)
    trees = (gradient, params, adam.mu, adam.nu)
    leaves, structure = jax.tree.leaves(trees), jax.tree.structure(params)
    each = len(leaves) // len(trees)
    results = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves[each:]]
    # Parameters and moments are renewed in place, where nobody needs the old ones.
    here = {2 + each + i: i for i in range(len(results))}
    call = jax.ffi.ffi_call(library.ADAM_TARGET, results, vmap_method="sequential", input_output_aliases=here)
    settings: dict[str, Any] = {"max_norm": np.float32(max_norm), "epsilon": np.float32(epsilon)}
    settings |= {"first_decay": np.float64(decay[0]), "second_decay": np.float64(decay[1])}
    flat = call(jnp.asarray(rate, jnp.float32), count, *leaves, **settings)
    params, mu, nu = (jax.tree.unflatten(structure, flat[i : i + each]) for i in range(0, 3 * each, each))
    return params, (nothing, optax.ScaleByAdamState(count, mu, nu))
