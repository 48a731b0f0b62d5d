"""Tables on the terminal, as `walkies explain` prints them."""

from __future__ import annotations

from rich.table import Table


def titled(title: str, *columns: str) -> Table:
    """An empty table; the first of its columns is never wrapped."""
    table = Table(title=title, title_justify="left")
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column)
    return table
