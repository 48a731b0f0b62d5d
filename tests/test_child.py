"""What walkies starts itself runs nothing that happens to lie in the working folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import processes
import walkies
from walkies import child

ROOT = Path(__file__).parents[1]
HOSTILE = "hostile"
PROGRAM = ("-c", "import numpy, walkies; print(numpy.__file__, walkies.__file__)")


@pytest.fixture
def hostile_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a module in it that has a library's name."""
    (tmp_path / "numpy.py").write_text(f"raise SystemExit({HOSTILE!r})")
    monkeypatch.chdir(tmp_path)
    # A colon at the end, as `export PYTHONPATH=/here:$PYTHONPATH` leaves it, names the working folder.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*filter(None, sys.path), ""]))
    return tmp_path


def test_nothing_is_imported_from_the_working_folder(hostile_folder: Path) -> None:
    done = subprocess.run(child.python(*PROGRAM), env=child.environment(), capture_output=True, text=True, check=True)
    numpy, ours = done.stdout.split()
    assert Path(numpy).parent.name == "numpy" and ours == walkies.__file__


@pytest.mark.parametrize("half", ["the command", "the environment"])
def test_without_one_of_the_two_it_would_be(half: str, hostile_folder: Path) -> None:
    command = child.python(*PROGRAM) if half == "the command" else [sys.executable, *PROGRAM]
    # First on the path, as in a process that has nothing but its environment to go by.
    environment = {**os.environ, "PYTHONPATH": os.pathsep + os.environ["PYTHONPATH"]}
    environment = environment if half == "the command" else child.environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr.strip() == HOSTILE


def test_changes_of_the_environment_count_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert child.environment()["MUJOCO_GL"] == "osmesa"
    assert child.environment(MUJOCO_GL="egl")["MUJOCO_GL"] == "egl"


STARTS = re.compile(r"(?:sys\.executable|str\((?:self\._)?python\)), (?!\"-[PI]\")")
"""Python as the beginning of a command, but without -P, or -I, which is -P and more."""


def test_python_is_started_in_no_other_way() -> None:
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("benchmarks/*.py")]
    assert len(sources) > 100
    assert [str(path) for path in sources if STARTS.search(path.read_text(encoding="utf-8"))] == []
    assert STARTS.search('run([sys.executable, "-m", "walkies"])'), "what the pattern is for"
    assert STARTS.search('run([str(self._python), "-E", "-m", "walkies"])')
    for flag in ("-P", "-I"):
        assert not STARTS.search(f'run([sys.executable, "{flag}", "-m", "walkies"])')


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
@pytest.mark.parametrize("bound", [True, False])
def test_a_bound_process_ends_with_its_parent_however_that_ends(bound: bool) -> None:
    """Control: another one goes on."""
    own = f"{'child.end_with(os.getppid()); ' if bound else ''}print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import os, time; from walkies import child; {own}"
    parent = subprocess.Popen(
        child.python("-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"),
        env=child.environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    try:
        if bound:
            processes.awaited(lambda: not processes.running([pid]), seconds=5.0)
        else:
            time.sleep(0.3)
            assert processes.running([pid])
    finally:
        if processes.running([pid]):
            os.kill(pid, signal.SIGKILL)
        parent.stdout.close()
