"""Pieces of Markdown in which text is never markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from walkies.files import printable

_SPECIAL = re.compile(r"([\\`*_\[\]<>|&~])")


def escape(text: str) -> str:
    """`text` escaped so that it is shown literally, also in a table cell."""
    return _SPECIAL.sub(r"\\\1", printable(text))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; cells are Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
