"""`walkies motion check`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from walkies.cli import run


def test_it_says_of_each_clip_whether_it_holds_up(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert run(["motion", "check", "sit"]) == 0
    out = capsys.readouterr().out
    assert "sit, pupper" in out and out.count("holds up") == 3 and "holds its end" in out


def test_as_json_and_in_the_courses_format(capsys, tmp_path):
    file = tmp_path / "bow.npz"
    assert run(["motion", "check", "bow", "--json", "--out", str(file)]) == 0
    (rows,) = json.loads(capsys.readouterr().out).values()
    assert [row["clip"] for row in rows] == ["stand", "bow"] and rows[1]["then"] == "stand"
    assert np.load(file, allow_pickle=False)["fps"] == 50.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cartwheel"], "expected one of bow, dance, sit, wave"),
        (["bow", "--robot", "nobody"], "nobody"),
        (["bow", "--out", "x.json"], "ends with .npz"),
        (["wave", "--robot", "biped"], "no foot of biped is .*front-right.*it has left, right"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(arguments, said, capsys, tmp_path, monkeypatch):
    import re

    monkeypatch.chdir(tmp_path)
    assert run(["motion", "check", *arguments]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []
