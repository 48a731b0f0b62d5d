"""A robot without torsional friction, on ground that resists others: its contacts are those of condim 3.

MuJoCo's contact of condim 4 has two edges more, which also carry weight where they resist nothing. Training begins
without torsional friction, and then has the contacts that it is examined with.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.robots import PUPPER
from walkies.sim import actuation, make_simulator, nominal_params

ROBOTS, STEPS = 48, 12


def fallen(resists: bool, torsion: np.ndarray) -> np.ndarray:
    """(steps, n, nq): robots that fall onto their feet and move their legs at random."""
    simulator, n = make_simulator("native", PUPPER, threads=1, torsion=resists), len(torsion)
    params = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape[1:])), nominal_params(simulator.model, PUPPER))
    params = simulator.prepare(params._replace(torsion=jnp.asarray(torsion, jnp.float32)), n)
    rng, pose = np.random.default_rng(0), np.array(PUPPER.default_pose)
    qpos = np.tile([0.0, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0, *pose], (ROBOTS, 1))
    qpos[:, 2] -= rng.uniform(0.0, 0.05, ROBOTS)
    qvel = rng.normal(0.0, 0.5, (ROBOTS, 6 + PUPPER.num_joints))
    targets = pose + rng.normal(0.0, 0.2, (STEPS, ROBOTS, PUPPER.num_joints))
    state = actuation.initial_state(
        *(jnp.asarray(x[:n], jnp.float32) for x in (qpos, qvel, np.tile(pose, (ROBOTS, 1))))
    )
    step, found = jax.jit(lambda s, t: actuation.step(simulator, params, s, t, jnp.zeros(n, int))[0]), []
    for target in targets:
        state = step(state, jnp.asarray(target[:n], jnp.float32))
        found.append(np.asarray(state.qpos))
    return np.stack(found)


@pytest.fixture(scope="module")
def level() -> np.ndarray:
    """On ground that resists nobody who turns."""
    return fallen(False, np.ones(ROBOTS))


def test_robots_without_it_move_as_on_ground_that_has_none(level):
    """To the bit. Control: hardly any of it is another contact."""
    np.testing.assert_array_equal(fallen(True, np.zeros(ROBOTS)), level)
    assert np.abs(fallen(True, np.full(ROBOTS, 1e-6)) - level).max() > 1e-3


def test_whatever_robots_are_computed_beside_it(level):
    """Every third robot has none: after a control step it is where it was, up to rounding, which grows from then on.
    Control: the others move otherwise."""
    torsion = np.where(np.arange(ROBOTS) % 3 == 0, 0.0, 1.0)
    moved = np.abs(fallen(True, torsion) - level)[0]
    assert moved[torsion == 0.0].max() < 5e-7 and moved[torsion > 0.0].max() > 1e-3
