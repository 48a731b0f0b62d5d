"""Detect divergence of training, and name the offending number in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from walkies.errors import UserError

Array = jax.Array

LARGEST = 1e6
"""Magnitude of a parameter beyond which training has diverged: weights of networks that work stay below 100, and in
float32 nothing of a layer's other inputs is left beside a product of this size."""
BOUNDS = {"largest_parameter": LARGEST, "std": 1e4}
"""Metrics, and bounds that they exceed only in a training that has diverged: with such a σ actions are pure noise."""
MOST = float(np.finfo(np.float32).max)
"""The largest finite number."""
NAMED = 3
"""How many numbers an error names."""

REMEDY = (
    "lower --recipe.learning-rate or --recipe.max-grad-norm; where it went wrong from the first iterations on, look "
    "for a reward or an observation that can be infinite or NaN"
)
"""What to do about it."""


class Diverged(UserError):
    """Training produced numbers that it cannot continue from."""


def refuse(metrics: Mapping[str, float], learner: Any, iteration: int) -> None:
    """Refuse to continue from an iteration in which a number diverged.

    Args:
        metrics: of the iteration, on the host, as `walkies.rl.train.finish_iteration` names them.
        learner: PyTree searched for the offending numbers, only if a metric is bad.
        iteration: its number.

    Raises:
        Diverged: a metric is not finite, or beyond its bound in BOUNDS; it names them, parameters first.
    """
    bad = [f"{name} {_said(value)}" for name, value in metrics.items() if not abs(value) <= BOUNDS.get(name, MOST)]
    if bad:
        raise Diverged(f"training diverged in iteration {iteration}: {listed([*wrong_leaves(learner), *bad])}")


def wrong_leaves(tree: Any, limit: float = LARGEST) -> list[str]:
    """The problem with each bad array of floats: `path is NaN`, `path is infinite`, or `path reaches 1e+07`."""
    leaves = [
        (jax.tree_util.keystr(path, simple=True, separator="."), leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
        if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size
    ]
    largest = [float(np.max(np.abs(leaf))) for _, leaf in leaves]
    return [f"{name} {_said(value)}" for (name, _), value in zip(leaves, largest, strict=True) if not value <= limit]


def largest(tree: Any) -> Array:
    """The largest magnitude () in a PyTree of arrays; NaN if it contains one."""
    return jnp.max(jnp.abs(jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])))


def listed(names: list[str]) -> str:
    """The first of `names`, and how many there are besides."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _said(value: float) -> str:
    return "is NaN" if math.isnan(value) else "is infinite" if math.isinf(value) else f"reaches {value:.0e}"
