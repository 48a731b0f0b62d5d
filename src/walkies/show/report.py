"""`walkies report`: one run on one page, as Markdown and as a single HTML file that opens from the disk alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from walkies import exam_report
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.files import write_text
from walkies.runs import RunFolder
from walkies.show import curves, gait, logs, margins, page, replay
from walkies.show.progress import count, duration


class Summary(NamedTuple):
    """What a run folder says about itself; what is missing is empty or None."""

    name: str
    config: dict[str, Any]
    versions: dict[str, str]
    last: dict[str, float]
    """The last row of the curves."""
    card: dict[str, Any] | None
    """The examination's report card."""
    command: str
    rehearsed: margins.Margins = margins.NONE


def summarize(run: Path) -> Summary:
    """Read a run folder.

    Raises:
        UserError: it is not one.
    """
    folder = RunFolder(run)
    if not folder.config.is_file():
        raise UserError(f"{run}: not a run folder (it has no {folder.config.name}); expected one of `walkies train`")
    config = _json(folder.config) or {}
    table = logs.read(folder.curves) if folder.curves.exists() else {}
    last = {name: float(values[-1]) for name, values in table.items() if len(values)}
    return Summary(
        run.resolve().name,
        config,
        _json(folder.versions) or {},
        last,
        _json(folder.report),
        command_line(config),
        margins.read(folder.rehearsal),
    )


def write(run: Path) -> tuple[Path, Path]:
    """Write `run`/report.md and `run`/report.html, with the curves drawn anew; both paths."""
    summary = summarize(run)
    folder = RunFolder(run)
    pictures = {}
    if folder.curves.exists() and len(logs.read(folder.curves).get("steps", ())):
        pictures["Learning curves"] = curves.draw(run)
        if rewards := curves.draw_rewards(run):
            pictures["What each reward term gave"] = rewards
    motion = None
    if folder.policy.exists():
        motion = replay.record(policy_file.read(folder.policy))
        pictures["Gait"] = gait.draw(motion, run / "gait.png")
    text = markdown(summary, {title: path.name for title, path in pictures.items()}, _products(folder), run)
    write_text(run / "report.md", text)
    write_text(run / "report.html", html(summary, pictures, motion))
    return run / "report.md", run / "report.html"


def markdown(summary: Summary, pictures: dict[str, str], products: list[str], run: Path) -> str:
    """The report for a terminal or a code forge; `pictures` maps titles to file names in `run`."""
    lines = [f"# Run {summary.name}", "", "```sh", summary.command, "```", ""]
    lines += [f"- {name}: {value}" for name, value in facts(summary)]
    if summary.card:
        lines += ["", exam_report.markdown(summary.card).replace("# Examination", "## Examination", 1).rstrip()]
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
    if summary.rehearsed:
        sections.append(margins.html(summary.rehearsed))
    if motion is not None:
        sections.append(page.player(motion))
    sections += [page.picture(title, path) for title, path in pictures.items()]
    sections.append(page.details("Configuration", json.dumps(summary.config, indent=2)))
    sections.append(page.details("Versions", json.dumps(summary.versions, indent=2)))
    return page.document(f"Run {summary.name}", sections)


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
    if "seed" in summary.config:
        found.append(("Seed", str(summary.config["seed"])))
    if card:
        verdict = "passed" if card["passed"] else "failed"
        errors = f"{card['lin_vel_error']:.3f} m/s and {card['yaw_rate_error']:.3f} rad/s"
        found.append(("Examination", f"{verdict}: survival {card['survival']:.0%}, errors {errors}"))
    if summary.rehearsed.boxes:
        found.append(("Rehearsal", margins.in_short(summary.rehearsed)))
    return found


def command_line(config: dict[str, Any]) -> str:
    """The `walkies train` command that repeats a run: every flag whose value is not the default."""
    from walkies.experiment import TrainConfig
    from walkies.runs import to_dict

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


def command(target: Annotated[Path, tyro.conf.Positional], /) -> None:
    """Write a run's report.md and report.html again, from what its folder holds.

    Args:
        target: the run folder.
    """
    for path in write(target):
        print(path)


def flat_settings(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= flat_settings(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _products(folder: RunFolder) -> list[str]:
    described = {
        folder.policy: "what the robot loads",
        folder.video: "what it looks like",
        folder.report: "the examination as data",
        folder.curves: "the curves as data",
        folder.config: "everything to repeat the run",
        folder.checkpoints: "what `--resume` goes on from",
    }
    return [f"[{path.name}]({path.name}): {purpose}" for path, purpose in described.items() if path.exists()]


def _json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, or None where there is no such file."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
