"""From the recorded joint angles of a steady gait to one cycle of it: a cycle that is known is found again."""

from __future__ import annotations

import numpy as np
import pytest

from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.tasks.gait import capture
from walkies.tasks.gait.capture import for_backward_phase, mirror_image
from walkies.tasks.gait.reference import GaitReference

ROBOT = get_robot("pupper")
DT = 0.004
HERTZ = 2.737
"""Whose period is no whole number of samples."""
SECONDS = 20.0


def series(seed: int = 0, size: float = 0.2):
    """Phases (n,) → angles (n, nu) of a random gait of four harmonics about the default pose."""
    rng = np.random.default_rng(seed)
    orders = np.arange(1, 5)
    weights = rng.normal(size=(2, 4, ROBOT.num_joints)) * size / orders[:, None] ** 1.5

    def angles(phase: np.ndarray) -> np.ndarray:
        turns = 2 * np.pi * phase[:, None] * orders
        return np.array(ROBOT.default_pose) + np.cos(turns) @ weights[0] + np.sin(turns) @ weights[1]

    return angles


def symmetric(seed: int = 0):
    """Likewise, a gait that is its own mirror image half a cycle later."""
    angles = series(seed)
    other, sign = np.array(ROBOT.mirror_joints), np.array(ROBOT.mirror_signs)
    return lambda phase: 0.5 * (angles(phase) + angles(phase + 0.5)[:, other] * sign)


def recorded(angles, hertz: float = HERTZ, noise: float = 0.0) -> np.ndarray:
    time = np.arange(0.0, SECONDS, DT)
    return angles(time * hertz) + noise * np.random.default_rng(9).normal(size=(len(time), ROBOT.num_joints))


ROWS = np.arange(100) / 100


@pytest.mark.parametrize("hertz", [0.8, HERTZ, 7.3])
def test_a_known_gait_is_found_again(hertz):
    angles = symmetric()
    cycle = capture.capture(recorded(angles, hertz), DT, ROBOT)
    assert abs(cycle.frequency / hertz - 1) < 1e-4
    np.testing.assert_allclose(cycle.table, angles(ROWS), atol=0.01)
    assert cycle.explained > 0.999 and cycle.lopsided < 0.01
    assert np.abs(cycle.table - angles(ROWS + 0.02)).max() > 0.02, "the control: two rows later"


def test_noise_averages_out():
    """Each row by as many cycles as there are. Control: the samples themselves."""
    angles, noise = symmetric(1), 0.05
    cycle = capture.capture(recorded(angles, noise=noise), DT, ROBOT)
    off = np.sqrt(np.mean(np.square(cycle.table - angles(ROWS))))
    assert abs(cycle.frequency / HERTZ - 1) < 1e-4 and off < 0.1 * noise
    assert 0.8 < cycle.explained < 0.99


def test_the_last_row_leads_to_the_first():
    """As every row leads to the next. Control: a table that lacks its last tenth."""

    def jump(table: np.ndarray) -> float:
        steps = np.abs(np.diff(table, axis=0)).max()
        return np.abs(table[0] - table[-1]).max() / steps

    table = capture.capture(recorded(symmetric(2), noise=0.05), DT, ROBOT).table
    assert jump(table) < 1.0 < 3.0 < jump(table[:90])


def test_the_result_is_its_own_mirror_image():
    """Also where the recorded gait is not, quite. Control: that one as it is."""
    even, odd = symmetric(3), series(4, size=0.03)

    def nearly(phase: np.ndarray) -> np.ndarray:
        return even(phase) + odd(phase) - np.array(ROBOT.default_pose)

    mirrored, plain = (capture.capture(recorded(nearly), DT, ROBOT, mirror) for mirror in (True, False))
    np.testing.assert_allclose(mirror_image(mirrored.table, ROBOT), mirrored.table, atol=1e-12)
    assert np.abs(mirror_image(plain.table, ROBOT) - plain.table).max() > 0.02
    np.testing.assert_allclose(plain.table, nearly(ROWS), atol=1e-3)
    assert plain.lopsided is None and 0.01 < mirrored.lopsided < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_twice_mirrored_is_the_gait(seed):
    table = series(seed)(ROWS)
    np.testing.assert_allclose(mirror_image(mirror_image(table, ROBOT), ROBOT), table, atol=1e-15)


def test_a_backward_phase_reads_a_backward_table_forward_in_time():
    """As the robot's controller reads it. Control: the same table unreversed."""
    table, hertz = symmetric(5)(ROWS), 2.0
    seconds = (np.arange(40) / 100 + 1e-9) / hertz  # rows 0 to 39 of the cycle
    command = np.tile([-1.0, 0.0, 0.0], (40, 1))

    def played(back: np.ndarray) -> np.ndarray:
        return GaitReference(1.0, table, table, None, back, gallop_speed=0.5, gallop_freq_mult=hertz).angles(
            seconds, command
        )

    np.testing.assert_allclose(played(for_backward_phase(table)), table[:40], atol=1e-6)
    assert np.abs(played(table) - table[:40]).max() > 0.1


def test_a_gait_of_one_side_is_no_average():
    """Left and right otherwise than each other: refused, and captured as it is if asked."""
    recording = recorded(series(6))
    with pytest.raises(UserError, match=r"not its own mirror image .* expected at most 50%.*--no-mirror"):
        capture.capture(recording, DT, ROBOT)
    np.testing.assert_allclose(capture.capture(recording, DT, ROBOT, False).table, series(6)(ROWS), atol=1e-3)


def test_what_is_no_steady_gait_is_refused():
    """Standing, noise, and a gait that grows faster. Control: the gait at one frequency."""
    time = np.arange(0.0, SECONDS, DT)
    rng = np.random.default_rng(0)
    still = np.tile(ROBOT.default_pose, (len(time), 1))
    assert capture.capture(symmetric()(2.0 * time), DT, ROBOT).frequency == pytest.approx(2.0, rel=1e-4)
    for angles, message in (
        (still, "move by 0.000 rad"),
        (still + rng.normal(0.0, 0.1, still.shape), "no steady gait"),
        (symmetric()(2.0 * time + 0.05 * time**2), "no steady gait: a cycle of .* explains"),
    ):
        with pytest.raises(UserError, match=message):
            capture.capture(angles, DT, ROBOT)
    with pytest.raises(ValueError, match=r"expected at least 8 s"):
        capture.capture(still[:1000], DT, ROBOT)


def test_a_gait_that_nearly_recurs_in_half_is_counted_whole():
    """Two steps that differ: the cycle is both. Control: without the difference it is one."""

    def hops(phase: np.ndarray, odd: float) -> np.ndarray:
        wave = np.cos(4 * np.pi * phase) + odd * np.cos(2 * np.pi * phase)
        return np.array(ROBOT.default_pose) + 0.2 * wave[:, None] * np.ones(ROBOT.num_joints)

    time = np.arange(0.0, SECONDS, DT)
    for odd, hertz in ((0.5, 1.5), (0.0, 3.0)):
        assert capture.frequency(hops(1.5 * time, odd), DT) == pytest.approx(hertz, rel=1e-3)
