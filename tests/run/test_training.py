"""A training's checkpoints: whole, its own, of a time before it diverged; and what ends it."""

import gc
import os
import shutil
import signal
import weakref
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fuzz import damaged
from walkies import files
from walkies.cli import train
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.rl import finite
from walkies.rl.finite import Diverged
from walkies.run.config import TrainConfig
from walkies.run.folders import RunFolder, locked, to_dict
from walkies.run.saved import checkpoint
from walkies.run.training import KEPT, Training, few_collections, learn, prepare

RECIPE = replace(
    TrainConfig().recipe,
    **{"num_envs": 16, "horizon": 2, "minibatches": 1, "epochs": 1, "hidden": (8,), "critic_hidden": (8,)},
)
ITERATION = 32
MUTATIONS = 300


def config(out: Path, **changes) -> TrainConfig:
    return replace(TrainConfig(out=out, steps=5 * ITERATION, exam_episodes=0, film=False, recipe=RECIPE), **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[RunFolder, Training]:
    """Five iterations, a checkpoint after each."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    training = prepare(config(folder.path, checkpoint_every=1), folder)
    assert learn(training, folder, None, 5 * ITERATION, []) == "steps"
    return folder, training


@pytest.fixture
def copy(run, tmp_path) -> RunFolder:
    shutil.copytree(run[0].path, tmp_path / "copy")
    return RunFolder(tmp_path / "copy")


def steps(folder: RunFolder) -> list[int]:
    return [int(path.stem) // ITERATION for path in folder.checkpoint_files()]


def resumed(folder: RunFolder, **changes) -> Training:
    return prepare(config(folder.path, resume=True, checkpoint_every=1, **changes), folder)


def test_the_newest_checkpoints_stay(run):
    assert steps(run[0]) == [3, 4, 5] and KEPT == 3


def test_a_damaged_newest_checkpoint_names_the_whole_ones_and_resume_takes_one(copy):
    newest = copy.latest_checkpoint()
    newest.write_bytes(newest.read_bytes()[:-100])
    good = copy.checkpoint_at(4 * ITERATION)
    with pytest.raises(
        UserError, match=rf"damaged.*Intact ones.*{good.name}.*continue from one with --resume --checkpoint"
    ):
        resumed(copy)
    training = resumed(copy, checkpoint=good)
    assert training.steps == 4 * ITERATION
    training.save(copy)  # the file of a later moment is not of this training's past
    assert steps(copy) == [3, 4]
    for path in copy.checkpoint_files():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no other intact checkpoint"):
        resumed(copy)


def test_a_flipped_bit_is_refused(copy):
    """Control: without its checksum, as the first edition wrote it, the same file is read."""
    newest = copy.latest_checkpoint()
    content = bytearray(newest.read_bytes())
    content[-1000] ^= 1
    newest.write_bytes(content)
    with pytest.raises(checkpoint.DamagedCheckpoint, match="checksum"):
        checkpoint.load_header(newest)
    newest.write_bytes(bytes(content).replace(checkpoint.FORMAT.encode(), checkpoint.UNSIGNED.encode()))
    assert checkpoint.load_header(newest)["steps"] == 5 * ITERATION


def test_another_runs_checkpoint_is_refused(run, copy):
    """Control: a copy of the run under another name, for longer and with other finishing touches, goes on."""
    assert resumed(copy, film=True, steps=10**6, threads=1).steps == 5 * ITERATION
    with pytest.raises(UserError, match=r"belongs to another run: it was trained with --seed 0, not 1"):
        Training(config(copy.path, seed=1), copy.latest_checkpoint())
    other = config(copy.path, recipe=replace(RECIPE, gamma=0.5))
    with pytest.raises(UserError, match=r"--recipe\.gamma 0\.97, not 0\.5"):
        Training(other, copy.latest_checkpoint())


def test_nothing_goes_on_from_nan(run, copy):
    """It is never saved; and where an older version saved it, it is refused and the sound ones are named."""
    training = resumed(copy)
    policy = training.state.learner.params.policy
    spoilt = policy._replace(log_std=policy.log_std.at[0].set(jnp.nan))
    learner = training.state.learner
    learner = learner._replace(params=learner.params._replace(policy=spoilt))
    training.state = training.state._replace(learner=learner)
    with pytest.raises(Diverged, match=r"diverged after 160 steps: .*log_std is NaN"):
        training.save(copy)
    assert steps(copy) == [3, 4, 5]
    header = {"config": to_dict(training.config), "steps": training.steps, "seconds": 1.0}
    checkpoint.save(copy.latest_checkpoint(), training.state, header)
    with pytest.raises(UserError, match=r"log_std is NaN. Intact ones of this run: .*000128"):
        resumed(copy)
    training.iteration = run[1].iteration  # compiled already
    with pytest.raises(Diverged, match=r"diverged in iteration 6: params\.policy\..*is NaN"):
        training.advance()
    with pytest.raises(UserError, match=r"log_std is NaN. Intact ones of this run: .*--init-from FILE"):
        resumed(copy, checkpoint=copy.checkpoint_at(4 * ITERATION)).start_from(copy.path)


def test_a_training_that_diverges_stops_and_leaves_a_sound_policy(tmp_path, monkeypatch):
    """Within the iteration, naming the number and what to do; its checkpoint and its policy are of before."""
    monkeypatch.setattr(train, "use_cpu", lambda threads, devices: None)
    wild = replace(RECIPE, learning_rate=10.0, schedule="constant", max_grad_norm=1e9, entropy_coefficient=100.0)
    out = tmp_path / "run"
    said = r"iteration 2: .*std reaches \de\+0\d.*is the policy after 32 steps.*lower --recipe.*--init-from"
    with pytest.raises(Diverged, match=said):
        train.command(config(out, recipe=wild))
    assert steps(RunFolder(out)) == [1]
    assert all(np.isfinite(layer.weights).all() for layer in policy_file.read(out / "policy.json").layers)


def test_one_that_diverges_at_once_has_nothing_to_leave(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "use_cpu", lambda threads, devices: None)
    monkeypatch.setattr(Training, "advance", lambda training: finite.refuse({"reward": np.nan}, (), 1))
    with pytest.raises(Diverged, match=r"iteration 1: reward is NaN, the first of this run; lower --recipe"):
        train.command(config(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("checkpoints/*")) and not (tmp_path / "run" / "policy.json").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_save(run, copy, name):
    training = resumed(copy)
    training.iteration = run[1].iteration  # compiled already
    record: list[dict] = []

    def observe(one):
        record.append(one)
        os.kill(os.getpid(), getattr(signal, name))

    assert learn(training, copy, None, 100 * ITERATION, [observe]) == name
    assert len(record) == 1 and steps(copy) == [4, 5, 6]


def test_what_ends_by_sigterm_is_exported_and_not_examined(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "_train", lambda config, folder, started: "SIGTERM")
    monkeypatch.setattr(train, "use_cpu", lambda threads, devices: None)
    monkeypatch.setattr(train, "finish", lambda folder, config: pytest.fail("there is no time for this"))
    assert train.command(config(tmp_path / "run")) == 128 + signal.SIGTERM
    assert "walkies exam" in capsys.readouterr().out


def test_two_trainings_do_not_write_into_one_folder(tmp_path, monkeypatch):
    """The second is refused where it names the folder, and takes the next name where it does not."""
    monkeypatch.chdir(tmp_path)
    with train.own_folder(TrainConfig()) as first:
        assert first.path == Path("runs/pupper-0")
        with pytest.raises(UserError, match="a training is writing into runs/pupper-0 right now"):
            train.command(TrainConfig(out=first.path, resume=True))
        with train.own_folder(TrainConfig()) as second:
            assert second.path == Path("runs/pupper-0-2")
        unlooked = Path.exists
        # Both looked at the same moment, and saw nothing.
        monkeypatch.setattr(Path, "exists", lambda path: path.name[:6] != "pupper" and unlooked(path))
        with train.own_folder(TrainConfig()) as third:
            assert third.path == Path("runs/pupper-0-2")
    assert not (tmp_path / "runs").exists(), "nothing was written, so nothing is left"


def test_a_run_with_foreign_reward_terms_can_be_started_from(run, copy):
    """Its rewards are no matter; to resume it, its terms must be known."""
    content = files.read_json(copy.config, "a test")
    content["task"]["rewards"]["unheard"] = 1.0
    files.write_json(copy.config, content)
    run[1].start_from(copy.path)
    with pytest.raises(UserError, match="--terms FILE"), locked(copy.path):
        train.resumed(config(copy.path, resume=True), copy)


def test_checkpoint_without_resume_is_told_what_is_meant(run, tmp_path):
    with pytest.raises(UserError, match="--init-from"):
        prepare(config(tmp_path / "x", checkpoint=run[0].latest_checkpoint()), RunFolder(tmp_path / "x"))


def test_a_damaged_checkpoint_is_one_sentence(tmp_path):
    """With and without its checksum: read as what it was, or refused in one line."""
    tree = {"a": jnp.arange(4.0), "key": jax.random.key(3)}
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, tree, {"seconds": 1.0})
    signed = path.read_bytes()
    for content in (signed, signed.replace(checkpoint.FORMAT.encode(), checkpoint.UNSIGNED.encode())):
        refused = 0
        for broken in damaged(content, MUTATIONS):
            path.write_bytes(broken)
            try:
                loaded, header = checkpoint.load(path, tree)
            except UserError as error:
                refused += 1
                assert "\n" not in str(error) and str(path) in str(error)
            else:
                assert content is not signed or (header == {"seconds": 1.0} and (loaded["a"] == tree["a"]).all())
        assert refused > MUTATIONS // 2


def test_garbage_waits_for_checkpoints():
    """Within the block nothing is collected but on request. Control: before and after it Python collects by itself."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    def left() -> int:
        gone = [weakref.ref(Cycle()) for _ in range(5_000)]
        return sum(one() is not None for one in gone)

    assert gc.isenabled() and left() < 5_000
    with few_collections() as collect:
        assert left() == 5_000
        collect()
        assert not any(isinstance(one, Cycle) for one in gc.get_objects())
    assert gc.isenabled() and left() < 5_000
