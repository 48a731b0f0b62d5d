"""What is drawn during an episode comes as often and as strong as it says."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from walkies.tasks import signal
from walkies.tasks.randomization import NONE, Range, disturbances
from walkies.tasks.randomization.disturbances import Force

DT = 0.02
PUSHES = replace(
    NONE.pushes, kick_speed=Range(0.1, 0.5), kick_interval=0.1, force=Range(2.0, 6.0),
    force_duration=Range(0.1, 0.5), force_interval=1.0,
)  # fmt: skip
KEY = jax.random.key(2)


def uniform_over(values, low, high):
    return stats.kstest(np.asarray(values), "uniform", args=(low, high - low)).pvalue


def test_kicks_come_at_their_rate_in_all_directions_with_speeds_over_the_range():
    kicks = np.array(disturbances.kick(jax.random.uniform(KEY, (20_000, 3)), PUSHES, DT))
    speed = np.linalg.norm(kicks, axis=1)
    assert abs((speed > 0).mean() - DT / PUSHES.kick_interval) < 0.01
    speed, angle = speed[speed > 0], np.arctan2(*kicks[speed > 0].T)
    assert uniform_over(speed, 0.1, 0.5) > 1e-3 and uniform_over(angle, -np.pi, np.pi) > 1e-3
    assert uniform_over(speed, 0.1, 0.6) < 1e-6, "a wider range would be noticed"


@pytest.fixture(scope="module")
def forces():
    """(steps, n, 3) N of 400 robots over 30 s."""

    def step(force, key):
        force = disturbances.next_force(force, jax.random.uniform(key, (400, 4)), PUSHES, DT)
        return force, force.now()

    return np.array(jax.jit(lambda f, k: jax.lax.scan(step, f, k))(Force.none(400), jax.random.split(KEY, 1500))[1])


def starts_of(forces):
    """(steps − 1, n) bool: a force acts that did not act one step before."""
    return np.abs(np.diff(forces, axis=0)).max(axis=-1) * np.abs(forces[1:]).max(axis=-1) > 0


def lengths_of(forces):
    """Control steps that each force lasts, over all robots; those cut off by an end are left out."""
    lengths = []
    for robot in forces.transpose(1, 0, 2):
        edges = np.flatnonzero(np.abs(np.diff(robot, axis=0)).max(axis=-1)) + 1
        lengths += list(np.diff(edges)[np.abs(robot[edges[:-1]]).max(axis=-1) > 0])
    return np.array(lengths)


def test_forces_are_as_strong_and_last_as_long_as_they_say(forces):
    strength, starts, lengths = np.linalg.norm(forces, axis=-1), starts_of(forces), lengths_of(forces)
    assert set(lengths) == set(range(5, 26)), "0.1 … 0.5 s in control steps"
    assert stats.chisquare(np.bincount(lengths)[6:25]).pvalue > 1e-3
    # Whether a force begins is tossed at every step at which none is left.
    tosses = starts.sum() + (strength[1:] == 0).sum()
    assert stats.binomtest(int(starts.sum()), int(tosses), DT / PUSHES.force_interval).pvalue > 1e-3
    fresh = strength[1:][starts]
    assert uniform_over(fresh, 2.0, 6.0) > 1e-3 and uniform_over(fresh, 2.0, 7.0) < 1e-6
    assert uniform_over(np.arctan2(forces[1:, :, 1], forces[1:, :, 0])[starts], -np.pi, np.pi) > 1e-3
    assert not forces[..., 2].any()


def test_a_force_holds_still_while_it_lasts(forces):
    strength = np.linalg.norm(forces, axis=-1)
    both = (strength[1:] > 0) & (strength[:-1] > 0)
    changes = np.abs(forces[1:] - forces[:-1]).max(axis=-1)[both]
    # Only where one force follows another without a gap.
    assert (changes > 0).mean() < 0.01 and both.sum() > 10_000


def test_a_misaligned_imu_turns_what_it_sees():
    """To first order the rotation exp(δ ×), and not its inverse."""
    mounting = jax.random.uniform(KEY, (50, 3), minval=-0.02, maxval=0.02)
    vector = jax.random.normal(KEY, (50, 3))
    turned = np.array(signal.misaligned(vector, mounting))
    exact = Rotation.from_rotvec(np.array(mounting)).apply(np.array(vector))
    inverse = Rotation.from_rotvec(-np.array(mounting)).apply(np.array(vector))
    assert np.abs(turned - exact).max() < 0.02**2 * 5 < np.abs(turned - inverse).max()
