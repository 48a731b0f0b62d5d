"""A training state as one safetensors file: a tensor per leaf, named by its path in the tree, exact to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from walkies.errors import UserError
from walkies.files import write_bytes

Tree = TypeVar("Tree")

FORMAT = "walkies-checkpoint-1"


def save(path: Path, tree: Any, header: dict[str, Any]) -> None:
    """Write `tree` (PyTree of arrays, random keys allowed) and `header` (JSON values) to `path`.

    The file appears whole or not at all: it is written beside `path`, flushed to disk and renamed.
    """
    tensors, keys = {}, {}
    for name, leaf in _named_leaves(tree):
        if _is_key(leaf):
            keys[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        tensors[name] = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    metadata = {"format": FORMAT, "header": json.dumps(header), "keys": json.dumps(keys)}
    write_bytes(path, safetensors.numpy.save(tensors, metadata), sync=True)


def load(path: Path, like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Read a tree with the structure, shapes and dtypes of `like` (arrays or ShapeDtypeStructs), and the header.

    Raises UserError if the file is no checkpoint, or not one of such a tree: nothing is converted or filled in.
    """
    header, keys, tensors = _read(path)
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
    """Read the header alone."""
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str], dict[str, np.ndarray]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no safetensors file, or a damaged one: {error}") from None
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} is not a walkies checkpoint: its format is {metadata.get('format')!r}, not {FORMAT!r}")
    return json.loads(metadata["header"]), json.loads(metadata["keys"]), tensors


def _restore(path: Path, name: str, value: np.ndarray, impl: str | None, like: Any) -> jax.Array:
    if _is_key(like):
        if impl is None:
            raise UserError(f"{path}: {name} is an array where a random key is expected")
        restored = jax.random.wrap_key_data(jnp.asarray(value), impl=impl)
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
