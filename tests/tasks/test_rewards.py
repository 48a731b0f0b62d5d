"""Each reward term against a closed form on a motion made by hand."""

import dataclasses
import re
from dataclasses import replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from walkies import cli
from walkies.cli import explain
from walkies.errors import UserError
from walkies.tasks import rewards
from walkies.tasks.curriculum import Ramp
from walkies.tasks.motion.task import TERMS as FOLLOWING
from walkies.tasks.motion.terms import Deviation
from walkies.tasks.rewards import TERMS, Motion, RewardParams, RewardWeights
from walkies.tasks.scale.stature import Stature
from walkies.tasks.walk import WalkConfig

SHAPE = RewardParams()
STATURE = Stature(0.155, 0.1257, np.array([True, False, False, True]))
EXACT = Deviation(np.zeros((1, 12)), np.zeros((1, 12)), *(np.zeros(1) for _ in range(3)))
"""From the frame of a movement: none."""


def motion(**changes) -> Motion:
    """One robot that stands perfectly on four feet, changed as asked."""
    still = dict(
        command=np.zeros(3), linear_velocity=np.zeros(3), angular_velocity=np.zeros(3), gravity=np.array([0, 0, -1.0]),
        height=np.array(0.155), joint_offset=np.zeros(12), abduction=np.zeros(4),
        joint_velocity=np.zeros(12), joint_acceleration=np.zeros(12),
        torque=np.zeros(12), action=np.zeros(12), last_action=np.zeros(12), foot_contact=np.ones(4, bool),
        foot_velocity=np.zeros((4, 3)), foot_height=np.zeros(4), foot_air_time=np.zeros(4),
        first_contact=np.zeros(4, bool), knee_force=np.zeros(4), torso_force=np.zeros(8), fell=np.array(False),
        gait_reference=np.zeros(12), gait_stance=np.ones(4, bool),
        idle=np.zeros(2), foot_room=np.ones(2),
    )  # fmt: skip
    deviation = changes.pop("deviation", EXACT)
    assert set(changes) <= set(still)
    values = {name: jnp.asarray(value)[None] for name, value in (still | changes).items()}
    return Motion(**values, stature=STATURE, deviation=deviation)


twelve = np.arange(12) / 10
moving = np.array([0.5, 0.0, 0.0])
swing = np.array([True, False, False, False])
slip = np.zeros((4, 3))
slip[0] = [0.3, 0.4, 9.0]

CASES = {
    "tracking_lin_vel": (dict(command=moving, linear_velocity=[0.25, 0.0, 7.0]), np.exp(-(0.25**2) / 0.25**2)),
    "tracking_ang_vel": (dict(command=[0, 0, 1.0], angular_velocity=[5.0, 5.0, 0.5]), np.exp(-1.0)),
    "lin_vel_error": (dict(command=[0.3, 0.4, 0.0]), 0.5),
    "ang_vel_error": (dict(command=[0, 0, -1.5]), 1.5),
    "lin_vel_z": (dict(linear_velocity=[1.0, 1.0, 0.5]), 0.25),
    "ang_vel_xy": (dict(angular_velocity=[1.0, 2.0, 9.0]), 5.0),
    "orientation": (dict(gravity=[0.6, 0.0, -0.8]), 0.36),
    "torque": (dict(torque=twelve), (twelve**2).sum()),
    "power": (dict(torque=twelve, joint_velocity=-2 * twelve), 2 * (twelve**2).sum()),
    "joint_acceleration": (dict(joint_acceleration=twelve), (twelve**2).sum()),
    "action_rate": (dict(action=twelve, last_action=-twelve), 4 * (twelve**2).sum()),
    "foot_slip": (dict(foot_velocity=slip), 0.25),
    "foot_air_time": (dict(command=moving, first_contact=swing, foot_air_time=[0.2, 0.4, 0, 0]), 0.2 - SHAPE.air_time),
    "alternate_feet": (
        dict(
            command=moving,
            foot_contact=[True, False, False, True],
            foot_height=[0.0, 0.155 * SHAPE.swing_height, 0.155 * (SHAPE.swing_height + SHAPE.swing_width), 0.0],
            foot_air_time=[0.0, 0.1, 0.24, 0.0],
        ),
        0.5 + 0.25 * (1 + np.exp(-1.0)),
    ),
    "foot_clearance": (dict(foot_velocity=slip), 0.5 * SHAPE.clearance),
    "stand_still": (dict(joint_offset=-twelve), twelve.sum()),
    "stand_still_velocity": (dict(joint_velocity=-twelve), twelve.sum()),
    "abduction": (dict(abduction=twelve[:4]), (twelve[:4] ** 2).sum()),
    "knee_contact": (dict(knee_force=[1.0, 0.0, 2.0, 0.05]), 2.0),
    "torso_contact": (dict(torso_force=[1.0] * 3 + [0.0] * 5), 3.0),
    "gait_tracking": (
        dict(joint_offset=twelve, gait_reference=-twelve),
        np.exp(-np.mean((2 * twelve / np.tile(SHAPE.gait_width, 4)) ** 2)),
    ),
    "gait_contacts": (
        dict(command=moving, foot_contact=[True, False, True, True], gait_stance=[True, False, False, True]),
        0.75,
    ),
    "motion_joints": (
        dict(deviation=EXACT._replace(joints=twelve[None])),
        np.exp(-np.mean(twelve**2) / SHAPE.motion_joints**2),
    ),
    "motion_speeds": (
        dict(deviation=EXACT._replace(speeds=twelve[None])),
        np.exp(-np.mean(twelve**2) / SHAPE.motion_speeds**2),
    ),
    "motion_orientation": (
        dict(deviation=EXACT._replace(turned=np.array([0.3]))),
        np.exp(-((0.3 / SHAPE.motion_orientation) ** 2)),
    ),
    "motion_height": (
        dict(deviation=EXACT._replace(height=np.array([-0.1]))),
        np.exp(-((0.1 / SHAPE.motion_height) ** 2)),
    ),
    "feet_apart": (dict(foot_room=np.array([0.2, -0.9, 0.6])), 0.6 + 2.0),
    "idle_joints": (dict(idle=np.array([0.3, -0.4])), 0.125),
    "alive": ({}, 1.0),
    "termination": (dict(fell=True), 1.0),
}


def test_every_term_has_a_case():
    assert set(CASES) == set(TERMS) == {field.name for field in dataclasses.fields(RewardWeights)}


@pytest.mark.parametrize("name", TERMS)
def test_term_is_its_formula(name):
    changes, expected = CASES[name]
    np.testing.assert_allclose(TERMS[name](motion(**changes), SHAPE), [expected], rtol=1e-3)


@pytest.mark.parametrize("name", TERMS)
def test_standing_still_costs_nothing(name):
    """A robot that stands as told has error zero; only the tracking terms pay, and they pay their maximum."""
    expected = 1.0 if "tracking" in name or name in ("alive", *FOLLOWING) else 0.0
    np.testing.assert_allclose(TERMS[name](motion(), SHAPE), [expected], atol=2e-4)


@pytest.mark.parametrize("name", ["stand_still", "stand_still_velocity"])
def test_standing_terms_are_silent_when_told_to_move(name):
    changes, _ = CASES[name]
    assert TERMS[name](motion(**changes, command=moving), SHAPE)[0] == 0.0


def test_a_foot_in_the_air_does_not_slip():
    assert rewards.foot_slip(motion(foot_velocity=slip, foot_contact=~swing), SHAPE)[0] == 0.0
    assert rewards.foot_slip(motion(foot_velocity=slip, foot_contact=swing), SHAPE)[0] > 0.2


@pytest.mark.parametrize(
    "change",
    [
        dict(command=np.zeros(3)),
        dict(foot_contact=[True, True, False, False]),
        dict(foot_contact=[True, False, True, True]),
        dict(foot_contact=[False] * 4),
        dict(foot_air_time=[0.0, 0.1, 0.252, 0.0]),
    ],
    ids=["told to stand", "a bound", "one foot", "a flight", "too long"],
)
def test_feet_that_do_not_alternate_earn_nothing(change):
    """The control is the term's own case, of which each differs in one thing. What a foot on the ground last flew does
    not count."""
    changes, value = CASES["alternate_feet"]
    assert rewards.alternate_feet(motion(**(changes | change)), SHAPE)[0] == 0.0
    landed = rewards.alternate_feet(motion(**(changes | dict(foot_air_time=[0.4, 0.1, 0.24, 0.0]))), SHAPE)[0]
    assert landed == pytest.approx(value, rel=1e-3)


def test_robots_whose_feet_have_no_two_halves_are_paid_nothing():
    changes, _ = CASES["alternate_feet"]
    what = motion(**changes)
    for stature in (None, STATURE._replace(half=None)):
        assert rewards.alternate_feet(what._replace(stature=stature), SHAPE).tolist() == [0.0]


def test_a_robot_twice_as_high_alternates_alike_in_its_own_units():
    changes, value = CASES["alternate_feet"]
    large = {name: np.array(changes[name]) * size for name, size in (("foot_height", 2.0), ("foot_air_time", 2**0.5))}
    twice = STATURE._replace(height=2 * STATURE.height, time=2**0.5 * STATURE.time)
    what = motion(**(changes | large))
    np.testing.assert_allclose(rewards.alternate_feet(what._replace(stature=twice), SHAPE), [value], rtol=1e-3)
    assert rewards.alternate_feet(what, SHAPE)[0] == 0.0, "the control"


def test_the_fall_is_felt_in_the_sum():
    """Nothing clips the reward: a fall makes a bad step worse by exactly its weight (upstream it vanished)."""
    weights = RewardWeights()
    bad = dict(joint_acceleration=np.full(12, 1e4), linear_velocity=[3.0, 0, 0])
    total = [
        sum(rewards.reward_terms(motion(**bad, fell=fell), weights, SHAPE, 0.02).values()) for fell in (False, True)
    ]
    assert total[0][0] < 0.0
    np.testing.assert_allclose(total[1] - total[0], [0.02 * weights.termination], rtol=1e-4)


def test_a_weight_of_zero_leaves_the_term_out():
    assert "torque" not in rewards.reward_terms(motion(), RewardWeights(torque=0.0), SHAPE, 0.02)
    assert "torque" in rewards.reward_terms(motion(), RewardWeights(torque=-1.0), SHAPE, 0.02)


@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_documented(name):
    term = TERMS[name]
    assert term.unit and term.formula and term.purpose.endswith(".")


def test_costs_of_effort_grow_and_nothing_else_does():
    growth = Ramp(start=0.2, steps=1000)
    shares = [float(growth.share(jnp.float32(steps))) for steps in (0, 500, 1000, 10**9)]
    np.testing.assert_allclose(shares, [0.2, 0.6, 1.0, 1.0], rtol=1e-6)
    what = motion(torque=np.ones(12), action=np.ones(12), linear_velocity=[0.3, 0, 0.2])
    full, light = (
        rewards.reward_terms(what, RewardWeights(), SHAPE, 0.02, dict.fromkeys(rewards.EFFORT, share))
        for share in (1.0, 0.2)
    )
    for name in full:
        np.testing.assert_allclose(light[name], full[name] * (0.2 if name in rewards.EFFORT else 1.0), rtol=1e-6)
    assert all(full[name][0] != 0.0 for name in ("torque", "action_rate", "lin_vel_z"))


def test_a_weight_that_grows_says_so_where_it_is_set(capsys):
    """In the help of its flag, and with its first value in `walkies explain`. Control: the weights that do not grow."""
    assert set(rewards.EFFORT) == {"torque", "power", "joint_acceleration", "action_rate"}
    assert cli.run(["train", "--help", "task.rewards"]) == 0
    said = capsys.readouterr().out
    told = " ".join(said.replace("│", " ").split())
    flags = dict(re.findall(r"--task\.rewards\.(\S+) FLOAT (.*?)default", told))
    grow = {name.replace("-", "_") for name, text in flags.items() if "begins at --task.effort.start of it" in text}
    assert len(flags) == len(TERMS) and grow == set(rewards.EFFORT)
    torque = WalkConfig(rewards=RewardWeights(torque=-0.01))
    shown = dict(zip(*columns(explain.reward_table(torque), 2), strict=True))
    assert (shown["torque"], shown["orientation"], shown["foot_clearance"]) == ("-0.002 → -0.01", "-1", "off")
    at_once = replace(torque, effort=Ramp(start=1.0))
    assert dict(zip(*columns(explain.reward_table(at_once), 2), strict=True))["torque"] == "-0.01"


def columns(table, count):
    """The cells of a table's first columns."""
    return [list(column.cells) for column in table.columns[:count]]


def test_a_term_of_ones_own():
    """A subclass adds a weight and its function; the built-in terms stay as they are."""

    @dataclasses.dataclass(frozen=True)
    class Crouching(RewardWeights):
        crouch: float = rewards.reward(lambda m, s, wanted: jnp.abs(m.height - wanted), -2.0, wanted=0.1)

    what = motion(height=np.array(0.15))
    terms = rewards.reward_terms(what, Crouching(), SHAPE, 0.02)
    np.testing.assert_allclose(terms.pop("crouch"), [0.02 * -2.0 * 0.05], rtol=1e-5)
    plain = rewards.reward_terms(what, RewardWeights(), SHAPE, 0.02)
    assert terms.keys() == plain.keys() and "crouch" not in rewards.TERMS
    assert "crouch" not in rewards.reward_terms(what, Crouching(crouch=0.0), SHAPE, 0.02)


def test_terms_of_ones_own_as_they_were_written_before():
    """Once more, with a warning. Control: a weight without a function is refused."""

    @dataclasses.dataclass(frozen=True)
    class Crouching(RewardWeights):
        crouch: float = -2.0
        own: ClassVar = {"crouch": lambda m, s: m.height}

    with pytest.warns(FutureWarning, match=r"crouch|reward\(FUNCTION"):
        terms = rewards.reward_terms(motion(height=np.array(0.5)), Crouching(), SHAPE, 0.02)
    np.testing.assert_allclose(terms["crouch"], [0.02 * -2.0 * 0.5], rtol=1e-5)

    @dataclasses.dataclass(frozen=True)
    class Bare(RewardWeights):
        crouch: float = -2.0

    with pytest.raises(UserError, match=r"Bare\.crouch: a weight without a function"):
        rewards.terms_of(Bare())
