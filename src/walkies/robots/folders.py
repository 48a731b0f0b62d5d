"""Folders of robots that are only data: first those of the working folder, then those that come with walkies.

A robot's folder has its model, `robot.xml`, and its record, `robot.toml`, which the user may edit. A run keeps a copy
of a robot from the working folder, so that it can be opened elsewhere and later with the same robot.
"""

from __future__ import annotations

import re
from pathlib import Path

from walkies.files import write_bytes

HERE = Path("robots")
"""In the folder from which walkies is called."""
ZOO = Path(__file__).parent / "zoo"
"""Folder of the robots that come with walkies."""
RECORD, MODEL = "robot.toml", "robot.xml"
"""Files of a robot's folder."""
COPY = "robot"
"""Folder of a run that holds the robot it was trained for."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Of a robot: it is the name of a folder too."""


_copies: dict[str, Path] = {}
"""Of robots in the runs that this process has opened, by name: each run's robot is its own."""


def find(name: str) -> Path | None:
    """The folder of the robot of that name; None: there is none."""
    if NAME.fullmatch(name) is None:  # policy files name robots, and must not lead elsewhere
        return None
    places = ([_copies[name]] if name in _copies else []) + [place / name for place in (HERE, ZOO)]
    return next((place for place in places if (place / RECORD).is_file()), None)


def keep_copy(name: str, run: Path) -> None:
    """Copy a robot of the working folder into the folder of a run; those that come with walkies need no copy."""
    source, copy = HERE / name, run / COPY / name
    if not (source / RECORD).is_file():
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            (copy / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(copy / path.relative_to(source), path.read_bytes())


def know_copy(run: Path) -> None:
    """From now on, use the copy of the robot in a run's folder."""
    _copies.update({record.parent.name: record.parent for record in (run / COPY).glob(f"*/{RECORD}")})


def names() -> list[str]:
    """Of all robots that have a folder."""
    found = {record.parent.name for place in (HERE, ZOO) for record in place.glob(f"*/{RECORD}")}
    return sorted(name for name in found if NAME.fullmatch(name))


def name_of(path: Path) -> str:
    """A name for the robot in a file: that of the file, as far as names allow."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")
    if plain in ("robot", "scene", "model", "mjmodel", "urdf"):  # which say nothing
        plain = re.sub(r"[^a-z0-9_-]+", "-", path.resolve().parent.name.lower()).strip("-_")
    return plain[:64] or "robot"
