"""Training on several processes: a worker that is killed changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.child import environment
from walkies.cli import run as cli
from walkies.errors import UserError
from walkies.rl.samples import shares
from walkies.run.config import TrainConfig, devices_of, expanded, refuse
from walkies.run.workers.state import packed, share, together, unpacked


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.proof)])
def test_a_worker_killed_in_an_iteration_changes_nothing(workers, tmp_path):
    """The group starts again from the last iteration's state, and the result has the same bits, also with more
    processes than cores; and all servers listen on the loopback interface only."""
    pytest.importorskip("ray", reason="pip install 'walkies[ray]'")
    script = Path(__file__).with_name("workers_script.py")
    done = subprocess.run(
        [sys.executable, str(script), str(workers)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["new_processes"], "the worker was killed"
    assert found["same_record"] and found["same_state"], found
    assert found["learns"], "control: another iteration has other numbers"
    assert found["samples"] == 16 * workers * 4, "the whole batch counts, not one worker's share"
    assert found["listening"] == ["127.0.0.1"]


def test_groups_are_divided_among_workers_alike():
    def groups(workers, num_envs=512, groups=2):
        recipe = replace(TrainConfig().recipe, num_envs=num_envs, groups=groups)
        return expanded(TrainConfig(workers=workers, recipe=recipe)).recipe.groups

    assert [groups(None), groups(1), groups(2), groups(4), groups(2, groups=3, num_envs=6)] == [2, 2, 2, 4, 6]
    with pytest.raises(UserError, match=r"--recipe.num-envs 512 cannot be divided"):
        groups(3)
    assert devices_of(TrainConfig(workers=2)) == 1, "each worker is one"


def test_reward_terms_of_a_file_stay_in_one_process():
    with pytest.raises(UserError, match=r"--workers.*leave out --terms"):
        refuse(TrainConfig(workers=2, terms=Path("terms.py")))


def test_a_state_on_its_way_is_the_same():
    state = {"key": jax.random.key(3), "x": jnp.arange(3.0), "n": jnp.int32(2)}
    again = unpacked(packed(state), jax.eval_shape(lambda: state))
    assert jax.random.key_data(again["key"]).tolist() == jax.random.key_data(state["key"]).tolist()
    assert all(np.array_equal(again[name], state[name]) for name in ("x", "n")) and again["n"].dtype == np.int32


def test_shares_of_a_state_make_it_whole():
    """Rows of each, and from the first what all have; of a single process everything."""
    state = {"key": jax.random.key(3), "n": jnp.int32(2)}
    first = share(state)
    assert all(np.array_equal(a, b) for a, b in zip(together([first]), packed(state), strict=True))
    rows = [np.zeros((2, 2)), np.ones((1, 2))]
    whole = together([[first[0], rows[0]], [None, rows[1]]])
    assert whole[0] is first[0] and whole[1].tolist() == [[0, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("count", "exchange"), [(3, "all_gather"), (shares.FEW, "all_gather"), (shares.FEW + 1, "psum")]
)
def test_shares_are_averaged_by_one_exchange(count, exchange):
    """The mean of shares, each array of its own type; without shares nothing happens. Control: not the sum, and not
    what one of them had."""
    tree = {"a": 3.0 * jnp.arange(2.0 * count).reshape(count, 2) ** 2, "n": 2 * jnp.arange(count)}
    assert shares.average(tree) is tree and not shares.are_apart()

    def mean(own):
        with shares.apart("shares"):
            assert shares.are_apart()
            return shares.average(own)

    found = jax.vmap(mean, axis_name="shares")(tree)
    for name in tree:
        expected = np.asarray(tree[name], np.float64).mean(axis=0)
        assert np.allclose(found[name], [expected] * count, rtol=1e-6) and found[name].dtype == tree[name].dtype
    said = str(jax.make_jaxpr(mean, axis_env=[("shares", count)])(jax.tree.map(lambda x: x[0], tree)))
    assert said.count("= psum") + said.count("= all_gather") == said.count(f"= {exchange}") == 1


def test_a_cluster_that_is_not_there_is_named(tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray", reason="pip install 'walkies[ray]'")
    monkeypatch.chdir(tmp_path)
    for address in ("127.0.0.1:1", "nonsense:port"):
        call = f"train pupper --workers 2 --address {address} --steps 10 --no-film --exam-episodes 0 --out run"
        assert cli(call.split()) == 2
        said = capsys.readouterr().err
        assert f"--address {address}: there is no Ray cluster" in said and "ray start" in said
    assert not (tmp_path / "run").exists()
