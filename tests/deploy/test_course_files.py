"""Files of the structures that the course's trainings of 2026 export go through every command."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from deploy import synthetic
from walkies import cli
from walkies.cli import doctor
from walkies.deploy.policy_file import read
from walkies.judge.exam import robot_of
from walkies.show.rendering import gl
from walkies.show.viewer.walker import Walker

FILES = {
    "gaits": synthetic.gaits,
    "trick": lambda: synthetic.trick(hidden=(16,)),
    "plain": lambda: synthetic.plain(history=2, hidden=(16,)),
}
SHORT = 0.2
"""s under the policy."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    """The files by name."""
    folder = tmp_path_factory.mktemp("files")
    for name, make in FILES.items():
        (folder / f"{name}.json").write_text(json.dumps(make()))
    return {name: folder / f"{name}.json" for name in FILES}


@pytest.fixture(params=FILES)
def path(request, made) -> Path:
    return made[request.param]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal on which no sentence is wrapped."""
    monkeypatch.setenv("COLUMNS", "300")


def said(capsys, *arguments, status=0):
    capsys.readouterr()
    got = cli.run([*map(str, arguments)])
    printed = capsys.readouterr()
    assert got == status, printed.out + printed.err
    return printed.out + printed.err


def test_the_largest_is_as_large_as_the_courses_own():
    document = synthetic.gaits()
    assert document["in_shape"] == [None, 960]
    assert [layer["shape"][1] for layer in document["layers"]] == [256, 128, 128, 128, 12]
    assert 6e6 < len(json.dumps(document)) < 8e6


def test_lint_takes_seconds_and_finds_no_error(path, capsys):
    started = time.process_time()
    out = said(capsys, "lint", path)
    assert time.process_time() - started < 5.0
    assert "0 errors" in out and "unchecked" not in out
    assert ("needs-2026" in out) == (path.stem != "plain")


def test_explain(path, capsys):
    out, document = said(capsys, "explain", path), json.loads(path.read_text())
    for component in document["obs_spec"]["components"]:
        assert component["name"] in out
    assert f"{document['in_shape'][1]} numbers" in out and "format of 2026" in out


def test_export(path, capsys, tmp_path):
    assert "checked with onnxruntime" in said(capsys, "export", path, "--out", tmp_path / "policy.onnx")
    said(capsys, "export", path, "--contract", "2026", "--out", tmp_path / "again.json")
    first, again = read(path), read(tmp_path / "again.json")
    observations = np.random.default_rng(0).normal(size=(3, first.observation_size))
    np.testing.assert_array_equal(first.act(observations), again.act(observations))
    before, after = (json.loads(one.read_text()) for one in (path, tmp_path / "again.json"))
    assert set(before) - set(after) == {"contract_version", "control_orientation"}, "which nobody reads"
    for key in ("obs_spec", "command_clip", "heading_hold", "gait_reference", "motion"):
        assert before.get(key) == after.get(key)
    plain = set(first.slices) == set(synthetic.signal.FRAME)
    out = said(capsys, "export", path, "--contract", "2025", "--out", tmp_path / "old.json", status=0 if plain else 2)
    assert plain or "write the format of 2026" in out
    assert "./deploy.sh" in said(capsys, "export", path, "--to-robot")


def test_exam(path, capsys):
    episodes = 2 if path.stem == "gaits" else 1
    assert f"{episodes} episode" in said(capsys, "exam", path, "--episodes", episodes)


def test_rehearse(path, capsys, tmp_path):
    flags = ("--only", "cone", "--robots", "1", "--seconds", SHORT, "--threads", "1", "--out", tmp_path)
    assert "cone" in said(capsys, "rehearse", path, *flags)
    assert (tmp_path / "rehearsal.json").is_file()


@pytest.mark.parametrize("name", ["gaits", "trick"])
def test_film(made, name, capsys, tmp_path):
    """The frame of 36 is that of every other film (tests/show/test_film.py)."""
    status = 0 if doctor.graphics().status == "ok" else 2
    flags = ("--out", tmp_path / "film.mp4", "--seconds", SHORT, "--size", "64", "64")
    out = said(capsys, "film", made[name], *flags, status=status)
    assert (tmp_path / "film.mp4").is_file() if status == 0 else gl.GL_PACKAGES in out


def test_play(path):
    """The page's robot: it stands up, and then acts."""
    policy = read(path)
    now = [0.0]
    walker = Walker(policy, robot_of(policy), clock=lambda: now[0])
    actions = []
    start = walker.controller.start_up
    for _ in range(start + 20):
        now[0] += walker.dt
        walker.drive(np.array([0.3, 0.0, 0.0]))
        if (moment := walker.advance()) is not None:
            actions.append(moment.action)
    assert len(actions) >= 2 and np.all(np.isfinite(actions)) and np.any(actions[-1] != 0.0)
