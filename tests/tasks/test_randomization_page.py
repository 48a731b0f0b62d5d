"""The page on randomization says what the code does."""

from pathlib import Path

import pytest

from walkies.cli.explain import randomization_markdown
from walkies.tasks.randomization import COURSE, NONE, SETS, WALKIES

PAGE = Path(__file__).parents[2] / "docs" / "randomization.md"


def test_the_table_of_the_page_is_the_codes():
    assert randomization_markdown(SETS) in PAGE.read_text(), "print(randomization_markdown(SETS)) makes the new table"


@pytest.mark.parametrize("name", ["none", "course", "walkies"])
def test_another_set_would_be_noticed(name):
    other = {"none": COURSE, "course": WALKIES, "walkies": NONE}
    assert randomization_markdown(SETS | {name: other[name]}) not in PAGE.read_text()


def test_the_intervals_of_the_page_are_the_codes():
    text = " ".join(PAGE.read_text().split())
    assert f"{COURSE.pushes.kick_interval:g} s in `course`, {WALKIES.pushes.kick_interval:g} s in `walkies`" in text
