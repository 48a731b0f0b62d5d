"""Strict reading of the robot's `policy.json`: JSON text to a document, and everything wrong with a document.

The format is RTNeural's Keras-style JSON with the keys that the robot's `neural_controller` reads (pupperv3-monorepo).
A document is plain dicts and lists; `problems` never raises on one, whatever it holds, so that a checker can list
every fault of a file at once while a reader stops at the first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from walkies.contract import FRAME_SIZE
from walkies.errors import UserError

MAX_BYTES = 64 * 2**20
"""Larger files are refused unread, for a list of empty lists takes 30 times its text in memory. The largest policy
published for the robot has 39 MB."""
MAX_PROBLEMS = 100
"""Of one file; a file with more is not a policy, and nobody reads them."""
MAX_NUMBER = 3.4e38
"""About the largest float32."""
MAX_SIZE = 1_000_000
"""Inputs or outputs of a layer."""
MAX_HISTORY = 1000
"""Frames; more is a damaged file (20 s of memory)."""
ACTIVATIONS = ("", "tanh", "relu", "sigmoid", "softmax", "elu")
"""Activations that RTNeural's JSON loader builds ('' is none). Any other name yields a null layer and a crash."""
NUM_JOINTS = 12
JOINT_KEYS = ("default_joint_pos", "joint_lower_limits", "joint_upper_limits")
REQUIRED = ("in_shape", "observation_history", "kp", "kd", "action_scale", *JOINT_KEYS, "layers")


class PolicyFileError(UserError):
    """A policy file that cannot be used: the message names the file, the key, what was found and what was expected."""


@dataclass(frozen=True)
class Problem:
    """One thing that makes a policy file unusable."""

    code: str
    """Stable name of the kind of fault."""
    key: str
    """Where in the document, such as `layers[2].weights[0]`."""
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.key}: got {self.got}, expected {self.expected}"


def load_document(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, parsed strictly.

    Refuses what the robot's parser would refuse or silently change: NaN and Infinity (not JSON), duplicate keys,
    text that is not UTF-8, absurd size or depth.

    Raises:
        PolicyFileError: the file cannot be read or is not one strict JSON object.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise PolicyFileError(f"{path}: got {size:,} bytes, expected a policy of at most {MAX_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyFileError(
            f"{path}: cannot be read ({error.strerror}); expected a policy.json, such as a run folder holds"
        ) from error
    except UnicodeDecodeError as error:
        raise PolicyFileError(f"{path}: not UTF-8 text at byte {error.start}; expected JSON") from error
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except RecursionError as error:
        raise PolicyFileError(f"{path}: nested too deeply; expected a policy with at most 5 levels") from error
    except ValueError as error:
        raise PolicyFileError(
            f"{path}: expected a policy.json, but this is not strict JSON: {error}. Copy it again, or give its run"
        ) from error
    if not isinstance(document, dict):
        raise PolicyFileError(f"{path}: got {describe(document)} at the top, expected an object with a policy's keys")
    return document


def problems(document: dict[str, Any]) -> list[Problem]:
    """Every fault for which the robot (or this library) could not run the policy, in the order of the file's keys."""
    found = [Problem("missing-key", key, "nothing", "this key") for key in REQUIRED if key not in document]
    if "use_imu" in document and not isinstance(document["use_imu"], bool):
        found.append(Problem("wrong-type", "use_imu", describe(document["use_imu"]), "true or false"))
    size = _check_input(document, found)
    for key in ("kp", "kd"):
        if key in document and not (is_finite(document[key]) and document[key] >= 0):
            found.append(Problem("bad-gain", key, describe(document[key]), "one number ≥ 0 for all joints"))
    scale = document.get("action_scale", 0.0)
    if not is_finite(scale) and not _is_numbers(scale, NUM_JOINTS):
        found.append(Problem("bad-scale", "action_scale", describe(scale), "a number or 12 numbers, finite"))
    _check_joints(document, found)
    if "layers" in document:
        _check_layers(document["layers"], size, found)
    return found


def is_finite(value: Any) -> bool:
    """Whether `value` is a JSON number (not a boolean) that is finite as float32, as the robot stores it."""
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER  # False for NaN; whole numbers have no end


def all_finite(values: list[Any]) -> bool:
    """Whether `is_finite` holds for every one of them, quickly: a policy has up to millions."""
    if not set(map(type, values)) <= {int, float}:
        return False
    try:
        return bool(np.all(np.abs(np.array(values, np.float64)) <= MAX_NUMBER))
    except OverflowError:  # a whole number that no float holds
        return False


def describe(value: Any) -> str:
    """A short text for an error message, whatever the value."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    return printable(json.dumps(value) if isinstance(value, str) else str(value))


def printable(text: str) -> str:
    """`text` made short and harmless: without what a terminal obeys, or what cannot be written as UTF-8."""
    text = text if len(text) <= 60 else text[:57] + "…"
    return text if text.isprintable() else ascii(text)[1:-1]


def flatten(value: Any) -> list[Any]:
    """Leaves of nested lists, in order, however deep they are."""
    leaves, rest = [], [value]
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest.extend(reversed(part))
        else:
            leaves.append(part)
    return leaves


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1}) if len(keys) < 1000 else ["…"]
        raise ValueError(f"the key {printable(twice[0])!r} stands twice in one object")
    return result


def _no_constants(name: str) -> float:
    raise ValueError(f"{name} is not JSON; the robot's parser refuses it. Every number must be finite")


def _is_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(is_finite(item) for item in value)


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_SIZE


def _check_input(document: dict[str, Any], found: list[Problem]) -> int | None:
    """Checks observation_history and in_shape; the input size where it is known."""
    history = document.get("observation_history")
    history_ok = type(history) is int and 1 <= history <= MAX_HISTORY
    if not history_ok and "observation_history" in document:
        expected = f"a whole number of frames, 1 … {MAX_HISTORY}"
        found.append(Problem("bad-history", "observation_history", describe(history), expected))
    shape = document.get("in_shape")
    if "in_shape" not in document:
        return FRAME_SIZE * history if history_ok else None  # type: ignore[operator]
    if not isinstance(shape, list) or len(shape) != 2 or not _is_size(shape[1]):
        short = isinstance(shape, list) and len(shape) <= 4 and not any(isinstance(v, list | dict) for v in shape)
        got = printable(str(shape)) if short else describe(shape)
        found.append(Problem("bad-input-size", "in_shape", got, "[null, inputs]"))
        return None
    if history_ok and shape[1] != FRAME_SIZE * history:  # type: ignore[operator]
        expected = f"{FRAME_SIZE} × observation_history ({history}) = {FRAME_SIZE * history}"  # type: ignore[operator]
        found.append(Problem("bad-input-size", "in_shape[1]", str(shape[1]), expected))
    return int(shape[1])


def _check_joints(document: dict[str, Any], found: list[Problem]) -> None:
    good = {}
    for key in JOINT_KEYS:
        if key not in document:
            continue
        if _is_numbers(document[key], NUM_JOINTS):
            good[key] = document[key]
        else:
            code = "missing-limits" if document[key] == [] else "bad-joint-array"
            found.append(Problem(code, key, describe(document[key]), "12 finite numbers (rad)"))
    if "joint_lower_limits" in good and "joint_upper_limits" in good:
        pairs = zip(good["joint_lower_limits"], good["joint_upper_limits"], strict=True)
        for index, (lower, upper) in enumerate(pairs):
            if not lower < upper:
                got = f"{lower} … {upper}"
                found.append(Problem("inverted-limits", f"joint_lower_limits[{index}]", got, "lower < upper"))


def _check_layers(layers: Any, size: int | None, found: list[Problem]) -> None:
    if not isinstance(layers, list) or not layers:
        found.append(Problem("bad-layer", "layers", describe(layers), "a list of at least one layer"))
        return
    for index, layer in enumerate(layers):
        if len(found) >= MAX_PROBLEMS:
            return
        key = f"layers[{index}]"
        if not isinstance(layer, dict) or layer.get("type") not in ("dense", "prelu"):
            got = describe(layer.get("type", "no type") if isinstance(layer, dict) else layer)
            found.append(Problem("bad-layer", key, got, "an object with type dense or prelu"))
            return  # sizes after it are unknown
        shape = layer.get("shape")
        if not isinstance(shape, list) or not shape or not _is_size(shape[-1]):
            found.append(Problem("bad-layer-size", f"{key}.shape", describe(shape), "[null, outputs]"))
            return
        outputs = shape[-1]
        activation = layer.get("activation", "")
        if activation not in ACTIVATIONS:
            expected = "one of " + ", ".join(name or "'' (none)" for name in ACTIVATIONS)
            found.append(Problem("unknown-activation", f"{key}.activation", describe(activation), expected))
        _check_weights(layer, key, size, outputs, found)
        size = outputs
    if size != NUM_JOINTS:
        found.append(Problem("bad-output-size", f"layers[{len(layers) - 1}].shape", str(size), "12 actions"))


def _check_weights(layer: dict[str, Any], key: str, inputs: int | None, outputs: int, found: list[Problem]) -> None:
    weights = layer.get("weights")
    if layer["type"] == "prelu":
        if inputs is not None and inputs != outputs:
            found.append(Problem("bad-layer-size", f"{key}.shape", str(outputs), f"{inputs}, as the layer before"))
        if not isinstance(weights, list) or len(flatten(weights)) not in (1, outputs):
            found.append(Problem("bad-layer-size", f"{key}.weights", describe(weights), f"1 or {outputs} slopes"))
        elif not all_finite(flatten(weights)):
            found.append(Problem("not-finite", f"{key}.weights", "a non-number or overflow", "finite numbers"))
        return
    if not isinstance(weights, list) or len(weights) != 2 or not all(isinstance(part, list) for part in weights):
        found.append(Problem("bad-layer", f"{key}.weights", describe(weights), "[matrix, bias]"))
        return
    matrix, bias = weights
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
    if len(bias) != outputs:
        found.append(Problem("bad-layer-size", f"{key}.weights[1]", f"{len(bias)} numbers", f"{outputs} (outputs)"))
    elif not all_finite(bias):
        found.append(Problem("not-finite", f"{key}.weights[1]", "a non-number or overflow", "finite numbers"))
