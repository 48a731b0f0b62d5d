"""A training's settings come out of a file, and flags change them; help comes in portions."""

import json

import pytest

from walkies import __version__, cli
from walkies.cli import doctor
from walkies.cli.arguments import flags
from walkies.cli.train import command
from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.run.config import TrainConfig, of_robot
from walkies.run.folders import to_dict


def config(*arguments):
    return flags.parse(command, "walkies train", arguments).arguments["config"]


def written(folder, text, name="settings.toml"):
    (folder / name).write_text(text)
    return str(folder / name)


def test_what_a_file_leaves_out_is_the_robots_own(tmp_path):
    file = written(tmp_path, 'robot = "go"\nsteps = 1000\n[task.rewards]\ntorque = -0.25\n')
    found, own = config("--config", file), of_robot(get_robot("go"))
    assert (found.robot, found.steps, found.task.rewards.torque) == ("go", 1000, -0.25)
    assert found.task.commands == own.task.commands != TrainConfig().task.commands
    assert found.recipe == own.recipe


def test_flags_win(tmp_path):
    file = written(tmp_path, 'robot = "go"\nsteps = 1000\n[task.rewards]\ntorque = -0.25\npower = -0.5\n')
    found = config("hexapod", f"--config={file}", "--steps", "2000", "--task.rewards.torque", "-0.125")
    rewards = found.task.rewards
    assert (found.robot, found.steps, rewards.torque, rewards.power) == ("hexapod", 2000, -0.125, -0.5)
    assert found.task.commands == of_robot(get_robot("hexapod")).task.commands


def test_a_run_repeats_from_what_it_wrote(tmp_path):
    first = config("go", "--seed", "3", "--out", str(tmp_path / "run"), "--task.rewards.power", "-0.5")
    file = written(tmp_path, json.dumps(to_dict(first)), "config.json")
    again = config("--config", file)
    same = {"out": None, "config": None}
    assert again.out is None  # the first run's folder is not written into
    assert {**to_dict(again), **same} == {**to_dict(first), **same}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[task.reward]\ntorque = 1\n", "task: unknown field reward;"),
        ("[task.rewards]\ntorqe = 1\n", "task.rewards: unknown field torqe;"),
        ('steps = "many"\n', "steps"),
        ("steps = 0\n", ".steps: got 0, expected a whole number from 1 to"),
        ("steps = [\n", "is damaged"),
        ('robot = "gelatine"\n', "gelatine"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, capsys, text, said):
    file = written(tmp_path, text)
    assert cli.run(["train", "--config", file]) == cli.USER_ERROR
    assert said in capsys.readouterr().err


def test_a_missing_file_is_refused(tmp_path, capsys):
    assert cli.run(["train", "--config", str(tmp_path / "none.toml")]) == cli.USER_ERROR
    assert "none.toml" in capsys.readouterr().err


def helped(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        flags.read(command, "walkies train", arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_begins_with_a_commands_own_flags(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = helped(capsys, "--help")
    assert "--minutes" in text
    assert "walkies train --help task " in text
    assert "--task.rewards" not in text
    assert "--recipe." not in text
    assert len(text.splitlines()) < 60


def test_a_topic_has_the_numbers_of_its_record_and_the_topics_below(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = helped(capsys, "go", "--help", "task")
    assert "--task.action-scale" in text
    assert "--help task.rewards " in text
    assert "--task.rewards.torque" not in text
    assert "--task.rewards.torque" in helped(capsys, "--help", "task.rewards")
    everything = helped(capsys, "--help", "all")
    assert "--task.rewards.torque" in everything
    assert "--recipe.gamma" in everything


def test_a_topic_that_there_is_not_is_refused():
    with pytest.raises(UserError, match=r"taks: no such topic. Did you mean `walkies train --help task`"):
        flags.read(command, "walkies train", ["--help", "taks"])
    with pytest.raises(UserError, match="There are: task"):
        flags.read(command, "walkies train", ["--help", "zzz"])


@pytest.mark.parametrize("line", [["explain", "go"], ["doctor"], ["robot", "list"]])
def test_tables_are_printed_as_json_too(line, capsys, monkeypatch):
    monkeypatch.setattr("walkies.cli.doctor.CHECKS", {"Python": doctor.python})
    assert cli.run([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_table_as_json_has_the_cells_that_are_printed(capsys):
    assert cli.run(["explain", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    rewards = next(rows for title, rows in tables.items() if title.startswith("Reward"))
    torque = next(row for row in rewards if row["term"] == "torque")
    assert torque["weight"].endswith(f"{TrainConfig().task.rewards.torque:g}")


def test_the_version_has_a_word_of_its_own(capsys):
    assert cli.run(["version"]) == 0
    assert capsys.readouterr().out == f"walkies {__version__}\n"
