"""Atomic writing of files, and strict reading of JSON: used for all files of walkies.

Everything is written under a random name in the same folder and renamed, so a reader finds the old file or the complete
new one, and a killed process leaves nothing under the final name. The temporary file is created exclusively: a symbolic
link planted under a likely name is never followed. A link under the final name is replaced by the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from walkies.errors import UserError

PART = ".part"
"""Suffix of a file that is being written."""
UNFINISHED = f".*{PART}"
"""Pattern of such names; files left behind by a killed process may be removed."""
MAX_JSON = 64 * 1024 * 1024
"""Largest JSON file that is read, in bytes: every file of walkies is far smaller."""
SHOWN = 60
"""Characters of a wrong value that an error repeats."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""Beginning of a Git LFS pointer, which replaces a large file that was not downloaded in a clone."""


@contextmanager
def writing(path: Path | str, *, sync: bool = False) -> Iterator[Path]:
    """Yield a new empty file beside `path` to write to; it takes the place of `path` when the block ends well.

    The folder is made where it is missing. Where the block raises, `path` stays as it was and nothing is left.

    Args:
        path: the final name.
        sync: flush to the disk before renaming, so that a power cut does not leave an empty file either.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))
    try:
        yield part
        if sync:
            _flush(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically; bytes that are not characters, as in odd file names, are escaped."""
    with writing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_bytes(path: Path | str, content: bytes, *, sync: bool = False) -> None:
    """Write `content`, whole or not at all."""
    with writing(path, sync=sync) as part:
        part.write_bytes(content)


def write_json(path: Path | str, content: Any, indent: int | None = 2) -> None:
    """Write JSON, whole or not at all.

    Raises:
        ValueError: a number is not finite; JSON has none such, and what reads the file would refuse it.
    """
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def read_text(path: Path | str, expected: str, limit: int = MAX_JSON) -> str:
    """The text of a UTF-8 file, a byte order mark dropped.

    Args:
        expected: what the file should be, for the error ("expected …").
        limit: bytes that are read at most.

    Raises:
        UserError: it cannot be read, is larger, is not UTF-8, or is a Git LFS pointer.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}; expected {expected}") from error
    if content.startswith(LFS_POINTER):
        raise UserError(_pointer(path, expected))
    if len(content) > limit:
        raise UserError(f"{path}: more than {limit // 1024**2} MiB; expected {expected}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged (not UTF-8 at byte {error.start}); expected {expected}") from None


def digest(path: Path | str) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_pointer(path: Path | str, expected: str) -> None:
    """Refuse a file that is about to be read by other means than `read_text` if it is only a Git LFS pointer.

    Raises:
        UserError: it is one.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise UserError(_pointer(path, expected))


def _pointer(path: Path | str, expected: str) -> str:
    return (
        f"{path} is a Git LFS pointer, not the file itself; `git lfs pull` in its repository downloads it; "
        f"expected {expected}"
    )


def read_json(path: Path | str, expected: str) -> Any:
    """The content of a JSON file. Repeated names and the constants NaN and Infinity, which JSON lacks, are refused.

    Args:
        expected: what the file should be, for the error.

    Raises:
        UserError: it cannot be read, or is not JSON; one sentence that names the file.
    """
    return parse_json(read_text(path, expected), str(path), expected)


def read_toml(path: Path | str, expected: str) -> dict[str, Any]:
    """A TOML file's content; `expected` as in `read_text`.

    Raises:
        UserError: the file cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(read_text(path, expected))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({shown(str(error))}); expected {expected}") from error


def parse_json(text: str, name: str, expected: str) -> Any:
    """The content of JSON text that came from `name`, as strictly as `read_json`.

    Raises:
        UserError: it is not JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:  # JSONDecodeError, and a whole number of thousands of digits
        problem = shown(str(error))
    raise UserError(f"{name} is damaged ({problem}); expected {expected}")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} occurs twice in one object")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def shown(value: object) -> str:
    """`value` for an error message: on one line, shortened, and printable whatever it holds."""
    text = printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def printable(text: str) -> str:
    """`text` on one line, with control characters and bytes that are no character written out: "\\x1b", "\\udcff"."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def is_number(cell: str) -> bool:
    """Whether the cell of a table is a number, as Python reads one."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
