"""`--config FILE`: read a training's settings from a file; flags override them.

The file is a run's config.json, or TOML of the same form; settings it leaves out take the robot's own values.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from walkies.errors import UserError
from walkies.files import read_json, read_toml, shown
from walkies.run.config import TrainConfig, load_terms
from walkies.run.folders import current_names, from_dict, to_dict

FLAG = "--config"
OF_THE_RUN = ("out", "resume", "checkpoint", "config")
"""Settings in a run's file that concern that run only, and are not taken from it."""
EXPECTED = "a run's config.json, or TOML of the same form"


class Settings(NamedTuple):
    """What a file says."""

    values: dict[str, Any]
    """Some of a configuration's, by today's names."""
    where: str
    """The file's path, for errors."""

    def robot(self) -> str | None:
        """The robot's name, or the path of its model, where one is given."""
        name = self.values.get("robot")
        return name if isinstance(name, str) else None

    def over(self, config: TrainConfig) -> TrainConfig:
        """A configuration with these settings in place of its own, but for the robot, which is chosen already.

        Raises:
            UserError: there is no such setting, or its value does not fit; the message names it.
        """
        if not self.values:
            return config
        if isinstance(terms := self.values.get("terms"), str):
            load_terms(Path(terms))  # whose weights may be among the settings
        merged = _merged(to_dict(config), {**self.values, "robot": config.robot})
        return from_dict(TrainConfig, merged, self.where)


def settings(arguments: Sequence[str]) -> Settings:
    """The settings in the file that the arguments name last; none where they name none.

    Raises:
        UserError: the file cannot be read, or holds no settings.
    """
    file = _file(arguments)
    if file is None:
        return Settings({}, "")
    toml = file.suffix == ".toml"
    found = read_toml(file, EXPECTED) if toml else read_json(file, EXPECTED)
    if not isinstance(found, dict):
        raise UserError(f"{file}: expected {EXPECTED}, got {shown(found)}")
    found = current_names(TrainConfig, found)
    return Settings(found if toml else {key: one for key, one in found.items() if key not in OF_THE_RUN}, str(file))


def _file(arguments: Sequence[str]) -> Path | None:
    file = None
    for word, following in itertools.zip_longest(arguments, arguments[1:]):
        name, equals, value = word.partition("=")
        if name == FLAG and (equals or following is not None):
            file = Path(value if equals else str(following))
    return file


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Nested values with others in their place."""
    both = {name for name in new if isinstance(new[name], dict) and isinstance(old.get(name), dict)}
    return {**old, **new, **{name: _merged(old[name], new[name]) for name in both}}
