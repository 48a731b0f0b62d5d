"""Which setting walks soonest? Trains variants of the default for the same number of steps, with several seeds.

    python benchmarks/study.py --steps 5000000 --seeds 3    # may share the machine: results are bit for bit the same
    python benchmarks/study.py --rate                       # the machine must be idle
    python benchmarks/study.py --table                      # both as one table

One row per variant and seed goes into benchmarks/study.csv as soon as it is finished; rows that are there are not run
again, so the study can be stopped and continued. A row says after how many steps the error of the forward and sideways
velocity in training first fell below 0.25, 0.2 and 0.15 m/s (mean over nine iterations; a robot that stands has 0.4).
`--rate` measures in turns how many steps a second each variant makes here, and how long it takes to compile, and writes
benchmarks/study_rate.csv: seconds to a mark are compilation plus steps over rate. With --exam every policy is examined
too, on EPISODES episodes of a seed that `walkies exam` does not take by default: settings are chosen on this one,
policies are judged on that one. Rows say how many episodes they rest on, and a table holds no row of fewer.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))

import csv_rows

from walkies.accel.cpu import use_cpu
from walkies.run.config import TrainConfig
from walkies.run.training import Training

TABLE = Path(__file__).with_name("study.csv")
RATES = Path(__file__).with_name("study_rate.csv")
PAPER = 9
"""Seed of the examination that settings are compared on."""
EPISODES = 1000
"""Of that examination: a hundred do not tell one good policy from another."""
MARKS = (0.25, 0.2, 0.15)
"""m/s"""
WINDOW = 9
"""Iterations over which the error is averaged."""

VARIANTS: dict[str, str] = {
    "default": "",
    "not equivariant": "--recipe.symmetry none",
    "mirrored samples": "--recipe.symmetry augment",
    "fixed conditions": "--task.curriculum.no-adaptive",
    "curriculum of 1 million steps": "--task.curriculum.steps 1000000",
    "turning counts as much from the start": "--task.turning.start 1.0",
    "turning counts less": (
        "--task.turning.start 1.0 --task.rewards.tracking-ang-vel 0.8 --task.rewards.ang-vel-error -0.3"
    ),
    "feet do not alternate": "--task.rewards.alternate-feet 0",
    "effort in full from the start": "--task.effort.start 1.0",
    "history 1": "--task.observation-history 1",
    "lambda 0.9": "--recipe.lam 0.9",
    "lambda 0.8": "--recipe.lam 0.8",
    "gamma 0.95": "--recipe.gamma 0.95",
    "gamma 0.98": "--recipe.gamma 0.98",
    "target KL 0.02": "--recipe.target-kl 0.02",
    "target KL 0.04": "--recipe.target-kl 0.04",
    "critic step size 1e-3": "--recipe.critic-learning-rate 1e-3",
    "critic step size 3e-3": "--recipe.critic-learning-rate 3e-3",
    "3 epochs of 12": "--recipe.epochs 3 --recipe.minibatches 12",
    "2 epochs of 16": "--recipe.epochs 2 --recipe.minibatches 16",
    "6 epochs of 8": "--recipe.epochs 6",
    "policy 128-128": "--recipe.hidden 128 128",
    "networks 64-64": "--recipe.hidden 64 64",
    "critic 128-128": "--recipe.critic-hidden 128 128",
    "networks by XLA": "--recipe.networks xla",
    "tanh": "--recipe.activation tanh",
    "initial std 0.7": "--recipe.initial-std 0.7",
    "1024 robots": "--recipe.num-envs 1024",
    "1024 robots, 12 steps": "--recipe.num-envs 1024 --recipe.horizon 12",
    "256 robots": "--recipe.num-envs 256",
    "action scale 0.5": "--task.action-scale 0.5",
    "squashed samples": "--recipe.bound sample",
}
"""Each differs from the default in what its name says."""

REACHED = tuple(f"steps_to_{mark}" for mark in MARKS)
CARD = ("episodes", "survival", "lin_vel_error", "yaw_rate_error")
"""Of the examination's JSON; empty without one."""
COLUMNS = ("variant", "steps", "seed", *REACHED, *CARD)


def main(
    steps: int = 5_000_000,
    seeds: int = 3,
    only: tuple[str, ...] = (),
    exam: bool = False,
    rate: bool = False,
    table: bool = False,
) -> None:
    """Run what is missing in the table.

    Args:
        steps: Control steps of each run.
        seeds: Seeds 0 … seeds − 1.
        only: Names of variants; all where none is given.
        exam: Examine every policy too.
        rate: Measure steps per second of each variant instead.
        table: Print the table in Markdown instead.
    """
    names = only or tuple(VARIANTS)
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        sys.exit(f"no variant {', '.join(unknown)}; there are: {', '.join(VARIANTS)}")
    if rate:
        measure_rates(names)
    elif table:
        print(markdown(steps, names))
    else:
        for seed in range(seeds):  # seed by seed, so that every variant has one before any has three
            for name in names:
                if (name, steps, seed) not in {(row["variant"], int(row["steps"]), int(row["seed"])) for row in rows()}:
                    csv_rows.append(TABLE, COLUMNS, run(name, steps, seed, exam))


def run(name: str, steps: int, seed: int, exam: bool) -> dict[str, object]:
    """Train one variant, and examine it where asked; its row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        walkies("train", "pupper", "--steps", str(steps), "--seed", str(seed), "--out", str(out),
                "--exam-episodes", "0", "--no-film", *VARIANTS[name].split())  # fmt: skip
        asked = ("--seed", str(PAPER), "--episodes", str(EPISODES), "--json")
        card = json.loads(walkies("exam", str(out), *asked)) if exam else {}
        with (out / "progress.csv").open() as file:
            curve = [{key: float(row[key]) for key in ("steps", "lin_vel_error")} for row in csv.DictReader(file)]
    row: dict[str, object] = {"variant": name, "steps": steps, "seed": seed}
    row |= {column: first_below(mark, curve) for column, mark in zip(REACHED, MARKS, strict=True)}
    return row | {key: card.get(key, "") for key in CARD}


def first_below(mark: float, curve: list[dict[str, float]]) -> int | str:
    """Steps at which the mean error of the last WINDOW iterations first lies below `mark`; "" if it never does."""
    for end in range(WINDOW, len(curve) + 1):
        if sum(row["lin_vel_error"] for row in curve[end - WINDOW : end]) / WINDOW < mark:
            return int(curve[end - 1]["steps"])
    return ""


def measure_rates(names: tuple[str, ...], rounds: int = 5, seconds: float = 2.0) -> None:
    """Steps a second of each variant, the median of rounds in turns, and seconds to the end of the first iteration."""
    use_cpu(None)
    trainings, compiled, rates = {}, {}, {name: [] for name in names}
    for name in names:
        begun = time.perf_counter()
        trainings[name] = Training(tyro.cli(TrainConfig, args=VARIANTS[name].split()))
        trainings[name].advance()
        compiled[name] = time.perf_counter() - begun
    for _ in range(rounds):
        for name, training in trainings.items():
            begun, first = time.perf_counter(), training.steps
            while time.perf_counter() - begun < seconds:
                training.advance()
            rates[name].append((training.steps - first) / (time.perf_counter() - begun))
    with RATES.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("variant", "steps_per_s", "seconds_to_compile"))
        for name in names:
            writer.writerow((name, round(statistics.median(rates[name])), round(compiled[name], 1)))
    print(RATES.read_text())


def markdown(steps: int, names: tuple[str, ...]) -> str:
    """Per variant: rate, steps to each mark by seed, seconds to each mark as the mean over seeds, examination."""
    if not RATES.exists():
        sys.exit(f"{RATES} is missing: run `python benchmarks/study.py --rate` on an idle machine first")
    with RATES.open() as file:
        speed = {
            row["variant"]: (float(row["steps_per_s"]), float(row["seconds_to_compile"]))
            for row in csv.DictReader(file)
        }
    lines = ["| variant | steps/s | M steps to 0.25 | M steps to 0.2 | s to 0.25 | s to 0.2 | survival | m/s | rad/s |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name in names:
        own = [row for row in rows() if row["variant"] == name and int(row["steps"]) == steps]
        if not own:
            continue
        if name not in speed:
            sys.exit(f"{RATES} has no rate of {name}: measure all rows of a table with one `--rate --only ...`")
        rate, compiling = speed[name]
        reached = [[float(row[column]) if row[column] else None for row in own] for column in REACHED[:2]]
        steps_to = [", ".join("–" if x is None else f"{x / 1e6:.1f}" for x in marks) for marks in reached]
        seconds = ["–" if None in marks else f"{compiling + statistics.mean(marks) / rate:.0f}" for marks in reached]
        examined = all(row["episodes"] and int(row["episodes"]) >= EPISODES for row in own)
        card = [f"{statistics.mean(float(row[key]) for row in own):.3f}" if examined else "" for key in CARD[1:]]
        lines.append(f"| {' | '.join((name, f'{rate:,.0f}', *steps_to, *seconds, *card))} |")
    return "\n".join(lines)


def walkies(*arguments: str) -> str:
    """Standard output of one walkies command."""
    return csv_rows.walkies(*arguments)


def rows() -> list[dict[str, str]]:
    """The finished rows of the table."""
    return csv_rows.read(TABLE, COLUMNS)


if __name__ == "__main__":
    tyro.cli(main)
