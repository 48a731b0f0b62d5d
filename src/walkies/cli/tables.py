"""Tables on the terminal, as `walkies explain` prints them, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.table import Table

from walkies.terminal import print_tables, say


def titled(title: str, *columns: str, names: int = 1) -> Table:
    """An empty table; the first `names` of its columns are never wrapped."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number < names)
    return table


def show(tables: Sequence[Table], as_json: bool = False) -> None:
    """Print tables, with an empty line between them; or as one JSON object, each table by its title a list of its
    rows."""
    if as_json:
        say(json.dumps({str(table.title): rows(table) for table in tables}, ensure_ascii=False, indent=2))
        return
    print_tables(*tables)


def rows(table: Table) -> list[dict[str, str]]:
    """The rows of a table, each with its cells by column; a column without a name is the note."""
    names = [str(column.header) or "note" for column in table.columns]
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
