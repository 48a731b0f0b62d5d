"""The front door: every command's help is reachable, and mistakes are answered as a newcomer would wish."""

import errno
import importlib
import os
import subprocess
import sys

import pytest

from walkies import cli
from walkies.accel import cpu
from walkies.errors import UserError


def say(capsys, *arguments):
    """(exit status, what was printed, what was said on stderr) of `walkies` with these arguments."""
    status = cli.run(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def broken(monkeypatch):
    """Puts a command `broken` into the table that raises what it is given."""

    def install(error):
        def command() -> None:
            """Break."""
            raise error

        monkeypatch.setitem(cli.COMMANDS, "broken", cli.Command("tests:broken", "break"))
        monkeypatch.setattr(cli, "load", lambda name: command)

    return install


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name, capsys):
    status, out, _ = say(capsys, *name.split(), "--help")
    assert status == 0
    assert f"usage: walkies {name}" in out
    function = cli.load(name)
    assert function.__doc__.strip().splitlines()[0].rstrip(".").split()[0] in out


@pytest.mark.parametrize("typed", [["help"], ["--help"], ["-h"], ["help", "help"], ["help", "--help"]])
def test_help_is_what_walkies_alone_says(typed, capsys):
    assert say(capsys, *typed) == say(capsys)


@pytest.mark.parametrize("name", ["runs", "lab bench physics"])
def test_help_with_a_command_is_the_commands_help(name, capsys):
    assert say(capsys, "help", *name.split()) == say(capsys, *name.split(), "--help")


@pytest.mark.parametrize(("typed", "says"), [("trian", "Did you mean `walkies train`?"), ("bench", "one more word")])
def test_help_with_a_mistyped_command_offers_the_nearest(typed, says, capsys):
    status, out, err = say(capsys, "help", typed)
    assert (status, out) == (2, "") and says in err


def test_no_argument_tells_what_there_is(capsys):
    status, out, _ = say(capsys)
    assert status == 0
    assert all(f"  {name} " in out and command.summary in out for name, command in cli.COMMANDS.items())
    assert sum(example in out for example, _ in cli.EXAMPLES) == len(cli.EXAMPLES)


def test_examples_use_flags_that_exist(capsys):
    for line, _ in cli.EXAMPLES:
        name, rest = cli.resolve(line.split()[1:])
        help_text = say(capsys, name, "--help")[1]
        assert all(flag in help_text for flag in rest if flag.startswith("--")), line


def test_overview_imports_no_heavy_library():
    code = "import sys; from walkies import cli; cli.run([]); print({'jax', 'mujoco', 'tyro'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["trian"], "Did you mean `walkies train`?"),
        (["exams"], "Did you mean `walkies exam`?"),
        (["bench", "physic"], "`walkies lab bench physics`"),
        (["lab", "bench"], "`walkies lab bench physics` or `walkies lab bench replay`"),
        (["lab", "bench", "phisics"], "no command 'lab bench phisics'. Did you mean `walkies lab bench physics`?"),
        (["lab", "bnch"], "no command 'lab bnch'. Did you mean `walkies lab bench"),
        (["robot"], "`walkies robot add` or"),
        (["zzzzzzzz"], "There are: train, exam"),
    ],
)
def test_unknown_command_offers_the_nearest(typed, expected, capsys):
    status, out, err = say(capsys, *typed)
    assert (status, out) == (2, "")
    assert expected in err


@pytest.mark.parametrize("line", [["bench", "physics"], ["ablate"], ["compare"], ["benchmark"]])
def test_measurements_are_found_by_the_names_of_before(line, capsys):
    status, out, err = say(capsys, *line, "--help")
    assert status == 0 and f"usage: walkies lab {' '.join(line)}" in out
    assert f"`walkies {line[0]}` is now `walkies lab {line[0]}`" in err


def test_errors_of_the_user_are_one_message_without_traceback(broken, capsys):
    broken(UserError("give more"))
    assert say(capsys, "broken") == (2, "", "walkies: give more\n")


def test_errors_of_ours_keep_their_traceback(broken, capsys):
    broken(ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        cli.run(["broken"])


def test_settings_of_jax_that_are_not_heeded_are_named(broken, capsys, monkeypatch):
    broken(UserError("give more"))
    monkeypatch.setattr(cpu, "overruled", {})
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    first, second = say(capsys, "broken")[2].splitlines()
    assert first.startswith("walkies: ignored: JAX_PLATFORMS=cuda;") and second == "walkies: give more"
    assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_missing_file_is_named(broken, capsys):
    broken(FileNotFoundError(2, "No such file or directory", "runs/none"))
    says = "walkies: runs/none: no such file or directory; check the name, and that of its folder\n"
    assert say(capsys, "broken") == (2, "", says)


@pytest.mark.parametrize("number", cli.ADVICE, ids=errno.errorcode.get)
def test_what_the_operating_system_refuses_is_said_with_what_to_do(number, broken, capsys):
    broken(OSError(number, os.strerror(number), "runs/one"))
    status, _, err = say(capsys, "broken")
    assert status == 2 and err.startswith("walkies: runs/one: ") and cli.ADVICE[number] in err
    broken(OSError(number, os.strerror(number)))
    assert cli.ADVICE[number] in say(capsys, "broken")[2], "also where no file is named"


def test_what_it_should_never_refuse_is_a_bug(broken):
    broken(OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.run(["broken"])


def test_interrupt_is_one_line(broken, capsys):
    broken(KeyboardInterrupt())
    assert say(capsys, "broken") == (130, "", "walkies: interrupted\n")


def test_missing_extra_is_named(broken, capsys, monkeypatch):
    broken(ModuleNotFoundError("No module named 'onnx'", name="onnx"))
    status, _, err = say(capsys, "broken")
    assert status == 2
    assert "pip install 'walkies[onnx]'" in err


def test_missing_extra_is_named_at_import(capsys, monkeypatch):
    def no_gymnasium(name):
        raise ModuleNotFoundError("No module named 'gymnasium'", name="gymnasium.vector")

    monkeypatch.setattr(importlib, "import_module", no_gymnasium)
    assert "pip install 'walkies[gym]'" in say(capsys, "train")[2]


def test_other_missing_modules_are_bugs(broken):
    broken(ModuleNotFoundError("No module named 'walkies.nothing'", name="walkies.nothing"))
    with pytest.raises(ModuleNotFoundError):
        cli.run(["broken"])


def test_wrong_flag_exits_with_usage(capsys):
    status, _, err = say(capsys, "runs", "--no-such-flag")
    assert status == 2
    assert "--no-such-flag" in err
