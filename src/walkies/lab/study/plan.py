"""What a study trains and how it judges: a TOML file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

from walkies import records
from walkies.bounds import Between, Seed, refuse
from walkies.errors import UserError
from walkies.files import read_toml, shown
from walkies.robots import DEFAULT as DEFAULT_ROBOT

EXPECTED = "a study in TOML, such as benchmarks/seeds.toml"
OWN = ("--seed", "--out", "--minutes", "--steps", "--resume", "--exam-episodes", "--film", "--no-film")
"""Flags of a training that the study itself gives."""


DEFAULT = "default"
"""The length of a training for which neither minutes nor steps are given."""


class Plan(NamedTuple):
    """A study. Every variant is trained on every robot, for every length, with every seed."""

    variants: dict[str, str]
    """Name → further flags of `walkies train`."""
    robots: tuple[str, ...] = (DEFAULT_ROBOT,)
    """Names, or files, as `walkies train` takes them."""
    seeds: Annotated[int, Between(1, 1000)] = 3
    """Seeds 0 … seeds − 1."""
    minutes: Annotated[tuple[float, ...], Between(0.0, 1e6, "(]")] = ()
    """Lengths by the clock, each a training of its own."""
    steps: Annotated[tuple[int, ...], Between(1, 10**12)] = ()
    """Lengths in control steps; a longer training continues the shorter."""
    cold: bool = False
    """Whether to use no program that an earlier training compiled."""
    episodes: Annotated[int, Between(1, 10**6)] = 1000
    """Of the examination."""
    exam_seed: Seed = 2026
    """Of the examination. Settings should be chosen on another than the one that policies are judged on."""
    boxes: tuple[str, ...] = ()
    """Boxes of the rehearsal to pass through too."""
    lint: bool = False
    """Whether to lint the policies too."""


class Trial(NamedTuple):
    """One training and the judgement of its policy."""

    variant: str
    robot: str
    seed: int
    length: str
    """`0.5 minutes`, `3000000 steps`, or DEFAULT."""

    @property
    def amount(self) -> str:
        """The number in `length`; 0 for DEFAULT."""
        return "0" if self.length == DEFAULT else self.length.split()[0]

    @property
    def unit(self) -> str:
        """`minutes` or `steps`; empty for DEFAULT."""
        return self.length.partition(" ")[2]

    def is_before(self, other: Trial) -> bool:
        """Whether the training of `other` went on from this one's."""
        return self[:3] == other[:3] and self.unit == other.unit == "steps" and int(self.amount) < int(other.amount)


def read_plan(path: Path, **changes: Any) -> Plan:
    """The plan in a file, with `changes` in place of what it says where they are neither None nor empty.

    Raises:
        UserError: it cannot be read, has unknown entries, or asks for what is impossible.
    """
    content = read_toml(path, EXPECTED)
    if unknown := sorted(set(content) - set(Plan._fields)):
        raise UserError(f"{path}: unknown {', '.join(unknown)}; there are {', '.join(Plan._fields)}")
    content.setdefault("variants", {"default": ""})
    plan = records.build(content, Plan, str(path), EXPECTED)
    if changes.get("minutes") or changes.get("steps"):
        plan = plan._replace(minutes=(), steps=())
    plan = plan._replace(**{name: value for name, value in changes.items() if value})
    for name, hint in get_type_hints(Plan, include_extras=True).items():
        refuse(getattr(plan, name), hint, name, lambda field: f"{path}: {field}")
    if plan.minutes and plan.steps:
        raise UserError(f"{path}: lengths are given as minutes and as steps; give one of them")
    for variant, flags in plan.variants.items():
        given = {word.partition("=")[0] for word in words(flags, f"{path}: {variant}")}
        if taken := sorted(given & set(OWN)):
            raise UserError(f"{path}: {variant} has {', '.join(taken)}, which the study gives itself")
    return plan


def narrowed_to(plan: Plan, only: Sequence[str]) -> Plan:
    """The plan with only these variants, if any are named.

    Raises:
        UserError: there is no such variant.
    """
    if unknown := [name for name in only if name not in plan.variants]:
        raise UserError(f"--only: there is no variant {', '.join(unknown)}; there are {'; '.join(plan.variants)}")
    return plan._replace(variants={name: plan.variants[name] for name in only or plan.variants})


THREADS = "--threads"
"""The flag of a training that says how many cores it takes."""


def threads_of(plan: Plan, trial: Trial) -> int | None:
    """How many cores the flags of its variant give a trial; None: all."""
    given = " ".join(words(plan.variants[trial.variant], trial.variant)).replace(f"{THREADS}=", f"{THREADS} ").split()
    return int(given[given.index(THREADS) + 1]) if THREADS in given else None


def on_cores(plan: Plan, threads: int) -> Plan:
    """The plan, with so many cores for every trial whose variant does not say how many: they are part of its flags."""

    def flags(variant: str) -> str:
        given = plan.variants[variant]
        there = threads_of(plan, Trial(variant, "", 0, DEFAULT))
        return f"{given} {THREADS} {threads}".strip() if there is None else given

    return plan._replace(variants={variant: flags(variant) for variant in plan.variants})


def words(flags: str, where: str) -> list[str]:
    """The words of a command line."""
    try:
        return shlex.split(flags)
    except ValueError as error:
        raise UserError(f"{where}: {shown(flags)} is no command line ({error})") from error


def planned(plan: Plan) -> list[Trial]:
    """All trials, seed by seed, so that every variant has one result before any has two."""
    lengths = [f"{minutes:g} minutes" for minutes in plan.minutes] + [f"{steps} steps" for steps in sorted(plan.steps)]
    return [
        Trial(variant, robot, seed, length)
        for seed in range(plan.seeds)
        for robot in plan.robots
        for variant in plan.variants
        for length in lengths or [DEFAULT]
    ]
