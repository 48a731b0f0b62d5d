"""A trick through the command line: trained, exported with its movement, gone on with, and kept with its design."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_presets import ITERATION, SMALL

from walkies import cli
from walkies.deploy import policy_file
from walkies.deploy.checks.findings import ERROR
from walkies.deploy.checks.lint import lint
from walkies.errors import UserError
from walkies.run.config import build, read_config
from walkies.run.folders import RunFolder

NOD = """name = "nod"
[[clips]]
name = "nod"
loop = true
keys = [{ seconds = 0.0 }, { seconds = 0.5, pitch = 12.0 }, { seconds = 1.0 }]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Path]:
    """A run of two iterations, and the file of its movement."""
    folder = tmp_path_factory.mktemp("tricks")
    design, out = folder / "nod.toml", folder / "nod"
    design.write_text(NOD)
    line = ["train", "pupper", "--preset", "trick", "--task.motion.file", str(design)]
    assert cli.run([*line, "--steps", str(2 * ITERATION), "--out", str(out), *SMALL]) == 0
    return out, design


def test_its_file_is_what_the_robot_plays(run):
    """No command and no clip of it; the movement of the training, frame by frame. Control: another clip is refused."""
    out, _ = run
    policy, document = policy_file.read(out / "policy.json"), json.loads((out / "policy.json").read_text())
    movement = build(read_config(RunFolder(out)), out).motion_reference.movement
    assert policy.frame_size == document["single_observation_size"] == 69 and policy.observation_history == 1
    assert "command_clip" not in document and policy.blocks.trick.names == ["nod"]
    np.testing.assert_array_equal(policy.blocks.trick.joint_pos, movement.joint_pos)
    np.testing.assert_array_equal(policy.blocks.trick.anchor_quat_wxyz, movement.anchor_quat_wxyz)
    assert [one for one in lint(out / "policy.json") if one.severity == ERROR] == []
    document["trick"]["clips"][0]["end"] = 999
    (out.parent / "broken.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="within 51 frames"):
        policy_file.read(out.parent / "broken.json")


def test_it_goes_on_without_the_file_that_it_was_designed_in(run, tmp_path):
    """Elsewhere, and with the design that it began with. Control: without its copy the file is missed."""
    out, design = run
    moved = tmp_path / "moved"
    shutil.copytree(out, moved)
    design.write_text(NOD.replace("12.0", "2.0"))
    assert cli.run(["train", "--resume", "--steps", str(3 * ITERATION), "--out", str(moved), *SMALL]) == 0
    before, after = (json.loads((one / "policy.json").read_text()) for one in (out, moved))
    assert before["motion"] == after["motion"] and before["layers"] != after["layers"]
    design.unlink()
    build(read_config(RunFolder(moved)), moved)
    (moved / "motion.toml").unlink()
    with pytest.raises(UserError, match=r"task.motion.file: got .*nod.toml, expected one of bow"):
        build(read_config(RunFolder(moved)), moved)
