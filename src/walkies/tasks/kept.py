"""Files that a task's configuration names: a run keeps copies, so that it goes on elsewhere, and later, as it began."""

from __future__ import annotations

from pathlib import Path

from walkies.files import write_bytes

_copies: dict[Path, Path] = {}
"""Of the files that the configurations of opened runs name: their copies."""


def place(path: Path) -> Path:
    """Where to read a file that a configuration names: the copy of the run that was opened, else the file itself."""
    return _copies.get(path, path)


def keep(path: Path, copy: Path) -> None:
    """Copy a file into the folder of the run that is named there."""
    write_bytes(copy, path.read_bytes())


def know(path: Path, copy: Path) -> None:
    """From now on, read the copy of a run in place of the file that its configuration names."""
    if copy.is_file():
        _copies[path] = copy
