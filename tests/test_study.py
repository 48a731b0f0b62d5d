"""benchmarks/study.py: what its rows rest on, and which of them a table shows."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "study.py"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The script as a module, with its tables elsewhere."""
    spec = importlib.util.spec_from_file_location("study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "TABLE", tmp_path / "study.csv")
    monkeypatch.setattr(module, "RATES", tmp_path / "study_rate.csv")
    module.RATES.write_text("variant,steps_per_s,seconds_to_compile\ndefault,100000,10\n")
    return module


def curve(folder, errors, steps=1000):
    folder.mkdir(parents=True)
    with (folder / "progress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("steps", "lin_vel_error"))
        writer.writerows((steps * (i + 1), error) for i, error in enumerate(errors))


@pytest.fixture
def asked(study, monkeypatch):
    """The commands that a study runs, with answers in place of trainings and examinations."""
    commands = []

    def answer(*arguments):
        commands.append(arguments)
        if arguments[0] == "train":
            curve(Path(arguments[arguments.index("--out") + 1]), [0.4] * 9 + [0.22] * 9)
            return ""
        episodes = int(arguments[arguments.index("--episodes") + 1])
        return json.dumps({"survival": 0.991, "lin_vel_error": 0.08, "yaw_rate_error": 0.15, "episodes": episodes})

    monkeypatch.setattr(study, "walkies", answer)
    return commands


def test_policies_are_compared_on_a_thousand_episodes_of_a_seed_of_their_own(study, asked):
    study.main(steps=5000, seeds=2, only=("default",), exam=True)
    exams = [words for words in asked if words[0] == "exam"]
    assert len(exams) == 2 and all(words[2:] == ("--seed", "9", "--episodes", "1000", "--json") for words in exams)
    rows = study.rows()
    assert [row["episodes"] for row in rows] == ["1000"] * 2 and [row["seed"] for row in rows] == ["0", "1"]
    assert [row["steps_to_0.25"] for row in rows] == ["17000"] * 2 and not rows[0]["steps_to_0.15"]
    assert "| 0.991 | 0.080 | 0.150 |" in study.markdown(5000, ("default",))
    study.main(steps=5000, seeds=2, only=("default",), exam=True)
    assert len(asked) == 4, "what is there is not run again"


def test_a_table_has_no_examination_of_fewer_episodes(study, asked, monkeypatch):
    monkeypatch.setattr(study, "EPISODES", 100)
    study.main(steps=5000, seeds=1, only=("default",), exam=True)
    monkeypatch.setattr(study, "EPISODES", 1000)
    assert study.rows()[0]["episodes"] == "100"
    assert study.markdown(5000, ("default",)).endswith("|  |  |  |")
    study.main(steps=6000, seeds=1, only=("default",))
    assert study.markdown(6000, ("default",)).endswith("|  |  |  |"), "nor of none"


def test_a_table_of_before_is_not_continued(study):
    study.TABLE.write_text("variant,steps,seed,steps_to_0.25,survival\ndefault,5000,0,4000,0.99\n")
    with pytest.raises(SystemExit, match="other columns"):
        study.main(steps=5000, seeds=1, only=("default",))
