"""One norm-limited Adam step on all parameters as one custom call.

What optax makes of it is some forty small operations, each too small to share between cores. Same step; the tests
compare them, and `walkies.rl.learner.adam` is the definition.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from walkies import native_library

Array = jax.Array

DECAY = (0.9, 0.999)
"""β₁ and β₂, optax's defaults and those of the paper."""


def fits(*trees: Any) -> bool:
    """Whether `step` can take these: float32 throughout, on a CPU."""
    single = all(x.dtype == jnp.float32 for x in jax.tree.leaves(trees))
    return single and jax.default_backend() == "cpu" and native_library.available()


def step(
    gradient: Any, params: Any, mu: Any, nu: Any, count: Array, rate: Array, max_norm: float, epsilon: float
) -> tuple[Any, Any, Any]:
    """New parameters, first and second moments (Kingma & Ba 2015, algorithm 1); all PyTrees of one structure.

    count: () int32, this step's number from 1. rate: () step size. max_norm: a longer gradient is shortened to it.
    """
    leaves, structure = jax.tree.flatten(params)
    sets = [jax.tree.leaves(tree) for tree in (gradient, params, mu, nu)]
    results = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for _ in range(3) for leaf in leaves]
    # Parameters and moments are renewed in place, where nobody needs the old ones.
    here = {2 + len(leaves) + i: i for i in range(len(results))}
    call = jax.ffi.ffi_call(
        native_library.ADAM_TARGET, results, vmap_method="sequential", input_output_aliases=here
    )
    flat = call(rate, count, *sets[0], *sets[1], *sets[2], *sets[3],
                max_norm=np.float32(max_norm), epsilon=np.float32(epsilon),
                first_decay=np.float32(DECAY[0]), second_decay=np.float32(DECAY[1]))  # fmt: skip
    parts = [flat[i * len(leaves) : (i + 1) * len(leaves)] for i in range(3)]
    new_params, new_mu, new_nu = (jax.tree.unflatten(structure, part) for part in parts)
    return new_params, new_mu, new_nu
