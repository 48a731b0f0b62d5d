"""From a robot's file to a run, by one command; and which robot a command line means."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from made_trees import QUADRUPED_WITH_ARM, nameless
from walkies import cli
from walkies.cli.robots.named import named, taken
from walkies.errors import UserError
from walkies.rl.recipes import PPO
from walkies.robots import folders, get_robot, names, trained
from walkies.robots.reading.infer import add
from walkies.run.config import TrainConfig, build

DOG = [chain for chain in QUADRUPED_WITH_ARM if chain.name != "arm"]


@pytest.fixture
def compiled_once(tmp_path, monkeypatch):
    """What the first training of a test compiles is read back by the second, as users' are; then it forgets."""
    monkeypatch.setenv("WALKIES_CACHE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_a_file_becomes_a_run(tmp_path, monkeypatch, capsys, compiled_once):
    """Read, trained, exported, examined, explained; the run goes on by its robot's name."""
    monkeypatch.chdir(tmp_path)
    spec = nameless(DOG, 3)
    spec.compile()
    Path("my_dog.xml").write_text(spec.to_xml())
    brief = ("--steps", "800", "--recipe.num-envs", "32", "--recipe.minibatches", "2", "--no-film")
    assert cli.run(["train", "my_dog.xml", *brief, "--exam-episodes", "2", "--out", "runs/dog"]) in (0, 1)
    said = capsys.readouterr().out
    assert "a quadruped of" in said and "robots/my_dog" in said
    assert said.count("Drawn as robot.toml now is: robots/my_dog/robot.png") == 1
    robot = get_robot("my_dog")
    policy = json.loads(Path("runs/dog/policy.json").read_text())
    assert policy["walkies"]["robot"] == "my_dog" and len(policy["default_joint_pos"]) == robot.num_joints
    config = json.loads(Path("runs/dog/config.json").read_text())
    assert config["robot"] == "my_dog" and config["task"]["commands"]["forward"] == robot.gamepad[0]
    card = json.loads(next(Path("runs/dog/exams").glob("*.json")).read_text())
    marks = {mark["key"]: mark["pass_mark"] for mark in card["marks"]}
    assert marks["lin_vel_error"] == pytest.approx(0.1 / 0.75 * robot.gamepad[0], rel=1e-3)
    assert cli.run(["explain", "runs/dog"]) == 0 and cli.run(["lint", "runs/dog"]) in (0, 1)
    more = ("--steps", "1600", "--exam-episodes", "0", "--no-film")
    assert cli.run(["train", "my_dog", "--resume", "--out", "runs/dog", *more]) == 0
    assert "Drawn" not in capsys.readouterr().out
    assert list((tmp_path / "cache").rglob("*-cache"))
    # The run keeps its robot, wherever it is taken, and whatever becomes of that one here.
    (tmp_path / "elsewhere").mkdir()
    Path("runs/dog").rename("elsewhere/dog")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(folders, "_copies", {})
    with pytest.raises(UserError, match="unknown robot 'my_dog'"):  # the control: nothing here is called so
        get_robot("my_dog")
    assert cli.run(["exam", "dog", "--episodes", "2"]) in (0, 1)
    assert get_robot("my_dog") == replace(robot, mjcf=get_robot("my_dog").mjcf)


def test_a_run_that_goes_on_keeps_the_robot_that_learned(tmp_path, monkeypatch):
    """Its copy is the robot as the run began; who begins anew gets the robot as it is now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "_copies", {})
    spec = nameless(DOG, 3)
    spec.compile()
    Path("dog.xml").write_text(spec.to_xml())
    before = add(Path("dog.xml")).robot.kp
    folders.keep_copy("dog", Path("run"))
    record = Path("robots/dog/robot.toml")
    record.write_text(record.read_text().replace(f"kp = {before[0]:g}", "kp = 9.5"))
    assert get_robot("dog").kp != before
    folders.know_copy(Path("run"))
    assert get_robot("dog").kp == before
    # So in other processes too, which know of the run what they are told: those of a training on several.
    monkeypatch.setattr(folders, "_copies", {})
    config = TrainConfig(robot="dog", recipe=replace(PPO, num_envs=4))
    assert build(config).robot.kp != before
    assert build(config, Path("run")).robot.kp == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["go", "--seed", "1"], "go"),
        (["--seed", "1", "hexapod"], "hexapod"),
        (["--no-film", "biped"], "biped"),
        (["--resume", "go"], "go"),
        (["--out", "go"], None),
        (["--out=go"], None),
        (["nobody"], None),
        (["go", "--help"], None),
        ([], None),
    ],
)
def test_the_robot_of_a_command_line(arguments, expected):
    robot, rest = taken(arguments)
    assert (None if robot is None else robot.name) == expected and rest == arguments
    found = named(arguments)
    assert (None if found is None else found.name) == expected


def test_a_robots_numbers_are_explained(capsys, monkeypatch):
    """Its own, in SI. Control: Pupper's."""
    monkeypatch.setenv("COLUMNS", "120")  # where tables have room for lines
    for name in ("anymal", "pupper"):
        assert cli.run(["explain", name]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"commands.forward │ {get_robot(name).gamepad[0]:g} " in said, name
    assert "anymal" in names()


def test_the_list_says_how_long_robots_took_to_learn(capsys):
    """By the rows of the table, which know no robot that there is not. Control: one that nobody has tried has none."""
    assert cli.run(["robot", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    tried = trained.passes()
    assert tried and set(tried) <= set(names())
    assert {name: one["trained"] for name, one in listed.items()} == {
        name: list(tried[name]) if name in tried else None for name in names()
    }
    for minutes, passed, seeds in tried.values():
        assert minutes > 0.0 and 0 <= passed <= seeds


def test_minutes_are_the_median_of_all_seeds(tmp_path, monkeypatch):
    """Those that failed count as trainings, and not as passed."""
    table = tmp_path / "trained.csv"
    table.write_text("robot,seconds,passed\na,60,True\nb,30,False\na,600,False\na,90,True\n")
    monkeypatch.setattr(trained, "TABLE", table)
    assert trained.passes() == {"a": (1.5, 2, 3), "b": (0.5, 0, 1)}
