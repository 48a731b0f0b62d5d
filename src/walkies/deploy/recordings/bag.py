"""Rows of a recording from a ROS 2 bag (extra `ros`), MCAP or SQLite; a power cut may have cost it its metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from walkies.errors import UserError
from walkies.files import refuse_pointer, shown

SUFFIXES = (".mcap", ".db3")
METADATA = "metadata.yaml"
MEND = {".mcap": "mcap recover", ".db3": "sqlite3 FILE .recover"}
"""What saves the messages before the damage."""


def is_bag(path: Path) -> bool:
    """Whether `path` is one of a bag's files, or a folder that holds some."""
    return path.suffix in SUFFIXES or (path.is_dir() and ((path / METADATA).exists() or bool(_storage(path))))


def bag_rows(path: Path, topics: Sequence[str]) -> list[tuple[str, float, np.ndarray]]:
    """(topic, time in s, values) of the messages on topics whose last word is one of `topics`.

    Raises:
        UserError: the bag is damaged, or a topic holds something other than arrays of numbers.
    """
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_HUMBLE)
    failed: list[Exception] = []
    for sources in _ways(path):
        try:
            return _read(path, sources, topics, types)
        except UserError:
            raise
        except Exception as error:  # a parser of damaged bytes may raise anything: struct.error, KeyError, ZstdError, …
            failed.append(error)
    what = shown(f"{type(failed[0]).__name__}: {failed[0]}")
    suffix = path.suffix if path.suffix in SUFFIXES else next((file.suffix for file in _storage(path)), SUFFIXES[0])
    raise UserError(
        f"{path}: a damaged ROS 2 bag ({what}); `{MEND[suffix]}` may save what is before the damage, or record again"
    ) from failed[0]


def _read(path: Path, sources: list[Path], topics: Sequence[str], types: Any) -> list[tuple[str, float, np.ndarray]]:
    from rosbags.highlevel import AnyReader

    with AnyReader(sources, default_typestore=types) as reader:
        wanted = [c for c in reader.connections if c.topic.rpartition("/")[2] in topics]
        for connection in wanted:
            if not connection.msgtype.endswith("MultiArray"):
                got = f"{shown(connection.topic)} is {shown(connection.msgtype)}"
                raise UserError(f"{path}: {got}, expected a MultiArray")
        rows = []
        for connection, time, raw in reader.messages(wanted) if wanted else ():
            message: Any = reader.deserialize(raw, connection.msgtype)
            rows.append((connection.topic, time * 1e-9, np.asarray(message.data, float)))
        return rows


def _ways(path: Path) -> list[list[Path]]:
    """What to open, in turn: the bag's folder where it has metadata, which tell of compression, and its bare files.

    Raises:
        UserError: there is none, or one is a Git LFS pointer.
    """
    folder = path if path.is_dir() else path.parent
    files = _storage(path) if path.is_dir() else [path]
    for file in files:
        refuse_pointer(file, "a file of a ROS 2 bag")
    ways = [way for way in ([folder] if (folder / METADATA).exists() else [], files) if way]
    if not ways:
        raise UserError(f"{path}: no {' or '.join(SUFFIXES)} file in it; expected a ROS 2 bag's folder")
    return ways


def _storage(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
