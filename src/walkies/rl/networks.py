"""Networks: records with one protocol. The dense one here uses plain lists of (weights, bias) arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp

from walkies.accel import networks as accelerated
from walkies.errors import UserError
from walkies.mdp import Sizes, map_shapes

Array = jax.Array
Layers = list[tuple[Array, Array]]
"""One (weights (in, out), bias (out,)) per layer, from input to output."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
}


class Network(Protocol):
    """A function from observations to numbers. Its parameters, any PyTree, live outside."""

    def init(self, key: Array, sizes: Sizes, outputs: int, output_gain: float = 1.0) -> Any:
        """Parameters for observations of these `sizes`. A small `output_gain` makes the initial outputs small."""
        ...

    def apply(self, params: Any, observation: Any) -> Array:
        """Outputs (…, outputs) of normalized observations, arrays (…, *shape) with the same leading axes."""
        ...


@dataclass(frozen=True)
class Dense:
    """A multilayer perceptron on a vector, or on a PyTree of concatenated vectors."""

    hidden: tuple[int, ...]
    activation: str = "tanh"
    """One of ACTIVATIONS."""
    implementation: Literal["xla", "native"] = "xla"
    """What evaluates it; see `Recipe.networks`."""

    def init(self, key: Array, sizes: Sizes, outputs: int, output_gain: float = 1.0) -> Layers:
        """As `init` of this module. Raises UserError for arrays that are not vectors."""
        shapes: list[tuple[int, ...]] = []
        map_shapes(shapes.append, sizes)
        if any(len(shape) != 1 for shape in shapes):
            raise UserError(
                f"a dense network takes vectors, but the observation has arrays of shape {', '.join(map(str, shapes))};"
                " name another of walkies.rl.networks.ARCHITECTURES in recipe.architecture, or have the environment"
                " flatten them"
            )
        return init(key, (sum(shape[0] for shape in shapes), *self.hidden, outputs), output_gain)

    def apply(self, params: Layers, observation: Any) -> Array:
        vectors = jax.tree.leaves(observation)
        inputs = vectors[0] if len(vectors) == 1 else jnp.concatenate(vectors, axis=-1)
        return evaluate(self.implementation, params, inputs, self.activation)


ARCHITECTURES: dict[str, Callable[[tuple[int, ...], str, Any], Network]] = {"dense": Dense}
"""Name → constructor of a network with given hidden widths, activation and `Recipe.networks`. Add your own."""


def make(architecture: str, hidden: tuple[int, ...], activation: str, implementation: str) -> Network:
    """The network of that name. Raises UserError if there is none."""
    if architecture not in ARCHITECTURES:
        raise UserError(f"architecture is {architecture!r}; choose one of {', '.join(ARCHITECTURES)}, or add it to"
                        " walkies.rl.networks.ARCHITECTURES before")  # fmt: skip
    return ARCHITECTURES[architecture](hidden, activation, implementation)


def init(key: Array, sizes: Sequence[int], output_gain: float = 1.0) -> Layers:
    """Orthogonal weights and zero biases (Saxe et al. 2014); hidden layers have gain √2, the last one `output_gain`.

    sizes: widths from input to output. A small output gain makes the initial policy nearly the same in every state,
    which matters more than most choices (Andrychowicz et al. 2021, section 3.2).
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
    """`apply`, by XLA (kind "xla") or, where it applies, by the native library (kind "native")."""
    return (apply if kind == "xla" else accelerated.faster(apply))(layers, inputs, activation)
