"""Pieces of Markdown in which text is never markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from walkies.files import printable

_SPECIAL = re.compile(r"([\\`*_\[\]<>|&~])")


def escape(text: str) -> str:
    """`text` escaped so that it is shown literally, also in a table cell."""
    return _SPECIAL.sub(r"\\\1", printable(text))


BAR = re.compile(r"(?<!\\)\|")
"""What separates cells of a table; an escaped one is text."""


def cells(line: str) -> list[str]:
    """The cells of a table's line."""
    return [cell.strip() for cell in BAR.split(line)[1:-1]]


def rows(text: str) -> list[dict[str, str]]:
    """The rows of the table in a text, each with its cells by column; a column without a name is the note."""
    head, _, *found = [cells(line) for line in text.split("\n") if line.startswith("|")] or [[], []]
    return [dict(zip([name or "note" for name in head], row, strict=True)) for row in found]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; cells are Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
