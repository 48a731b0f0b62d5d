"""A training as a run folder: the same twice, resumed bit for bit, ended by Ctrl-C, continued under other rewards."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from walkies import files
from walkies.cli import train
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.run import folders
from walkies.run.config import TrainConfig, build, expanded, resumed
from walkies.run.folders import RunFolder
from walkies.run.training import Training
from walkies.tasks.randomization import SETS, Range, without
from walkies.tasks.scale.units import task_of
from walkies.tasks.walk import WalkConfig

SMALL = [
    *("--recipe.num-envs", "32", "--recipe.horizon", "8", "--recipe.minibatches", "2", "--recipe.epochs", "2"),
    *("--recipe.hidden", "16", "16", "--recipe.critic-hidden", "16", "--checkpoint-every", "2"),
    *("--exam-episodes", "0", "--no-film", "--threads", "1"),
]
ITERATION = 32 * 8
ALL = 40
"""Iterations of a whole training: many more than pass between a checkpoint and the kill that it provokes."""


def walkies(*arguments: str, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from walkies.cli import main; main()", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env=environment(),
    )  # fmt: skip
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    """A user's: what these processes train is compiled as users compile it, not as conftest.py has it."""
    inherited = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return inherited | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def straight(folder) -> Path:
    """A whole training without a break."""
    walkies("train", "pupper", "--steps", ALL * ITERATION, "--seed", 5, "--out", folder / "straight", *SMALL)
    return folder / "straight"


def weights(run: Path) -> list[np.ndarray]:
    return [layer.weights for layer in policy_file.read(run / "policy.json").layers]


def rows(run: Path) -> list[dict[str, str]]:
    timing = ("seconds", "steps_per_s")
    with (run / "progress.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in timing} for row in csv.DictReader(file)]


def test_a_run_folder_holds_all_it_should(straight):
    names = {path.name for path in straight.iterdir()}
    assert {"config.json", "versions.json", "progress.csv", "tensorboard", "checkpoints", "policy.json", "curves.png",
            "report.md", "report.html"} <= names  # fmt: skip
    assert len(list(straight.rglob("policy.json"))) == 1
    assert [int(float(row["steps"])) for row in rows(straight)] == [ITERATION * k for k in range(1, ALL + 1)]
    assert json.loads((straight / "versions.json").read_text())["jax"] == "0.10.1"


def test_killed_and_resumed_is_bit_for_bit_the_same(straight, folder, start):
    """Train 2k = train k, kill, resume, train k; and another seed is another training."""
    out = folder / "broken"
    process = start(
        [sys.executable, "-c", "from walkies.cli import main; main()", "train", "pupper", "--steps", str(10**9),
         "--seed", "5", "--out", str(out), *SMALL],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not list(out.glob("checkpoints/[0-9]*.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    for path in out.glob("checkpoints/[0-9]*.safetensors"):  # and not what the kill left half-written, a hidden file
        if int(path.stem.split(".")[0]) > ALL // 2 * ITERATION:  # it ran on before the kill reached it
            path.unlink()
    assert RunFolder(out).latest_checkpoint() is not None and not (out / "policy.json").exists()
    walkies("train", "pupper", "--resume", "--steps", ALL * ITERATION, "--out", out, "--exam-episodes", 0, "--no-film")
    for one, other in zip(weights(straight), weights(out), strict=True):
        np.testing.assert_array_equal(one, other)
    assert rows(straight) == rows(out)
    walkies("train", "pupper", "--steps", ALL * ITERATION, "--seed", 6, "--out", folder / "other", *SMALL)
    assert not np.array_equal(weights(straight)[0], weights(folder / "other")[0])


def test_ctrl_c_ends_cleanly_with_a_policy(folder, start):
    out = folder / "interrupted"
    process = start(
        [sys.executable, "-c", "from walkies.cli import main; main()", "train", "pupper", "--steps", str(10**9),
         "--out", str(out), *SMALL],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not list(out.glob("checkpoints/[0-9]*.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0 and "Ctrl-C" in output
    assert policy_file.read(out / "policy.json").observation_size == 3 * 36


def test_constant_inputs_have_exactly_zero_weights(straight):
    first = weights(straight)[0]
    first = first.reshape(3, 36, -1)
    assert (first[:, 9:12] == 0.0).all()
    assert (np.abs(np.delete(first, [9, 10, 11], axis=1)).max(axis=-1) > 0).all()


def test_init_from_starts_with_the_trained_networks(straight, folder):
    """Under changed rewards, and with another number of robots; other layer sizes are refused with the reason."""
    out = folder / "continued"
    small = [*SMALL, "--recipe.num-envs", "64", "--task.rewards.torque", "-0.1", "--recipe.learning-rate", "1e-9",
             "--recipe.max-learning-rate", "1e-9", "--recipe.min-learning-rate", "1e-9"]  # fmt: skip
    walkies("train", "pupper", "--init-from", straight, "--steps", 1, "--out", out, *small)
    for one, other in zip(weights(straight)[1:], weights(out)[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    said = walkies("train", "pupper", "--init-from", straight, "--steps", 1, "--out", folder / "x", expect=2)
    assert "other sizes" in said and "(16, 16)" in said


def test_what_cannot_become_a_run_is_told_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("x")
    said = walkies("train", "pupper", "--steps", 1, "--out", tmp_path / "file", *SMALL, expect=2)
    assert "file is a file; expected a folder, or a name that is free for one" in said and "Traceback" not in said


def test_a_missing_wandb_is_told_before_there_is_a_run_folder(tmp_path, monkeypatch):
    """Else the second try, without --wandb, would find the folder taken."""
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as missing:
        train.command(TrainConfig(out=tmp_path / "run", steps=1, wandb="project"))
    assert missing.value.name == "wandb" and not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_by_accident(straight):
    said = walkies("train", "pupper", "--steps", 1, "--out", straight, *SMALL, expect=2)
    assert "already holds a run" in said and "--resume" in said


def test_resume_without_a_run_says_so(tmp_path):
    with pytest.raises(UserError, match=r"config\.json is missing"):
        resumed(TrainConfig(), RunFolder(tmp_path))


def test_a_ready_set_is_written_out_in_the_task():
    course = expanded(TrainConfig(randomization="course"))
    assert course.task.randomization == SETS["course"] != SETS["walkies"]
    assert expanded(course) == course and build(TrainConfig(randomization="course")).config == course.task
    assert folders.from_dict(TrainConfig, folders.to_dict(course)) == course
    assert expanded(TrainConfig()) == TrainConfig()
    own = TrainConfig(randomization="none", task=WalkConfig(randomization=without(SETS["course"], "body")))
    with pytest.raises(UserError, match="--randomization none"):
        expanded(own)


def test_resume_refuses_other_settings_and_names_them(tmp_path):
    """It would not be the same training; the run's own limits and finishing touches may change, its settings repeat."""
    folder = RunFolder(tmp_path)
    run = TrainConfig(seed=4, out=tmp_path, steps=100)
    files.write_json(folder.config, folders.to_dict(run))
    asked = replace(TrainConfig(), out=tmp_path, resume=True, steps=200, film=False)
    assert resumed(asked, folder) == replace(run, resume=True, steps=200, film=False)
    assert resumed(replace(asked, seed=4), folder).seed == 4
    changed = replace(asked, task=replace(asked.task, rewards=replace(asked.task.rewards, torque=-1.0)))
    with pytest.raises(UserError, match=r"--task\.rewards\.torque -1\.0 \(the run has -0\.005\).*--init-from"):
        resumed(changed, folder)


def test_init_from_refuses_what_would_make_another_policy(straight):
    config = folders.from_dict(TrainConfig, json.loads((straight / "config.json").read_text()))
    training = Training(replace(config, task=replace(config.task, action_scale=0.4)))
    with pytest.raises(UserError, match=r"trained with --task\.action-scale 0\.75, this run has 0\.4"):
        training.start_from(straight)


def test_init_from_refuses_a_policy_that_is_not_equivariant(straight, tmp_path):
    shutil.copytree(straight, tmp_path / "old")
    old = json.loads((tmp_path / "old" / "config.json").read_text())
    old["recipe"]["symmetry"] = "none"
    (tmp_path / "old" / "config.json").write_text(json.dumps(old))
    training = Training(folders.from_dict(TrainConfig, json.loads((straight / "config.json").read_text())))
    training.start_from(straight)
    with pytest.raises(UserError, match=r"trained with --recipe\.symmetry none, this run has equivariant"):
        training.start_from(tmp_path / "old")


def test_config_survives_the_file(tmp_path):
    config = TrainConfig(seed=3, out=Path("a/b"), init_from=None)
    motor = replace(config.task.randomization.motor, kp=Range(0, 2))
    config = replace(config, task=replace(config.task, randomization=replace(config.task.randomization, motor=motor)))
    assert folders.from_dict(TrainConfig, folders.to_dict(config)) == config
    broken = folders.to_dict(config)
    broken["task"]["rewards"]["tork"] = 1.0
    with pytest.raises(UserError, match=r"config\.task\.rewards: unknown field tork"):
        folders.from_dict(TrainConfig, broken)
    broken = folders.to_dict(config) | {"simulator": "magic"}
    with pytest.raises(UserError, match=r"config\.simulator: magic is not one of 'native', 'mujoco'"):
        folders.from_dict(TrainConfig, broken)


def test_training_compiles_its_iteration_once():
    """What comes out of an iteration goes into the next as it is: no second compilation.

    Control: a clock that JAX takes for Python numbers is worth one more.
    """
    task = replace(WalkConfig(), curriculum=replace(WalkConfig().curriculum, adaptive=True))
    recipe = replace(TrainConfig().recipe, num_envs=16, horizon=2, minibatches=1, epochs=1, hidden=(8,))
    training = Training(TrainConfig(recipe=recipe, task=task))
    for _ in range(3):
        training.advance()
    assert training.iteration._cache_size() == 1
    actors = training.state.actors
    number = jnp.where(actors.state.clock > 0.0, 10.0, 10.0)
    training.state = training.state._replace(actors=actors._replace(state=actors.state._replace(clock=number)))
    training.advance()
    assert training.iteration._cache_size() == 2


def test_a_set_replaces_the_randomization_that_a_robot_brings() -> None:
    """As on a command line, where it stands in the task already."""
    task = task_of(get_robot("biped"))
    assert task.randomization != WalkConfig().randomization
    config = expanded(TrainConfig(robot="biped", task=task, randomization="none"))
    assert config.task.randomization == SETS["none"]
    other = replace(task, randomization=replace(task.randomization, robots="run"))
    with pytest.raises(UserError, match="--randomization none"):
        expanded(TrainConfig(robot="biped", task=other, randomization="none"))


@pytest.mark.parametrize(("torsion", "condim"), [(Range(1.0, 1.0), 3), (Range(0.0, 2.0), 4)])
def test_the_ground_resists_turning_feet_where_training_randomizes_it(torsion: Range, condim: int) -> None:
    """Elsewhere that would be rows in the solver for nothing."""
    contact = replace(SETS["walkies"].contact, torsion=torsion)
    task = WalkConfig(randomization=replace(SETS["walkies"], contact=contact))
    model = build(TrainConfig(task=task)).simulator.model
    assert model.geom("floor").condim == condim
