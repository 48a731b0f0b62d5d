"""Tables on the terminal, as `walkies explain` prints them."""

from __future__ import annotations

from rich.table import Table


def titled(title: str, *columns: str, names: int = 1) -> Table:
    """An empty table; the first `names` of its columns are never wrapped, nor cut."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number < names)
    return table
