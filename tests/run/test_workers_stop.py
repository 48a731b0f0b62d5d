"""Training on several processes: Ctrl-C ends all of them and leaves a whole run, and `--resume` continues it."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import processes
from walkies import child
from walkies.cli import run as cli
from walkies.run.folders import RunFolder

QUICK = ["--exam-episodes", "0", "--no-film"]
SMALL = [
    *("--recipe.num-envs", "32", "--recipe.horizon", "4", "--recipe.minibatches", "4"),
    *("--recipe.hidden", "16", "--recipe.critic-hidden", "16"),
    *QUICK,
]
ITERATION = 32 * 4
"""Control steps."""


def training(folder: Path, *flags: str | Path) -> subprocess.Popen:
    """A training in a process group of its own, as a terminal makes one."""
    return subprocess.Popen(
        child.program("train", *map(str, flags)), cwd=folder, env=child.environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def iterations(run: RunFolder) -> int:
    """In the curves of a run."""
    if not run.curves.exists():
        return 0
    with run.curves.open(newline="") as file:
        return len(list(csv.DictReader(file)))


def finished(process: subprocess.Popen) -> None:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said


@pytest.mark.proof
def test_ctrl_c_leaves_a_whole_run_and_no_process_and_resume_gives_the_same_bits(tmp_path, capsys):
    """The last iteration before Ctrl-C, made again from the checkpoint before it, has the same bits. Control: that
    checkpoint has others. With another number of workers the run is not resumed."""
    pytest.importorskip("ray", reason="pip install 'walkies[ray]'")
    run = RunFolder(tmp_path / "run")
    endless = ("--steps", "100000000", "--checkpoint-every", "1", "--out", "run")
    process = training(tmp_path, "pupper", "--workers", "2", *SMALL, *endless)
    processes.awaited(lambda: iterations(run) >= 3 or process.poll() is not None)
    everything = {process.pid} | processes.below(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    finished(process)
    processes.awaited(lambda: not processes.running(everything), seconds=10.0)
    steps = iterations(run) * ITERATION
    last, before = (run.checkpoint_at(steps - back * ITERATION) for back in (0, 1))
    assert run.policy.exists() and run.config.exists() and run.latest_checkpoint() == last

    for other in ("1", "3", "4"):
        assert cli(["train", "--resume", "--out", str(run.path), "--workers", other]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"--workers {other} (the run has 2)" in said and "leave them out" in said

    undisturbed = load_file(last)
    finished(training(tmp_path, *QUICK, "--resume", "--checkpoint", before, "--out", "run", "--steps", str(steps)))
    again, earlier = load_file(last), load_file(before)
    assert again.keys() == undisturbed.keys()
    assert all(np.array_equal(again[name], undisturbed[name]) for name in again)
    assert any(not np.array_equal(again[name], earlier[name]) for name in again)
