"""Multilayer perceptrons for large batches on a CPU: one custom call forwards, one backwards.

XLA runs a network layer by layer over the whole batch, writing each layer's activations to memory and reading them
back. Here a few dozen samples go through all layers while they are in the cache, on all cores. This is a faster
implementation of the same function, equal up to rounding (the tests compare them). The caller has the definition.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from walkies.accel.library import available, library
from walkies.accel.threads import most_threads
from walkies.errors import UserError

Array = jax.Array
Layers = list[tuple[Array, Array]]
"""One (weights (in, out), bias (out,)) per layer, from input to output."""
Apply = Callable[[Layers, Array, str], Array]
"""(layers, inputs (…, in), activation) → outputs (…, out)."""

ACTIVATIONS = {"relu": 0, "elu": 1, "tanh": 2}
"""Codes of the custom calls."""
MOST_LAYERS = 8
"""That a custom call takes."""
LINE = 16
"""float32 numbers in a cache line."""
WIDEST = 8192
"""Columns of all layers together that the library takes (`kWidest` of network_binding.cpp): they lie on the stack."""


def faster(definition: Apply) -> Apply:
    """`definition`, by the native library if it applies."""

    def chosen(layers: Layers, inputs: Array, activation: str) -> Array:
        return (apply if fits(layers, inputs, activation) else definition)(layers, inputs, activation)

    return chosen


def fits(layers: Layers, inputs: Array, activation: str) -> bool:
    """Whether `apply` can stand in for the definition: float32, on a CPU, not more than MOST_LAYERS and WIDEST."""
    single = all(x.dtype == jnp.float32 for x in (inputs, *jax.tree.leaves(layers)))
    small = len(layers) <= MOST_LAYERS and sum(bias.size for _, bias in layers) <= WIDEST
    return single and small and activation in ACTIVATIONS and jax.default_backend() == "cpu" and available()


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def apply(layers: Layers, inputs: Array, activation: str) -> Array:
    """Outputs (…, out) for inputs (…, in); `activation` follows every layer but the last.

    Differentiable once, in reverse mode, with respect to `layers` only: observations are data.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    (outputs,) = _call("walkies_network_forward", [_array(rows.shape[0], layers[-1][1].size)], layers, activation, rows)
    return outputs.reshape(*inputs.shape[:-1], outputs.shape[-1])


def _forward(layers: Any, inputs: Any, activation: str) -> tuple[Array, tuple]:
    if inputs.perturbed:
        raise UserError(
            "the native networks have no gradient with respect to their inputs; use walkies.rl.networks.apply for that"
        )
    layers, inputs = jax.tree.map(lambda x: x.value, layers, is_leaf=lambda x: hasattr(x, "perturbed")), inputs.value
    rows = inputs.reshape(-1, inputs.shape[-1])
    shapes = [_array(rows.shape[0], layers[-1][1].size), _array(rows.shape[0], hidden_width(layers))]
    outputs, hidden = _call("walkies_network_forward", shapes, layers, activation, rows)
    return outputs.reshape(*inputs.shape[:-1], outputs.shape[-1]), (layers, inputs, hidden)


def _backward(activation: str, kept: tuple, gradient: Array) -> tuple[Layers, None]:
    layers, inputs, hidden = kept
    rows, gradient = inputs.reshape(-1, inputs.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    shapes = [_array(*x.shape) for x in jax.tree.leaves(layers)]
    flat = _call("walkies_network_backward", shapes, layers, activation, rows, hidden, gradient)
    return jax.tree.unflatten(jax.tree.structure(layers), flat), None


apply.defvjp(_forward, _backward, symbolic_zeros=True)


def hidden_width(layers: Layers) -> int:
    """Columns of the activations kept for the way back: every hidden layer on whole cache lines, odd in all."""
    lines = sum(-(-bias.size // LINE) for _, bias in layers[:-1])
    return LINE * (lines + (lines % 2 == 0))


def _array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _call(name: str, results: list, layers: Layers, activation: str, rows: Array, *more: Array) -> Sequence[Array]:
    library()
    call = jax.ffi.ffi_call(name, results, vmap_method="sequential")
    return call(rows, *jax.tree.leaves(layers), *more, layers=np.int64(len(layers)),
                activation=np.int64(ACTIVATIONS[activation]), threads=most_threads())  # fmt: skip
