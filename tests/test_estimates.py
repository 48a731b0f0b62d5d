"""Intervals against their definitions, and against how often they cover."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walkies.estimates import mean, wilson


@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_wilsons_ends_solve_the_score_equation(n, share):
    k = round(share * n)
    value, low, high = wilson(k, n)
    assert low <= value <= high and value == k / n
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(value - end) == pytest.approx(1.96 * np.sqrt(end * (1 - end) / n), abs=1e-9)


def test_wilson_is_not_the_normal_interval():
    """Negative control: where nobody falls the normal interval has no width, Wilson's is honest."""
    assert wilson(16, 16).low == pytest.approx(1 / (1 + 1.96**2 / 16))
    assert wilson(0, 10).high == pytest.approx(1.96**2 / (10 + 1.96**2))


def test_mean_and_its_interval():
    value, low, high = mean([1.0, 2.0, 3.0, None])
    assert value == 2.0 and (high - low) / 2 == pytest.approx(1.96 * 1.0 / np.sqrt(3))
    assert mean([None]) == (None, None, None) and mean([4.0]) == (4.0, None, None)


@given(seed=st.integers(0, 1000))
def test_mean_covers_as_often_as_it_says(seed):
    """Over 400 samples of 30 numbers the true mean lies within about 19 times of 20."""
    values = np.random.default_rng(seed).normal(2.0, 1.0, (400, 30))
    hits = np.mean([low <= 2.0 <= high for _, low, high in map(mean, values.tolist())])
    assert 0.88 < hits < 0.99


def test_a_hundred_episodes_do_not_tell_0_99_from_0_95():
    """What docs/show.md says of a pass: by the binomial distribution, and by the interval on the card."""

    def passes(survival, n, required=0.99):
        least = math.ceil(required * n)
        return sum(math.comb(n, k) * survival**k * (1 - survival) ** (n - k) for k in range(least, n + 1))

    assert passes(0.99, 100) == pytest.approx(0.74, abs=0.005), "three times in four"
    assert passes(0.97, 100) == pytest.approx(0.19, abs=0.005)
    assert passes(0.97, 1000) < 1e-4 < 0.99 < passes(0.998, 1000), "a thousand tell"
    assert wilson(99, 100).low < 0.95 and wilson(100, 100).low < 0.97
    assert wilson(998, 1000).low > 0.99
