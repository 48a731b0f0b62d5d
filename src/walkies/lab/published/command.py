"""`walkies lab benchmark`: published results, repeated with the settings that made them."""

from __future__ import annotations

from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated

import tyro

from walkies import markdown
from walkies.lab import runner
from walkies.lab.published.protocols import Row, first_seeds, rows
from walkies.run.folders import refuse_unwritable
from walkies.terminal import narrowed, say


def command(
    only: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    out: Path = Path("runs/benchmark"),
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    page: Path | None = None,
    speed: bool = False,
    one_step: bool = False,
    json: bool = False,
) -> None:
    """Train walkies' recipes in Gymnasium's environments with public libraries' settings, and compare the results.

    Trains what is missing, one row after the other; a killed row resumes from its last checkpoint. Needs the extra
    `gym`, and for the rows of other libraries the extra `compare`.

    Args:
        only: Parts of rows' names, such as `Hopper` or `trpo-contrib_Hopper-v4_1`. Default: every row.
        out: Folder with finished rows, curves and checkpoints.
        show: Only list the rows, finished and missing.
        page: Write the table and the picture of all finished rows into this Markdown file, without training.
        speed: Only time 50,000 steps of the rows of other libraries alternating with ours.
        one_step: Only compare TRPO's first steps with sb3-contrib's, on the same batches, under each row's settings.
        json: Print the table, or the list, as JSON.
    """
    from walkies.lab.published import report

    chosen = rows(only)
    if page is not None:
        report.write_page(page, out, rows())
    elif speed:
        say(shown(_time(chosen, out), json))
    elif one_step:
        say(shown(_compare_steps(chosen, out), json))
    elif show:
        say(runner.listing(_as_rows(chosen, out), json))
    else:
        refuse_unwritable(out)
        runner.make(_as_rows(chosen, out), out)
        say(shown(report.table(out, chosen), json))


def shown(text: str, as_json: bool) -> str:
    """Markdown for the terminal, or its table as JSON."""
    return dumps(markdown.rows(text), ensure_ascii=False, indent=2) if as_json else narrowed(text)


def _as_rows(chosen: list[Row], out: Path) -> list[runner.Row]:
    from walkies.lab.published import report

    return [
        runner.Row(
            row.key, partial(report.finished, row, out), partial(_train, row, out), partial(report.state, row, out)
        )
        for row in chosen
    ]


def _train(row: Row, out: Path) -> None:
    from walkies.lab.published import trials

    if row.protocol.library is not None:
        from walkies.lab.published import libraries

        libraries.train_row(row, out)
    else:
        trials.train_row(row, out, say=say)


def _time(chosen: list[Row], out: Path) -> str:
    from walkies.lab.published import libraries, report

    theirs = [row for row in first_seeds(chosen) if row.protocol.library is not None]
    for row in theirs:
        libraries.write_speed(libraries.speed(row), row, out)
    return report.speed_table(out, theirs)


def _compare_steps(chosen: list[Row], out: Path) -> str:
    from walkies.lab.published import one_step, report

    ours = [row for row in first_seeds(chosen) if row.protocol.recipe.update == "natural_step"]
    for row in ours:
        one_step.write(row, out)
    return report.step_table(out, ours)
