"""`walkies lab transfer`: every policy in every simulator, each examination once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from walkies.cli import run as cli
from walkies.errors import UserError
from walkies.files import write_json
from walkies.lab import row_file, transfer
from walkies.lab.study import trials
from walkies.run.config import TrainConfig
from walkies.run.folders import RunFolder, to_dict
from walkies.tasks.randomization import SETS

SURVIVAL = {"mujoco": 1.0, "dart": 0.75}
"""Of the robots that were trained with randomization."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two runs, with randomization and without, whose examinations are answered; the number of these is `asked`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")  # a table and no list
    for name in ("walkies", "none"):
        folder = RunFolder(Path(name))
        folder.path.mkdir()
        config = TrainConfig(seed=3)
        write_json(folder.config, to_dict(replace(config, task=replace(config.task, randomization=SETS[name]))))
        folder.policy.write_text(name)
        folder.curves.write_text("steps,kl\n5000,0\n")

    def answer(*words, statuses=(0,)):
        asked.append(words)
        drawn, simulator = words[1], words[words.index("--simulator") + 1]
        survival = SURVIVAL[simulator] - (0.5 if drawn == "none" else 0.0)
        return json.dumps({"passed": survival == 1, "survival": survival, "lin_vel_error": 0.1, "yaw_rate_error": 0.2})

    asked: list = []
    monkeypatch.setattr(trials, "command", answer)
    monkeypatch.setattr(transfer, "asked", asked, raising=False)
    return ["walkies", "none"]


def test_the_matrix(runs, capsys):
    call = ["lab", "transfer", *runs, "--simulators", "mujoco", "dart", "--episodes", "4", "--out", "rows.csv"]
    assert cli(call) == 0
    text = capsys.readouterr().out
    assert "| trained in | randomization | seeds | mujoco | dart |" in text
    assert "| native | walkies | 1 | 1.000 (1.000), 0.100 m/s, 0.200 rad/s | 0.750 (0.750)," in text
    assert "| native | none | 1 | 0.500 (0.500), 0.100 m/s, 0.200 rad/s | 0.250 (0.250)," in text
    assert len(transfer.asked) == 4
    assert cli([*call, "--list"]) == 0
    assert "walkies in dart    finished" in capsys.readouterr().out
    assert cli([*call, "--picture", "matrix.png"]) == 0 and len(transfer.asked) == 4, "nothing is examined twice"
    assert Path("matrix.png").stat().st_size > 1000
    RunFolder(Path("none")).policy.write_text("trained on")
    assert cli(call) == 0 and len(transfer.asked) == 6, "another policy is another row"
    capsys.readouterr()
    assert cli([*call, "--table", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["seed"] for row in found} == {"3"} and {row["steps"] for row in found} == {"5000"}


def test_rows_of_other_examinations_are_not_mixed_in(runs, capsys):
    call = ["lab", "transfer", "walkies", "--simulators", "mujoco", "--out", "rows.csv"]
    assert cli([*call, "--episodes", "4"]) == 0
    assert cli([*call, "--episodes", "5", "--table"]) == 2
    assert "no row of this matrix" in capsys.readouterr().err
    with pytest.raises(UserError, match="there is no run in nowhere"):
        transfer.about(Path("nowhere"))


def test_means_and_worst_are_over_seeds():
    row = dict.fromkeys(transfer.COLUMNS, "0") | {"simulator": "mujoco", "trained_in": "mjx", "randomization": "none"}
    values = np.array([0.9, 1.0])
    rows = [row | {"run": str(i), "survival": str(value)} for i, value in enumerate(values)]
    assert "| mjx | none | 2 | 0.950 (0.900), 0.000 m/s" in transfer.table(rows)
    assert row_file.read(Path("nothing.csv"), transfer.COLUMNS, transfer.EXPECTED) == []
