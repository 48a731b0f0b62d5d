"""Every table that a command prints is readable on 58 columns: no line is longer, and no word is cut or broken."""

import re
from pathlib import Path

import pytest
from rich.table import Table
from run_folders import CARD, a_run
from standing import standing_policy

from deploy import synthetic
from walkies import cli, terminal
from walkies.cli import doctor, exam
from walkies.cli.tables import titled
from walkies.deploy import policy_file
from walkies.files import write_json

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
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with runs, a policy and a robot of one's own."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a-run-of-a-long-name", "b")):
        a_run(Path("runs") / name, seed=number)
        (Path("runs") / name / "policy.json").unlink()  # no replay of it need be drawn
    policy_file.write(Path("runs/b/policy.json"), standing_policy())
    write_json(Path("policy.json"), synthetic.gaits(history=2, hidden=(4,)))
    monkeypatch.setattr(exam, "examine_file", lambda path, episodes, seed, **_: {**CARD, "seed": seed, "falls": [FALL]})
    found = doctor.Finding(
        "note", "no library draws here (tried egl, osmesa)", "Install one: see /usr/share/doc/some/where"
    )
    monkeypatch.setattr(doctor, "CHECKS", {"JAX's settings": lambda: found, "disk": doctor.disk})
    return tmp_path


def words(printed: str) -> set[str]:
    return set(re.sub(r"[─-╿|:]", " ", printed).split())


def broken(narrow: str, wide: str) -> list[str]:
    """What is wrong with a narrow print of what `wide` says."""
    too_long = [line for line in narrow.splitlines() if len(line.rstrip()) > NARROW and line.startswith(tuple("│┃┏ ╭"))]
    there = words(narrow)
    lost = [word for word in words(wide) if len(word) <= NARROW // 2 and word not in there and word.strip("-")]
    return too_long + lost


@pytest.mark.parametrize("line", COMMANDS)
def test_a_table_on_a_narrow_terminal(line, folder, monkeypatch, capsys):
    printed = {}
    for width in (WIDE, NARROW):
        monkeypatch.setenv("COLUMNS", str(width))
        assert cli.run(line.split()) == COMMANDS[line]
        printed[width] = capsys.readouterr().out
    assert broken(printed[NARROW], printed[WIDE]) == []


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
