"""Every table that a command prints is readable on 58 columns: no line is longer, and no word is cut or broken.

And every command that prints one prints JSON instead with `--json`.
"""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.table import Table
from run_folders import CARD, a_run
from standing import standing_policy

from deploy import synthetic
from walkies import cli, terminal
from walkies.cli import completion, doctor, exam
from walkies.cli.tables import titled
from walkies.deploy import policy_file
from walkies.files import write_json
from walkies.judge.rehearsal import cells
from walkies.lab.bench import iteration, physics, view

NARROW, WIDE = 58, 400
FALL = {
    "episode": 3, "seed": 4, "time": 1.5, "cause": "tilt", "command": [0.5, 0.0, 0.1], "command_held_s": 1.0,
    "command_before": [0.0, 0.0, 0.0], "friction": 0.5, "payload_kg": 0.1, "trunk_mass_scale": 1.0,
    "com_shift_m": [0.0, 0.0, 0.0], "kp_scale": 1.0, "kd_scale": 1.0, "command_delay_ms": 5.0, "imu_delay_ms": 3.0,
    "last_push_m_s": 0.1,
}  # fmt: skip
COMMANDS = {
    "explain pupper": 0,
    "explain small-humanoid --preset velocity-fs": 0,
    "explain policy.json": 0,
    "robot list": 0,
    "robot check go": 0,
    "doctor": 0,
    "runs list runs": 0,
    "runs compare runs/a-run-of-a-long-name runs/b": 0,
    "exam runs/b": 0,
    "excite go --wiggle": 0,
    "lint policy.json": 0,
    "motion check bow": 0,
    "rehearse runs/b --only friction payload --robots 4": 0,
    "rehearse runs/b --box course --robots 4": 0,
    "lab ablate --list": 0,
    "lab bench physics": 0,
    "lab bench train": 0,
    "lab bench view": 0,
    "lab benchmark trpo-zoo_CartPole --out benchmark": 0,
    "lab benchmark trpo-zoo_CartPole --out benchmark --list": 0,
    "lab compare double-integrator --list": 0,
    "lab study seeds.toml --out seeds.csv --table": 0,
    "lab study seeds.toml --out seeds.csv --list": 0,
    "lab transfer --out transfer.csv --episodes 8 --table": 0,
}
SENTENCES = ("lint policy.json", "lab bench train", "lab bench view")
"""Which print lines of text, no tables; terminals wrap these."""
ELSEWHERE = {
    "motion capture": "tests/cli/test_motion_capture.py",
    "replay": "tests/deploy/test_replay_generic.py",
    "lab bench replay": "tests/deploy/test_replay_log.py",
    "lab bench simulators": "tests/lab/bench/test_simulators_bench.py",
}
"""Whose JSON other tests read."""
NO_TABLE = {
    "train": "prints the report card, which it writes as report.json",
    "play": "a page", "share": "a page", "gait": "a page", "robot view": "a page", "report": "a page",
    "film": "a video", "export": "files", "robot add": "files", "completion": "a script",
}  # fmt: skip
"""Commands without --json, and what they make."""
HERE = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with runs, a policy and a robot of one's own."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a-run-of-a-long-name", "b")):
        a_run(Path("runs") / name, seed=number)
        (Path("runs") / name / "policy.json").unlink()  # no replay of it need be drawn
    policy_file.write(Path("runs/b/policy.json"), standing_policy())
    write_json(Path("policy.json"), synthetic.gaits(history=2, hidden=(4,)))
    monkeypatch.setattr(exam, "examine_file", lambda path, episodes, seed, *_: {**CARD, "seed": seed, "falls": [FALL]})
    found = doctor.Finding(
        "note", "no library draws here (tried egl, osmesa)", "Install one: see /usr/share/doc/some/where"
    )
    monkeypatch.setattr(doctor, "CHECKS", {"JAX's settings": lambda: found, "disk": doctor.disk})
    monkeypatch.setattr(cells, "drive", driven)
    for module, name in ((physics, "run"), (iteration, "measure"), (view, "measure")):
        monkeypatch.setattr(module, name, lambda *_, **__: Made())
    shutil.copytree(HERE / "docs/benchmarks/rows", "benchmark/rows")
    for name in ("seeds.toml", "seeds.csv", "transfer.csv"):
        shutil.copy(HERE / "benchmarks" / name, name)
    return tmp_path


class Made(dict):
    """Results of a measurement that took no time: every number is 1.5."""

    def __init__(self):
        super().__init__(slowdowns=[0.1, 0.2], isa="avx512", start=[1.0, 2.0])

    def __missing__(self, key):
        return 1.5


def driven(policy, robot, conditions, seeds, seconds, threads):
    """A rehearsal that took no time."""
    fell = np.where([one.friction < 0.15 for one in conditions], 0.5, seconds)
    number = np.full(len(fell), 0.1)
    return SimpleNamespace(
        cause=np.where(fell < seconds, "tilt", ""), fell_at=fell, lin_vel_error=number, yaw_rate_error=number,
        power=number, turning=number,
    )  # fmt: skip


def words(printed: str) -> set[str]:
    return set(re.sub(r"[─-╿|:]", " ", printed).split())


def broken(narrow: str, wide: str) -> list[str]:
    """What is wrong with a narrow print of what `wide` says."""
    too_long = [line for line in narrow.splitlines() if len(line.rstrip()) > NARROW and line.startswith(tuple("│┃┏ ╭"))]
    there = words(narrow)
    lost = [word for word in words(wide) if len(word) <= NARROW // 2 and word not in there and word.strip("-")]
    return too_long + lost


@pytest.mark.parametrize("line", [line for line in COMMANDS if line not in SENTENCES])
def test_a_table_on_a_narrow_terminal(line, folder, monkeypatch, capsys):
    printed = {}
    for width in (WIDE, NARROW):
        monkeypatch.setenv("COLUMNS", str(width))
        assert cli.run(line.split()) == COMMANDS[line]
        printed[width] = capsys.readouterr().out
    assert broken(printed[NARROW], printed[WIDE]) == []


@pytest.mark.parametrize("line", COMMANDS)
def test_a_table_as_json(line, folder, capsys):
    """One JSON value and nothing else; the control: without the flag it is no JSON."""
    said = []
    for flag in ([], ["--json"]):
        assert cli.run([*line.split(), *flag]) == COMMANDS[line]
        said.append(capsys.readouterr().out)
    with pytest.raises(json.JSONDecodeError):
        json.loads(said[0])
    assert json.loads(said[1])


def test_every_command_prints_json_or_no_table():
    takes = {name for name in cli.COMMANDS if "--json" in completion.flags(cli.load(name))}
    assert takes == set(cli.COMMANDS) - set(NO_TABLE)
    assert takes == {cli.resolve(line.split())[0] for line in COMMANDS} | set(ELSEWHERE)
    assert [path for path in ELSEWHERE.values() if "--json" not in (HERE / path).read_text()] == []


def test_the_check_finds_a_table_as_rich_prints_it(monkeypatch, capsys):
    """The control: the same table, cut by rich itself, and printed in the form that fits."""
    printed = {}
    for how, width in (("wide", WIDE), ("cut", NARROW), ("fitting", NARROW)):
        monkeypatch.setenv("COLUMNS", str(width))
        table = a_table()
        terminal.print_tables(table) if how == "fitting" else terminal.console().print(table)
        printed[how] = capsys.readouterr().out
    assert broken(printed["cut"], printed["wide"]) != []
    assert broken(printed["fitting"], printed["wide"]) == []


def a_table(columns: int = 6) -> Table:
    made = titled("Numbers", *(f"column_number_{i}" for i in range(columns)))
    made.add_row(*(f"a_long_value_{i}" for i in range(columns)))
    return made


@pytest.mark.parametrize(("columns", "marks"), [(2, "┃"), (3, "──"), (6, "column_number_5  a_long_value_5")])
def test_the_first_form_that_fits(columns, marks, monkeypatch, capsys):
    """Lines around cells where there is room; columns without them; else paragraphs."""
    monkeypatch.setenv("COLUMNS", "52")
    terminal.print_tables(a_table(columns))
    printed = capsys.readouterr().out
    assert marks in printed and ("┃" in printed) == (columns == 2)


def test_markdown_keeps_its_tables_where_they_fit(monkeypatch):
    text = "# Title\n\n| name | value |\n| --- | --- |\n| a \\| b | 1 |\n| c | a sentence of some words |\n\nEnd\n"
    monkeypatch.setenv("COLUMNS", "40")
    assert terminal.narrowed(text) == text
    monkeypatch.setenv("COLUMNS", "24")
    listed = "name: a \\| b\nvalue: 1\n\nname: c\nvalue: a sentence of\n  some words"
    assert terminal.narrowed(text) == f"# Title\n\n{listed}\n\nEnd\n"


@pytest.mark.parametrize("line", [*cli.COMMANDS, "train --help task", "train --help all"])
def test_help_on_a_narrow_terminal(line, monkeypatch, capsys):
    """No line is longer than the terminal, which would break it within a word; but tyro's one of the usage."""
    said = {}
    for width in (WIDE, NARROW):
        monkeypatch.setenv("COLUMNS", str(width))
        assert cli.run([*line.split(), *(() if "--help" in line else ("--help",))]) == 0
        said[width] = capsys.readouterr().out
    assert [one for one in said[NARROW].splitlines() if len(one) > NARROW and not one.startswith("usage:")] == []
    assert said[WIDE].splitlines() != said[NARROW].splitlines()
