"""The trials of a study as tasks of Ray's, several at once, on this machine or a cluster.

A task is one trial: `walkies.lab.study.trials.run` on the machine that Ray chooses. Its row is written here, as soon as
it is there. Where the machines share no folder, a training whose shorter part was made on another machine begins anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from walkies.accel.cpu import available_cores
from walkies.errors import UserError
from walkies.lab import runner
from walkies.lab.study import rows
from walkies.lab.study.plan import Plan, Trial, planned, threads_of
from walkies.run.folders import locked
from walkies.run.workers.cluster import connect
from walkies.terminal import say

AGAIN = 3
"""How often a trial is begun again whose process or machine died."""

Work = Callable[..., dict[str, object]]
"""As `walkies.lab.study.trials.run`."""


def make(plan: Plan, named: list[runner.Row], out: Path, folder: Path, address: str | None, work: Work) -> None:
    """Make the rows that are missing in the file `out`.

    Args:
        plan: every variant says its number of threads (`walkies.lab.study.plan.on_cores`).
        named: the row of each trial of the plan.
        folder: of the runs; it belongs to this process meanwhile.
        address: of a Ray cluster; None: this machine alone.
        work: makes a trial; it must not depend on this process.

    Raises:
        UserError: a trial failed, or there is no room for one; the others are stopped, the rows are kept.
        LockedRun: another process makes rows in `folder`.
    """
    if several := [name for name, flags in plan.variants.items() if "--workers" in flags]:
        raise UserError(f"--ray: {several[0]} has --workers, which starts Ray itself; leave out one of them")
    names = dict(zip(planned(plan), (row.name for row in named), strict=True))
    waiting = [trial for trial in names if trial not in rows.there(out)]
    if not waiting:
        return
    # Ray prints that a worker died; standard output is for the table.
    with locked(folder), runner.counted(named), redirect_stdout(sys.stderr):
        ray = connect(address, available_cores(), "--ray")
        try:
            _refuse_too_large(ray, plan)
            running: dict[Any, Trial] = {}
            while waiting or running:
                for trial in [one for one in waiting if _may_begin(one, [*waiting, *running.values()])]:
                    waiting.remove(trial)
                    task = ray.remote(_on_its_machine).options(
                        num_cpus=threads_of(plan, trial), max_retries=AGAIN, name=names[trial]
                    )
                    later = any(trial.is_before(other) for other in rows.there(out))
                    running[task.remote(work, plan, trial, folder.absolute(), later, Path.cwd())] = trial
                [done], _ = ray.wait(list(running), num_returns=1)
                trial = running.pop(done)
                rows.append(out, _result(ray, done, names[trial]))
                left = len(waiting) + len(running)
                say(f"{len(names) - left} of {len(names)}: {names[trial]} is finished", sys.stderr)
        finally:
            ray.shutdown()


def _may_begin(trial: Trial, unfinished: list[Trial]) -> bool:
    """Whether no other trial is to leave a run that this one goes on with, or that this one would take away."""
    return not any(other.is_before(trial) for other in unfinished)


def _on_its_machine(
    work: Work, plan: Plan, trial: Trial, folder: Path, later: bool, cwd: Path
) -> dict[str, object]:  # fmt: skip
    cwd.mkdir(parents=True, exist_ok=True)
    return work(plan, trial, folder, later, cwd)


def _result(ray: Any, done: Any, name: str) -> dict[str, object]:
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UserError(
            f"{name}: its process died {AGAIN + 1} times, last with: {str(error).splitlines()[0]}; look at the memory "
            f"of the machines"
        ) from error


def _refuse_too_large(ray: Any, plan: Plan) -> None:
    """Refuse a trial that Ray would let wait for ever."""
    largest = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    most = max(threads_of(plan, trial) or 0 for trial in planned(plan))
    if most > largest:
        raise UserError(f"--threads {most}: no machine has so many cores for one trial; the largest has {largest}")
