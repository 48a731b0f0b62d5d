"""Running statistics: merged parts are the whole, constants are recognised exactly, nothing is lost to an offset."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from walkies.rl import normalize
from walkies.rl.networks import apply


def fed(*parts) -> normalize.Normalizer:
    normalizer = normalize.init(parts[0].shape[-1])
    for part in parts:
        normalizer = normalize.update(normalizer, jnp.asarray(part, jnp.float32))
    return normalizer


def test_parts_are_the_whole():
    """Batches of any shape merge to the moments of all samples. Control: averaging batch variances does not."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(3.0 * i, 1.0 + i, size=(5, 40 * (i + 1), 3)) for i in range(3)]
    everything = np.concatenate([p.reshape(-1, 3) for p in parts])
    ours = fed(*parts)
    np.testing.assert_allclose(ours.mean, everything.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(ours.variance, everything.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(ours(everything).std(axis=0), 1.0, rtol=1e-4)
    naive = np.mean([p.reshape(-1, 3).var(axis=0) for p in parts], axis=0)
    assert (np.abs(naive / everything.var(axis=0) - 1.0) > 0.2).all()


def test_a_large_offset_costs_no_precision():
    """σ = 0.01 around 1000 in float32. Control: E[x²] − E[x]² has lost it."""
    x = (1000.0 + 0.01 * np.random.default_rng(1).normal(size=(4096, 1))).astype(np.float32)
    assert float(fed(x[:2000], x[2000:]).scale[0]) == pytest.approx(1.0 / x.astype(float).std(), rel=1e-2)
    single = np.float32
    naive = np.mean(x * x, dtype=single) - np.mean(x, dtype=single) ** 2
    assert naive != pytest.approx(1e-4, rel=0.5)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -7.3, 1e6])
def test_constants_count_for_nothing(value):
    """An input that never moves gets scale 0, whatever its value, so that moving it later changes nothing."""
    x = np.full((1000, 2), value, np.float32)
    x[:, 1] = np.random.default_rng(2).normal(size=1000)
    ours = fed(x[:300], x[300:])
    assert float(ours.scale[0]) == 0.0 and float(ours.scale[1]) > 0.5
    layers = [(jnp.ones((2, 1)), jnp.zeros(1))]
    moved = x.copy()
    moved[:, 0] += 123.0
    np.testing.assert_array_equal(apply(layers, ours(moved), "tanh"), apply(layers, ours(x), "tanh"))


def test_what_hardly_moves_is_not_blown_up():
    """A variation of 1e-6 is scaled by 1000, not by a million."""
    x = np.array([[0.0], [1e-6]], np.float32)
    assert float(fed(x).scale[0]) == pytest.approx(1.0 / normalize.MIN_STD)


def test_before_anything_is_seen_it_is_the_identity():
    x = jnp.array([[3.0, -4.0]])
    np.testing.assert_array_equal(normalize.init(2)(x), x)
