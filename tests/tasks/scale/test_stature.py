"""A robot's own measures, and which of its feet step together."""

import numpy as np
import pytest

from walkies.robots import load_model
from walkies.robots.pupper import PUPPER
from walkies.tasks.scale.stature import halves, stature


def places(*rows):
    return np.array([(*row, -0.3) for row in rows], float)


@pytest.mark.parametrize(
    ("feet", "expected"),
    [
        (places((0, 0.1), (0, -0.1)), [1, 0]),
        (places((0.2, -0.1), (0.2, 0.1), (-0.2, -0.1), (-0.2, 0.1)), [0, 1, 1, 0]),
        (places((0.2, 0.1), (0.0, 0.15), (-0.2, 0.1), (0.2, -0.1), (0.0, -0.15), (-0.2, -0.1)), [1, 0, 1, 0, 1, 0]),
    ],
    ids=["two legs in turn", "a trot", "tripods"],
)
def test_neighbours_do_not_step_together(feet, expected):
    assert halves(feet).astype(int).tolist() == expected
    order = np.random.default_rng(0).permutation(len(feet))
    assert halves(feet[order]).astype(int).tolist() == [expected[i] for i in order], "in whatever order they come"


@pytest.mark.parametrize(
    "feet",
    [places((0, 0.1)), places((0.2, 0.1), (-0.2, 0.1)), places((0.2, 0.1), (0, 0.1), (-0.2, 0.1), (0, -0.1))],
    ids=["one foot", "one side", "three and one"],
)
def test_feet_without_two_halves(feet):
    assert halves(feet) is None


def test_the_measures_are_the_robots():
    found = stature(PUPPER, load_model(PUPPER, visuals=False))
    assert found.height == PUPPER.hip_height
    assert found.time == pytest.approx(np.sqrt(PUPPER.hip_height / 9.81), rel=1e-4)
    assert found.half.tolist() in ([True, False, False, True], [False, True, True, False])
