"""`walkies lab study`: do all seeds pass, and which settings are better?"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import tyro

from walkies.accel.cpu import Threads
from walkies.bounds import Between
from walkies.errors import UserError
from walkies.lab import runner
from walkies.lab.study import placed, rows, table, trials
from walkies.lab.study.plan import Plan, Trial, narrowed_to, on_cores, planned, read_plan
from walkies.terminal import narrowed, say

RUNS = Path("runs/study")
"""Below it the runs of each study are kept."""


def command(
    file: Annotated[Path, tyro.conf.Positional],
    seeds: Annotated[int, Between(1, 1000)] | None = None,
    minutes: tuple[Annotated[float, Between(0.0, 1e6, "(]")], ...] = (),
    steps: tuple[Annotated[int, Between(1, 10**12)], ...] = (),
    only: tuple[str, ...] = (),
    out: Path | None = None,
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    table_only: Annotated[bool, tyro.conf.arg(name="table")] = False,
    each: bool = False,
    json: bool = False,
    ray: bool = False,
    address: str | None = None,
    threads: Threads | None = None,
) -> None:
    """Train variants of a training with several seeds, and judge every policy.

    The file says which: a table `variants` of names and flags of `walkies train`, and `robots`, `seeds`, lengths in
    `minutes` or `steps` (each robot's default length without), `episodes`, `exam_seed`, `boxes`, `lint`, `cold`. A row
    is written as soon as a policy is judged; rows that are there are not made again, and a training by steps that was
    stopped goes on, so a study can be stopped and continued. By minutes, nothing else should run on the machine.

    Args:
        file: A TOML file.
        seeds: Seeds 0 … seeds − 1, in place of the file's.
        minutes: Lengths, in place of the file's.
        steps: Lengths in control steps, in place of the file's.
        only: Names of variants; all if none is given.
        out: The CSV file with the rows. Default: runs/study/NAME.csv for NAME.toml. The runs are kept in runs/study.
        show: Only list the rows, finished and missing.
        table_only: Print the table of finished rows, and train nothing.
        each: A line per seed.
        json: Print the rows as JSON; with --list the list of them.
        ray: Several trainings at once, placed by Ray; needs the extra `ray` (docs/workers.md).
        address: With --ray: a Ray cluster, as `ray start` names it. Default: this machine, on its loopback interface.
        threads: CPU threads of each training, added to the flags of variants that have no --threads. Default: all
            cores, and with --ray 1.
    """
    if address is not None and not ray:
        raise UserError(f"--address {address}: names a cluster for --ray; add --ray, or leave it out")
    plan = narrowed_to(read_plan(file, seeds=seeds, minutes=minutes, steps=steps), only)
    if ray or threads is not None:
        plan = on_cores(plan, threads or 1)
    out = out or RUNS / f"{file.stem}.csv"
    if show:
        return say(runner.listing(of_plan(plan, out), json))
    if not table_only:
        if ray:
            placed.make(plan, of_plan(plan, out), out, RUNS / out.stem, address, trials.run)
        else:
            make(plan, out)
    found = rows.of_plan(plan, out)
    if json:
        say(dumps(found, indent=2))
    elif not found:
        raise UserError(f"{out} has no row of this study yet")
    else:
        say(narrowed(table.each(found) if each else table.summary(found)))


def make(plan: Plan, out: Path) -> None:
    """Run what is missing."""
    runner.make(of_plan(plan, out), RUNS / out.stem)


def of_plan(plan: Plan, out: Path) -> list[runner.Row]:
    """The rows of a plan in the file `out`.

    Raises:
        UserError: one that is there was made with other settings.
    """
    rows.of_plan(plan, out)

    def row(trial: Trial) -> runner.Row:
        def make() -> None:
            later = any(trial.is_before(other) for other in rows.there(out))
            rows.append(out, trials.run(plan, trial, RUNS / out.stem, later))

        name = f"{trial.variant}, {trial.robot}, seed {trial.seed}, {trial.length}"
        return runner.Row(name, lambda: trial in rows.there(out), make)

    return [row(trial) for trial in planned(plan)]
