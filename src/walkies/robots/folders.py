"""Where robots are kept that are data alone: a folder each, of this working folder first, then those of walkies' own.

A robot's folder has its model, `robot.xml`, and its record, `robot.toml`, which a person may change.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path("robots")
"""In the folder from which walkies is called."""
ZOO = Path(__file__).parent / "zoo"
"""Of robots that walkies brings along."""
RECORD, MODEL = "robot.toml", "robot.xml"
"""Files of a robot's folder."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Of a robot: it is the name of a folder too."""


def find(name: str) -> Path | None:
    """The folder of the robot of that name; None: there is none."""
    if NAME.fullmatch(name) is None:  # policy files name robots, and must not lead elsewhere
        return None
    return next((place / name for place in (HERE, ZOO) if (place / name / RECORD).is_file()), None)


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
