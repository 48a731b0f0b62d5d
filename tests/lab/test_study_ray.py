"""`walkies lab study --ray`: trials at once, retried when their process dies, rows as without it."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

import processes
from walkies import child
from walkies.cli import run as cli
from walkies.errors import UserError
from walkies.lab.study import placed, rows
from walkies.lab.study.plan import Plan, Trial, on_cores, planned, read_plan, threads_of

SMALL = "--recipe.num-envs 16 --recipe.horizon 8 --recipe.minibatches 2 --recipe.hidden 8 --recipe.critic-hidden 8"


def test_a_trial_whose_worker_is_killed_is_made_again(tmp_path):
    """Two seeds at once; one worker is killed while its training goes on. That training ends with it, both rows are
    there in the end, all servers were on the loopback interface, and nothing is left running."""
    pytest.importorskip("ray", reason="pip install 'walkies[ray]'")
    (tmp_path / "small.toml").write_text(f"seeds = 2\nepisodes = 2\nsteps = [256]\n[variants]\nsmall = '{SMALL}'\n")
    study = subprocess.Popen(
        child.program("lab", "study", "small.toml", "--ray"), cwd=tmp_path, env=child.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def training(seed):
        return next(
            (pid for pid in processes.below(study.pid) if f" train pupper --seed {seed} " in processes.command(pid)), 0
        )

    try:
        first = processes.awaited(partial(training, 1))
        processes.awaited((tmp_path / "runs/study/small/small-pupper-1").exists)
        worker, all_of_it = processes.parent(first), processes.below(study.pid)
        assert processes.command(worker).startswith("ray::")
        assert processes.listening(all_of_it) == {"127.0.0.1"}
        os.kill(worker, signal.SIGKILL)
        processes.awaited(lambda: not processes.running([first]), seconds=2.0)
        second = processes.awaited(partial(training, 1))
        all_of_it |= processes.below(study.pid)
        out, said = study.communicate(timeout=200)
    finally:
        study.kill()
    assert study.returncode == 0, said
    assert second != first and "2 of 2: small, pupper, seed" in said
    assert out.startswith("| variant | robot | length |"), "only the table is printed"
    plan = on_cores(read_plan(tmp_path / "small.toml"), 1)
    found = rows.of_plan(plan, tmp_path / "runs/study/small.csv")
    assert {rows.trial(row) for row in found} == set(planned(plan)) and {row["steps"] for row in found} == {"256"}
    processes.awaited(lambda: not processes.running(all_of_it), seconds=5.0)


def test_cores_of_a_trial_are_part_of_its_flags():
    plan = Plan({"a": "", "b": "--x 1 --threads=3", "c": "--threads 2"})
    told = on_cores(plan, 4)
    assert told.variants == {"a": "--threads 4", "b": "--x 1 --threads=3", "c": "--threads 2"}
    trials = [Trial(name, "pupper", 0, "5 steps") for name in "abc"]
    assert [threads_of(told, one) for one in trials] == [4, 3, 2]
    assert [threads_of(plan, one) for one in trials] == [None, 3, 2]


def test_a_longer_training_waits_for_the_shorter():
    short, long, other = Trial("a", "r", 0, "5 steps"), Trial("a", "r", 0, "9 steps"), Trial("a", "r", 1, "9 steps")
    everything = [long, other, short]
    assert [one for one in everything if placed._may_begin(one, everything)] == [other, short]
    assert placed._may_begin(long, [long, other])


def test_what_cannot_be_placed_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text("seeds = 1\nsteps = [256]\n[variants]\nmany = '--workers 2'\n")
    for flags, said in (
        (["--address", "127.0.0.1:1"], "--address 127.0.0.1:1: names a cluster for --ray"),
        (["--ray"], "many has --workers"),
    ):
        assert cli(["lab", "study", "small.toml", *flags]) == 2
        assert said in capsys.readouterr().err
    pytest.importorskip("ray", reason="pip install 'walkies[ray]'")
    Path("small.toml").write_text("seeds = 1\nsteps = [256]\n")
    assert cli(["lab", "study", "small.toml", "--ray", "--address", "127.0.0.1:1"]) == 2
    assert "--address 127.0.0.1:1: there is no Ray cluster" in capsys.readouterr().err


class OneMachine:
    """What is asked of Ray before anything is placed."""

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}]


def test_a_trial_that_fits_no_machine_is_refused():
    placed._refuse_too_large(OneMachine(), on_cores(Plan({"a": ""}), 2))
    with pytest.raises(UserError, match="--threads 3: no machine has so many cores for one trial; the largest has 2"):
        placed._refuse_too_large(OneMachine(), on_cores(Plan({"a": ""}), 3))
