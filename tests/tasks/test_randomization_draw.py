"""Drawn robots: the distributions that were asked for, bodies that can exist, nothing accumulated."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats

from walkies.robots import PUPPER, load_model
from walkies.sim import nominal_params
from walkies.tasks.randomization import COURSE, NONE, SETS, WALKIES, Randomization, Range, quantities, turning_freely
from walkies.tasks.randomization.draw import PRIVILEGED, draw, longest_imu_delay, privileged_size

N = 2000
DT = 0.004


@pytest.fixture(scope="module")
def nominal():
    return nominal_params(load_model(PUPPER), PUPPER)


def drawn(nominal, config, seed=0, n=N):
    compiled = jax.jit(draw, static_argnums=(1, 2, 4))
    return jax.tree.map(np.array, compiled(jax.random.key(seed), n, config, nominal, DT))


def only(group, base=NONE, **values) -> Randomization:
    return replace(base, **{group: replace(getattr(base, group), **values)})


def matrix(six):
    return six[..., np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]


def second_moments(six):
    return 0.5 * np.trace(matrix(six), axis1=-2, axis2=-1)[..., None, None] * np.eye(3) - matrix(six)


def test_none_is_the_nominal_robot(nominal):
    robots = drawn(nominal, NONE, n=3)
    for name in nominal._fields:
        expected = np.broadcast_to(getattr(nominal, name), (3, *getattr(nominal, name).shape[1:]))
        found = np.broadcast_to(getattr(robots.params, name), expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9, err_msg=name)
    assert not robots.sensor_bias.any() and robots.down is None


def moment(robots, i, j):
    """(n,) second moments of the trunk, of drawn robots or of the nominal one."""
    inertia = getattr(robots, "params", robots).body_inertia
    return second_moments(inertia[:, 0].astype(np.float64))[:, i, j]


def slope_of(robots, nominal):
    gravity = robots.params.gravity
    return np.arctan2(np.linalg.norm(gravity[:, :2], axis=1), -gravity[:, 2])


# Quantity: where it shows, as (n,) numbers; and the range drawn (ours is off or too narrow for some).
SHOWN = {
    "friction": (lambda r, m: r.params.friction, Range(0.4, 1.4)),
    "kp": (lambda r, m: (r.params.kp / m.kp)[:, 0], Range(0.6, 1.1)),
    "kd": (lambda r, m: (r.params.kd / m.kd)[:, 0], Range(0.75, 1.45)),
    "strength": (lambda r, m: (r.params.torque_limit / m.torque_limit)[:, 5], Range(0.9, 1.05)),
    "frictionloss": (lambda r, m: (r.params.dof_frictionloss / m.dof_frictionloss)[:, 3], Range(0.6, 1.4)),
    "damping": (lambda r, m: (r.params.dof_damping / m.dof_damping)[:, 3], Range(0.5, 2.0)),
    "armature": (lambda r, m: (r.params.dof_armature / m.dof_armature)[:, 3], Range(0.9, 1.1)),
    "mass": (lambda r, m: (r.params.body_mass / m.body_mass)[:, 4], Range(0.85, 1.3)),
    "com_x": (lambda r, m: r.params.body_ipos[:, 0, 0] - m.body_ipos[0, 0, 0], Range(-0.025, 0.025)),
    "com_y": (lambda r, m: r.params.body_ipos[:, 0, 1] - m.body_ipos[0, 0, 1], Range(-0.01, 0.01)),
    "com_z": (lambda r, m: r.params.body_ipos[:, 0, 2] - m.body_ipos[0, 0, 2], Range(-0.005, 0.005)),
    "link_com": (lambda r, m: r.params.body_ipos[:, 7, 1] - m.body_ipos[0, 7, 1], Range(-0.004, 0.004)),
    "payload": (lambda r, m: r.params.body_mass[:, 0] - m.body_mass[0, 0], Range(-0.15, 0.5)),
    # Stretch along z scales the second moment along z by its square; shear xy moves x with y.
    "stretch": (lambda r, m: np.sqrt(moment(r, 2, 2) / moment(m, 2, 2)), Range(0.8, 1.2)),
    "shear": (lambda r, m: (moment(r, 1, 2) - moment(m, 1, 2)) / moment(m, 2, 2), Range(-0.2, 0.2)),
    "torsion": (lambda r, m: r.params.torsion, Range(0.0, 2.0)),
    "softness": (lambda r, m: (r.params.contact_solref / m.contact_solref)[:, 0], Range(0.6, 1.5)),
    "depth": (lambda r, m: (r.params.contact_solimp / m.contact_solimp)[:, 2], Range(0.5, 2.0)),
    "slope": (slope_of, Range(0.0, 0.1)),
    "gyro_bias": (lambda r, m: r.sensor_bias[:, 1], Range(-0.02, 0.02)),
    "imu_tilt": (lambda r, m: r.sensor_bias[:, 4], Range(-0.02, 0.02)),
    "imu_yaw": (lambda r, m: r.sensor_bias[:, 5], Range(-0.1, 0.05)),
    "encoder_bias": (lambda r, m: r.sensor_bias[:, 6 + 11], Range(-0.02, 0.02)),
}
GOES_WITH = {
    "strength": {"kp", "kd"},
    "mass": {"payload", "stretch", "shear"},
    "payload": {"com_z", "stretch"},
    "stretch": {"shear"},
    "shear": {"stretch"},
}
"""What moves by definition: a stronger motor is stiffer; mass, payload, stretch, shear are in the trunk's moments."""
GROUP = {q.name: q.group for q in quantities(WALKIES)}


LOAD = 0.4
PLACES = {"payload_x": (0, -0.1, 0.1), "payload_height": (2, 0.02, 0.2)}
"""Axis, and the range drawn."""
DELAYS = {"command_delay": 8, "imu_delay": 3}
"""Most physics steps that are drawn."""


def test_every_quantity_that_is_drawn_with_a_robot_is_looked_at():
    elsewhere = set(PLACES) | set(DELAYS)
    assert {q.name for q in quantities(WALKIES) if q.drawn == "episode"} == set(SHOWN) | elsewhere


@pytest.mark.parametrize("name", SHOWN)
def test_each_quantity_is_uniform_over_its_range_and_touches_nothing_else(nominal, name):
    """Kolmogorov–Smirnov against the named uniform distribution; the same test rejects a range 10% wider."""
    measure, bounds = SHOWN[name]
    mine = jax.tree.map(np.array, nominal)
    robots = drawn(nominal, only(GROUP[name], **{name: bounds}))
    values = measure(robots, mine)
    p_value = lambda low, high: stats.kstest(values, "uniform", args=(low, high - low)).pvalue  # noqa: E731
    width = bounds.high - bounds.low
    assert p_value(bounds.low, bounds.high) > 1e-3
    assert p_value(bounds.low - 0.1 * width, bounds.high + 0.1 * width) < 1e-6
    for other, (measure_other, _) in SHOWN.items():
        if other != name and other not in GOES_WITH.get(name, ()):
            assert np.ptp(measure_other(robots, mine)) < 1e-5, f"{name} moved {other}"


@pytest.mark.parametrize("name", PLACES)
def test_a_load_is_anywhere_in_its_range(nominal, name):
    """The common centre of mass, solved for the load's place."""
    axis, low, high = PLACES[name]
    load = {"payload": Range(LOAD, LOAD), "payload_height": Range(0.1, 0.1)}
    robots = drawn(nominal, only("body", **load | {name: Range(low, high)}))
    trunk = float(nominal.body_ipos[0, 0, axis])
    values = trunk + (robots.params.body_ipos[:, 0, axis] - trunk) * (1 + nominal.body_mass[0, 0] / LOAD)
    values -= trunk if name == "payload_x" else 0.0
    assert stats.kstest(values, "uniform", args=(low, high - low)).pvalue > 1e-3
    assert stats.kstest(values, "uniform", args=(low, 1.1 * (high - low))).pvalue < 1e-6


def test_independent_quantities_are_not_correlated(nominal):
    """Each from its own random numbers; a quantity with itself shows what the test would see."""
    robots, mine = drawn(nominal, WALKIES), jax.tree.map(np.array, nominal)
    random = [name for name in SHOWN if not getattr(getattr(WALKIES, GROUP[name]), name).fixed and name != "stretch"]
    values = np.stack([SHOWN[name][0](robots, mine) for name in random if name not in {"payload", "com_z"}])
    off_diagonal = np.corrcoef(values) - np.eye(len(values))
    related = [name for name in random if name not in {"payload", "com_z"}]
    for i, one in enumerate(related):
        for j, other in enumerate(related):
            if i < j and not {one, other} & {"strength", "com_x", "com_y"}:
                assert abs(off_diagonal[i, j]) < 0.1, (one, other)
    assert np.corrcoef(values[0], values[0])[0, 1] > 0.99


def test_the_slope_goes_everywhere_and_keeps_the_weight(nominal):
    robots = drawn(nominal, only("contact", slope=Range(0.05, 0.05)))
    gravity = robots.params.gravity
    np.testing.assert_allclose(np.linalg.norm(gravity, axis=1), 9.81, rtol=1e-6)
    np.testing.assert_allclose(robots.down, gravity / 9.81, atol=1e-6)
    direction = np.arctan2(gravity[:, 1], gravity[:, 0])
    assert stats.kstest(direction, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3


def test_contacts_given_as_stiffness_soften_alike(nominal):
    """solref (−k, −b): four times the compliance at the same damping ratio b / (2 √k)."""
    direct = nominal._replace(contact_solref=np.array([[-900.0, -60.0]]))
    soft = drawn(direct, only("contact", softness=Range(2.0, 2.0)), n=1).params.contact_solref[0]
    np.testing.assert_allclose(soft, [-225.0, -30.0])
    assert 30 / (2 * 225**0.5) == 60 / (2 * 900**0.5)


def test_delays_are_whole_physics_steps_over_the_range(nominal):
    """A uniform time, rounded: the first and the last step come half as often; equally often would be noticed."""
    ranges = {name: Range(0.0, steps * DT) for name, steps in DELAYS.items()}
    robots = drawn(nominal, only("latency", **ranges))
    for name, steps in DELAYS.items():
        delay = getattr(robots.delays, name.removesuffix("_delay"))
        assert delay.dtype == np.int32
        expected = np.full(steps + 1, 1.0)
        expected[[0, -1]] = 0.5
        counts = np.bincount(delay, minlength=steps + 1)
        assert stats.chisquare(counts, N * expected / steps).pvalue > 1e-3
        assert stats.chisquare(counts).pvalue < 1e-6


def test_the_critic_is_told_of_an_imu_delay_however_long(nominal):
    config = only("latency", imu_delay=Range(0.0, 0.05))
    robots = drawn(nominal, config)
    np.testing.assert_array_equal(robots.delays.imu, np.round(robots.privileged[:, 8] * 0.02 / DT))
    assert set(robots.delays.imu) == set(range(13)) and longest_imu_delay(config, DT) == 12
    assert longest_imu_delay(COURSE, DT) == 5


def test_every_drawn_body_could_be_built(nominal):
    """Second moments stay positive definite: principal moments obey the triangle inequality."""
    wild = only("body", mass=Range(0.3, 3.0), stretch=Range(0.5, 2.0), shear=Range(-1.0, 1.0),
                payload=Range(-0.1, 1.0), payload_x=Range(-0.1, 0.1), payload_height=Range(0.0, 0.2))  # fmt: skip
    inertia = drawn(nominal, wild).params.body_inertia.astype(np.float64)
    assert (np.linalg.eigvalsh(second_moments(inertia)) > 0).all()
    moments = np.linalg.eigvalsh(matrix(inertia))
    assert (moments[..., 0] + moments[..., 1] > moments[..., 2] * (1 - 1e-5)).all()
    # Negative control: the upstream way, each principal moment by its own factor, makes bodies that cannot exist.
    factors = np.random.default_rng(0).uniform(0.7, 1.3, (N, moments.shape[1], 3))
    upstream = np.sort(np.linalg.eigvalsh(matrix(np.array(nominal.body_inertia))) * factors, axis=-1)
    assert (upstream[..., 0] + upstream[..., 1] < upstream[..., 2]).mean() > 0.05


def test_bodies_change_as_their_pseudo_inertia_does(nominal):
    """J' = μ U J Uᵀ, U = [[A, c + s − A c], [0, 1]], in 4 × 4 matrices; and not with A transposed."""
    config = only("body", mass=Range(0.5, 2.0), stretch=Range(0.7, 1.4), shear=Range(-0.3, 0.3),
                  link_com=Range(-0.01, 0.01), com_x=Range(0.01, 0.03))  # fmt: skip
    robots = drawn(nominal, config, n=4).params

    def pseudo(mass, com, six):
        first = mass[..., None] * com
        whole = second_moments(six) + first[..., None] * com[..., None, :]
        return np.block([[whole, first[..., None]], [first[..., None, :], mass[..., None, None]]])

    before = pseudo(*(np.array(x, np.float64) for x in (nominal.body_mass, nominal.body_ipos, nominal.body_inertia)))
    after = pseudo(*(x.astype(np.float64) for x in (robots.body_mass, robots.body_ipos, robots.body_inertia)))
    factor = robots.body_mass / np.array(nominal.body_mass)
    c = np.array(nominal.body_ipos, np.float64)[0]
    assert np.linalg.eigvalsh(after).min() > 0
    for robot in range(4):
        for body in range(13):
            old, new = (second_moments(np.array(p)[i, body].astype(np.float64))
                        for p, i in ((nominal.body_inertia, 0), (robots.body_inertia, robot)))  # fmt: skip
            # The upper-triangular A with A Σ Aᵀ = Σ' / μ is the quotient of the two reversed Cholesky factors.
            upper = lambda m: np.linalg.cholesky(m[::-1, ::-1])[::-1, ::-1]  # noqa: E731
            a = upper(new / factor[robot, body]) @ np.linalg.inv(upper(old))
            assert (np.diag(a) > 0.699).all() and (np.diag(a) < 1.401).all() and np.abs(np.triu(a, 1)).max() < 0.301
            shift = robots.body_ipos[robot, body] - c[body]
            transform = np.eye(4)
            transform[:3, :3], transform[:3, 3] = a, c[body] + shift - a @ c[body]
            expected = factor[robot, body] * transform @ before[0, body] @ transform.T
            np.testing.assert_allclose(after[robot, body], expected, rtol=1e-4, atol=1e-8)


def test_the_course_spreads_inertia_over_mass_as_the_course_does(nominal):
    """Upstream each principal inertia and the mass have factors of their own, U(0.9, 1.3)."""
    params = drawn(nominal, COURSE).params
    mine = np.array([np.std(np.log(np.trace(matrix(params.body_inertia[:, b]), axis1=1, axis2=2)
                                   / params.body_mass[:, b])) for b in range(1, 13)])  # fmt: skip
    rng = np.random.default_rng(0)
    moments = np.linalg.eigvalsh(matrix(np.array(nominal.body_inertia)))[0]
    factors = rng.uniform(0.9, 1.3, (N, 13, 4))
    theirs = np.std(np.log((moments * factors[..., :3]).sum(axis=-1) / factors[..., 3]), axis=0)[1:]
    assert 0.6 < np.mean(mine / theirs) < 2.0


def test_payload_is_a_point_mass_on_the_back(nominal):
    """Mass, centre and inertia of trunk plus point mass, by the definition of inertia about the new centre."""
    config = only("body", payload=Range(0.4, 0.4), payload_height=Range(0.06, 0.06), payload_x=Range(-0.03, -0.03))
    params = drawn(nominal, config, n=1).params
    mass, com, inertia = (np.array(x)[0, 0] for x in (nominal.body_mass, nominal.body_ipos, nominal.body_inertia))
    at = np.array([com[0] - 0.03, com[1], 0.06])
    centre = (mass * com + 0.4 * at) / (mass + 0.4)
    about = lambda d, m: m * (d @ d * np.eye(3) - np.outer(d, d))  # noqa: E731
    expected = matrix(inertia) + about(com - centre, mass) + about(at - centre, 0.4)
    np.testing.assert_allclose(params.body_mass[0, 0], mass + 0.4, rtol=1e-6)
    np.testing.assert_allclose(params.body_ipos[0, 0], centre, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(matrix(params.body_inertia[0, 0]), expected, rtol=1e-4, atol=1e-7)


def test_draws_do_not_depend_on_earlier_draws(nominal):
    """Nothing accumulates: the same key gives the same robots whatever was drawn in between."""
    first = drawn(nominal, WALKIES, seed=3, n=8)
    drawn(nominal, WALKIES, seed=4, n=8)
    jax.tree.map(np.testing.assert_array_equal, first, drawn(nominal, WALKIES, seed=3, n=8))
    assert not np.array_equal(first.params.body_mass, drawn(nominal, WALKIES, seed=5, n=8).params.body_mass)


def test_robots_drawn_for_the_run_are_the_same_at_every_reset(nominal):
    config = replace(WALKIES, robots="run")
    first, second = drawn(nominal, config, seed=3, n=64), drawn(nominal, config, seed=4, n=64)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert len(np.unique(first.params.friction)) == 64, "but not the same for every place in the batch"


@pytest.mark.parametrize("name", SETS)
def test_every_set_can_be_drawn_and_told_to_the_critic(nominal, name):
    robots = drawn(nominal, SETS[name], n=64)
    assert robots.privileged.shape == (64, privileged_size(SETS[name]))
    assert np.abs(robots.privileged).max() < 2.0
    limited = robots.params._replace(torque_speed=robots.params.torque_limit)  # ∞ is a limit that does not fall
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(robots._replace(params=limited)))


def test_torsional_friction_changes_nothing_else_of_a_draw(nominal):
    """Nor what the critic is told. Control: another quantity that is drawn changes what is drawn after it."""
    free, resisting = drawn(nominal, turning_freely(WALKIES)), drawn(nominal, WALKIES)
    assert len(np.unique(resisting.params.torsion)) > 1 == len(np.unique(free.params.torsion))
    params = resisting.params._replace(torsion=free.params.torsion)
    jax.tree.map(np.testing.assert_array_equal, resisting._replace(params=params), free)
    softer = drawn(nominal, replace(WALKIES, contact=replace(WALKIES.contact, softness=Range(0.5, 1.5))))
    assert not np.array_equal(softer.params.kp, free.params.kp)


def test_the_critic_is_told_of_the_ground_where_it_is_random(nominal):
    config = only("contact", WALKIES, softness=Range(0.5, 1.5), depth=Range(0.5, 2.0))
    robots = drawn(nominal, config, n=64)
    assert robots.privileged.shape == (64, privileged_size(config)) == (64, PRIVILEGED + 2)
    np.testing.assert_allclose(robots.privileged[:, -2], robots.params.contact_solref[:, 0] / 0.02 - 1, atol=1e-5)
