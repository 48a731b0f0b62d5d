"""Code on pages: Python runs and holds what is said of it, and every line of the shell is a command that exists.

The lecture's pages, whose cells belong together, are run by tests/docs/test_lecture.py.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import tyro

from walkies import cli
from walkies.errors import UserError
from walkies.judge.report import FALLEN_LINEAR
from walkies.lab.published import trials
from walkies.lab.published.protocols import Row

ROOT = Path(__file__).parents[2]
LECTURE = ROOT / "docs" / "lecture"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *(ROOT / "docs").rglob("*.md")]
)
FENCED = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```", re.M | re.S)
INDENTED = re.compile(r"(?:^    [^\n]*\n)+", re.M)
SPAN = re.compile(r"`(walkies [^`]+)`")
PLACEHOLDERS = {"FLAGS": "", "NAMES": "", "NAME": "torque", "WEIGHT": "1", "M": "1", "S": "0"}
"""What pages write where the reader has a choice, and one such choice."""


class Block(NamedTuple):
    page: Path
    line: int
    """Where its code begins."""
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, text: str) -> list[Block]:
    """Fenced blocks, and indented ones that are commands."""
    fenced = [(m.start("code"), m["language"], m["code"]) for m in FENCED.finditer(text)]
    rest = FENCED.sub(lambda m: re.sub(r"[^\n]", ".", m[0]), text)
    indented = [(m.start(), "sh", m[0]) for m in INDENTED.finditer(rest) if m[0].split()[0] in ("walkies", "python")]
    return [Block(page, text[:start].count("\n") + 1, language, code) for start, language, code in fenced + indented]


EVERY = [block for page in PAGES for block in blocks(page, page.read_text(encoding="utf-8"))]
SHELL = [block for block in EVERY if block.language == "sh"]
PYTHON = [block for block in EVERY if block.language == "python" and block.page.parent != LECTURE]


def commands(code: str) -> list[list[str]]:
    """The words of each command of a shell script, without assignments in front, with variables as 0 and its output
    going nowhere."""
    code = re.sub(r"\s>>?\s*\S+", "", re.sub(r"\$\w+", "0", code.replace("\\\n", " ")))
    found: list[list[str]] = []
    for line in code.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word.strip(";&|"):
                words.append(word)
                continue
            while words and (words[0] in ("do", "done", "then") or re.fullmatch(r"\w+=\S*", words[0])):
                words.pop(0)
            if words:
                found.append(words)
            words = []
    return found


def chosen(words: list[str]) -> list[str]:
    """A command with something in the place of what is left to the reader."""
    out: list[str] = []
    for word in words:
        word = re.sub(r"[A-Z]+$", lambda m: PLACEHOLDERS.get(m[0], m[0]), word)
        if word == "…":
            word = "1" if out and out[-1].startswith("--") else ""
        if word:
            out.append(word)
    return out


def faults(words: list[str]) -> list[str]:
    """What is wrong with the words after `walkies`: no such command, or arguments that it does not take."""
    if not words or words[0].startswith("-"):
        return []  # the overview, --version
    try:
        name, rest = cli.resolve(words)
    except UserError as error:
        return [str(error)]
    function = cli.load(name)

    @functools.wraps(function)
    def does_nothing(*_: object, **__: object) -> None:
        pass

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            tyro.cli(does_nothing, prog=f"walkies {name}", args=rest)
    except SystemExit as stop:
        return [f"walkies {' '.join(words)}: {said.getvalue()}"] if stop.code else []
    return []


def wrong_in(code: str) -> list[str]:
    """What is wrong with a block of the shell: its syntax, or a command of this project that does not exist."""
    found = []
    if (checked := subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True)).returncode:
        found.append(checked.stderr)
    for words in commands(code):
        program, rest = words[0], chosen(words[1:])
        if program == "walkies":
            found += faults(rest)
        elif program == "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
            found += [f"no target {word}" for word in rest if "=" not in word and word not in targets]
        elif program == "python":
            found += [f"no file {rest[0]}" for _ in [0] if not (ROOT / rest[0]).is_file()]
    return found


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_of_a_block_exist(block: Block) -> None:
    assert wrong_in(block.code) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_sentences_exist(page: Path) -> None:
    for span in SPAN.findall(page.read_text(encoding="utf-8")):
        words = chosen(span.split()[1:])
        if " ".join(words) in cli.COMMANDS or words == ["lab", "bench"]:
            continue  # the name of a command, not a use of it
        assert faults(words) == []


def test_pages_show_what_there_is() -> None:
    """Every command stands on some page, and all kinds of pages were found."""
    spans = [span.split() for page in PAGES for span in SPAN.findall(page.read_text(encoding="utf-8"))]
    lines = [words for block in SHELL for words in commands(block.code) if words[0] == "walkies"]
    shown = {" ".join(words[1 : 1 + size]) for words in spans + lines for size in (1, 2, 3)}
    assert shown >= set(cli.COMMANDS)
    assert len(SHELL) > 25 and len(PYTHON) >= 4


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([\w./-]+\.md)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("walkies deploy runs/pupper-0", "no command"),
        ("walkies lint --mend runs/pupper-0", "--mend"),
        ("walkies train pupper --task.rewards.speed 1   # why", "--task.rewards.speed"),
        ("walkies train pupper --steps many", "many"),
        ("for s in 1 2; do walkies exam; done", "required"),
        ("WALKIES_ISA=avx2 walkies lab bench fisics && make walk", "lab bench physics"),
        ("make coffee", "no target coffee"),
        ("python benchmarks/nothing.py --all", "no file benchmarks/nothing.py"),
        ("for s in 1 2; do make walk", "syntax error"),
    ],
)
def test_what_is_gone_would_be_noticed(code: str, says: str) -> None:
    """Control."""
    (block,) = blocks(ROOT / "page.md", f"Text\n\n```sh\n{code}\n```\n")
    assert block.line == 4
    (fault,) = wrong_in(block.code)
    assert says in fault


def executed(block: Block) -> tuple[dict[str, object], str]:
    """A block's namespace, and what it printed."""
    namespace: dict[str, object] = {"__name__": "page"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * (block.line - 1) + block.code, str(block.page), "exec"), namespace)
    return namespace, printed.getvalue()


def block_of(page: str) -> Block:
    (block,) = (block for block in PYTHON if block.page == ROOT / page)
    return block


def test_the_readmes_example_learns_as_soon_as_it_says() -> None:
    """It is run as it stands, with seed 0. Seeds 0 to 9 took 23 to 49 iterations; without learning it would be 99."""
    block = block_of("README.md")
    found = re.search(r"# (\d+) to (\d+)", block.code)
    assert found
    names, printed = executed(block)
    assert int(found[1]) <= int(printed) <= int(found[2]) < 99
    assert names["metrics"]["episode_return"] == names["env"].time_limit == 500


def test_the_courses_error_is_smaller_after_a_fall() -> None:
    """The page's two lines, what they print, and the numbers that it says of them; and what a fall costs here."""
    block = block_of("docs/lab-2026.md")
    names, printed = executed(block)
    assert printed.split() == re.findall(r"# (0\.\d+): ", block.code) == ["0.275", "0.150"]
    course = names["error_vel_xy"]
    assert callable(course)
    assert course([0.2] * 500) == pytest.approx(0.25), "the bar"
    errors = [0.6] * 500
    by_fall = [course(errors, steps) for steps in (50, 100, 300, 500)]
    assert by_fall == sorted(by_fall) and by_fall[1] < 0.25 < by_fall[2]
    assert FALLEN_LINEAR == 1.0 and "an error of 1 m/s for each step" in block.page.read_text(encoding="utf-8")


def test_the_page_about_gymnasium_runs_from_top_to_bottom() -> None:
    """Its blocks belong together."""
    found = [block for block in PYTHON if block.page == ROOT / "docs" / "gymnasium.md"]
    code = "\n".join(block.code for block in found)
    names, printed = executed(found[0]._replace(code=code))
    assert len(found) == 3
    assert printed.splitlines()[0].startswith("True ['") and printed.splitlines()[1:] == ["(3,) (8, 1)", "(2,)"]
    names["envs"].close()  # type: ignore[attr-defined]
    names["pendulums"].close()  # type: ignore[attr-defined]


def test_one_group_of_the_randomization_is_switched_off() -> None:
    names, _ = executed(block_of("docs/randomization.md"))
    assert names["fewer"].latency.command_delay.off and not names["WALKIES"].latency.command_delay.off
    assert names["fewer"].body == names["WALKIES"].body


def test_the_benchmarks_repetition_asks_for_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its four trainings of 100,000 steps take minutes: here each is over with its first iteration."""
    trained: list[Row] = []

    class Trial:
        def __init__(self, row: Row) -> None:
            self.row, self.finished = row, False

        def advance(self) -> None:
            self.finished = True
            trained.append(self.row)

    assert all(hasattr(trials.Trial, name) for name in ("advance", "finished"))
    monkeypatch.setattr(trials, "Trial", Trial)
    monkeypatch.setattr(trials, "evaluate", lambda trial: [500.0] * trials.EVALUATION_EPISODES)
    _, printed = executed(block_of("docs/benchmarks.md"))
    assert printed.splitlines() == [f"{seed} {n} 500.0" for seed in (1, 3) for n in (14, 16)]
    assert [(row.seed, row.protocol.recipe.cg_iterations) for row in trained] == [(1, 14), (1, 16), (3, 14), (3, 16)]
    assert all((row.protocol.name, row.protocol.env) == ("trpo-zoo", "CartPole-v1") for row in trained)
