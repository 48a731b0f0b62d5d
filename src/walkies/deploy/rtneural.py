"""How RTNeural's JSON loader, with which the robot reads a network, interprets a policy's layers.

Facts: RTNeural's model_loader.h. It builds more kinds of layers than walkies runs, reads only what it needs, and
silently skips what it does not know.
"""

from __future__ import annotations

from typing import Any

from walkies.deploy.json_values import MAX_PROBLEMS, Problem, all_finite, describe, is_finite, size

ACTIVATIONS = ("", "tanh", "relu", "sigmoid", "softmax", "elu")
"""Activations that the loader builds ('' is none). Any other name yields a null layer and a crash."""
DENSE = ("dense", "time-distributed-dense")
"""Two names of one layer. Its activation is a key of the layer; without a bias that is zero."""
PRELU = "prelu"
"""Slopes, as many as inputs or one for all, in `weights[0][0]`. An `activation` beside them is never read."""
UNSUPPORTED = ("conv1d", "conv2d", "gru", "lstm", "batchnorm", "batchnorm2d", "activation")
"""Layers that the loader builds and walkies does not run."""


def check_layers(layers: Any, inputs: int | None, actions: int, found: list[Problem]) -> None:
    """Append to `found` everything for which these layers do not make `actions` numbers of `inputs` (None: unknown)."""
    if not isinstance(layers, list) or not layers:
        found.append(Problem("bad-layer", "layers", describe(layers), "a list of at least one layer"))
        return
    width = inputs
    for index, layer in enumerate(layers):
        if len(found) >= MAX_PROBLEMS:
            return
        key = f"layers[{index}]"
        if not isinstance(layer, dict) or layer.get("type") not in (*DENSE, PRELU, *UNSUPPORTED):
            got = describe(layer.get("type", "no type") if isinstance(layer, dict) else layer)
            found.append(Problem("bad-layer", key, got, "an object with type dense or prelu"))
            return  # sizes after it are unknown
        if (outputs := size(layer.get("shape"))) is None:
            found.append(Problem("bad-layer-size", f"{key}.shape", describe(layer.get("shape")), "[null, outputs]"))
            return
        if layer["type"] in UNSUPPORTED:
            _check_unsupported(layer, key, found)
            width = None
            continue
        if layer["type"] == PRELU:
            _check_prelu(layer, key, width, outputs, found)
        else:
            _check_dense(layer, key, width, outputs, found)
        width = outputs
    if width not in (None, actions):
        found.append(Problem("bad-output-size", f"layers[{len(layers) - 1}].shape", str(width), f"{actions} actions"))


def slopes(layer: dict[str, Any]) -> Any:
    """A PReLU's slopes, which stand in a list within a list; None where they do not."""
    outer = layer.get("weights")
    inner = outer[0] if isinstance(outer, list) and outer else None
    return inner[0] if isinstance(inner, list) and inner else None


def _check_unsupported(layer: dict[str, Any], key: str, found: list[Problem]) -> None:
    if "weights" not in layer:
        found.append(Problem("bad-layer", f"{key}.weights", "nothing", "weights: every layer needs this key"))
    found.append(Problem("unsupported-layer", key, f"a {layer['type']} layer", "dense or prelu"))


def _check_prelu(layer: dict[str, Any], key: str, inputs: int | None, outputs: int, found: list[Problem]) -> None:
    if inputs is not None and inputs != outputs:
        found.append(Problem("bad-layer-size", f"{key}.shape", str(outputs), f"{inputs}, as the layer before"))
    values = slopes(layer)
    if not isinstance(values, list):
        got = describe(layer.get("weights"))
        found.append(Problem("bad-layer", f"{key}.weights", got, "slopes nested as [[[slope, …]]]"))
    elif len(values) not in (1, outputs):
        found.append(Problem("bad-layer-size", f"{key}.weights", f"{len(values)} slopes", f"1 or {outputs}"))
    elif not all_finite(values):
        found.append(Problem("not-finite", f"{key}.weights", "a non-number or overflow", "finite numbers"))


def _check_dense(layer: dict[str, Any], key: str, inputs: int | None, outputs: int, found: list[Problem]) -> None:
    activation = layer.get("activation", "")
    if activation not in ACTIVATIONS:
        expected = "one of " + ", ".join(name or "'' (none)" for name in ACTIVATIONS)
        found.append(Problem("unknown-activation", f"{key}.activation", describe(activation), expected))
    weights = layer.get("weights")
    if not isinstance(weights, list) or not weights or not all(isinstance(part, list) for part in weights[:2]):
        found.append(Problem("bad-layer", f"{key}.weights", describe(weights), "[matrix, bias]"))
        return
    matrix = weights[0]
    if inputs is not None and len(matrix) != inputs:
        found.append(Problem("bad-layer-size", f"{key}.weights[0]", f"{len(matrix)} rows", f"{inputs} (inputs)"))
    for index, row in enumerate(matrix):
        if not isinstance(row, list) or len(row) != outputs:
            expected = f"{outputs} numbers (outputs)"
            found.append(Problem("bad-layer-size", f"{key}.weights[0][{index}]", describe(row), expected))
            break
        if not all_finite(row):
            where = next(column for column, item in enumerate(row) if not is_finite(item))
            got = describe(row[where])
            found.append(Problem("not-finite", f"{key}.weights[0][{index}][{where}]", got, "a finite number"))
            break
    for bias in weights[1:2]:
        if len(bias) != outputs:
            expected = f"{outputs} (outputs)"
            found.append(Problem("bad-layer-size", f"{key}.weights[1]", f"{len(bias)} numbers", expected))
        elif not all_finite(bias):
            found.append(Problem("not-finite", f"{key}.weights[1]", "a non-number or overflow", "finite numbers"))
