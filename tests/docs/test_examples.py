"""Every file of examples/ runs, in seconds, and shows what it says that it shows."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from walkies.robots import folders, record

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.py"))
SB3 = "sb3_on_walkies.py"


def run(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The example in a process of its own, in the fast mode."""
    command = [sys.executable, str(EXAMPLES / name)]
    return subprocess.run(command, env={**os.environ, "WALKIES_FAST": "1"}, cwd=folder, text=True, capture_output=True)


def printed(name: str, folder: Path) -> str:
    """What it prints where nothing goes wrong."""
    done = run(name, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    found = [float(number) for number in re.findall(pattern, text)]
    assert found, f"nothing like {pattern} in: {text}"
    return found


def test_an_own_environment_is_learned(tmp_path: Path) -> None:
    distances = numbers(r"mean distance (\S+) m", printed("own_environment.py", tmp_path))
    assert distances[-1] < 0.5 * distances[0]


def test_an_own_algorithm_learns_as_ppo_does(tmp_path: Path) -> None:
    lengths = numbers(r"stands for (\d+) of", printed("own_algorithm.py", tmp_path))
    assert len(lengths) == 2 and min(lengths) > 50, "a policy that has learned nothing lets it fall after some 20"


def test_an_own_reward_is_trained_with(tmp_path: Path) -> None:
    first, last = numbers(r"(-\d+\.\d+) at", printed("own_reward.py", tmp_path))
    assert first < 0.0 and last < 0.0
    assert (tmp_path / "runs" / "low" / "policy.json").is_file()


def test_an_own_robot_is_read_and_trained(tmp_path: Path) -> None:
    (mass,) = numbers(r"stool: a quadruped of (\S+) kg", printed("own_robot.py", tmp_path))
    assert f"{mass:g} kg" in (EXAMPLES / "stool.xml").read_text(encoding="utf-8")
    assert record.read(tmp_path / folders.HERE / "stool").num_joints == 12
    assert (tmp_path / "runs" / "stool" / "policy.json").is_file()


def test_ppo_learns_in_gymnasiums_environment(tmp_path: Path) -> None:
    first, last = re.findall(
        r"^return (\d+) at first, (\d+) at the end$", printed("ppo_on_gymnasium.py", tmp_path), re.M
    )[0]
    assert int(last) > 2 * int(first)


def test_stable_baselines3_trains_where_it_is_installed_and_is_asked_for_elsewhere(tmp_path: Path) -> None:
    done = run(SB3, tmp_path)
    if importlib.util.find_spec("stable_baselines3") is None:
        assert done.returncode == 1 and "walkies[compare]" in done.stderr and "Traceback" not in done.stderr
    else:
        assert done.returncode == 0, done.stderr[-2000:]
        assert "actions of 8 robots, 12 joints each" in done.stdout


@pytest.mark.parametrize("name", FILES)
def test_an_example_says_how_to_run_it_and_is_listed(name: str) -> None:
    said = ast.get_docstring(ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))) or ""
    assert f"python examples/{name}" in said
    assert f"({name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert re.search(rf'"{name}"', Path(__file__).read_text(encoding="utf-8")), "a test runs it"


@pytest.mark.parametrize("name", FILES)
def test_an_example_uses_what_is_public(name: str) -> None:
    tree = ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    words = [word for node in imported for word in (*node.module.split("."), *(alias.name for alias in node.names))]
    assert words and not [word for word in words if word.startswith("_") and word != "__future__"]
