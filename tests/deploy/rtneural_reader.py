"""A reader of RTNeural's JSON written from the format's description alone: plain loops, no arrays, no walkies.

Format: `in_shape` ends with the number of inputs; `layers` in order; a dense layer has `shape` ending with its
outputs, `weights` = [matrix by input then output, bias or nothing] and an `activation` name, '' or none for no
activation; a prelu layer has slopes in `weights[0][0]`, one or as many as inputs, and no activation is read beside
them. The output of one layer is the input of the next.
"""

import json
import math


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def run(document, observation):
    """Output list for one input list of floats."""
    x = [float(v) for v in observation]
    if len(x) != document["in_shape"][-1]:
        raise ValueError("input size")
    for layer in document["layers"]:
        if layer["type"] != "prelu":
            outputs = int(layer["shape"][-1])
            matrix, *bias = layer["weights"]
            y = list(bias[0]) if bias else [0.0] * outputs
            for value, row in zip(x, matrix, strict=True):
                for j in range(outputs):
                    y[j] += value * row[j]
            x = ACTIVATIONS[layer.get("activation", "")](y)
        else:
            slopes = layer["weights"][0][0]
            slopes = slopes * len(x) if len(slopes) == 1 else slopes
            x = [v if v > 0 else slope * v for v, slope in zip(x, slopes, strict=True)]
    return x


def _softmax(y):
    top = max(y)
    e = [math.exp(v - top) for v in y]
    return [v / sum(e) for v in e]


ACTIVATIONS = {
    "": lambda y: y,
    "tanh": lambda y: [math.tanh(v) for v in y],
    "relu": lambda y: [max(0.0, v) for v in y],
    "sigmoid": lambda y: [1 / (1 + math.exp(-v)) if v > -700 else 0.0 for v in y],
    "softmax": _softmax,
    "elu": lambda y: [v if v > 0 else math.exp(v) - 1 for v in y],
}
