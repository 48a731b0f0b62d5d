"""Robots of other sizes go through everything with nothing but their own records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import made_robots
from walkies import cli, robots
from walkies.robots.base import Robot
from walkies.show.play import Play, stages_of
from walkies.show.viewer.listener import listen
from walkies.tasks.walk import WalkConfig

SMALL = (
    *("--recipe.num-envs", "16", "--recipe.horizon", "8", "--recipe.minibatches", "2", "--recipe.epochs", "1"),
    *("--recipe.hidden", "16", "--recipe.critic-hidden", "16", "--task.observation-history", "2"),
    *("--exam-episodes", "0", "--no-film", "--threads", "1"),
)
ITERATION = 16 * 8


@pytest.fixture(scope="module", params=[(4, 3), (2, 5), (2, 6)], ids=lambda size: "{}x{}".format(*size))
def robot(request, tmp_path_factory):
    made = made_robots.make(tmp_path_factory.mktemp("robot"), *request.param)
    robots.ROBOTS[made.name] = made
    yield made
    del robots.ROBOTS[made.name]


@pytest.fixture(scope="module")
def run(robot: Robot, tmp_path_factory) -> Path:
    """A run of a few iterations, and two more after a break."""
    out = tmp_path_factory.mktemp("run") / "run"
    assert cli.run(["train", robot.name, "--steps", str(2 * ITERATION), "--out", str(out), *SMALL]) == 0
    assert cli.run(["train", "--resume", "--out", str(out), "--steps", str(4 * ITERATION), "--no-film",
                    "--exam-episodes", "0"]) == 0  # fmt: skip
    return out


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints; it must go well, and say no number or name of another robot."""
    capsys.readouterr()
    status = cli.run([*map(str, arguments)])
    printed = capsys.readouterr()
    assert status == 0, printed.out + printed.err
    assert "upper" not in printed.out + printed.err  # of Pupper
    return printed.out


def test_its_policy_has_its_own_size(robot, run, capsys):
    document = json.loads((run / "policy.json").read_text())
    n = robot.num_joints
    assert len(document["default_joint_pos"]) == n and document["walkies"]["robot"] == robot.name
    assert document["in_shape"] == [None, 2 * (12 + 2 * n)] and document["layers"][-1]["shape"] == [None, n]
    assert "0 errors" in said(capsys, "lint", run)
    said(capsys, "export", run)
    import onnx

    model = onnx.load(run / "policy.onnx")
    assert model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == n


def test_it_is_explained_examined_and_rehearsed(robot, run, capsys):
    told = said(capsys, "explain", robot.name)
    assert all(name in told for name in robot.joint_names)
    assert "3 episodes" in said(capsys, "exam", run, "--episodes", "3", "--seed", "9", "--threads", "1")


def test_it_is_filmed_and_played(robot, run, capsys, tmp_path):
    said(capsys, "film", run, "--out", tmp_path / "film.mp4", "--seconds", "1", "--size", "64", "48")
    assert (tmp_path / "film.mp4").stat().st_size > 1000
    play = Play(stages_of(run), WalkConfig(), "a run", listen(port=0))
    try:
        moment = play.walker.advance()
        while moment is None:
            moment = play.walker.advance()
        assert np.asarray(moment.action).shape == (robot.num_joints,)
    finally:
        play.view.stop()
