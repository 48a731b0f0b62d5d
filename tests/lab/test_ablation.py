"""The ablation: ten settings, one row for each, resumed where it was stopped; its table on made-up results."""

import json
from dataclasses import replace

import numpy as np
import pytest

from walkies.errors import UserError
from walkies.judge.rehearsal.conditions import AXES
from walkies.lab import ablation, ablation_report
from walkies.lab.ablation import AblateConfig
from walkies.tasks import randomization


def test_ten_settings_that_differ_in_nothing_but_randomization():
    settings = ablation.settings()
    assert tuple(settings) == ablation_report.SETTINGS and len(settings) == 10
    assert ablation_report.GROUPS == randomization.GROUPS
    usual, adaptive = settings["walkies"], settings.pop(ablation_report.ADAPTIVE)
    assert adaptive.curriculum.adaptive and not usual.curriculum.adaptive
    assert replace(adaptive, curriculum=usual.curriculum) == usual
    drawn = [task.randomization for task in settings.values()]
    assert all(a != b for i, a in enumerate(drawn) for b in drawn[:i])
    for task in settings.values():
        assert replace(task, randomization=usual.randomization) == usual
    for group in ablation_report.GROUPS:
        changed = settings[f"without {group}"].randomization
        assert getattr(changed, group) == getattr(settings["none"].randomization, group)
        others = [name for name in ablation_report.GROUPS if name != group]
        assert all(getattr(changed, name) == getattr(usual.randomization, name) for name in others)


def test_every_group_has_a_sweep_that_asks_for_it():
    asked = {
        "body": {"payload", "com"}, "contact": {"friction", "ground", "slope"}, "motor": {"servo", "leg", "torque"},
        "latency": {"command-delay", "imu-delay"}, "sensing": {"noise", "imu-tilt", "encoder"},
        "pushes": {"push", "force"},
    }  # fmt: skip
    assert set(asked) == set(ablation_report.GROUPS)
    assert set().union(*asked.values()) == set(ablation.AXES) <= {axis.name for axis in AXES}


def made_up(seed, shares, base=0):
    """A run's record whose sweep number i survives at `shares[i]`, a list of one share per value."""
    error = 0.1 + seed / 100
    axes = [
        {
            "name": f"a{i}",
            "label": f"axis {i}",
            "base": base,
            "cells": [{"survival": {"value": s}, "lin_vel_error": {"value": error if s else None}} for s in row],
        }
        for i, row in enumerate(shares)
    ]
    return {"seed": seed, "steps": 1_000_000, "seconds": 60.0, "rehearsal_seconds": 30.0, "axes": axes}


RESULTS = {
    "walkies": [made_up(0, [[1.0, 0.5], [1.0, 1.0]]), made_up(1, [[1.0, 1.0], [1.0, 1.0]])],
    "none": [made_up(0, [[0.5, 0.0], [1.0, 0.0]])],
}


def test_table_means_over_values_then_seeds():
    data = ablation_report.table(RESULTS)
    assert [row["setting"] for row in data["rows"]] == ["none", "walkies"]
    none, ours = data["rows"]
    assert none["survival"] == {"a0": {"mean": 0.25, "error": None}, "a1": {"mean": 0.5, "error": None}}
    assert ours["survival"]["a0"]["mean"] == pytest.approx(0.875)
    assert ours["survival"]["a0"]["error"] == pytest.approx(np.std([0.75, 1.0], ddof=1) / np.sqrt(2))
    assert ours["all"]["mean"] == pytest.approx((0.875 + 1.0) / 2) and none["all"]["mean"] == pytest.approx(0.375)
    assert ours["usual_error"]["mean"] == pytest.approx(0.105)
    assert data["minutes_training"] == 3.0 and data["minutes_rehearsing"] == 1.5
    assert data["missing"] == [name for name in ablation_report.SETTINGS if name not in RESULTS]


def test_table_in_words_names_what_is_missing(tmp_path):
    about = {"limit": "60 s", "robots": 4, "robot_seconds": 5.0, "wanted_seeds": 2}
    data = {**about, **ablation_report.table(RESULTS)}
    text = ablation_report.markdown(data)
    assert "| axis 0 | 25 | **88 ± 12.5** |" in text and "3 minutes of training, 2 of rehearsal" in text
    assert text.rstrip().endswith("without pushes, walkies, adaptive, none.")
    whole = {**about, **ablation_report.table({name: RESULTS["walkies"] for name in ablation_report.SETTINGS})}
    assert "Not finished" not in ablation_report.markdown(whole)
    assert ablation_report.draw(data, tmp_path / "picture.png").stat().st_size > 5_000


def test_ranges_are_full_before_a_training_of_four_million_steps_is_half_over():
    """As long as the policy passes from its first quarter on, so that both settings end in the same world."""
    assert 1_000_000 + ablation.settings()[ablation_report.ADAPTIVE].curriculum.steps <= 2_000_000


def test_one_tiny_ablation_for_real_and_again_for_nothing(tmp_path, capsys, monkeypatch):
    """Trains one setting for one iteration of 16 robots, rehearses it, and a second time does neither."""
    config = AblateConfig(
        tmp_path / "out",
        seeds=1,
        steps=1,
        only=("without body", ablation_report.ADAPTIVE),
        axes=("noise",),
        robots=1,
        robot_seconds=0.2,
        envs=16,
        picture=tmp_path / "picture.png",
    )
    assert ablation.command(config) == 0
    data = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [row["setting"] for row in data["rows"]] == list(config.only)
    assert [row["steps"] for row in data["rows"]] == [[16 * 24]] * 2
    assert (tmp_path / "picture.png").is_file() and "Not finished" in capsys.readouterr().out
    stored = json.loads((tmp_path / "out" / "without-body-0" / "config.json").read_text())
    assert stored["task"]["randomization"]["body"]["mass"] == {"low": 1.0, "high": 1.0}
    assert not stored["task"]["curriculum"]["adaptive"]
    stored = json.loads((tmp_path / "out" / "walkies-adaptive-0" / "config.json").read_text())
    assert stored["task"]["curriculum"]["adaptive"]

    def refuse(*arguments):
        raise AssertionError("done again")

    monkeypatch.setattr("walkies.run.training.prepare", refuse)
    monkeypatch.setattr("walkies.judge.rehearsal.cells.drive", refuse)
    assert ablation.command(config) == 0
    assert json.loads((tmp_path / "out" / "ablation.json").read_text()) == data


def test_a_training_stopped_by_the_clock_starts_anew(tmp_path, monkeypatch):
    """Half a training is thrown away and not taken for a whole one; a whole one is kept."""
    from walkies.run.folders import RunFolder

    folder = RunFolder(tmp_path / "none-0")
    folder.checkpoints.mkdir(parents=True)
    (folder.checkpoints / "000000000001.safetensors").write_text("half")
    called = []

    def prepare(run, folder):
        called.append((run.resume, folder.latest_checkpoint() is not None))
        raise KeyboardInterrupt

    monkeypatch.setattr("walkies.run.training.prepare", prepare)
    task = ablation.settings()["none"]
    for config, expected in ((AblateConfig(steps=9), (True, True)), (AblateConfig(), (False, False))):
        with pytest.raises(KeyboardInterrupt):
            ablation.train(config, task, 0, folder)
        assert called.pop() == expected
    folder.path.mkdir()
    limit = {"steps": None, "seconds": 75.0, "envs": None}
    (folder.path / ablation.DONE).write_text(json.dumps({"seed": 0, "steps": 1, "seconds": 1.0, "limit": limit}))
    ablation.train(AblateConfig(), task, 0, folder)
    assert not called
    with pytest.raises(UserError, match="give another folder"):
        ablation.train(AblateConfig(seconds=60.0), task, 0, folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "--seeds: got 0"),
        (
            {"first_seed": 2**32 - 2},
            "--first-seed 4294967294 --seeds 3: got 4294967296, expected a whole number from 0",
        ),
        ({"axes": ("wind",)}, "no sweep wind"),
        ({"only": ("without legs",)}, "no setting without legs; there are none; course; walkies;"),
    ],
)
def test_errors_say_what_to_do(changes, message):
    with pytest.raises(UserError, match=message):
        ablation.choose(AblateConfig(**changes))
