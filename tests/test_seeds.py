"""benchmarks/seeds.py: how a policy of each seed comes to its row, and what is counted."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "seeds.py"


@pytest.fixture
def seeds(tmp_path, monkeypatch):
    """The script as a module with its table elsewhere, and answers in place of trainings and judges: seed 1 fails."""
    spec = importlib.util.spec_from_file_location("seeds", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "TABLE", tmp_path / "seeds.csv")
    monkeypatch.setattr(module.csv_rows, "commit", lambda: "abc1234")
    module.asked = []

    def answer(*words):
        module.asked.append(words)
        if words[0] == "train":
            out = Path(words[words.index("--out") + 1])
            out.mkdir(parents=True)
            with (out / "progress.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("steps", "kl"), ("1000.0", "0"), ("5000000.0", "0")])
            module.trained = int(words[words.index("--seed") + 1])
            return ""
        if words[0] == "exam":
            good = module.trained != 1
            errors = {"lin_vel_error": 0.08, "yaw_rate_error": 0.15}
            return json.dumps({"passed": good, "survival": 0.995 if good else 0.9, **errors, "episodes": 1000})
        return json.dumps({"survival": {"value": 0.99}} if words[0] == "rehearse" else [{"code": "jumpy"}])

    monkeypatch.setattr(module.csv_rows, "judged", answer)
    return module


def test_each_seed_is_trained_once_and_judged_by_everything(seeds):
    for _ in range(2):
        seeds.main(minutes=0.5, seeds=3, setting="stable-gait")
    commands = [words[0] for words in seeds.asked]
    assert commands == ["train", "exam", "rehearse", "rehearse", "lint"] * 3, "what is there is not run again"
    train, exam = seeds.asked[:2]
    flags = tuple(seeds.SETTINGS["stable-gait"].split())
    assert train[2:6] == ("--minutes", "0.5", "--seed", "0") and train[-len(flags) :] == flags
    assert exam[2:] == ("--seed", "2026", "--episodes", "1000", "--json")
    table = seeds.markdown()
    assert "| stable-gait, 0.5 | 0 | 5.0 | passed | 0.995 | 0.080 | 0.150 | 99% | 99% | jumpy |" in table
    assert "| stable-gait, 0.5 | 1 | 5.0 | failed | 0.900" in table and "**2 of 3 passed**" in table
    seeds.main(minutes=1.0, seeds=1, setting="stable-gait")
    assert len(seeds.asked) == 20, "another length is another row"


def test_a_table_of_other_columns_is_not_added_to(seeds):
    seeds.TABLE.write_text("setting,minutes\n")
    with pytest.raises(SystemExit, match="other columns"):
        seeds.main(seeds=1)
    with pytest.raises(SystemExit, match="no setting long; there are: default, stable-gait"):
        seeds.main(setting="long")
