"""Printing: no character, name or broken pipe may end the work that is reported.

A terminal that lacks a character gets the nearest one it has ("≥" as ">="). User-given names are never markup: neither
"[b]" in a run's name nor an escape sequence. If output cannot be written, the program continues without it.
"""

from __future__ import annotations

import codecs
import errno
import io
import itertools
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from walkies import markdown
from walkies.files import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table

PLAIN = "walkies.plain"
"""Name of the encoding error handler that writes the nearest ASCII."""
LIKENESS = str.maketrans(
    {
        **{"≥": ">=", "≤": "<=", "≈": "~", "≡": "==", "≠": "!=", "±": "+-", "−": "-", "×": "x", "·": "*", "√": "sqrt "},
        **{"→": "->", "←": "<-", "↦": "->", "∝": "~", "∞": "inf", "∂": "d", "∇": "grad ", "∑": "sum ", "∫": "int "},
        **{"∈": " in ", "‖": "||", "′": "'", "⁄": "/", "ᵀ": "^T", "²": "^2", "³": "^3", "⁴": "^4", "⁻": "^-"},
        **{"°": " deg", "µ": "u", "–": "-", "—": "--", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'"},
        **{"❚": "|", "✓": "ok", "•": "*"},
        **dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True)),
    }
)
"""Replacements for characters that the terminal lacks. Greek letters become their names, accents are dropped."""
WIDE = 160
"""Width of a table that is written to a file or a pipe."""
READABLE = 16
"""Characters that a column of sentences needs at least to be read with ease."""


PROGRAM = "walkies"
"""The program's name, if the shell finds it."""


def called() -> str:
    """How to call this program from the user's shell: by its name if the shell finds it, else by its path, as under
    `make`, which runs it from .venv."""
    path = Path(sys.argv[0])
    return str(path) if path.name == PROGRAM and path.is_file() and shutil.which(PROGRAM) is None else PROGRAM


def plain(text: str) -> str:
    """`text` in the nearest ASCII; "?" for characters without an equivalent."""
    return "".join(character if character.isascii() else _likeness(character) for character in text)


def _likeness(character: str) -> str:
    name = unicodedata.name(character, "")
    if (like := character.translate(LIKENESS)) != character:
        return like
    if name.startswith("GREEK ") and " LETTER " in name:
        letter = name.partition(" LETTER ")[2].partition(" ")[0].lower().replace("lamda", "lambda")
        return letter.capitalize() if "CAPITAL" in name else letter
    if name.startswith("BOX DRAWINGS"):
        return "-" if name.endswith("HORIZONTAL") else "|" if name.endswith("VERTICAL") else "+"
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a file's name that is not text
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.combining(character):
        return ""
    parts = unicodedata.normalize("NFKD", character)
    return "?" if parts == character else plain(parts)


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # it is registered for writing alone
    return plain(error.object[error.start : error.end]), error.end


codecs.register_error(PLAIN, _nearest)


def say(text: str = "", file: TextIO | None = None) -> None:
    """Print lines, unbuffered, to standard output or to `file`, in the characters that it supports."""
    stream = file or sys.stdout
    if stream is None:  # it was closed before Python began
        return
    lines = "\n".join(map(printable, text.split("\n")))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(lines.encode(encoding, PLAIN).decode(encoding), file=stream, flush=True)


def console() -> Console:
    """A rich console on standard output without markup; a wide one if that is not a terminal."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=PLAIN)
    made = Console(markup=False, emoji=False, highlight=False)
    if not (made.is_terminal or made.is_jupyter or "COLUMNS" in os.environ):
        made.width = WIDE
    return made


def print_tables(*tables: Table) -> None:
    """Print tables with an empty line between them, each in the first of three forms that the terminal has room for.

    As it is; without lines around its cells; or each row as a paragraph, with a line `column  value` per cell. In no
    form is a word cut, and one is broken only where it is longer than the terminal.
    """
    out = console()
    for number, table in enumerate(tables):
        if number:
            out.print()
        out.print(_fitting(out, table))


def _fitting(out: Console, table: Table) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.measure import Measurement

    unbounded = out.options.update(max_width=sys.maxsize)  # else rich answers no more than the terminal's width
    bounds = [_widths(column) for column in table.columns]
    for column, (least, _) in zip(table.columns, bounds, strict=True):
        column.overflow, column.width = "fold", least
    for _ in range(2):
        if (free := out.width - Measurement.get(out, unbounded, table).maximum) >= 0:
            _widen(table.columns, [most for _, most in bounds], free)
            return table
        table.box, table.padding, table.pad_edge, table.show_edge = SIMPLE_HEAD, (0, 1, 0, 0), False, False
    return _paragraphs(table)


def _widths(column: Column) -> tuple[int, int]:
    """Characters that a column needs for its longest word and to read a sentence, and those of its longest line."""
    lines = [line for cell in (column.header, *column.cells) for line in str(cell).split("\n")]
    most = max(map(len, lines))
    if column.no_wrap:
        return most, most
    sentence = max((len(str(cell)) for cell in column.cells), default=0)
    return max(*(len(word) for line in lines for word in line.split()), min(sentence, READABLE), 1), most


def _widen(columns: Sequence[Column], most: Sequence[int], free: int) -> None:
    """Give columns the characters that are left, one by one to the column that lacks most."""
    widths = [column.width or 0 for column in columns]
    for _ in range(free):
        lacks = [wanted - width for wanted, width in zip(most, widths, strict=True)]
        if max(lacks, default=0) <= 0:
            break
        widths[lacks.index(max(lacks))] += 1
    for column, width in zip(columns, widths, strict=True):
        column.width = width


def _paragraphs(table: Table) -> Table:
    """Each row as lines of a column's name and its value; empty cells are left out."""
    from rich.table import Table

    made = Table(title=table.title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    names = [" ".join(str(column.header).split()) for column in table.columns]
    for number, row in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        if number:
            made.add_row("", "")
        for name, cell in zip(names, row, strict=True):
            if str(cell):
                made.add_row(name, cell)
    return made


def narrowed(text: str) -> str:
    """Markdown for `say`: its tables as they are where the terminal has room for them, else a paragraph per row."""
    width = console().width
    lines: list[str] = []
    for is_table, block in itertools.groupby(text.split("\n"), lambda line: line.startswith("|")):
        found = list(block)
        if is_table and max(map(len, found)) > width:
            head, _, *rows = map(markdown.cells, found)
            found = "\n\n".join("\n".join(_listed(head, row, width)) for row in rows).split("\n")
        lines += found
    return "\n".join(lines)


def _listed(head: list[str], row: list[str], width: int) -> list[str]:
    """The cells of a row below each other, each after its column's name, wrapped."""
    cells = [f"{name}: {cell}" if name else cell for name, cell in zip(head, row, strict=True) if cell]
    return [line for cell in cells for line in textwrap.wrap(cell, width, subsequent_indent="  ")]


class Outlet(io.RawIOBase):
    """The bytes of a text stream; writing never fails: lost output is dropped and the reason remembered."""

    def __init__(self, stream: Any) -> None:
        """`stream`: a text stream, or None for one that was closed before Python began."""
        self._stream = stream  # kept, since a text stream that is forgotten closes what is below it
        buffer = getattr(stream, "buffer", None)
        self._raw = getattr(buffer, "raw", buffer)
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw is not None and self._raw.isatty()

    def fileno(self) -> int:
        if self._raw is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._raw.fileno()

    def write(self, content: Any) -> int:
        if self.failure is None:
            try:
                if self._raw is not None and not self._raw.closed:
                    return self._raw.write(content)
                self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
            except OSError as error:
                self.failure = error
        return len(content)


def take_over() -> Outlet:
    """Make this process's standard output and error take everything; standard output's outlet."""
    _occupy()
    sys.stdout, out = _open(sys.stdout)
    sys.stderr, _ = _open(sys.stderr)
    return out


def _open(stream: Any) -> tuple[Any, Outlet]:
    """A text stream in place of `stream` (None for one that is closed), and its outlet."""
    outlet = Outlet(stream)
    if stream is None:
        return io.TextIOWrapper(io.BufferedWriter(outlet), "utf-8", PLAIN), outlet
    if not isinstance(stream, io.TextIOWrapper):  # who runs this inside another program has seen to it
        return stream, outlet
    stream.flush()
    at_once = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(io.BufferedWriter(outlet), stream.encoding, PLAIN, line_buffering=at_once), outlet


def _occupy() -> None:
    """Leave none of the three streams' descriptors free: the next file opened would get the output."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
