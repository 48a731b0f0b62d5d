"""Every `walkies …` line in the pages about using walkies is a command that exists, with flags that it has."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from walkies import cli
from walkies.errors import UserError

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("deploy.md", "change.md", "mismatches.md", "play.md", "show.md")


def commands(page):
    """The words after `walkies` of each such line in a page's sh blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = (line for block in blocks for line in block.splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("walkies ")]


@cache
def help_of(name):
    """What `walkies NAME --help` prints."""
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.run([*name.split(), "--help"])
    return printed.getvalue()


def faults(words):
    """What is wrong with a line: no such command, or flags that it lacks."""
    try:
        name, rest = cli.resolve(words)
    except UserError as error:
        return [str(error)]
    known = set(re.findall(r"(?<![\w-])--[\w.-]+", help_of(name)))
    return [f"walkies {name} has no {flag}" for flag in rest if flag.startswith("--") and flag not in known]


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_a_page_exist(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [fault for words in commands(text) for fault in faults(words)] == []


def test_pages_show_commands_and_links_lead_somewhere():
    assert {words[0] for page in PAGES for words in commands((DOCS / page).read_text(encoding="utf-8"))} >= {
        *("lint", "exam", "rehearse", "play", "excite", "replay", "train", "explain", "runs", "film", "report")
    }
    for page in PAGES:
        for target in re.findall(r"\]\(([\w./-]+\.md)\)", (DOCS / page).read_text(encoding="utf-8")):
            assert (DOCS / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("walkies deploy runs/pupper-0", "no command"),
        ("walkies lint --mend runs/pupper-0", "no --mend"),
        ("walkies train pupper --task.rewards.speed 1", "no --task.rewards.speed"),
    ],
)
def test_a_command_or_flag_that_is_gone_would_be_noticed(line, says):
    (words,) = commands(f"Text\n\n```sh\n{line}   # why\n```\n")
    (fault,) = faults(words)
    assert says in fault
