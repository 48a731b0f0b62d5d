"""T39, T40: a training that is interrupted goes on bit for bit; what a file may not be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import resume_worker as worker

from walkies.errors import UserError
from walkies.rl.recipes import RECIPES
from walkies.run.saved import checkpoint

HERE = Path(__file__).parent
ITERATIONS = 3


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """Every recipe trained for 6 iterations, saved after 3; another process goes on from there."""
    folder = tmp_path_factory.mktemp("resume")
    # The other process need not compile the same programs again; what it runs is the same machine code either way.
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    jax.config.update("jax_compilation_cache_dir", compiled["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    straight, scores = {}, {}
    for name in RECIPES:
        recipe = worker.small(name)
        state = worker.trained(recipe, worker.new_state(recipe, seed=5), ITERATIONS)
        checkpoint.save(folder / f"{name}.half", state, {"recipe": name})
        scores[name] = worker.evaluate(recipe, state)
        straight[name] = worker.trained(recipe, state, ITERATIONS)
    paths = os.pathsep.join(
        [str(HERE), str(HERE.parent), str(HERE.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    )
    command = [sys.executable, str(HERE / "resume_worker.py"), str(folder), str(ITERATIONS)]
    subprocess.run(command, check=True, env={**os.environ, **compiled, "PYTHONPATH": paths})
    jax.config.update("jax_compilation_cache_dir", None)
    return folder, straight, scores


def bits(tree):
    """Raw bytes of every leaf."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x).tobytes() for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize("name", RECIPES)
def test_resumed_training_is_the_same_training(resumed, name):
    """T39: train 2k = train k, save, load in a new process, train k, in every bit of the state; same seed, same bits.

    Control: another seed differs.
    """
    folder, straight, _ = resumed
    again, header = checkpoint.load(folder / f"{name}.resumed", straight[name])
    assert header == {"recipe": name}
    assert bits(again) == bits(straight[name])
    half, _ = checkpoint.load(folder / f"{name}.half", straight[name])
    assert bits(half) != bits(straight[name])


@pytest.mark.parametrize("name", RECIPES)
def test_a_saved_policy_keeps_its_score(resumed, name):
    """T40: loaded in a fresh process, the policy earns on fixed states what it earned here.

    Control: without its observation statistics it earns less by more than 0.03 (CleanRL, issue 425).
    """
    folder, straight, scores = resumed
    assert float(np.load(folder / f"{name}.score.npy")) == pytest.approx(scores[name], rel=1e-6)
    recipe = worker.small(name)
    state, _ = checkpoint.load(folder / f"{name}.half", straight[name])
    forgetful = state._replace(normalizers=worker.new_state(recipe, seed=5).normalizers)
    assert worker.evaluate(recipe, forgetful) < scores[name] - 0.03


def test_seeds_repeat_and_differ():
    """T39: the same seed twice gives the same bits, another one does not."""
    recipe = worker.small("ppo")
    one, two, other = (worker.trained(recipe, worker.new_state(recipe, seed), 1) for seed in (1, 1, 2))
    assert bits(one) == bits(two) != bits(other)


class Tree(NamedTuple):
    a: jax.Array
    b: list
    key: jax.Array


TREE = Tree(jnp.arange(3), [(jnp.ones((2, 2)), jnp.array(True)), jnp.zeros((0,)), None], jax.random.key(3, impl="rbg"))


def test_round_trip(tmp_path):
    """Any tree comes back as it was, header too, and no temporary file stays behind."""
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, TREE, {"seed": 3, "list": [1.5, None, "é"]})
    tree, header = checkpoint.load(path, jax.eval_shape(lambda: TREE))
    assert bits(tree) == bits(TREE) and jax.tree.structure(tree) == jax.tree.structure(TREE)
    assert header == checkpoint.load_header(path) == {"seed": 3, "list": [1.5, None, "é"]}
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    """Killed while writing, the last checkpoint is still whole."""
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, TREE, {"n": 1})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, TREE, {"n": 2})
    assert checkpoint.load_header(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_key_goes_on_with_its_own_generator(tmp_path):
    """Whichever the program would begin with today."""
    checkpoint.save(tmp_path / "x", TREE, {})
    loaded, _ = checkpoint.load(tmp_path / "x", TREE._replace(key=jax.random.key(0)))
    assert loaded.key.dtype == TREE.key.dtype != jax.random.key(0).dtype
    np.testing.assert_array_equal(jax.random.key_data(loaded.key), jax.random.key_data(TREE.key))


@pytest.mark.parametrize(
    "like, message",
    [
        (TREE._replace(a=jnp.arange(4)), r"a is int32\[3\], but int32\[4\]"),
        (TREE._replace(a=jnp.arange(3.0)), "float32"),
        (TREE._replace(b=TREE.b[:1]), r"has besides b\.1"),
        (TREE._replace(b=[*TREE.b, jnp.zeros(1)]), r"lacks b\.3"),
        (TREE._replace(key=jax.random.split(TREE.key)), "key"),
        (TREE._replace(a=jax.random.key(3)), "random key"),
    ],
)
def test_another_tree_is_refused(tmp_path, like, message):
    """Nothing is converted, filled in or dropped."""
    checkpoint.save(tmp_path / "x", TREE, {})
    with pytest.raises(UserError, match=message):
        checkpoint.load(tmp_path / "x", like)


def test_other_files_are_refused(tmp_path):
    """Missing, damaged and foreign files are told apart."""
    from safetensors.numpy import save_file

    with pytest.raises(UserError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "none", TREE)
    checkpoint.save(tmp_path / "cut", TREE, {})
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(tmp_path / "cut", TREE)
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:5ec0\nsize 9\n")
    with pytest.raises(UserError, match="Git LFS pointer"):
        checkpoint.load(tmp_path / "pointer", TREE)
    save_file({"a": np.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(UserError, match="not a walkies checkpoint"):
        checkpoint.load(tmp_path / "foreign", TREE)
