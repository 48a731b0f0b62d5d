"""A run folder: everything that one training took and made, so that it can be read, repeated and resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import types
import typing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from walkies.errors import UserError

T = TypeVar("T")
RUNS = "runs"
"""Where runs are kept unless somebody says otherwise, from where walkies is called."""
MOST_NAMED = 6
"""Runs that an error offers."""
PACKAGES = ("walkies", "jax", "jaxlib", "mujoco", "numpy", "optax")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Names of the files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def versions(self) -> Path:
        return self.path / "versions.json"

    @property
    def curves(self) -> Path:
        return self.path / "progress.csv"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def policy(self) -> Path:
        return self.path / "policy.json"

    @property
    def stages(self) -> Path:
        return self.path / "stages"

    def stage_files(self) -> list[Path]:
        """Policy files of earlier moments of the training, named by their control steps, in order."""
        return sorted(self.stages.glob("[0-9]*.json"))

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def rehearsal(self) -> Path:
        return self.path / "rehearsal"

    @property
    def video(self) -> Path:
        return self.path / "video.mp4"

    def latest_checkpoint(self) -> Path | None:
        """The newest complete checkpoint (their names sort by steps), or None."""
        found = sorted(self.checkpoints.glob("[0-9]*.safetensors"))
        return found[-1] if found else None


def find_policy(target: Path) -> Path:
    """The policy file meant by `target`, a policy.json or a run folder that holds one.

    Raises:
        UserError: there is none.
    """
    folder = RunFolder(target)
    path = folder.policy if target.is_dir() else target
    if path.is_file():
        return path
    if folder.latest_checkpoint() is not None or folder.stage_files():
        kept = folder.stage_files()
        raise UserError(
            f"{target} is a run that still trains, or was stopped before it wrote its policy. This goes on, and writes "
            f"it when it ends or at Ctrl-C: walkies train --resume --out {target}"
            + (f". Its newest policy so far: {kept[-1]}" if kept else "")
        )
    there = sorted(str(one.parent) for one in Path(RUNS).glob("*/policy.json"))[:MOST_NAMED]
    hint = f"In {RUNS} there are: {', '.join(there)}" if there else "`walkies train pupper` makes one"
    what = f"in {target.resolve() if target == Path() else target}" if target.is_dir() else f"at {target}"
    raise UserError(f"no policy {what}; expected a run folder with a policy.json, or the path of such a file. {hint}")


def refuse_unwritable(folder: Path, flag: str = "--out") -> None:
    """Say before any work is done that nothing could be written into `folder`, which need not exist yet.

    Raises:
        UserError: it, or what it would be made in, is a file or may not be written.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{flag} {folder}: {there} is a file; expected a folder, or a name that is free for one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{flag} {folder}: nothing may be written in {there.resolve()}; choose another {flag}")


def versions() -> dict[str, str]:
    """What this run was made with."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """A (nested) dataclass as plain JSON types."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def from_dict(kind: type[T], content: Any, where: str = "config") -> T:
    """The dataclass `kind` from what `to_dict` made of it.

    Fields that are missing take their defaults (an older run); unknown fields are an error that names them.
    """
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected an object, got {type(content).__name__}")
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(content) - names)
    if unknown:
        raise UserError(f"{where}: unknown field {', '.join(unknown)}; known are {', '.join(sorted(names))}")
    return kind(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in content.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _convert(arguments[0], value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise UserError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return tuple(_convert(arguments[0], item, where) for item in value)
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)  # type: ignore[arg-type]
    if kind is Path:
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind):
        raise UserError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value
