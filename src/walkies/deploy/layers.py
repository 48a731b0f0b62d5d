"""The network of a policy file: its layers, their form in a file, and their output for an observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from walkies.deploy.rtneural import PRELU, slopes


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: x ↦ activation(x · weights + bias), or a PReLU where `weights` is None and `bias` holds the slopes."""

    weights: np.ndarray | None
    """(inputs, outputs), float64"""
    bias: np.ndarray
    """(outputs,), float64"""
    activation: str = ""


def layer_document(layer: Layer) -> dict[str, Any]:
    """A layer as it stands in a file."""
    outputs = int(layer.bias.shape[0])
    shape = [None, outputs]
    if layer.weights is None:
        return {"type": PRELU, "shape": shape, "weights": [[layer.bias.tolist()]]}
    weights = [layer.weights.tolist(), layer.bias.tolist()]
    return {"type": "dense", "activation": layer.activation, "shape": shape, "weights": weights}


def read_layer(layer: dict[str, Any]) -> Layer:
    """A layer of a file in which `check_layers` finds nothing."""
    outputs = int(layer["shape"][-1])
    if layer["type"] == PRELU:
        return Layer(None, np.broadcast_to(np.array(slopes(layer), np.float64), (outputs,)).copy())
    matrix, *bias = layer["weights"]
    return Layer(
        np.array(matrix, np.float64),
        np.array(bias[0], np.float64) if bias else np.zeros(outputs),
        layer.get("activation", ""),
    )


def forward(layers: Sequence[tuple[np.ndarray | None, np.ndarray, str]], x: np.ndarray) -> np.ndarray:
    """The layers' outputs in the arithmetic of their arrays."""
    with np.errstate(over="ignore", invalid="ignore"):  # an overflowing policy shows in its actions
        for weights, bias, activation in layers:
            linear = bias * np.minimum(x, 0) + np.maximum(x, 0) if weights is None else _rows(x, weights) + bias
            x = activate(activation, linear)
    return x


def _rows(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x (…, in) times weights (in, out), each row as a product of its own."""
    return (x[..., None, :] @ weights)[..., 0, :]


def activate(name: str, x: np.ndarray) -> np.ndarray:
    """RTNeural's activations over the last axis."""
    if name == "tanh":
        return np.tanh(x)
    if name == "relu":
        return np.maximum(x, 0)
    if name == "elu":
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    if name == "sigmoid":
        return 0.5 * (1.0 + np.tanh(0.5 * x))
    if name == "softmax":
        shifted = np.exp(x - x.max(axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)
    return x
