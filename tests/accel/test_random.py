"""Our random numbers are those of `jax.random`, for any shape, key, processor and number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.accel import library, random
from walkies.rl import epochs, train
from walkies.run.config import TrainConfig, build

permute = random.faster_permutation(epochs.permutation)

SHAPES = [(), (1,), (7, 9), (64,), (513, 67), (0,), (3, 5, 2)]
"""Whole vectors and parts of them, one thread's share and several, and nothing."""
KEYS = [jax.random.key(seed) for seed in (0, 1, 1234567890123, -7)]


@pytest.fixture
def by_jax(monkeypatch):
    """Calls a function of `random` without the native library."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(library, "available", lambda: False)
            return function(*arguments)

    return call


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_are_those_of_jax(shape):
    """Uniform ones bit for bit, normal ones to 3e-5. Control: another key has other numbers."""
    program = str(jax.make_jaxpr(lambda key: (random.uniform(key, shape), random.normal(key, shape)))(KEYS[0]))
    assert program.count("walkies_random") == 2
    for key in KEYS:
        ours, theirs = random.uniform(key, shape), jax.random.uniform(key, shape)
        assert ours.dtype == theirs.dtype == jnp.float32 and ours.shape == shape
        np.testing.assert_array_equal(ours, theirs)
        ranged = random.uniform(key, shape, 0.1, 0.4)
        np.testing.assert_allclose(ranged, jax.random.uniform(key, shape, minval=0.1, maxval=0.4), rtol=1.2e-7)
        np.testing.assert_allclose(random.normal(key, shape), jax.random.normal(key, shape), rtol=3e-5, atol=2e-6)
    if np.prod(shape) > 1:
        for one, other in pairwise(KEYS):
            assert (random.uniform(one, shape) != random.uniform(other, shape)).mean() > 0.9


def test_cipher_is_the_published_one():
    """Threefry-2x32 under the key of Random123's third known answer, at a counter that the native call can reach."""
    key = jax.random.wrap_key_data(jnp.array([0x13198A2E, 0x03707344], jnp.uint32), impl="threefry2x32")
    words = np.asarray(random.uniform(key, (4,)) * 2**23).astype(np.uint32)
    expected = [np.uint32(threefry(0x13198A2E, 0x03707344, 0, i)) >> 9 for i in range(4)]
    np.testing.assert_array_equal(words, expected)
    # The reference itself, by Random123's known answers (kat_vectors: threefry 2x32 20).
    assert threefry_words(0, 0, 0, 0) == (0x6B200159, 0x99BA4EFE)
    assert threefry_words(0x13198A2E, 0x03707344, 0x243F6A88, 0x85A308D3) == (0xC4923A9C, 0x483DF7A0)


def threefry(*arguments: int) -> int:
    one, other = threefry_words(*arguments)
    return one ^ other


def threefry_words(key0: int, key1: int, count0: int, count1: int) -> tuple[int, int]:
    """Salmon et al. 2011, section 4.2, in Python's integers."""
    keys, a, b = (key0, key1, key0 ^ key1 ^ 0x1BD11BDA), count0, count1
    for block in range(6):
        a, b = (a + keys[block % 3]) % 2**32, (b + keys[(block + 1) % 3] + block) % 2**32
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[block % 2] if block < 5 else ():
            a = (a + b) % 2**32
            b = (b << turn | b >> 32 - turn) % 2**32 ^ a
    return a, b


def test_normal_numbers_are_normal():
    """Moments and the share of each tail, of a million."""
    x = np.asarray(random.normal(KEYS[0], (1_000_000,)), np.float64)
    assert abs(x.mean()) < 4e-3 and abs(x.var() - 1.0) < 6e-3 and abs((x**4).mean() - 3.0) < 0.04
    assert abs((x > 1.6448536).mean() - 0.05) < 1e-3 and abs((x < -3.0902323).mean() - 1e-3) < 1.5e-4
    assert np.isfinite(x).all() and 4.5 < np.abs(x).max() < 6.0


@pytest.mark.parametrize("count", [1, 2, 3, 6, 1000, 12288])
def test_permutation_is_the_sorted_one(count, by_jax):
    """Both ways of making it give the same order. Control: the next key's is another."""
    for key in KEYS:
        order = permute(key, count)
        assert "walkies_permutation" in str(jax.make_jaxpr(lambda key: permute(key, count))(key))
        assert order.dtype == jnp.int32
        np.testing.assert_array_equal(np.sort(order), np.arange(count))
        np.testing.assert_array_equal(order, by_jax(permute, key, count))
    if count > 3:
        assert (permute(KEYS[0], count) != permute(KEYS[1], count)).any()


def test_permutation_is_uniform():
    """Each index lands everywhere equally often (χ² over positions of 5,000 permutations of 6)."""
    draws = jax.jit(jax.vmap(lambda key: permute(key, 6)))(jax.random.split(jax.random.key(0), 5000))
    counts = np.stack([np.bincount(draws[:, i], minlength=6) for i in range(6)])
    assert ((counts - 5000 / 6) ** 2 / (5000 / 6)).sum() < 60.0  # 25 degrees of freedom: p ≈ 1e-4


def test_vmap_draws_by_each_key():
    keys = jax.random.split(KEYS[1], 5)
    drawn = jax.jit(jax.vmap(lambda key: random.normal(key, (3,))))(keys)
    np.testing.assert_array_equal(drawn, jnp.stack([random.normal(key, (3,)) for key in keys]))


@pytest.mark.parametrize("what", ["generator", "library", "double precision"])
def test_others_are_drawn_by_jax(what, by_jax):
    """Where the library does not fit: exactly what `jax.random` gives."""
    key = jax.random.key(3, impl="rbg" if what == "generator" else None)
    with jax.enable_x64(what == "double precision"):
        for ours, theirs in ((random.uniform, jax.random.uniform), (random.normal, jax.random.normal)):
            drawn = by_jax(ours, key, (5, 3)) if what == "library" else ours(key, (5, 3))
            expected = theirs(key, (5, 3))
            assert drawn.dtype == expected.dtype == (jnp.float64 if what == "double precision" else jnp.float32)
            np.testing.assert_array_equal(drawn, expected)


def test_training_draws_natively():
    """The program of one iteration holds no random numbers of XLA's but what splits keys."""
    env, recipe = build(TrainConfig()), TrainConfig().recipe
    state = train.shapes(recipe, env, jax.random.key(0))
    program = str(jax.make_jaxpr(lambda state: train.iterate(recipe, env, state))(state))
    assert "walkies_random" in program and "walkies_permutation" in program
    assert "random_bits" not in program and "sort[" not in program


PROGRAM = """
import sys, jax, numpy as np
from walkies.accel import random
from walkies.rl.epochs import permutation
key = jax.random.key(5)
permute = random.faster_permutation(permutation)
drawn = random.uniform(key, (513, 67)), random.normal(key, (513, 67)), permute(key, 12288)
np.savez(sys.argv[1], *drawn)
"""


def test_every_processor_and_number_of_threads_draws_the_same(tmp_path):
    """Bit for bit, but for normal ones on other processors: without fused multiplication they round once more."""
    drawn = []
    for changes in ({"NPROC": "1"}, {"NPROC": "2"}, {"WALKIES_ISA": "baseline"}, {"WALKIES_ISA": "avx2"}):
        if changes.get("WALKIES_ISA") == "avx2" and library.isa() == "baseline":
            continue
        path = tmp_path / f"{len(drawn)}.npz"
        subprocess.run([sys.executable, "-c", PROGRAM, str(path)], env=os.environ | changes, check=True)
        drawn.append(list(np.load(path).values()))
    for other in drawn[1:]:
        np.testing.assert_array_equal(other[0], drawn[0][0])
        np.testing.assert_allclose(other[1], drawn[0][1], rtol=3e-5, atol=2e-6)
        np.testing.assert_array_equal(other[2], drawn[0][2])
    np.testing.assert_array_equal(drawn[1][1], drawn[0][1])
