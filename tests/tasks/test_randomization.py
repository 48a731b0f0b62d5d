"""Domain randomization: right distributions around the nominal robot, bodies that can exist, nothing accumulated."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from walkies.physics import nominal_params
from walkies.robots import get_robot, load_model
from walkies.tasks.randomization import COURSE, NONE, PRIVILEGED, SETS, Randomization, Range, draw

N = 2000
DT = 0.004
GOES_WITH = {"payload": {"body_mass", "trunk_com_x", "trunk_com_y", "trunk_com_z"}, "body_mass": {"payload"},
             "motor_strength": {"kp", "kd"}}  # fmt: skip
"""Quantities that a draw of one moves by its definition: mass on the trunk, torque of a stronger motor."""


@pytest.fixture(scope="module")
def nominal():
    robot = get_robot("pupper")
    return nominal_params(load_model(robot))


def drawn(nominal, config, seed=0, n=N):
    compiled = jax.jit(draw, static_argnums=(1, 2, 4))
    return jax.tree.map(np.array, compiled(jax.random.key(seed), n, config, nominal, DT))


def only(**ranges) -> Randomization:
    return replace(NONE, **ranges)


def inertia_matrix(six):
    xx, yy, zz, xy, xz, yz = np.moveaxis(six, -1, 0)
    return np.stack([np.stack([xx, xy, xz], -1), np.stack([xy, yy, yz], -1), np.stack([xz, yz, zz], -1)], -2)


def test_none_is_the_nominal_robot(nominal):
    params = drawn(nominal, NONE, n=3).params
    for name in nominal._fields:
        expected = np.broadcast_to(getattr(nominal, name), getattr(params, name).shape)
        np.testing.assert_allclose(getattr(params, name), expected, rtol=1e-6, atol=1e-9, err_msg=name)


SIMPLE = {
    "friction": lambda p, m: p.friction / m.friction,
    "kp": lambda p, m: (p.kp / m.kp)[:, 0],
    "kd": lambda p, m: (p.kd / m.kd)[:, 0],
    "motor_strength": lambda p, m: (p.torque_limit / m.torque_limit)[:, 5],
    "frictionloss": lambda p, m: (p.dof_frictionloss / m.dof_frictionloss)[:, 3],
    "damping": lambda p, m: (p.dof_damping / m.dof_damping)[:, 3],
    "armature": lambda p, m: (p.dof_armature / m.dof_armature)[:, 3],
    "body_mass": lambda p, m: (p.body_mass / m.body_mass)[:, 4],
    "trunk_com_x": lambda p, m: p.body_ipos[:, 0, 0] - m.body_ipos[0, 0, 0],
    "trunk_com_y": lambda p, m: p.body_ipos[:, 0, 1] - m.body_ipos[0, 0, 1],
    "trunk_com_z": lambda p, m: p.body_ipos[:, 0, 2] - m.body_ipos[0, 0, 2],
    "payload": lambda p, m: p.body_mass[:, 0] - m.body_mass[0, 0],
}


@pytest.mark.parametrize("name", SIMPLE)
def test_each_quantity_is_uniform_over_its_range_and_touches_nothing_else(nominal, name):
    """Kolmogorov–Smirnov against the named uniform distribution; the same test rejects a range 10% wider."""
    bounds = getattr(Randomization(), name)
    params = drawn(nominal, only(**{name: bounds})).params
    values = SIMPLE[name](params, jax.tree.map(np.array, nominal))
    p_value = lambda low, high: stats.kstest(values, "uniform", args=(low, high - low)).pvalue  # noqa: E731
    width = bounds.high - bounds.low
    assert p_value(bounds.low, bounds.high) > 1e-3
    assert p_value(bounds.low - 0.1 * width, bounds.high + 0.1 * width) < 1e-6
    for other, measure in SIMPLE.items():
        if other != name and other not in GOES_WITH.get(name, ()):
            spread = np.ptp(measure(params, jax.tree.map(np.array, nominal)))
            assert spread < 1e-5, f"{name} moved {other}"


def test_delays_are_whole_physics_steps_over_the_range(nominal):
    params = drawn(nominal, only(command_delay=Range(0.0, 0.02), imu_delay=Range(0.0, 0.012))).params
    assert set(params.command_delay) == {0, 1, 2, 3, 4, 5} and set(params.imu_delay) == {0, 1, 2, 3}
    assert params.command_delay.dtype == np.int32


def test_every_drawn_body_could_be_built(nominal):
    """Second moments stay positive definite: principal moments obey the triangle inequality."""
    wild = only(
        body_mass=Range(0.3, 3.0), stretch=Range(0.5, 2.0), payload=Range(-0.1, 1.0), payload_height=Range(0.0, 0.2)
    )
    moments = np.linalg.eigvalsh(inertia_matrix(drawn(nominal, wild).params.body_inertia))
    assert (moments > 0).all()
    assert (moments[..., 0] + moments[..., 1] > moments[..., 2] * (1 - 1e-5)).all()
    # Negative control: the upstream way, each principal moment by its own factor, makes bodies that cannot exist.
    factors = np.random.default_rng(0).uniform(0.7, 1.3, (N, moments.shape[1], 3))
    upstream = np.sort(np.linalg.eigvalsh(inertia_matrix(np.array(nominal.body_inertia))) * factors, axis=-1)
    assert (upstream[..., 0] + upstream[..., 1] < upstream[..., 2]).mean() > 0.05


def test_payload_is_a_point_mass_on_the_back(nominal):
    """Mass, centre and inertia of trunk plus point mass, by the definition of inertia about the new centre."""
    params = drawn(nominal, only(payload=Range(0.4, 0.4), payload_height=Range(0.06, 0.06)), n=1).params
    mass, com, inertia = (np.array(x)[0, 0] for x in (nominal.body_mass, nominal.body_ipos, nominal.body_inertia))
    at = np.array([com[0], com[1], 0.06])
    centre = (mass * com + 0.4 * at) / (mass + 0.4)
    about = lambda d, m: m * (d @ d * np.eye(3) - np.outer(d, d))  # noqa: E731
    expected = inertia_matrix(inertia) + about(com - centre, mass) + about(at - centre, 0.4)
    np.testing.assert_allclose(params.body_mass[0, 0], mass + 0.4, rtol=1e-6)
    np.testing.assert_allclose(params.body_ipos[0, 0], centre, rtol=1e-5)
    np.testing.assert_allclose(inertia_matrix(params.body_inertia[0, 0]), expected, rtol=1e-4, atol=1e-7)


def test_draws_do_not_depend_on_earlier_draws(nominal):
    """Nothing accumulates: the same key gives the same robots whatever was drawn in between."""
    first = drawn(nominal, Randomization(), seed=3, n=8)
    drawn(nominal, Randomization(), seed=4, n=8)
    jax.tree.map(np.testing.assert_array_equal, first, drawn(nominal, Randomization(), seed=3, n=8))
    assert not np.array_equal(first.params.body_mass, drawn(nominal, Randomization(), seed=5, n=8).params.body_mass)


@pytest.mark.parametrize("name", SETS)
def test_every_set_can_be_drawn_and_told_to_the_critic(nominal, name):
    robots = drawn(nominal, SETS[name], n=64)
    assert robots.privileged.shape == (64, PRIVILEGED) and np.abs(robots.privileged).max() < 2.0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(robots))


def test_the_course_set_has_the_published_values():
    assert COURSE.kp == Range(0.6, 1.1) and COURSE.kd == Range(0.8, 1.5) and COURSE.friction == Range(0.6, 1.4)
    assert {f.name for f in fields(Randomization)} == {f.name for f in fields(COURSE)}
    assert jnp.isfinite(jnp.array([COURSE.command_delay.high])).all()
