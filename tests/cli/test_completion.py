"""The shell completes what the commands take, and nothing else."""

import re
import shlex
import subprocess

import pytest

from walkies import cli
from walkies.cli import completion


@pytest.fixture(scope="module")
def script():
    return completion.script()


def completed(script, line):
    """What bash offers at the end of a line."""
    words = line.split(" ")
    asked = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _walkies; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "--norc", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


LINES = {
    "walkies ex": {"exam", "excite", "explain", "export"},
    "walkies robot ": {"add", "check", "list", "view"},
    "walkies lab bench tr": {"train"},
    "walkies train hu": {"humanoid"},
    "walkies runs co": {"compare"},
    "walkies train --steps 5 pu": {"pupper"},
    "walkies exam --ep": {"--episodes"},
    "walkies train pupper --simulator ": {"native", "mujoco", "mjx", "bullet", "dart", "newton"},
    "walkies train --task.effort.st": {"--task.effort.start", "--task.effort.steps"},
    "walkies completion ": {"bash", "zsh"},
    "walkies exam runs/": set(),
    "walkies nothing --": set(),
}


@pytest.mark.parametrize("line", LINES)
def test_bash_offers(line, script):
    assert set(completed(script, line)) == LINES[line]


def test_the_test_sees_what_bash_offers(script):
    """The control: a script that lacks a command offers it no more."""
    assert completed(script.replace("exam ", ""), "walkies exa") == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_flags_are_those_of_the_help(name, capsys):
    """tyro's own list, which the help prints in full."""
    assert cli.run([*name.split(), "--help", "all"]) == 0
    _, _, boxes = capsys.readouterr().out.partition(" options ")  # below the description
    lines = re.findall(r"^\W? (?:-\w, )?(--.*)", boxes, re.M)
    told = {flag for line in lines for flag in re.findall(r"--[a-z][\w.-]*", line.split("  ")[0])}
    assert told - {"--help"} == set(completion.flags(cli.load(name)))


def test_zsh_reads_the_same_script(script, capsys):
    assert cli.run(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.strip() == completion.FOR_ZSH + script
