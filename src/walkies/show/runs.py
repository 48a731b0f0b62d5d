"""`walkies runs`: list and compare past runs, and clean them up."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.files import UNFINISHED, printable, write_text
from walkies.judge import report_card
from walkies.run.folders import RUNS, RunFolder, is_locked
from walkies.run.progress import count, duration
from walkies.show import margins, page, replay
from walkies.show.pictures import curves, gait
from walkies.show.report import Summary, facts, flat_settings, is_run, summarize
from walkies.terminal import print_tables, say

LEFT_BEHIND = (UNFINISHED, "*.part", ".*.tmp", ".*.unverified", "checkpoints/*.tmp", ".film-*")
"""Patterns of files that were being written when their process was killed: today's, and those of the first version."""


def find(root: Path) -> list[Path]:
    """Run folders in `root` (or `root` itself), by name."""
    if is_run(root):
        return [root]
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected one with runs. `walkies train` makes the first in {RUNS}/")
    return sorted(path for path in root.iterdir() if path.is_dir() and is_run(path))


def table(summaries: Sequence[Summary]) -> Table:
    """One row per run: how long it trained, what its examination said, and, where there is any, a remark."""
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    rows = [_cells(one) for one in summaries]
    for column in COLUMNS[: None if any(row[-1] for row in rows) else -1]:
        words = column in WORDS
        made.add_column(column, justify="left" if words else "right", no_wrap=not words)
    for row in rows:
        made.add_row(*row[: len(made.columns)])
    return made


COLUMNS = ("run", "seed", "steps", "time", "exam", "episodes", "exam\nseed", "survival", "m/s", "rad/s", "remark")
WORDS = ("run", "exam", "remark")
"""Columns of words, which wrap on a narrow terminal; the others are numbers."""


def _cells(one: Summary) -> list[str]:
    """The cells of COLUMNS for one run."""
    numbers = ["", "", "", "", ""]
    if card := one.card:
        numbers = [str(card["episodes"]), str(card["seed"]), f"{card['survival']:.1%}", *report_card.errors(card)]
    steps = count(one.last["steps"]) if "steps" in one.last else "0"
    time = duration(one.last["seconds"]) if "seconds" in one.last else ""
    verdict = ("passed" if one.card["passed"] else "failed") if one.card else "none"
    remarks = {
        "damaged": bool(one.problems),
        "no record yet": not one.last and not one.problems,
        "examined before it was trained further": one.card is not None and one.outdated(one.card),
    }
    remark = "; ".join(text for text, holds in remarks.items() if holds)
    return [one.name, printable(str(one.config.get("seed", ""))), steps, time, verdict, *numbers, remark]


def differences(configs: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Settings in which runs differ: dotted name → its value in each run, in order."""
    flat = {name: flat_settings(config) for name, config in configs.items()}
    names = [key for config in flat.values() for key in config]
    rows = {key: [str(config.get(key, "")) for config in flat.values()] for key in dict.fromkeys(names)}
    return {key: values for key, values in rows.items() if len(set(values)) > 1 and key != "out"}


def leftovers(run: Path) -> list[Path]:
    """Files of a run that can go without losing its result: all checkpoints but the newest, and unfinished files.

    None of a run that still trains: what looks unfinished there is being written.
    """
    if is_locked(run):
        return []
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
    json: bool = False,
) -> None:
    """List, compare or clean the folders of past runs.

    Args:
        action: list: one line per run. compare: settings that differ, and a picture of the curves. clean: remove old
            checkpoints and unfinished files; the result of a run is kept.
        targets: run folders, or folders that contain some; default: runs.
        out: where compare writes its page; default: compare.html beside the first run.
        yes: delete; without it, clean only shows what it would delete.
        json: list as JSON: the configuration of each run, the last row of its curves, and its report cards. With
            compare, the settings that differ too.
    """
    if json and action == "clean":
        raise UserError("--json: clean prints no table; give it with `walkies runs list` or `walkies runs compare`")
    runs = [run for target in targets or (Path(RUNS),) for run in find(target)]
    if not runs:
        raise UserError("no runs here; `walkies train pupper` makes one")
    if action == "clean":
        # Only where there is a configuration: other programs have folders of checkpoints too.
        _clean([run for run in runs if RunFolder(run).config.is_file()], yes)
        return
    summaries = [summarize(run) for run in runs]
    listed = [one._asdict() for one in summaries]
    if not json:
        print_tables(table(summaries))
        for problem in (problem for one in summaries for problem in one.problems):
            say(problem)
    elif action == "list":
        say(dumps(listed, ensure_ascii=False, indent=2))
    if action == "compare":
        if len(runs) < 2:
            raise UserError(f"compare needs at least two runs, got {runs[0]}")
        out = out or runs[0].parent / "compare.html"
        if out.suffix != ".html":
            raise UserError(f"--out {out}: expected a name that ends with .html")
        names = labels(runs, summaries)
        differ = differences(dict(zip(names, (one.config for one in summaries), strict=True)))
        if json:
            settings = {key: dict(zip(names, values, strict=True)) for key, values in differ.items()}
            say(dumps({"runs": listed, "settings": settings}, ensure_ascii=False, indent=2))
        else:
            print_tables(table_of(names, differ))
        picture = _compare(runs, summaries, names, differ, out)
        if not json:
            say(f"Comparison: {out}" + ("" if picture is None else f" and {picture}"))


def table_of(names: Sequence[str], rows: dict[str, list[str]]) -> Table:
    """Settings in which runs of these names differ."""
    made = Table("setting", *names)
    for row in ([key, *values] for key, values in rows.items()):
        made.add_row(*map(printable, row))
    return made


def _compare(
    runs: list[Path], summaries: list[Summary], names: list[str], rows: dict[str, list[str]], out: Path
) -> Path | None:
    """Write the page; the picture of the curves, if there are any."""
    picture = _draw(runs, names, summaries, out.with_suffix(".png"))
    sections = [page.table(["", *names], [[name, *values] for name, values in _facts(summaries).items()])]
    if picture is not None:
        sections.append(page.picture("Learning curves", picture))
    differ = page.table(["setting", *names], [[key, *row] for key, row in rows.items()])
    sections.append("<h2>Settings that differ</h2>" + differ)
    if any(one.card for one in summaries):
        episodes = [f"{one.card['episodes']}, seed {one.card['seed']}" if one.card else "" for one in summaries]
        examined = page.table(["mark", *names], [["episodes", *episodes], *marks(summaries)])
        sections.append("<h2>Examinations</h2>" + examined)
    for name, run, one in zip(names, runs, summaries, strict=True):
        sections += _sections(name, run, one)
    sections += [
        page.details(f"Configuration: {name}", dumps(one.config, indent=2))
        for name, one in zip(names, summaries, strict=True)
    ]
    write_text(out, page.document(f"{len(runs)} runs compared", sections))
    return picture


def labels(runs: Sequence[Path], summaries: Sequence[Summary]) -> list[str]:
    """What each run is called beside the others: its name, or, where names come twice, its path."""
    names = [one.name for one in summaries]
    return [name if names.count(name) == 1 else printable(str(run)) for name, run in zip(names, runs, strict=True)]


def _draw(runs: Sequence[Path], names: Sequence[str], summaries: Sequence[Summary], out: Path) -> Path | None:
    """The curves of the runs that have any. Runs that differ in nothing but their seed are one curve with a band."""
    groups: dict[str, list[Path]] = {}
    kinds: dict[str, dict[str, Any]] = {}
    for run, name, one in zip(runs, names, summaries, strict=True):
        if one.last:
            owner = next((first for first, same in kinds.items() if same == _kind(one)), name)
            kinds.setdefault(owner, _kind(one))
            groups.setdefault(owner, []).append(run)
    return curves.draw_runs(groups, out) if groups else None


def _sections(name: str, run: Path, one: Summary) -> list[str]:
    """What the page says of one run alone: its rehearsal, and its policy where it can be read."""
    sections = [margins.html(one.rehearsed, f"Rehearsal: {name}")] if one.rehearsed else []
    if not RunFolder(run).policy.is_file():
        return sections
    try:
        motion = replay.record(policy_file.read(RunFolder(run).policy))
    except UserError as error:
        return [*sections, page.details(f"No replay: {name}", str(error))]
    gait_picture = gait.draw(motion, run / "gait.png")
    return [*sections, page.player(motion, f"Replay: {name}"), page.picture(f"Gait: {name}", gait_picture)]


def marks(summaries: Sequence[Summary]) -> list[list[str]]:
    """A row per mark of the examinations: its name and unit, and what each run got; empty where it was not examined."""
    cards = [{mark["key"]: mark for mark in one.card["marks"]} if one.card else {} for one in summaries]
    rows = []
    for mark in {key: mark for card in reversed(cards) for key, mark in card.items()}.values():
        values = [card[mark["key"]]["value"] if mark["key"] in card else None for card in cards]
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
        say(str(path))
        if really:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    verb = "removed" if really else "can be deleted; --yes deletes them"
    say(f"{len(paths)} files, {size / 1e6:.1f} MB, {verb}")


def _kind(summary: Summary) -> dict[str, Any]:
    return {key: value for key, value in flat_settings(summary.config).items() if key not in ("seed", "out")}
