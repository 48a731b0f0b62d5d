"""`walkies report`: one run on one page, as Markdown and as a single self-contained HTML file."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
import tyro

from walkies import records
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.files import digest, printable, write_text
from walkies.judge import report_card
from walkies.judge.report_card import Card
from walkies.markdown import escape, table
from walkies.run import loggers
from walkies.run.folders import RunFolder
from walkies.run.progress import count, duration
from walkies.show import margins, page, replay
from walkies.show.pictures import curves, gait
from walkies.terminal import say

T = TypeVar("T")
PAGES = ("report.md", "report.html")


class Summary(NamedTuple):
    """Contents of a run folder; missing parts are empty or None."""

    name: str
    config: dict[str, Any]
    versions: dict[str, str]
    last: dict[str, float]
    """The last row of the curves: its finite numbers. Empty until the training has written a row."""
    card: Card | None
    """The report card of the default examination, or, where there was none, of that with most episodes."""
    command: str
    rehearsed: margins.Margins = margins.NONE
    exams: tuple[Card, ...] = ()
    """The cards of all other examinations, those with most episodes first."""
    policy: str = ""
    """SHA-256 of the policy file."""
    problems: tuple[str, ...] = ()
    """A sentence for each part that is missing or damaged and treated as empty."""

    def outdated(self, card: Card) -> bool:
        """Whether `card` is of another policy than the one that the run has now."""
        return bool(self.policy) and card.get("policy", self.policy) != self.policy

    def verdict(self, card: Card) -> str:
        """'passed' or 'failed', and whether that was an earlier policy."""
        return ("passed" if card["passed"] else "failed") + (" (an earlier policy)" if self.outdated(card) else "")


def is_run(folder: Path) -> bool:
    """Whether a training has left anything in `folder`, however early it ended."""
    run = RunFolder(folder)
    return run.config.is_file() or run.curves.is_file() or run.latest_checkpoint() is not None


def summarize(run: Path) -> Summary:
    """Read a run folder, and as much as possible of a damaged one.

    Raises:
        UserError: it is not a run folder.
    """
    if not is_run(run):
        raise UserError(f"{run}: not a run folder (it has no config.json); expected one of `walkies train`")
    folder, problems = RunFolder(run), list[str]()

    def part(read: Callable[[Path], T], path: Path, otherwise: T) -> T:
        try:
            return read(path)
        except (UserError, OSError) as error:
            problems.append(str(error))
            return otherwise

    config: dict[str, Any] = part(_object, folder.config, {})
    rows: dict[str, np.ndarray] = part(loggers.read, folder.curves, {}) if loggers.begun(folder.curves) else {}
    own = part(_card, folder.report, None)
    others = [card for path in report_card.others(run) if (card := part(_card, path, None))]
    cards = [*([own] if own else []), *sorted(others, key=lambda card: -card["episodes"])]
    return Summary(
        name=printable(run.resolve().name),
        config=config,
        versions=part(_object, folder.versions, {}) if folder.versions.exists() else {},
        last={name: float(values[-1]) for name, values in rows.items() if len(values) and np.isfinite(values[-1])},
        card=cards[0] if cards else None,
        exams=tuple(cards[1:]),
        policy=part(digest, folder.policy, "") if folder.policy.exists() else "",
        command=printable(command_line(config)),
        rehearsed=part(margins.read, folder.rehearsal, margins.NONE),
        problems=tuple(problems),
    )


def write(run: Path) -> Summary:
    """Write `run`/report.md and `run`/report.html, with the curves redrawn; returns their summary.

    Raises:
        UserError: no training has been there.
    """
    summary, folder = summarize(run), RunFolder(run)
    pictures = {}
    if summary.last:
        pictures["Learning curves"] = curves.draw(run)
        if rewards := curves.draw_rewards(run):
            pictures["What each reward term gave"] = rewards
    motion = None
    try:
        if folder.policy.exists():
            motion = replay.record(policy_file.read(folder.policy))
            pictures["Gait"] = gait.draw(motion, run / "gait.png")
    except UserError as error:
        summary = summary._replace(problems=(*summary.problems, str(error)))
    text = markdown(summary, {title: path.name for title, path in pictures.items()}, _products(folder), run)
    write_text(run / PAGES[0], text)
    write_text(run / PAGES[1], html(summary, pictures, motion))
    return summary


def markdown(summary: Summary, pictures: dict[str, str], products: list[str], run: Path) -> str:
    """The report for a terminal or a code forge; `pictures` maps titles to file names in `run`."""
    lines = [f"# Run {escape(summary.name)}", "", "```sh", summary.command, "```", ""]
    lines += [f"- {name}: {escape(value)}" for name, value in facts(summary)]
    if summary.card:
        lines += ["", report_card.markdown(summary.card).replace("# Examination", "## Examination", 1).rstrip()]
    if summary.exams:
        rows = [[escape(cell) for cell in row] for row in other_examinations(summary)]
        lines += ["", "## Other examinations", "", *table(EXAMS, rows)]
    if summary.rehearsed:
        lines += ["", *margins.markdown(summary.rehearsed, run)]
    for title, name in pictures.items():
        lines += ["", f"## {title}", "", f"![{title}]({name})"]
    if products:
        lines += ["", "## Files", "", *(f"- {product}" for product in products)]
    return "\n".join(lines) + "\n"


def html(summary: Summary, pictures: dict[str, Path], motion: replay.Trajectory | None) -> str:
    """The report as one HTML document that needs nothing beside it."""
    sections = [page.facts([("Command", summary.command), *facts(summary)])]
    if summary.card:
        sections.append(page.card(summary.card))
    if summary.exams:
        sections.append("<h2>Other examinations</h2>" + page.table(EXAMS, other_examinations(summary)))
    if summary.rehearsed:
        sections.append(margins.html(summary.rehearsed))
    if motion is not None:
        sections.append(page.player(motion))
    sections += [page.picture(title, path) for title, path in pictures.items()]
    sections.append(page.details("Configuration", json.dumps(summary.config, indent=2)))
    sections.append(page.details("Versions", json.dumps(summary.versions, indent=2)))
    return page.document(f"Run {summary.name}", sections)


EXAMS = ["seed", "episodes", "survival", "m/s", "rad/s", ""]


def other_examinations(summary: Summary) -> list[list[str]]:
    """A row of EXAMS for each card but the run's own."""
    return [
        [
            str(card["seed"]), str(card["episodes"]), survival(card), *report_card.errors(card), summary.verdict(card),
        ]
        for card in summary.exams
    ]  # fmt: skip


def survival(card: Card) -> str:
    """'99.0% (94.6% … 99.8%)': with its 95% interval."""
    share = report_card.uncertainty(card["survival"], card["episodes"])
    return f"{share.value:.1%} ({share.low:.1%} … {share.high:.1%})"


def facts(summary: Summary) -> list[tuple[str, str]]:
    """(name, value) pairs that say in short what the run was and came to."""
    found = []
    last, card = summary.last, summary.card
    if "steps" in last:
        found.append(("Trained", f"{count(last['steps'])} control steps"))
    if "seconds" in last:
        found.append(("Time", f"{duration(last['seconds'])} of training"))
    if "steps_per_s" in last:
        found.append(("Speed", f"{count(last['steps_per_s'])} control steps/s"))
    if (reach := _reach(summary.config)) is not None:
        found.append(("Commands", reach))
    if "seed" in summary.config:
        found.append(("Seed", str(summary.config["seed"])))
    if card:
        what = f"{card['episodes']} episodes, seed {card['seed']}"
        errors = report_card.decisive(card)
        found.append(("Examination", f"{summary.verdict(card)}: survival {survival(card)}, errors {errors}; {what}"))
    if summary.rehearsed.boxes:
        found.append(("Rehearsal", margins.in_short(summary.rehearsed)))
    return found + [("Damaged", printable(problem)) for problem in summary.problems]


def _reach(config: dict[str, Any]) -> str | None:
    """What a policy was trained to follow; None where that is not known, or nothing."""
    commands = config.get("task", {}).get("commands", {}) if isinstance(config.get("task"), dict) else {}
    numbers = [commands.get(name) for name in ("forward", "sideways", "yaw")] if isinstance(commands, dict) else []
    if not numbers or not all(isinstance(one, int | float) for one in numbers) or not any(numbers):
        return None
    forward, sideways, yaw = numbers
    return (
        f"up to ±{forward:g} m/s forward, ±{sideways:g} m/s sideways and ±{yaw:g} rad/s; the robot's software clips "
        "the stick to this (command_clip)"
    )


def command_line(config: dict[str, Any]) -> str:
    """The `walkies train` command that repeats a run: every flag whose value is not the default."""
    from walkies.run.config import TrainConfig
    from walkies.run.folders import to_dict

    defaults = flat_settings(to_dict(TrainConfig()))
    words = ["walkies", "train"]
    for name, value in flat_settings(config).items():
        if name == "robot":
            words.insert(2, str(value))
        elif name not in defaults or value != defaults[name]:
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                parent, dot, leaf = flag.rpartition(".")
                words.append(f"--{flag}" if value else f"--{parent}{dot}no-{leaf}")
            elif value is not None:
                words += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)


def command(target: Annotated[Path, tyro.conf.Positional], /) -> int:
    """Write a run's report.md and report.html again, from the contents of its folder.

    Damaged parts are reported and left out; the exit status is then 1.

    Args:
        target: the run folder.
    """
    summary = write(target)
    for problem in summary.problems:
        say(problem, sys.stderr)
    for name in PAGES:
        say(str(target / name))
    return int(bool(summary.problems))


def flat_settings(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= flat_settings(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _products(folder: RunFolder) -> list[str]:
    described = {
        folder.policy: "the file the robot loads",
        folder.video: "a video of the policy",
        folder.report: "the examination as data",
        folder.curves: "the curves as data",
        folder.config: "everything to repeat the run",
        folder.checkpoints: "what `--resume` continues from",
    }
    return [f"[{path.name}]({path.name}): {purpose}" for path, purpose in described.items() if path.exists()]


def _card(path: Path) -> Card | None:
    return report_card.read(path) if path.is_file() else None


def _object(path: Path) -> dict[str, Any]:
    return records.read(path, dict[str, Any], "what `walkies train` wrote")
