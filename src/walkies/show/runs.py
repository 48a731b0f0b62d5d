"""`walkies runs`: what was trained here, side by side, and what may go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.files import UNFINISHED, write_text
from walkies.runs import RUNS, RunFolder
from walkies.show import curves, gait, margins, page, replay
from walkies.show.progress import count, duration
from walkies.show.report import Summary, facts, flat_settings, summarize

LEFT_BEHIND = (UNFINISHED, "*.part", ".*.tmp", ".*.unverified", "checkpoints/*.tmp", ".film-*")
"""Patterns of files that were being written when their process was killed: today's, and those of the first version."""


def find(root: Path) -> list[Path]:
    """Run folders in `root` (or `root` itself), by name; a run folder is one with a config.json."""
    if RunFolder(root).config.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected one with runs. `walkies train` makes the first in {RUNS}/")
    return sorted(path.parent for path in root.glob("*/config.json"))


def table(summaries: Sequence[Summary]) -> Table:
    """One row per run: how long it trained, and what its examination said (survival, mean errors)."""
    made = Table()
    for column in ("run", "seed", "steps", "time", "examination", "survival", "m/s", "rad/s"):
        made.add_column(column, justify="left" if column in ("run", "examination") else "right", no_wrap=True)
    for one in summaries:
        card = one.card
        verdict = "not examined" if card is None else "passed" if card["passed"] else "failed"
        numbers = ["", "", ""] if card is None else [
            f"{card['survival']:.1%}", f"{card['lin_vel_error']:.3f}", f"{card['yaw_rate_error']:.3f}",
        ]  # fmt: skip
        steps = count(one.last["steps"]) if "steps" in one.last else "0"
        time = duration(one.last["seconds"]) if "seconds" in one.last else ""
        made.add_row(one.name, str(one.config.get("seed", "")), steps, time, verdict, *numbers)
    return made


def differences(configs: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Settings in which runs differ: dotted name → its value in each run, in order."""
    flat = {name: flat_settings(config) for name, config in configs.items()}
    names = [key for config in flat.values() for key in config]
    rows = {key: [str(config.get(key, "")) for config in flat.values()] for key in dict.fromkeys(names)}
    return {key: values for key, values in rows.items() if len(set(values)) > 1 and key != "out"}


def leftovers(run: Path) -> list[Path]:
    """Files of a run that can go without losing its result: all checkpoints but the newest, and unfinished files."""
    newest = RunFolder(run).latest_checkpoint()
    checkpoints = [path for path in RunFolder(run).checkpoints.glob("*.safetensors") if path != newest]
    unfinished = [path for pattern in LEFT_BEHIND for path in run.glob(pattern)]
    return sorted([*checkpoints, *unfinished])


def command(
    action: Annotated[Literal["list", "compare", "clean"], tyro.conf.Positional] = "list",
    targets: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    /,
    out: Path | None = None,
    yes: bool = False,
) -> None:
    """List, compare or clean the folders of past runs.

    Args:
        action: list: one line per run. compare: settings that differ, and a picture of the curves. clean: remove old
            checkpoints and unfinished files; the result of a run stays.
        targets: run folders, or folders that hold some; default: runs.
        out: where compare writes its page; default: compare.html beside the first run.
        yes: clean without only showing what would go.
    """
    console = Console()
    runs = [run for target in targets or (Path(RUNS),) for run in find(target)]
    if not runs:
        raise UserError("no runs here; `walkies train pupper` makes one")
    if action == "clean":
        _clean(runs, yes)
        return
    summaries = [summarize(run) for run in runs]
    console.print(table(summaries))
    if action == "compare":
        if len(runs) < 2:
            raise UserError(f"compare needs at least two runs, got {runs[0]}")
        _compare(console, runs, summaries, out or runs[0].parent / "compare.html")


def _compare(console: Console, runs: list[Path], summaries: list[Summary], out: Path) -> None:
    if out.suffix != ".html":
        raise UserError(f"--out {out}: expected a name that ends with .html")
    rows = differences({str(run): one.config for run, one in zip(runs, summaries, strict=True)})
    made = Table("setting", *(run.name for run in runs))
    for key, values in rows.items():
        made.add_row(key, *values)
    console.print(made)
    groups: dict[str, list[Path]] = {}
    kinds: dict[str, dict[str, Any]] = {}
    for run, one in zip(runs, summaries, strict=True):
        # Runs that differ in nothing but their seed are one curve with a band.
        owner = next((name for name, same in kinds.items() if same == _kind(one)), run.name)
        kinds.setdefault(owner, _kind(one))
        groups.setdefault(owner, []).append(run)
    picture = curves.draw_runs(groups, out.with_suffix(".png"))
    names = [one.name for one in summaries]
    sections = [
        page.table(["", *names], [[name, *values] for name, values in _facts(summaries).items()]),
        page.picture("Learning curves", picture),
        "<h2>Settings that differ</h2>" + page.table(["setting", *names], [[key, *row] for key, row in rows.items()]),
    ]
    if any(one.card for one in summaries):
        sections.append("<h2>Examinations</h2>" + page.table(["mark", *names], marks(summaries)))
    sections += [margins.html(one.rehearsed, f"Rehearsal: {one.name}") for one in summaries if one.rehearsed]
    for run, one in zip(runs, summaries, strict=True):
        if RunFolder(run).policy.is_file():
            motion = replay.record(policy_file.read(RunFolder(run).policy))
            sections.append(page.player(motion, f"Replay: {one.name}"))
            sections.append(page.picture(f"Gait: {one.name}", gait.draw(motion, run / "gait.png")))
    sections += [page.details(f"Configuration: {one.name}", json.dumps(one.config, indent=2)) for one in summaries]
    write_text(out, page.document(f"{len(runs)} runs compared", sections))
    console.print(f"Comparison: {out} and {picture}")


def marks(summaries: Sequence[Summary]) -> list[list[str]]:
    """A row per mark of the examinations: its name and unit, and what each run got; empty where it was not examined."""
    cards = [{mark["key"]: mark for mark in (one.card or {"marks": ()})["marks"]} for one in summaries]
    rows = []
    for mark in {key: mark for card in reversed(cards) for key, mark in card.items()}.values():
        values = [card.get(mark["key"], {}).get("value") for card in cards]
        name = f"{mark['name']}, {mark['unit']}" if mark["unit"] else mark["name"]
        rows.append([name, *("" if value is None else f"{value:.3f}" for value in values)])
    return rows


def _facts(summaries: Sequence[Summary]) -> dict[str, list[str]]:
    """Name → value per run; empty where a run has none."""
    found = [dict([("Command", one.command), *facts(one)]) for one in summaries]
    return {name: [one.get(name, "") for one in found] for name in dict.fromkeys(key for one in found for key in one)}


def _clean(runs: list[Path], really: bool) -> None:
    paths = [path for run in runs for path in leftovers(run)]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    for path in paths:
        print(path)
        if really:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    verb = "removed" if really else "could go; --yes removes them"
    print(f"{len(paths)} files, {size / 1e6:.1f} MB, {verb}")


def _kind(summary: Summary) -> dict[str, Any]:
    return {key: value for key, value in flat_settings(summary.config).items() if key not in ("seed", "out")}
