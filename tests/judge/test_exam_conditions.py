"""What the examination draws: the ranges it promises, bodies that could exist, and seeds of its own."""

import mujoco.batch
import numpy as np
import pytest
from scipy import stats

from walkies.judge import ranges as ec
from walkies.robots import get_robot, load_model
from walkies.sim import conditions
from walkies.sim.base import inertia_in_body_frame

PUPPER = get_robot("pupper")
BODIES = 13


@pytest.fixture(scope="module")
def drawn():
    return ec.draw(3, 200, PUPPER, BODIES)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("friction", 0.5, 1.3),
        ("mass", 0.9, 1.25),
        ("payload", -0.1, 0.4),
        ("kp", 0.65, 1.05),
        ("kd", 0.8, 1.4),
        ("yaw", -np.pi, np.pi),
    ],
)
def test_uniform_over_the_promised_range(drawn, name, low, high):
    values = getattr(drawn, name).ravel()
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 1e-4
    assert stats.kstest(values, "uniform", (low, 0.8 * (high - low))).pvalue < 1e-4  # a narrower range is noticed


def test_other_ranges(drawn):
    for delay in (drawn.command_delay, drawn.imu_delay):
        assert set(delay) == set(range(6))  # 0 … 20 ms in steps of 4
    assert np.all(np.abs(drawn.com_shift) <= [0.02, 0.005, 0])
    assert np.all(drawn.com_shift[:, :2].std(axis=0) > [0.01, 0.0025])
    width = np.repeat([0.1, 0.05, 0.05, 0.01], [3, 3, 12, 12])
    assert np.all(np.abs(drawn.noise) <= width + 1e-6)
    np.testing.assert_allclose(drawn.noise.std(axis=(0, 1)), width / 3**0.5, rtol=0.02)
    speed = np.linalg.norm(drawn.push, axis=-1)
    assert speed.max() <= 0.25 and speed[speed > 0].mean() == pytest.approx(0.125, rel=0.05)
    assert (speed > 0).sum() / (200 * 20) == pytest.approx(1.0, rel=0.1)  # about one a second


def test_commands_cover_the_range_and_hold(drawn):
    command = drawn.command
    assert np.all(np.abs(command) <= [0.75, 0.5, 2.0]) and np.all(np.abs(command).max(axis=(0, 1)) > [0.74, 0.49, 1.97])
    fresh = command[:, 50:][drawn.since_change[:, 50:] == 0]
    assert np.all(fresh == 0, axis=-1).mean() == pytest.approx(0.15, abs=0.05)
    assert np.all(command[:, :50] == 0)
    changed = np.any(np.diff(command, axis=1) != 0, axis=-1)
    assert np.all(drawn.since_change[:, 1:][changed] == 0)
    assert not np.any(changed[drawn.since_change[:, 1:] > 0])
    np.testing.assert_array_equal(drawn.until_change[:, :-1] == 1, drawn.since_change[:, 1:] == 0)
    held = drawn.since_change[:, 50:-1][drawn.until_change[:, 50:-1] == 1] + 1
    assert held.min() >= 150 and held.max() <= 250


def test_seeds_are_the_exams_own():
    first, second = ec.draw(0, 3, PUPPER, BODIES), ec.draw(1, 3, PUPPER, BODIES)
    seeds = np.concatenate([first.seed, second.seed])
    assert len(set(seeds)) == 6 and all(int(seed) in ec.EXAM_SEEDS for seed in seeds)
    assert not np.array_equal(first.friction, second.friction)
    again = ec.draw(0, 5, PUPPER, BODIES)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b[:3])


def test_bodies_could_exist_and_carry_what_was_drawn(drawn):
    """Mass, centre of mass and inertia of each drawn robot, from MuJoCo's own numbers."""
    few = ec.Conditions(*(part[:12] for part in drawn))
    nominal = load_model(PUPPER, visuals=False)
    batch = mujoco.batch.Batch(nominal, 12)
    ec.apply(batch, PUPPER, few)
    trunk = nominal.body("base_link").id
    assert np.any(few.payload < 0) and np.any(few.payload > 0.2)
    for i in range(12):
        model = batch.get_model(i)
        wanted = nominal.body_mass[1:] * few.mass[i]
        wanted[0] += few.payload[i]
        np.testing.assert_allclose(model.body_mass[1:], wanted)
        inertia = np.sort(model.body_inertia[1:], axis=-1)
        assert np.all(inertia > 0) and np.all(inertia[:, 2] <= inertia[:, :2].sum(axis=-1) * (1 + 1e-9))
        np.testing.assert_allclose(model.body_inertia[2:], nominal.body_inertia[2:] * few.mass[i, 1:, None])
        moment = (wanted[0] - max(few.payload[i], 0)) * (nominal.body_ipos[trunk] + few.com_shift[i])
        moment += max(few.payload[i], 0) * np.array([*nominal.body_ipos[trunk][:2], PUPPER.payload_height])
        np.testing.assert_allclose(model.body_ipos[trunk], moment / wanted[0])
        np.testing.assert_allclose(model.geom_friction[:, 0], few.friction[i])
        assert model.body_invweight0[trunk, 0] != nominal.body_invweight0[trunk, 0]  # derived constants followed


def test_payload_adds_the_inertia_of_a_point_on_the_back():
    """About the trunk's own centre of mass, in closed form: p m / (p + m) times the squared distance, about x and y."""
    base = ec.draw(0, 1, PUPPER, BODIES)
    plain = base._replace(mass=np.ones((1, BODIES)), com_shift=np.zeros((1, 3)), payload=np.array([0.0]))
    nominal = load_model(PUPPER, visuals=False)

    def trunk_inertia(drawn):
        batch = mujoco.batch.Batch(nominal, 1)
        ec.apply(batch, PUPPER, drawn)
        model = batch.get_model(0)
        return conditions.symmetric(inertia_in_body_frame(model, 1))

    distance = PUPPER.payload_height - nominal.body_ipos[1][2]
    extra = 0.4 * 1.506 / (0.4 + 1.506) * distance**2
    added = trunk_inertia(plain._replace(payload=np.array([0.4]))) - trunk_inertia(plain)
    np.testing.assert_allclose(added, np.diag([extra, extra, 0.0]), atol=1e-9)
    np.testing.assert_allclose(trunk_inertia(plain), conditions.symmetric(inertia_in_body_frame(nominal, 1)), atol=1e-9)
