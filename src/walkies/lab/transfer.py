"""`walkies lab transfer`: does a policy walk in a simulator in which it did not learn?

Every policy is examined in every simulator, under the same conditions: robots, floors, latencies and commands of one
examination seed. What differs between two cells of a line is the physics alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from json import dumps, loads
from pathlib import Path
from typing import Annotated, get_args

import tyro

from walkies.accel.cpu import machine
from walkies.bounds import Between, Seed
from walkies.errors import UserError
from walkies.files import digest
from walkies.judge.exam import ExamSimulator
from walkies.lab import row_file, runner
from walkies.lab.row_file import Row
from walkies.lab.study import trials
from walkies.markdown import escape
from walkies.markdown import table as markdown_table
from walkies.run.folders import RunFolder
from walkies.sim.other.install import is_installed
from walkies.terminal import narrowed, say

NUMBERS = ("survival", "lin_vel_error", "yaw_rate_error")
COLUMNS = (
    *("run", "trained_in", "randomization", "seed", "steps", "simulator", "episodes", "exam_seed"),
    *("passed", *NUMBERS, "policy", "seconds", "commit", "machine", "date"),
)
EXPECTED = "the rows of a transfer matrix"


def command(
    runs: tyro.conf.Positional[tuple[Path, ...]] = (),
    simulators: tuple[ExamSimulator, ...] = (),
    episodes: Annotated[int, Between(1, 10_000)] = 32,
    seed: Seed = 9,
    out: Path = Path("runs/transfer.csv"),
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    table_only: Annotated[bool, tyro.conf.arg(name="table")] = False,
    picture: Path | None = None,
    json: bool = False,
) -> None:
    """Examine policies in every simulator, and print the matrix: trained in, examined in.

    A row is kept as soon as an examination is over, and the same command makes those that are missing. An episode of 20
    seconds takes some seconds of processor time in bullet, dart and newton.

    Args:
        runs: Folders of runs. Default: those of the rows that are there.
        simulators: Where to examine. Default: every simulator that is installed.
        episodes: Of each examination.
        seed: Of the examinations, in all simulators the same.
        out: The CSV file with the rows.
        show: Only list the rows, finished and missing.
        table_only: Print the matrix of finished rows, and examine nothing.
        picture: Draw the matrix into this file.
        json: Print the rows as JSON; with --list the list of them.
    """
    chosen = simulators or tuple(filter(is_installed, get_args(ExamSimulator)))
    asked = as_rows(runs, chosen, episodes, seed, out)
    if show:
        return say(runner.listing(asked, json))
    if not table_only:
        runner.make(asked, out.parent / f"{out.stem}.lock")
    found = [
        row
        for row in row_file.read(out, COLUMNS, EXPECTED)
        if row["simulator"] in chosen and (row["episodes"], row["exam_seed"]) == (str(episodes), str(seed))
        and (not runs or row["run"] in map(str, runs))
    ]  # fmt: skip
    if not found:
        raise UserError(f"{out} has no row of this matrix yet; give folders of runs")
    if picture is not None:
        draw(found, picture)
    say(dumps(found, indent=2) if json else narrowed(table(found)))


def as_rows(runs: Sequence[Path], simulators: Sequence[str], episodes: int, seed: int, out: Path) -> list[runner.Row]:
    """An examination of every run in every simulator.

    Raises:
        UserError: one of the folders is no run.
    """
    known = [about(run) for run in runs]

    def row(run: Mapping[str, object], simulator: str) -> runner.Row:
        wanted = {**run, "simulator": simulator, "episodes": episodes, "exam_seed": seed}
        same = {key: str(wanted[key]) for key in ("run", "policy", "simulator", "episodes", "exam_seed")}

        def finished() -> bool:
            rows = row_file.read(out, COLUMNS, EXPECTED)
            return any(same.items() <= one.items() for one in rows)

        def make() -> None:
            row_file.append(out, COLUMNS, EXPECTED, wanted | examined(wanted))

        return runner.Row(f"{run['run']} in {simulator}", finished, make)

    return [row(run, simulator) for run in known for simulator in simulators]


def about(run: Path) -> dict[str, object]:
    """What a run says of itself.

    Raises:
        UserError: it is no run.
    """
    from walkies.run.config import expanded, read_config
    from walkies.tasks.randomization import SETS

    folder = RunFolder(run)
    config = expanded(read_config(folder, own_terms=False))
    drawn = config.task.randomization
    name = next((name for name, values in SETS.items() if values == drawn), "other")
    return {
        "run": str(run), "trained_in": config.simulator, "randomization": name, "seed": config.seed,
        "steps": trials.taken(run), "policy": digest(folder.policy),
    }  # fmt: skip


def examined(row: Mapping[str, object]) -> dict[str, object]:
    """What an examination in the row's simulator says."""
    names = ("simulator", "episodes")
    flags = [word for name in names for word in (f"--{name}", str(row[name]))] + ["--seed", str(row["exam_seed"])]
    started = datetime.now(UTC)
    card = loads(trials.command("exam", str(row["run"]), *flags, "--json", statuses=trials.VERDICTS))
    return {
        "passed": card["passed"], **{name: card[name] for name in NUMBERS},
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "commit": trials.commit(), "machine": machine(), "date": started.date().isoformat(),
    }  # fmt: skip


Group = dict[tuple[str, str], dict[str, list[Row]]]


def grouped(rows: Sequence[Row]) -> Group:
    """(trained in, randomization) → simulator → its rows, one for each seed."""
    found: Group = {}
    for row in rows:
        found.setdefault((row["trained_in"], row["randomization"]), {}).setdefault(row["simulator"], []).append(row)
    return found


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The simulators of the rows."""
    return [name for name in get_args(ExamSimulator) if any(row["simulator"] == name for row in rows)]


def mean(rows: Sequence[Row], number: str) -> float:
    return statistics.mean(float(row[number]) for row in rows)


def table(rows: Sequence[Row]) -> str:
    """The matrix as Markdown: in each cell survival, mean and worst of the seeds, and the mean errors."""
    columns, lines = columns_of(rows), []
    for (trained_in, randomization), cells in grouped(rows).items():
        seeds = {row["run"] for group in cells.values() for row in group}
        lines.append(
            (escape(trained_in), escape(randomization), str(len(seeds)), *(_cell(cells.get(one)) for one in columns))
        )
    return "\n".join(markdown_table(("trained in", "randomization", "seeds", *columns), lines))


def _cell(rows: Sequence[Row] | None) -> str:
    if not rows:
        return "–"
    worst = min(float(row["survival"]) for row in rows)
    errors = f"{mean(rows, 'lin_vel_error'):.3f} m/s, {mean(rows, 'yaw_rate_error'):.3f} rad/s"
    return f"{mean(rows, 'survival'):.3f} ({worst:.3f}), {errors}"


def draw(rows: Sequence[Row], out: Path) -> Path:
    """The matrix as two heat maps: survival and velocity error."""
    from walkies.show.pictures import theme
    from walkies.show.pictures.heat import heat

    columns, groups = columns_of(rows), grouped(rows)
    names = [f"{where}, {drawn}" for where, drawn in groups]
    width, height = 0.8 * len(columns) + 1.8, 0.4 * len(groups) + 1.0
    with theme.figure(width=width, height=height, columns=2) as (made, plots):
        for plot, number, title, form in zip(
            plots[0], NUMBERS, ("survival", "velocity error, m/s"), ("{:.0%}", "{:.3f}"), strict=False
        ):
            values = [
                [mean(cells[one], number) if one in cells else None for one in columns] for cells in groups.values()
            ]
            heat(plot, values, names, columns, form.format, falls=number != "survival")
            plot.set_title(title)
        return theme.save(made, out)
