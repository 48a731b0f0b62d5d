"""Multilayer perceptrons as plain lists of (weights, bias) arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from walkies.accel import networks as accelerated

Array = jax.Array
Layers = list[tuple[Array, Array]]
"""One (weights (in, out), bias (out,)) per layer, from input to output."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
}


def init(key: Array, sizes: Sequence[int], output_gain: float = 1.0) -> Layers:
    """Orthogonal weights and zero biases (Saxe et al. 2014); hidden layers have gain √2, the last one `output_gain`.

    sizes: widths from input to output. A small output gain makes the first policy nearly the same in every state, which
    matters more than most choices (Andrychowicz et al. 2021, section 3.2).
    """
    gains = [math.sqrt(2.0)] * (len(sizes) - 2) + [output_gain]
    keys = jax.random.split(key, len(gains))
    return [
        (jax.nn.initializers.orthogonal(gain)(k, (n_in, n_out)), jnp.zeros(n_out))
        for k, gain, n_in, n_out in zip(keys, gains, sizes[:-1], sizes[1:], strict=True)
    ]


def apply(layers: Layers, inputs: Array, activation: str) -> Array:
    """Outputs (…, out) for inputs (…, in); `activation` (a key of ACTIVATIONS) follows every layer but the last."""
    function = ACTIVATIONS[activation]
    for weights, bias in layers[:-1]:
        inputs = function(inputs @ weights + bias)
    weights, bias = layers[-1]
    return inputs @ weights + bias


def evaluate(kind: str, layers: Layers, inputs: Array, activation: str) -> Array:
    """`apply`, by XLA (kind "xla") or, where it fits, by the native library (kind "native")."""
    return (apply if kind == "xla" else accelerated.faster(apply))(layers, inputs, activation)
