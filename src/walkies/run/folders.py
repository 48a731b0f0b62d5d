"""A run folder: all inputs and outputs of one training, so that it can be read, repeated and resumed."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import platform
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from walkies import bounds, renamed
from walkies.errors import UserError
from walkies.files import shown

T = TypeVar("T")
RUNS = "runs"
"""The default folder of runs, relative to where walkies is called."""
MOST_NAMED = 6
"""Number of runs that an error message lists."""
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

    def checkpoint_at(self, steps: int) -> Path:
        """Where the checkpoint after so many control steps lies."""
        return self.checkpoints / f"{steps:012d}.safetensors"

    def checkpoint_files(self) -> list[Path]:
        """The checkpoints, oldest first (their names sort by steps)."""
        return sorted(self.checkpoints.glob("[0-9]*.safetensors"))

    def latest_checkpoint(self) -> Path | None:
        """The newest checkpoint, or None."""
        return next(reversed(self.checkpoint_files()), None)


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
            f"{target} is a run that still trains, or was stopped before it wrote its policy. To continue it, and "
            f"write the policy at its end or at Ctrl-C: walkies train --resume --out {target}"
            + (f". Its newest policy so far: {kept[-1]}" if kept else "")
        )
    there = sorted(str(one.parent) for one in Path(RUNS).glob("*/policy.json"))[:MOST_NAMED]
    hint = f"In {RUNS} there are: {', '.join(there)}" if there else "`walkies train pupper` makes one"
    what = f"in {target.resolve() if target == Path() else target}" if target.is_dir() else f"at {target}"
    raise UserError(f"no policy {what}; expected a run folder with a policy.json, or the path of such a file. {hint}")


def refuse_unwritable(folder: Path, flag: str = "--out") -> None:
    """Check, before any work is done, that `folder` is writable; it need not exist yet.

    Raises:
        UserError: it, or the folder it would be created in, is a file or not writable.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{flag} {folder}: {there} is a file; expected a folder, or a name that is free for one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{flag} {folder}: nothing may be written in {there.resolve()}; choose another {flag}")


class LockedRun(UserError):
    """Another training is writing into the run folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within this block the run folder belongs to this training alone; it is created if missing.

    The lock ends with the process, however that ends. Folders created for it that stay empty are removed again.

    Raises:
        LockedRun: a training is writing into it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _lock(handle):
            raise LockedRun(
                f"a training is writing into {folder} right now; wait for its end, stop it with Ctrl-C, or choose "
                "another --out"
            )
        try:
            yield
        finally:
            for path in made:
                if any(path.iterdir()):
                    break
                path.rmdir()
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a training is writing into this run folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(folder: int) -> bool:
    """Take the lock on an open folder, until it is closed; False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that has no locks, as some of networks
        pass
    return True


def versions() -> dict[str, str]:
    """The software versions this run was made with."""
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


def from_dict(kind: type[T], content: Any, where: str = "config", ignore_extra_of: type | None = None) -> T:
    """The dataclass `kind` from what `to_dict` made of it, or of a subclass that this program defines.

    Missing fields take the value that an older run implies (`renamed.added`; usually their default), and old field
    names are accepted; unknown fields are an error that names them.

    Args:
        kind: the dataclass.
        content: JSON values.
        where: what the content is called in errors.
        ignore_extra_of: ignore unknown fields of this dataclass instead: those added by a program that is not at hand.

    Raises:
        UserError: the content does not fit; the message names the field.
    """
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected an object, got {shown(content)}")
    content = renamed.current(kind, content)
    kind = _subclass_with(kind, set(content))
    hints = _hints(kind)  # type: ignore[arg-type]
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(content) - names):
        if ignore_extra_of is None or not issubclass(kind, ignore_extra_of):
            raise UnknownField(where, unknown, f"known are {', '.join(sorted(names))}")
        content = {name: value for name, value in content.items() if name in names}
    values = {n: _convert(hints[n], value, f"{where}.{n}", ignore_extra_of) for n, value in content.items()}
    try:
        return kind(**{**renamed.before(kind), **values})
    except (TypeError, ValueError) as error:  # a field without a default is missing, or the record refuses its values
        raise UserError(f"{where}: {error}") from error


def current_names(kind: type, content: Any) -> Any:
    """Plain values of a dataclass, of this version or an older one, with its fields and those of its parts under
    today's names."""
    if not isinstance(content, dict):
        return content
    parts = {name: hint for name, hint in _hints(kind).items() if dataclasses.is_dataclass(hint)}
    return {
        name: current_names(parts[name], value) if name in parts else value  # type: ignore[arg-type]
        for name, value in renamed.current(kind, content).items()
    }


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


class UnknownField(UserError):
    """A configuration has a field that its dataclass lacks."""

    def __init__(self, where: str, fields: list[str], hint: str):
        super().__init__(f"{where}: unknown field {', '.join(map(shown, fields))}; {hint}")
        self.where, self.fields = where, fields


def _subclass_with(kind: type[T], fields: set[str]) -> type[T]:
    """`kind`, or if it lacks some of `fields`, the most recent subclass that has them all."""
    found, todo = [kind], [kind]
    while todo:
        todo = [below for one in todo for below in one.__subclasses__()]
        found += todo
    has = {one: {field.name for field in dataclasses.fields(one)} for one in found}  # type: ignore[arg-type]
    fitting = [one for one in found if fields <= has[one]]
    return kind if kind in fitting or not fitting else fitting[-1]


def _convert(kind: Any, value: Any, where: str, ignore_extra_of: type | None) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        converted = _convert(arguments[0], value, where, ignore_extra_of)
        bounds.refuse(converted, kind, where, name=str)
        return converted
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where, ignore_extra_of)
    if origin is typing.Literal:
        if value not in arguments:
            raise UserError(f"{where}: {shown(value)} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, got {shown(value)}")
        kinds = [arguments[0]] * len(value) if arguments[1:] == (Ellipsis,) else arguments
        if len(kinds) != len(value):
            raise UserError(f"{where}: expected {len(kinds)} values, got {len(value)}")
        return tuple(_convert(one, item, where, ignore_extra_of) for one, item in zip(kinds, value, strict=True))
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where, ignore_extra_of)  # type: ignore[arg-type]
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and type(value) is int:
        return _finite(value, where)
    # True is an int to Python, and to nobody else.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{where}: expected {kind.__name__}, got {shown(value)}")
    return _finite(value, where) if kind is float else value


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"{where}: expected a finite number, got {shown(value)}")
    return number
