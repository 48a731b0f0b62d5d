"""A task in a robot's own units: like robots that move alike earn alike."""

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from walkies.robots import get_robot, names
from walkies.robots.pupper import PUPPER
from walkies.robots.units import REFERENCE, exponents, growth, measures
from walkies.run.config import CATCHING, CROWD, MANY_JOINTS, WALKING_RECIPE, of_robot
from walkies.tasks import rewards
from walkies.tasks.randomization import turning_freely
from walkies.tasks.rewards import Motion, RewardParams, RewardWeights, reward_terms, terms_of
from walkies.tasks.scale.stature import Stature
from walkies.tasks.scale.units import FOLLOWING, FOLLOWS, TURNING, UPRIGHT, discount_of, plain, task_of
from walkies.tasks.walk import WalkConfig

LONGER = 4.0
TWIN = replace(PUPPER, name="twin", hip_height=LONGER * PUPPER.hip_height, mass=LONGER**3 * PUPPER.mass,
               gamepad=(2 * PUPPER.gamepad[0], 2 * PUPPER.gamepad[1], PUPPER.gamepad[2] / 2))  # fmt: skip
"""The same robot, four times as long: its unit of time is twice as long, and its speeds are twice as fast."""


def test_the_reference_keeps_its_numbers():
    assert task_of(PUPPER) is not None and task_of(PUPPER) == WalkConfig()
    assert discount_of(PUPPER, 0.97) == 0.97 and growth(PUPPER, "W") == 1.0
    assert measures(PUPPER) == REFERENCE


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("m/s", (1, -1, 0)), ("rad²/s⁴", (0, -4, 0)), ("N² m²", (4, -4, 2)), ("W", (2, -3, 1)), ("m · m/s", (2, -1, 0)),
     ("1", (0, 0, 0)), ("rad", (0, 0, 0)), ("×", (0, 0, 0)), ("kg", (0, 0, 1))],
)  # fmt: skip
def test_units_are_read(unit, expected):
    assert exponents(unit) == expected


def test_an_unknown_unit_is_told():
    with pytest.raises(ValueError, match="furlong"):
        exponents("furlong/s")


def random_motion(seed):
    rng = np.random.default_rng(seed)
    n, joints, legs = 64, 12, 4

    def some(*shape):
        return jnp.asarray(rng.normal(0, 1, (n, *shape)), jnp.float32)

    air = jnp.abs(some(legs)) * 0.2
    return Motion(
        command=0.5 * some(3), linear_velocity=0.5 * some(3), angular_velocity=some(3), gravity=some(3),
        height=some(), joint_offset=0.3 * some(joints), abduction=0.3 * some(legs), joint_velocity=3 * some(joints),
        joint_acceleration=50 * some(joints), torque=some(joints), action=some(joints), last_action=some(joints),
        foot_contact=some(legs) > 0, foot_velocity=some(legs, 3), foot_height=0.02 * some(legs), foot_air_time=air,
        first_contact=some(legs) > 0.5, knee_force=5.0 * (some(legs) > 0), torso_force=5.0 * (some(8) > 0),
        fell=some() > 1,
        stature=Stature(PUPPER.hip_height, math.sqrt(PUPPER.hip_height / 9.81), np.array([True, False, False, True])),
    )  # fmt: skip


def enlarged(m):
    """The same motion of the twin."""
    long, time = LONGER, LONGER**0.5
    speed, force, rates = long / time, LONGER**3, jnp.array([long / time] * 2 + [1 / time])
    return m._replace(
        command=m.command * rates, linear_velocity=speed * m.linear_velocity,
        angular_velocity=m.angular_velocity / time,
        height=long * m.height, joint_velocity=m.joint_velocity / time,
        joint_acceleration=m.joint_acceleration / time**2, torque=force * long * m.torque,
        foot_velocity=speed * m.foot_velocity, foot_height=long * m.foot_height, foot_air_time=time * m.foot_air_time,
        knee_force=force * m.knee_force, torso_force=force * m.torso_force,
        stature=m.stature._replace(height=long * m.stature.height, time=time * m.stature.time),
    )  # fmt: skip


def test_like_robots_that_move_alike_earn_alike():
    """In like times, whatever the term; an event is worth the same. Control: the weights as they stand."""
    weights = replace(RewardWeights(), foot_clearance=-1.0)
    shape, task = RewardParams(), task_of(TWIN, WalkConfig(rewards=weights))
    m = random_motion(0)
    here, there = (reward_terms(*what, 0.02) for what in ((m, weights, shape), (enlarged(m), task.rewards, task.shape)))
    naive = reward_terms(enlarged(m), weights, shape, 0.02)
    assert set(here) == set(there)
    differ = set()
    for name, term in terms_of(weights).items():
        if name in here:
            longer = 1.0 if term.event else LONGER**0.5  # the same motion takes as many times as many steps
            np.testing.assert_allclose(longer * there[name], here[name], rtol=3e-3, atol=1e-6, err_msg=name)
            if not np.allclose(longer * naive[name], here[name], rtol=0.05, atol=1e-6):
                differ.add(name)
    assert differ >= {"tracking_lin_vel", "torque", "power", "foot_slip", "lin_vel_error", "orientation"}


def test_what_does_not_grow_stays():
    task, plain = task_of(TWIN), WalkConfig()
    for group in ("contact", "motor", "latency", "sensing"):
        assert getattr(task.randomization, group) == getattr(plain.randomization, group)
    assert task.randomization.body.mass == plain.randomization.body.mass
    assert task.randomization.body.payload.high == pytest.approx(LONGER**3 * plain.randomization.body.payload.high)
    assert task.randomization.pushes.kick_speed.high == pytest.approx(2 * plain.randomization.pushes.kick_speed.high)
    assert task.commands.acceleration == plain.commands.acceleration, "m/s² are those of gravity"
    assert task.commands.interval == 2 * plain.commands.interval and task.commands.forward == TWIN.gamepad[0]
    assert discount_of(TWIN, 0.97) == pytest.approx(0.97**0.5, rel=1e-3)


def test_ground_does_not_resist_robots_that_turn_slowly_for_their_size():
    """Control: their twin that turns as fast as others, and faster."""
    usual = WalkConfig().randomization
    for factor, free in ((0.5, True), (1.0, False), (3.0, False)):
        robot = replace(TWIN, gamepad=(*TWIN.gamepad[:2], factor * TWIN.gamepad[2]))
        wanted = turning_freely(usual) if free else usual
        assert task_of(robot).randomization.contact == wanted.contact
    assert turning_freely(usual).contact != usual.contact


def test_every_robot_has_a_task():
    for name in names():
        task = task_of(get_robot(name))
        assert task.commands.forward == get_robot(name).gamepad[0]


@pytest.mark.parametrize("kind", ["quadruped", *UPRIGHT])
def test_robots_that_must_balance_earn_more_by_going_where_they_are_told(kind):
    """Turning in the end most of all, and at first no more than going. Control: on four legs nothing changes."""
    task, usual = plain(kind), WalkConfig().rewards
    for name in FOLLOWS:
        times = FOLLOWING if kind in UPRIGHT else 1.0
        turns = name in rewards.TURNING
        share = [float(one.turning.share(jnp.float32(0))) if turns else 1.0 for one in (task, WalkConfig())]
        weight = getattr(task.rewards, name)
        assert weight * share[0] == pytest.approx(times * share[1] * getattr(usual, name), rel=1e-3)
        if turns and kind in UPRIGHT:
            assert weight == pytest.approx(TURNING * weight * share[0])
    assert (task == WalkConfig()) == (kind not in UPRIGHT)


def test_robots_that_must_balance_or_have_many_joints_learn_in_larger_batches():
    usual = WALKING_RECIPE.num_envs, WALKING_RECIPE.entropy_coefficient
    many = MANY_JOINTS["num_envs"], WALKING_RECIPE.entropy_coefficient
    balance = CROWD, CATCHING
    for name, expected in (("biped", balance), ("humanoid", balance), ("go", usual), ("hexapod", many)):
        recipe = of_robot(get_robot(name)).recipe
        assert (recipe.num_envs, recipe.entropy_coefficient) == expected
    assert usual[0] < many[0] < CROWD and usual[1] < CATCHING


def test_only_humanoids_keep_their_feet_apart_and_only_the_biped_is_not_equivariant():
    for name in names():
        config = of_robot(get_robot(name))
        kind = get_robot(name).kind
        assert (config.task.rewards.feet_apart < 0.0) == (kind == "humanoid")
        assert (config.recipe.symmetry == "equivariant") == (kind != "biped")
