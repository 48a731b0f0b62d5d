"""No character, name or broken pipe ends the work that is told about, and nothing of a user's is markup."""

import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from walkies import cli, terminal

SOURCE = Path(terminal.__file__).parent
ENCODINGS = ("ascii", "latin-1", "cp437")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("survival ≥ 0.99, errors ≤ 0.1", "survival >= 0.99, errors <= 0.1"),
        ("[−1, 1] · 5.0 N·m² ± 2°", "[-1, 1] * 5.0 N*m^2 +- 2 deg"),
        ("Σ|τ q̇|, μ 0.8, λ, 104 µs", "Sigma|tau q|, mu 0.8, lambda, 104 us"),
        ("┏━━━┓│╰─╯", "+---+|+-+"),
        ("“wait” … ½ → 2", '"wait" ... 1/2 -> 2'),
        ("Jürgen", "Jurgen"),
        ("robot 🤖", "robot ?"),
        ("caf\udcc3\udca9", "caf\\xc3\\xa9"),
    ],
)
def test_the_nearest_ascii(text, expected):
    assert terminal.plain(text) == expected


def test_every_character_of_ours_has_a_likeness():
    ours = {c for path in SOURCE.rglob("*.py") for c in path.read_text(encoding="utf-8") if not c.isascii()}
    assert len(ours) > 40
    assert [c for c in ours if "?" in terminal.plain(c)] == []
    assert terminal.plain("\u4e00") == "?", "the control: some have none"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_library_users_print_too(encoding, monkeypatch):
    """Without the command line's preparation: a strict standard output, as Python opens it."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    with pytest.raises(UnicodeEncodeError):  # the control
        print("↦ σ ∝ π", flush=True)
    sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding)
    terminal.say("↦ σ ∝ π")
    table = Table("↦ σ ∝ π")
    table.add_row("≥")
    terminal.console().print(table)
    said = sys.stdout.buffer.getvalue().decode(encoding)
    assert said.startswith("-> ") and said.count("-> ") == 2


def test_control_characters_are_shown_and_move_nothing(capsys):
    terminal.say("runs/a\x1b[2J\rb\nsecond")
    assert capsys.readouterr().out == "runs/a\\x1b[2J\\rb\nsecond\n"


def test_names_are_no_markup(capsys):
    names = ("t[/x]", "u[b]v[/b]", ":smile:", "[link=x]y")
    table = Table("run")
    for name in names:
        table.add_row(name)
    terminal.console().print(table)
    said = capsys.readouterr().out
    assert all(name in said for name in names)
    from rich.console import Console

    Console().print("u[b]v[/b]")  # the control
    assert "[b]" not in capsys.readouterr().out


CONSOLE = re.compile(r"\bConsole\(|from_markup|rich\.print|rich import print")


def test_only_one_module_opens_a_console():
    opening = {
        str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.py") if CONSOLE.search(p.read_text(encoding="utf-8"))
    }
    assert opening == {"terminal.py"}
    assert CONSOLE.search("console = Console()"), "the control"


# the command line


def main(monkeypatch, arguments, encoding="utf-8", raw=None):
    """(exit status, what was printed, what was said on standard error) of `walkies` as a process of its own."""
    printed, said = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw or printed, encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, encoding))
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    sys.stderr.flush()
    return ended.value.code, printed.getvalue().decode(encoding), said.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS[:2])
@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["explain"], ["exam", "nowhere·"]])
def test_every_encoding_will_do(arguments, encoding, monkeypatch):
    status, printed, said = main(monkeypatch, arguments, encoding)
    assert status == (2 if "nowhere·" in arguments else 0)
    assert len(printed + said) > 50 and "?" not in printed + said


class Failing(io.RawIOBase):
    """A standard output to which nothing can be written."""

    def __init__(self, number):
        self.number = number

    def writable(self):
        return True

    def write(self, content):
        raise OSError(self.number, os.strerror(self.number))


@pytest.fixture
def working(monkeypatch, tmp_path):
    """Puts a command `work` into the table that prints much, makes a file and prints again; the file."""
    made = tmp_path / "made"

    def command() -> int:
        """Work."""
        for _ in range(2):
            print("≥" * 100_000, flush=True)
            terminal.console().print("done")
            made.write_text("made")
        return status[0]

    status = [0]
    command.status = status
    monkeypatch.setitem(cli.COMMANDS, "work", cli.Command("tests:work", "work"))
    monkeypatch.setattr(cli, "load", lambda name: command)
    return made, status


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, 2), (errno.EIO, 2), (errno.EPIPE, 141)])
def test_what_cannot_be_printed_stops_nothing_and_is_said_by_the_status(number, expected, working, monkeypatch):
    made, status = working
    ended, _, said = main(monkeypatch, ["work"], raw=Failing(number))
    assert ended == expected and made.read_text() == "made"
    message = f"walkies: standard output: {os.strerror(number).lower()}; only the printed output is lost\n"
    assert said == ("" if number == errno.EPIPE else message)
    status[0] = 3
    assert main(monkeypatch, ["work"], raw=Failing(number))[0] == 3, "the command's own status comes first"
    assert main(monkeypatch, ["work"])[0] == 3
    status[0] = 0
    assert main(monkeypatch, ["work"])[0] == 0, "the control"


def test_a_closed_standard_output_stops_nothing(working, monkeypatch):
    """As Python begins under `>&-`: the stream is None."""
    made, _ = working
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["work"])
    assert ended.value.code == 2 and made.read_text() == "made"


def test_no_file_is_opened_under_the_number_of_a_closed_stream(tmp_path):
    """For real: else what XLA or MuJoCo print would go into a checkpoint."""
    code = (
        "import os, sys; from walkies import terminal; taken = sys.argv[1:] and terminal.take_over(); "
        "print(os.open(os.devnull, os.O_RDONLY), file=sys.stderr)"
    )
    shell = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for argument, safe in (["take over"], True), ([], False):
        done = subprocess.run([*shell, *argument], capture_output=True, text=True, env=environment, check=True)
        assert (int(done.stderr) > 2) == safe, "and the control: without it the file is standard output"
