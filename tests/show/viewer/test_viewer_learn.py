"""Watching a training: robots of its own kind move, its results stay bit for bit, and nobody watching costs nothing."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from websockets.sync.client import connect

from walkies.run import stages
from walkies.run.config import WALKING_RECIPE, TrainConfig
from walkies.run.training import Training
from walkies.show.viewer import learn, server
from walkies.show.viewer.learn import CLIP, ROBOTS, Watch

RECIPE = replace(WALKING_RECIPE, num_envs=ROBOTS, horizon=4, hidden=(8,), critic_hidden=(8,), minibatches=2, epochs=1)
RECORD = {"steps": 64.0, "steps_per_s": 10.0, "episode_return": 1.5}


@pytest.fixture(scope="module")
def training() -> Training:
    return Training(TrainConfig(threads=1, recipe=RECIPE))


@pytest.fixture
def watch(training: Training) -> Iterator[Watch]:
    watching = Watch(training, port=0)
    watching.start()
    yield watching
    watching.stop()


def test_nobody_watching_costs_nothing(watch: Watch) -> None:
    watch.update(RECORD)
    assert watch._clip is None and not watch._stock


def test_the_page_steps_back_behind_the_training(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its threads, and none that was there before."""
    stepped: list[threading.Thread] = []
    monkeypatch.setattr(learn, "step_back", stepped.extend)
    before = set(threading.enumerate())
    watching = Watch(training, port=0)
    watching.start()
    new = set(threading.enumerate()) - before
    watching.stop()
    assert set(stepped) == new and {"walkies-field", "walkies-view"} == {thread.name for thread in new}


def test_watching_computes_motion_and_leaves_the_training_alone(training: Training, watch: Watch) -> None:
    before = jax.tree.map(np.array, _plain(training.state))
    with connect(f"ws://127.0.0.1:{watch.server.port}/drive", proxy=None) as page:
        page.recv(timeout=5)
        watch._stop.set()  # nothing is shown, so that the stock stays
        watch.update(RECORD)
    assert len(watch._stock) >= CLIP
    motion = np.array(watch._stock)
    assert motion.shape[1:] == (ROBOTS, watch.model.nq)
    assert np.all(np.isfinite(motion)) and np.abs(np.diff(motion[:, :, 7:], axis=0)).max() > 1e-3
    steps = np.abs(np.diff(motion[:, :, :2], axis=0)).max(axis=-1)
    assert np.median(steps, axis=1).max() < 0.03, "also where one clip joins on to the next; a few fall and start anew"
    after = jax.tree.map(np.array, _plain(training.state))
    assert all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves(after)))


def test_records_reach_a_page_that_opens_later(watch: Watch) -> None:
    watch.update(RECORD)
    watch.update({**RECORD, "steps": 128.0})  # too soon after the first
    hello = watch.hello()
    assert hello["records"] == [{"steps": 64.0, "episode_return": 1.5}]
    watch._records = [{"steps": float(index)} for index in range(5000)]
    assert len(watch.hello()["records"]) <= 500 and watch.hello()["records"][0] == {"steps": 0.0}


def test_a_record_without_a_finite_number_is_a_gap_in_the_curve_and_not_the_end_of_the_page(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first episode has ended its return is no number."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(watch.server, "send", sent.append)
    watch.update({**RECORD, "episode_return": float("nan"), "lin_vel_error": float("inf"), "yaw_rate_error": 0.25})
    record = {"steps": 64.0, "episode_return": None, "lin_vel_error": None, "yaw_rate_error": 0.25}
    assert strictly(server.encode(sent[0]))["record"] == record
    assert strictly(server.encode(watch.hello()))["records"] == [record]


def strictly(text: str | bytes) -> Any:
    """Read as a browser reads JSON, which knows no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_page_says_with_what_it_draws(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bool] = []
    monkeypatch.setattr(watch.scene, "cast_shadows", heard.append)
    with connect(f"ws://127.0.0.1:{watch.server.port}/drive", proxy=None) as page:
        page.recv(timeout=5)
        page.send('{"hardware": "yes"}')
        page.send('{"hardware": true}')
        for _ in range(100):
            if heard:
                break
            watch._stop.wait(0.05)
    assert heard == [True]


def test_an_old_stock_is_not_shown_to_the_next_one_who_looks(watch: Watch) -> None:
    watch._stock = deque([np.zeros((ROBOTS, 19))] * 3)
    for _ in range(100):
        if not watch._stock:
            break
        watch._stop.wait(0.05)
    assert not watch._stock


def test_stages_are_the_first_iteration_and_ten_doubled() -> None:
    kept = [iteration for iteration in range(2000) if stages.due(iteration)]
    assert kept == [1, 10, 20, 40, 80, 160, 320, 640, 1280]


def test_a_stage_is_a_policy_file_like_any_other(training: Training, tmp_path: Path) -> None:
    from walkies.deploy import policy_file
    from walkies.run.folders import RunFolder
    from walkies.show.play import stages_of

    folder = RunFolder(tmp_path)
    keep = stages.keeper(training, folder)
    for iteration in (1, 2, 10):
        keep({"steps": float(iteration * training.steps_per_iteration)})
    files = folder.stage_files()
    assert [int(path.stem) for path in files] == [64, 640]
    assert policy_file.read(files[0]).observation_size == training.env.observation_size
    files[1].rename(folder.policy)
    found = stages_of(tmp_path)
    assert [stage.path for stage in found] == [files[0], folder.policy]
    assert stages_of(folder.policy) == [("policy.json", folder.policy)]


def _plain(state: object) -> object:
    """A state whose random keys are plain numbers."""
    key = jax.dtypes.prng_key
    return jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, key) else leaf, state
    )
