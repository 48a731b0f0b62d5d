"""Finished rows as a list, a table beside the published figures, a picture, and a page."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from walkies import records
from walkies.errors import UserError
from walkies.files import read_text, shown, write_text
from walkies.lab.published.protocols import CARTPOLE_SOLVED, Protocol, Published, Row, counterpart

T = TypeVar("T")
TOLERANCE = 2.0
"""Standard errors within which two means count as the same."""
BEGIN, END = "<!-- walkies lab benchmark: begin -->", "<!-- walkies lab benchmark: end -->"


class Mean(NamedTuple):
    """A mean over seeds."""

    value: float
    standard_error: float | None
    """σ / √n with the unbiased σ; None for one seed."""
    seeds: int


class Comparison(NamedTuple):
    """How far our mean lies from a reference."""

    difference: float
    standard_errors: float
    """|difference| / √(SE₁² + SE₂²): 0 where both are exactly equal, infinite where only the errors vanish."""
    passed: bool
    """Within TOLERANCE standard errors of the difference."""
    passed_alone: bool
    """Within TOLERANCE standard errors of the reference alone, as if ours were exact."""


class Finished(NamedTuple):
    """What is read of a finished row."""

    seed: int
    steps: int
    seconds: float
    training_return: float
    evaluation_return: float
    machine: str = "a machine without a name"

    def score(self, protocol: Protocol) -> float:
        """The return by which rows of `protocol` are compared."""
        return self.training_return if protocol.score == "training" else self.evaluation_return


class Timed(NamedTuple):
    """What is read of a measurement of speed."""

    ours: float
    """s per environment step"""
    theirs: float
    machine: str


Spread = tuple[float, float, float]
"""5th percentile, median, 95th percentile."""


class Steps(NamedTuple):
    """What is read of a comparison of single steps."""

    updates: int
    theirs: Spread
    ours: Spread
    literal: Spread
    length: Spread
    cosine: Spread
    theirs_exact: Spread
    ours_exact: Spread


def mean_of(scores: Sequence[float]) -> Mean:
    """Mean of one score per seed (at least one)."""
    n = len(scores)
    value = math.fsum(scores) / n
    if n == 1:
        return Mean(value, None, 1)
    variance = math.fsum((score - value) ** 2 for score in scores) / (n - 1)
    return Mean(value, math.sqrt(variance / n), n)


def compare(ours: Mean, reference: Published | Mean) -> Comparison | None:
    """The pass rule; None where ours is a single run, which proves nothing.

    A reference that is a single run is taken to scatter as our runs do: its standard error is our σ over seeds.
    """
    if ours.standard_error is None:
        return None
    value = reference.value if isinstance(reference, Mean) else reference.mean
    other = reference.standard_error
    if other is None:
        other = ours.standard_error * math.sqrt(ours.seeds)
    difference = ours.value - value
    error = math.hypot(ours.standard_error, other)
    distance = 0.0 if difference == 0.0 else math.inf if error == 0.0 else abs(difference) / error
    alone = abs(difference) <= TOLERANCE * other
    return Comparison(difference, distance, distance <= TOLERANCE, alone)


def read(row: Row, out: Path) -> Finished | None:
    """A finished row; None where it is missing.

    Raises:
        UserError: the file is no row of the benchmark.
    """
    return _read(out / "rows" / f"{row.key}.json", Finished)


def _read(path: Path, kind: type[T]) -> T | None:
    expected = "what `walkies lab benchmark` wrote; remove it, and it will be made again"
    return records.read(path, kind, expected) if path.exists() else None


def finished(row: Row, out: Path) -> bool:
    """Whether the row is there."""
    return read(row, out) is not None


def state(row: Row, out: Path) -> str:
    """What a list says of a row: its score, or that it is begun."""
    if (result := read(row, out)) is not None:
        return f"{result.score(row.protocol):8.1f} {result.seconds:6.0f} s"
    return "begun" if (out / "checkpoints" / f"{row.key}.safetensors").exists() else ""


def table(out: Path, chosen: Sequence[Row]) -> str:
    """Markdown: a line for every protocol with at least one finished seed among `chosen`."""
    lines = [
        "| environment | protocol | steps | published | the library, here | walkies, here | seeds | apart by | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for protocol in dict.fromkeys(row.protocol for row in chosen):
        results = [result for row in chosen if row.protocol == protocol and (result := read(row, out)) is not None]
        if results:
            lines.append(_line(protocol, results, out))
    return "\n".join(lines)


def missing(out: Path, chosen: Sequence[Row]) -> str:
    """A sentence that names the rows that are not finished, seeds together."""
    unfinished: dict[Protocol, list[str]] = {}
    for row in chosen:
        if read(row, out) is None:
            unfinished.setdefault(row.protocol, []).append(str(row.seed))
    if not unfinished:
        return "Every row is finished."
    parts = [f"{protocol.name} {protocol.env} ({', '.join(seeds)})" for protocol, seeds in unfinished.items()]
    return f"Not finished (seeds): {', '.join(parts)}."


def _line(protocol: Protocol, results: list[Finished], out: Path) -> str:
    mean = _mean(protocol, results)
    cells = [protocol.env, protocol.name, f"{results[0].steps:,}"]
    cells.append(_figure(protocol.published) if protocol.published else "")
    theirs = mean if protocol.library else _theirs(protocol, out)
    cells += [_figure(theirs) if theirs else "", "" if protocol.library else _figure(mean)]
    cells += [", ".join(str(result.seed) for result in results), *_verdict(protocol, mean, theirs)]
    return "| " + " | ".join(cells) + " |"


def _mean(protocol: Protocol, results: list[Finished]) -> Mean:
    return mean_of([result.score(protocol) for result in results])


def _theirs(protocol: Protocol, out: Path) -> Mean | None:
    """What the library got here under the settings of `protocol`, if it was trained."""
    other = counterpart(protocol)
    finished = [read(Row(other, seed), out) for seed in other.seeds] if other else []
    results = [result for result in finished if result is not None]
    return _mean(other, results) if other and results else None


def _verdict(protocol: Protocol, mean: Mean, theirs: Mean | None) -> tuple[str, str]:
    """How far a mean lies from its references, and whether that passes: within TOLERANCE of one of them.

    A reference of a single run decides only where there is none of several.
    """
    references: dict[str, Published | Mean] = {}
    if protocol.published is not None:
        references["published"] = protocol.published
    if theirs is not None and protocol.library is None:
        references["the library"] = theirs
    if not references:
        if protocol.env != "CartPole-v1":
            return "", "no reference"
        return "", "solved" if mean.value >= CARTPOLE_SOLVED else "**not solved**"
    apart, verdicts = [], []
    for name, reference in references.items():
        found = compare(mean, reference)
        value = reference.value if isinstance(reference, Mean) else reference.mean
        apart.append(f"{name} {mean.value - value:+.0f}" + (f" ({found.standard_errors:.1f} SE)" if found else ""))
        verdicts.append((name, reference.standard_error is None, found))
    if mean.standard_error is None:
        return "; ".join(apart), "one seed"
    several = [verdict for verdict in verdicts if not verdict[1]]
    passed = []
    for name, single, found in several or verdicts:
        if found is not None and found.passed:
            note = " (one run)" if single else "" if found.passed_alone else " (not by its SE alone)"
            passed.append(name + note)
    return "; ".join(apart), f"passed: {', '.join(passed)}" if passed else "**differs**"


def _figure(value: Mean | Published) -> str:
    mean = value.value if isinstance(value, Mean) else value.mean
    return f"{mean:.0f}" if value.standard_error is None else f"{mean:.0f} ± {value.standard_error:.0f}"


def machines(out: Path, chosen: Sequence[Row]) -> str:
    """A sentence that names the machines on which the finished rows of `chosen` were trained; empty without any."""
    groups: dict[str, list[str]] = {}
    for row in chosen:
        if (result := read(row, out)) is not None:
            groups.setdefault(result.machine, []).append(row.key.replace("_", " "))
    if not groups:
        return ""
    *few, (most, _) = sorted(groups.items(), key=lambda item: len(item[1]))
    parts = [f"{machine} ({', '.join(keys)})" for machine, keys in few]
    return f"Trained on: {'; '.join([*parts, most + (' (all others)' if parts else '')])}."


def speed_table(out: Path, chosen: Sequence[Row]) -> str:
    """Markdown: microseconds per environment step, acting and learning, for the libraries that were timed."""
    lines = ["| settings | walkies | the library | ratio | machine |", "|---|---|---|---|---|"]
    for row in chosen:
        if timed := _read(out / "speed" / f"{row.key}.json", Timed):
            ours, theirs = (f"{seconds * 1e6:.0f} µs" for seconds in (timed.ours, timed.theirs))
            ratio = timed.theirs / timed.ours if timed.ours else math.inf
            settings = f"{row.protocol.name}, {row.protocol.env}"
            lines.append(f"| {settings} | {ours} | {theirs} | {ratio:.1f} | {timed.machine} |")
    if len(lines) == 2:
        return ""
    caption = (
        "Time per environment step, acting and learning: the median of iterations over 50,000 steps, the two in turns\n"
        "in one process (`walkies lab benchmark --speed`)."
    )
    return caption + "\n\n" + "\n".join(lines)


def step_table(out: Path, chosen: Sequence[Row]) -> str:
    """Markdown: how alike single steps of TRPO and of sb3-contrib's are, for the rows that were compared."""
    lines = [
        "| settings | KL of its step | of ours | of ours, its numbers taken literally | its length / ours | cosine "
        "| its with exact | ours with exact |",
        "|---|---|---|---|---|---|---|---|",
    ]
    updates = set()
    for row in chosen:
        if found := _read(out / "one-step" / f"{row.key}.json", Steps):
            updates.add(found.updates)
            cells = [f"{median:.4f}" for _, median, _ in (found.theirs, found.ours, found.literal)]
            spreads = (found.length, found.cosine, found.theirs_exact, found.ours_exact)
            cells += [f"{median:.3f} ({low:.3f} … {high:.3f})" for low, median, high in spreads]
            lines.append(f"| {row.protocol.name}, {row.protocol.env} | {' | '.join(cells)} |")
    if not updates:
        return ""
    caption = (
        "Steps of TRPO and of sb3-contrib's from the same parameters on the same batches, its\n"
        f"first {max(updates)} updates (`walkies lab benchmark --one-step`): medians, in brackets the 5th and 95th\n"
        "percentile; KL in nats of the whole action; exact: our step in double precision."
    )
    return caption + "\n\n" + "\n".join(lines)


def draw(path: Path, out: Path, chosen: Sequence[Row]) -> Path:
    """The curves of all finished rows, a panel per environment, a band from the lowest to the highest seed."""
    from matplotlib.ticker import EngFormatter

    from walkies.show.pictures import curves, theme

    finished = [row for row in chosen if read(row, out) is not None]
    environments = list(dict.fromkeys(row.protocol.env for row in finished))
    if not environments:
        raise UserError(f"there is no finished row in {out}; `walkies lab benchmark --out {out}` trains them")
    with theme.figure(1, len(environments), width=4.2, height=3.2) as (made, axes):
        for axis, env in zip(axes.flat, environments, strict=True):
            protocols = dict.fromkeys(row.protocol for row in finished if row.protocol.env == env)
            for colour, protocol in zip(theme.COLOURS, protocols, strict=False):
                group = [_curve(row, out) for row in finished if row.protocol == protocol]
                shared, mean, low, high = curves.band(group)
                axis.fill_between(shared, low, high, color=colour, alpha=0.25, linewidth=0)
                axis.plot(shared, mean, color=colour, label=f"{protocol.name} ({len(group)})")
                if protocol.published is not None:
                    axis.axhline(protocol.published.mean, color=colour, linestyle="--", linewidth=1)
            axis.set_title(f"{env}: return of training episodes")
            axis.set_xlabel("steps")
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            axis.legend()
        return theme.save(made, path)


def _curve(row: Row, out: Path) -> tuple[Any, Any]:
    import numpy as np

    path = out / "curves" / f"{row.key}.csv"
    expected = "the curve of a row; remove the row's file too, and it will be trained again"
    lines = csv.DictReader(io.StringIO(read_text(path, expected)))
    try:
        points = [(float(line["steps"]), float(line["episode_return"])) for line in lines]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({shown(error)}); expected {expected}") from error
    if not points:
        raise UserError(f"{path} is empty; expected {expected}")
    x, y = np.array(points).T
    return x, y


def write_page(page: Path, out: Path, chosen: Sequence[Row]) -> None:
    """Put the table, the missing rows and the picture between the marks in `page`; the rest of it stays.

    Raises:
        UserError: the page lacks the marks, or nothing is finished.
    """
    text = read_text(page, "a Markdown page with a place for the table")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{page} has no place for the table; put the lines {BEGIN} and {END} where it should go")
    picture = draw(out / "curves.png", out, chosen)
    parts = [
        table(out, chosen),
        *filter(None, [machines(out, chosen), step_table(out, chosen), speed_table(out, chosen)]),
        missing(out, chosen),
        f"![Returns of training episodes; dashed: published]({Path(os.path.relpath(picture, page.parent)).as_posix()})",
    ]
    write_text(page, f"{head}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{tail}")
