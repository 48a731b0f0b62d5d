"""The notebook runs from top to bottom, in seconds, and does what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from walkies.errors import UserError
from walkies.run.config import load_terms, read_config
from walkies.run.folders import RunFolder
from walkies.show.play import stages_of, task_of
from walkies.tasks.walk import WalkConfig

NOTEBOOK = Path(__file__).parents[2] / "docs" / "first_walk.ipynb"


def cells(kind: str) -> list[str]:
    """Sources of the cells of one kind, in order."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The code in a process of its own, in the fast mode."""
    environment = {**os.environ, "WALKIES_FAST": "1", "WALKIES_OUT": str(folder)}
    return subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, cwd=folder)


def test_every_cell_runs(tmp_path):
    done = run("\n\n".join(cells("code")), tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    made = {path.name for path in (tmp_path / "notebook").iterdir()}
    assert {"policy.json", "policy.onnx", "report.html", "progress.csv"} <= made
    assert "reward/height" in done.stdout
    assert f"walkies play {tmp_path / 'notebook'}" in done.stdout.splitlines()  # wherever the notebook is started
    assert f"--resume --out {tmp_path / 'notebook'} --minutes 10 --terms FILE" in done.stdout
    # What comes next: `walkies play` opens it, and --resume says where the reward is.
    assert stages_of(tmp_path / "notebook") and task_of(tmp_path / "notebook") == WalkConfig()
    with pytest.raises(UserError, match=r"reward terms of its own, height, .*--terms FILE"):
        read_config(RunFolder(tmp_path / "notebook"))
    mine = "\n".join(cells("code")[:2])
    (tmp_path / "mine.py").write_text(mine)
    load_terms(tmp_path / "mine.py")
    assert read_config(RunFolder(tmp_path / "notebook")).task.rewards.height == -0.05


def test_a_cell_that_fails_is_noticed(tmp_path):
    """Control: the last cell without the first ones."""
    assert run(cells("code")[-1], tmp_path).returncode != 0


def test_it_is_a_clean_notebook():
    """Valid in form, and committed without outputs."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in content["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)


@pytest.mark.parametrize("link", ["deploy.md", "lecture/README.md", "../src/walkies/tasks/rewards.py"])
def test_its_links_lead_somewhere(link):
    assert f"]({link})" in "".join(cells("markdown")) and (NOTEBOOK.parent / link).exists()
