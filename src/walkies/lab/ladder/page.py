"""The comparison as a Markdown page: a pure function of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from walkies import records
from walkies.errors import UserError
from walkies.files import read_json
from walkies.lab.ladder.curves import Point
from walkies.lab.ladder.gradients import Spread
from walkies.lab.ladder.reuse import Age

KEPT = "what `walkies lab compare` wrote; remove it, and it will be made again"


class Row(NamedTuple):
    """One recipe trained with one seed."""

    recipe: str
    seed: int
    curve: list[Point]
    compile_seconds: float


class Result(NamedTuple):
    """All that a comparison has measured so far."""

    problem: str
    command: str
    """What to type to get it."""
    machine: str
    samples: int
    seeds: int
    recipes: tuple[str, ...]
    rows: list[Row]
    gradients: dict[str, dict[str, Spread]]
    """Moment → recipe → spread; empty if not measured yet."""
    reuse: list[Age]


def to_json(result: Result) -> dict[str, Any]:
    """The result as plain JSON types."""
    return result._asdict() | {
        "recipes": list(result.recipes),
        "rows": [row._asdict() | {"curve": [point._asdict() for point in row.curve]} for row in result.rows],
        "gradients": {
            moment: {recipe: spread._asdict() for recipe, spread in spreads.items()}
            for moment, spreads in result.gradients.items()
        },
        "reuse": [age._asdict() for age in result.reuse],
    }


def from_json(content: dict[str, Any]) -> Result:
    """The inverse of `to_json`.

    Raises:
        UserError: the content is no comparison's.
    """
    return records.build(content, Result, "compare.json", KEPT)


class _Made(NamedTuple):
    machine: str


def read_row(path: Path) -> tuple[Row, str]:
    """A finished row, and the machine that made it.

    Raises:
        UserError: the file is none.
    """
    content = read_json(path, KEPT)
    row, made = records.build(content, Row, str(path), KEPT), records.build(content, _Made, str(path), KEPT)
    if not row.curve:
        raise UserError(f"{path} is damaged (its curve is empty); expected {KEPT}")
    return row, made.machine


def read_gradients(path: Path) -> dict[str, dict[str, Spread]]:
    """The noise of the gradient, of the same recipes at every moment; empty where it has not been measured.

    Raises:
        UserError: the file is no such measurement.
    """
    if not path.exists():
        return {}
    found = records.read(path, dict[str, dict[str, Spread]], KEPT)
    if len({frozenset(spreads) for spreads in found.values()}) != 1 or not all(found.values()):
        raise UserError(f"{path} is damaged (not the same recipes at every moment); expected {KEPT}")
    return found


def read_reuse(path: Path) -> list[Age]:
    """The worth of old samples; empty where it has not been measured.

    Raises:
        UserError: the file is no such measurement.
    """
    return records.read(path, list[Age], KEPT) if path.exists() else []


def markdown(result: Result) -> str:
    """The page: curves, noise of the gradient, worth of old samples, and what has not been run."""
    parts = [
        f"# The ladder on {result.problem}",
        f"```sh\n{result.command}\n```",
        f"{result.samples:,} samples per run, {result.seeds} seeds, one rollout code for all. {result.machine}.",
        *_curves(result),
        *_gradients(result),
        *_reuse(result),
        "## Missing",
        _missing(result),
    ]
    return "\n\n".join(parts) + "\n"


def missing(result: Result) -> list[tuple[str, int]]:
    """(recipe, seed) of the rows that have not been run."""
    there = {(row.recipe, row.seed) for row in result.rows}
    return [(r, seed) for r in result.recipes for seed in range(result.seeds) if (r, seed) not in there]


def curves_of(result: Result) -> dict[str, list[list[Point]]]:
    """Recipe → one curve per seed, in the ladder's order; recipes without a row are left out."""
    found = {name: [row.curve for row in result.rows if row.recipe == name] for name in result.recipes}
    return {name: curves for name, curves in found.items() if curves}


def _curves(result: Result) -> Iterable[str]:
    curves = curves_of(result)
    if not curves:
        return
    yield "## Learning"
    yield "![Return against samples and time](curves.png)"
    yield (
        "Return: mean over seeds of the mean of 64 episodes under the stochastic policy, in brackets the lowest and\n"
        "highest seed. Time: processor seconds of training, all threads, without compilation."
    )
    lines = [["recipe", "seeds", "return, half way", "return, at the end", "processor seconds"]]
    for name, group in curves.items():
        ends = [_range([curve[index(curve)].episode_return for curve in group]) for index in (_half, _last)]
        lines.append([f"`{name}`", str(len(group)), *ends, f"{mean(curve[-1].cpu_seconds for curve in group):.1f}"])
    yield _table(lines)


def _half(curve: Sequence[Point]) -> int:
    return len(curve) // 2


def _last(curve: Sequence[Point]) -> int:
    return len(curve) - 1


def _gradients(result: Result) -> Iterable[str]:
    if not result.gradients:
        return
    first = next(iter(next(iter(result.gradients.values())).values()))
    yield "## Noise of the gradient"
    yield "![Samples until the gradient is as long as its error](gradients.png)"
    yield (
        f"Independent batches of {first.samples:,.0f} samples at the start, the same batches for every recipe, at\n"
        "three moments of one training of PPO, with its value function. Noise is the trace of the covariance of a\n"
        "batch's gradient, signal the squared length of its mean; their ratio times the batch's samples is the number\n"
        "of samples whose gradient is as long as its error. No signal: not even in all 64 batches together."
    )
    lines = [["recipe", *(f"{moment}: samples needed" for moment in result.gradients)]]
    for recipe in next(iter(result.gradients.values())):
        cells = [_needed(spreads[recipe]) for spreads in result.gradients.values()]
        lines.append([f"`{recipe}`", *cells])
    yield _table(lines)


def _needed(spread: Spread) -> str:
    return "no signal found" if spread.samples_needed is None else f"{spread.samples_needed:,.0f}"


def _reuse(result: Result) -> Iterable[str]:
    if not result.reuse:
        return
    yield "## Worth of old samples"
    yield "![Effective share and direction](reuse.png)"
    yield (
        "One batch of whole episodes, kept while PPO learns on from newer ones. Cosines are with the gradient of\n"
        "eight times as many fresh episodes, and the last column is what as many fresh ones achieve."
    )
    lines = [
        [
            "iterations later", "KL (nats)", "effective share, steps", "… whole episodes", "cosine, weighted by ρ",
            "… not weighted", "… fresh samples",
        ]
    ]  # fmt: skip
    for age in result.reuse:
        values = (age.effective_steps, age.effective_episodes, age.cosine_weighted, age.cosine_unweighted)
        cells = [f"{value:.2f}" for value in (*values, age.cosine_fresh)]
        lines.append([str(age.iterations), f"{age.kl:.4f}", *cells])
    yield _table(lines)


def _missing(result: Result) -> str:
    lines = [f"- `{recipe}`, seed {seed}" for recipe, seed in missing(result)]
    lines += ["- the noise of the gradient"] * (not result.gradients) + ["- the worth of old samples"] * (
        not result.reuse
    )
    return "\n".join(lines) or "Nothing: every row was run."


def _range(values: Sequence[float]) -> str:
    """Mean, lowest and highest, to as many decimals as tell them apart."""
    decimals = 0 if max(abs(value) for value in values) >= 100 else 2
    middle, low, high = (f"{value:.{decimals}f}" for value in (mean(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def _table(lines: list[list[str]]) -> str:
    head, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body))
