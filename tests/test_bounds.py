"""Ranges: what lies in one, how it reads, and that everything a record holds is looked at."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walkies.bounds import AtMost, Between, Seed, Share, faults, fields_of, refuse, unwrapped
from walkies.errors import UserError
from walkies.judge import ranges
from walkies.rl.recipes import PPO
from walkies.run import folders
from walkies.run.config import TrainConfig, build
from walkies.run.config import refuse as refuse_training
from walkies.tasks.walk import WalkConfig

ENDS = ("[]", "(]", "[)", "()")


@given(st.floats(), st.sampled_from(ENDS))
def test_a_range_is_the_interval_that_its_brackets_say(value, ends):
    """Its definition, once more; NaN and infinity are in none."""
    above = value > -2.0 or (value == -2.0 and ends[0] == "[")
    below = value < 3.0 or (value == 3.0 and ends[1] == "]")
    assert (value in Between(-2.0, 3.0, ends)) == (above and below and math.isfinite(value))


@pytest.mark.parametrize(
    ("within", "says"),
    [
        (Between(0.0, 1.0), "from 0 to 1"),
        (Between(0.0, 1e6, "(]"), "more than 0 and at most 1e6"),
        (Between(-0.25, 1.0, "[)"), "-0.25 or more and less than 1"),
        (Between(1e-5, 2.0, "()"), "more than 1e-5 and less than 2"),
        (Between(0, 2**32 - 1), "from 0 to 4294967295"),
        (Between(0, 65535, note="0 for any"), "from 0 to 65535; 0 for any"),
    ],
)
def test_a_range_reads_as_one_would_say_it(within, says):
    assert str(within) == says


@dataclass(frozen=True)
class Pair:
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Record:
    seed: Seed = 0
    limit: Annotated[float | None, Between(0.0, 10.0, "(]")] = None
    sizes: Annotated[tuple[int, ...], Between(1, 9), AtMost(3)] = ()
    corner: tuple[Share, Share] = (0.0, 1.0)
    pair: Annotated[Pair, Between(-1.0, 1.0)] = Pair()
    free: float = 0.0
    name: str = ""
    switch: bool = False


@dataclass(frozen=True)
class Outer:
    inner_one: Record = field(default_factory=Record)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"seed": 1.0}, "seed"),
        ({"seed": True}, "seed"),
        ({"limit": 0.0}, "limit"),
        ({"limit": math.nan}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"sizes": (1, 0)}, "sizes"),
        ({"sizes": (1, 1, 1, 1)}, "sizes"),
        ({"corner": (0.5, 1.5)}, "corner"),
        ({"pair": Pair(high=1.5)}, "pair.high"),
        ({"free": math.inf}, "free"),
        ({"free": math.nan}, "free"),
    ],
)
def test_every_number_of_a_record_is_looked_at(values, path):
    """Control: none of them is refused in the record as it is."""
    assert list(faults(Outer(), Outer)) == []
    found = list(faults(Outer(Record(**values)), Outer))
    assert [fault.path for fault in found] == [f"inner_one.{path}"]
    with pytest.raises(UserError, match=rf"^--inner-one\.{path}: got .*, expected "):
        refuse(Outer(Record(**values)), Outer)


def test_numbers_of_numpy_are_numbers():
    assert list(faults(Record(seed=np.uint32(7), limit=np.float32(10.0), free=np.float64(1e300)), Record)) == []


def test_a_range_nearer_to_the_number_comes_first():
    """So that a record may give all its numbers one range but a few."""
    nested = Annotated[Share, Between(0.0, 5.0)]
    assert unwrapped(nested) == (float, Between(0.0, 1.0), None)
    assert unwrapped(float, Between(0.0, 5.0)) == (float, Between(0.0, 5.0), None)


def test_a_configuration_in_a_file_is_refused_by_the_name_of_its_file():
    """Control: the numbers at their ranges' ends are taken."""
    with pytest.raises(UserError, match=r"^run/config\.json\.task\.kp: got -1, expected more than 0 and at most 10000"):
        folders.from_dict(TrainConfig, {"task": {"kp": -1}}, "run/config.json")
    masses = {"task": {"randomization": {"body": {"mass": {"low": 0.0, "high": 1.0}}}}}
    with pytest.raises(
        UserError, match=r"^run/config\.json\.task\.randomization\.body\.mass\.low: got 0, expected more"
    ):
        folders.from_dict(TrainConfig, masses, "run/config.json")
    with pytest.raises(UserError, match=r"^run/config\.json\.recipe\.hidden: got 0, expected a whole number from 1 to"):
        folders.from_dict(TrainConfig, {"recipe": {"hidden": [8, 0]}}, "run/config.json")
    assert folders.from_dict(TrainConfig, {"task": {"kp": 10_000}, "seed": 2**32 - 1}).task.kp == 10_000


def test_a_program_is_refused_at_the_doors_too():
    """Recipe, task and training, each where it would be used."""
    with pytest.raises(UserError, match=r"^learning_rate: got nan, expected from 0 to 10"):
        replace(PPO, learning_rate=math.nan)
    with pytest.raises(UserError, match=r"min_learning_rate 0\.1 is more than max_learning_rate 0\.01"):
        replace(PPO, min_learning_rate=0.1)
    with pytest.raises(UserError, match=r"^--task\.action-scale: got 1e30"):
        build(TrainConfig(task=WalkConfig(action_scale=1e30)))
    with pytest.raises(UserError, match=r"^--task\.episode-seconds: got 0\.01, expected at least the 0\.02 s"):
        build(TrainConfig(task=WalkConfig(episode_seconds=0.01)))
    with pytest.raises(UserError, match=r"^--minutes: got inf"):
        refuse_training(TrainConfig(minutes=math.inf))
    refuse_training(TrainConfig(minutes=1e6))


def test_a_training_may_ask_for_as_many_episodes_as_a_paper_has():
    (_, asked, _), (_, there, _) = (unwrapped(kind) for kind in (
        fields_of(TrainConfig)["exam_episodes"], ranges.Episodes))  # fmt: skip
    assert (asked.high, asked.low, there.low) == (there.high, 0, 1)
