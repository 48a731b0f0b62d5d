"""A training that has diverged is noticed in the iteration in which it does."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from walkies.rl import finite

SOUND = {"loss": 0.5, "largest_parameter": 3.0}
LEARNER = {"policy": [jnp.ones((2, 3)), jnp.zeros((0,))], "count": jnp.int32(2**31 - 1)}


def test_a_sound_iteration_is_not_refused():
    finite.refuse(SOUND, LEARNER, 7)
    finite.refuse(SOUND | {"largest_parameter": finite.LARGEST}, LEARNER, 7)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite(value):
    said = "NaN" if math.isnan(value) else "infinite"
    with pytest.raises(finite.Diverged, match=f"diverged in iteration 7: loss is {said}$"):
        finite.refuse(SOUND | {"loss": value}, LEARNER, 7)


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "policy.0 is NaN"), (np.inf, "policy.0 is infinite"), (-1e9, r"policy.0 reaches 1e\+09")],
)
def test_a_parameter_that_went_wrong_is_named(value, said):
    wrong = LEARNER | {"policy": [LEARNER["policy"][0].at[1, 2].set(value)]}
    metrics = SOUND | {"largest_parameter": float(finite.largest(wrong["policy"]))}
    with pytest.raises(finite.Diverged, match=said):
        finite.refuse(metrics, wrong, 7)


def test_noise_without_bounds_is_divergence():
    """Finite as it is: log σ of 11 is a small parameter. The bound itself is not refused."""
    finite.refuse(SOUND | {"std": 1e4, "episode_length": 1e5}, LEARNER, 7)
    with pytest.raises(finite.Diverged, match=r"iteration 7: std reaches 2e\+04$"):
        finite.refuse(SOUND | {"std": 2e4}, LEARNER, 7)


def test_many_wrong_numbers_are_counted():
    with pytest.raises(finite.Diverged, match="a is NaN, b is NaN, c is NaN and 2 more"):
        finite.refuse(dict.fromkeys("abcde", math.nan) | SOUND, LEARNER, 1)


def test_the_largest_magnitude():
    assert float(finite.largest({"a": jnp.array([1.0, -3.0]), "b": [jnp.array(2.0), jnp.zeros(0)]})) == 3.0
    assert math.isnan(float(finite.largest([jnp.array([1.0, jnp.nan]), jnp.array(5.0)])))
