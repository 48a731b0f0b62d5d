"""A training state as one safetensors file: a tensor per leaf, named by its path in the tree, exact to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from walkies.errors import UserError
from walkies.files import parse_json, refuse_pointer, shown, write_bytes

Tree = TypeVar("Tree")
Upgrade = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]

FORMAT = "walkies-checkpoint-2"
UNSIGNED = "walkies-checkpoint-1"
"""The first edition's format, without a checksum; still read."""
EXPECTED = "a checkpoint that `walkies train` wrote"


class DamagedCheckpoint(UserError):
    """The file is not a checkpoint, or its content has changed since it was written."""


class Content(NamedTuple):
    """What a file holds: JSON values, the generator of each random key by the name of its tensor, and all tensors."""

    header: dict[str, Any]
    keys: dict[str, str]
    tensors: dict[str, np.ndarray]


def save(path: Path, tree: Any, header: dict[str, Any]) -> None:
    """Write `tree` (PyTree of arrays, random keys allowed) and `header` (JSON values) to `path`, with a checksum.

    The file appears whole or not at all: it is written beside `path`, flushed to disk and renamed.
    """
    tensors, keys = {}, {}
    for name, leaf in _named_leaves(tree):
        if _is_key(leaf):
            keys[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        tensors[name] = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    told = {"header": json.dumps(header), "keys": json.dumps(keys)}
    metadata = {"format": FORMAT, **told, "checksum": _checksum(told, tensors)}
    write_bytes(path, safetensors.numpy.save(tensors, metadata), sync=True)


def _checksum(told: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of every name, type, shape and byte."""
    digest = hashlib.sha256(json.dumps(sorted(told.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, value.dtype.str, value.shape]).encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def load(path: Path, like: Tree, upgrade: Upgrade = lambda tensors: tensors) -> tuple[Tree, dict[str, Any]]:
    """Read a tree with the structure, shapes and dtypes of `like` (arrays or ShapeDtypeStructs), and the header.

    upgrade: converts the tensors of an older version to today's (`walkies.run.saved.editions`).

    Raises:
        DamagedCheckpoint: the file is not a checkpoint, or does not match the checksum written with it.
        UserError: it holds another tree; apart from the conversions in `walkies.run.saved.editions`, nothing is
            converted or filled in.
    """
    header, keys, tensors = _read(path)
    tensors = upgrade(tensors)
    expected = dict(_named_leaves(like))
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise UserError(
            f"{path} holds another training: {_some('it lacks', missing)}{'; ' if missing and extra else ''}"
            f"{_some('it has besides', extra)}. Load it under the configuration that it was saved with"
        )
    leaves = [_restore(path, name, tensors[name], keys.get(name), leaf) for name, leaf in expected.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), header


def load_header(path: Path) -> dict[str, Any]:
    """Read only the header."""
    return _read(path).header


def _read(path: Path) -> Content:
    """The file's content, its checksum verified.

    Raises:
        DamagedCheckpoint: it is not what `save` wrote.
    """
    try:
        refuse_pointer(path, EXPECTED)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    # A type that NumPy lacks is a TypeError or an AttributeError of the reader.
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(
            f"{path} is no safetensors file, or damaged ({shown(str(error))}); expected {EXPECTED}"
        ) from None
    if (found := metadata.get("format")) not in (FORMAT, UNSIGNED):
        raise DamagedCheckpoint(f"{path} is not a walkies checkpoint: its format is {shown(found)}, not {FORMAT!r}")
    told = {name: metadata.get(name, "") for name in ("header", "keys")}
    if metadata["format"] == FORMAT and metadata.get("checksum") != _checksum(told, tensors):
        raise DamagedCheckpoint(f"{path} is damaged: its content does not have the checksum that was written with it")
    header, keys = (parse_json(text, f"the {name} of {path}", EXPECTED) for name, text in told.items())
    if not isinstance(header, dict) or not isinstance(keys, dict):
        raise DamagedCheckpoint(f"{path} is damaged: its header or its keys are no JSON object; expected {EXPECTED}")
    return Content(header, keys, tensors)


def _restore(path: Path, name: str, value: np.ndarray, impl: str | None, like: Any) -> jax.Array:
    if _is_key(like):
        if impl is None:
            raise UserError(f"{path}: {name} is an array where a random key is expected")
        try:
            restored = jax.random.wrap_key_data(jnp.asarray(value), impl=impl)
        except (ValueError, TypeError) as error:
            raise DamagedCheckpoint(f"{path}: {name} is no random key ({shown(str(error))})") from None
    else:
        restored = value
    # A key of another generator goes on drawing from that one.
    if restored.shape != like.shape or (restored.dtype != like.dtype and not _is_key(like)):
        raise UserError(
            f"{path}: {name} is {restored.dtype}{list(restored.shape)}, but {like.dtype}{list(like.shape)} is expected."
            " Load it under the configuration that it was saved with"
        )
    return jnp.asarray(restored)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in paths]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    return f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
