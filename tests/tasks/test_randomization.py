"""Randomization as data: ready sets, groups that can be switched off, what is refused, and what it says of itself."""

from dataclasses import replace

import pytest

from walkies.bounds import fields_of, unwrapped
from walkies.errors import UserError
from walkies.tasks.randomization import (
    COURSE,
    GROUPS,
    NONE,
    SETS,
    WALKIES,
    Randomization,
    Range,
    check,
    named_set,
    quantities,
    without,
)  # fmt: skip

TRUNK = 1.506
LONGEST = 0.06


def allowed(randomization):
    check(randomization, LONGEST, TRUNK)
    return True


@pytest.mark.parametrize("name", SETS)
def test_the_ready_sets_are_allowed_and_found_by_name(name):
    assert allowed(SETS[name]) and named_set(name) is SETS[name]


def test_an_unknown_set_or_group_is_named_with_those_that_exist():
    with pytest.raises(UserError, match=r"'curse'.*none, course, walkies"):
        named_set("curse")
    with pytest.raises(UserError, match=r"'legs'.*body, contact"):
        without(WALKIES, "legs")


def test_the_default_is_ours():
    assert Randomization() == WALKIES


def test_none_randomizes_nothing_and_ours_something_in_every_group():
    assert all(q.range.fixed for q in quantities(NONE) if q.name != "force_duration")
    assert {q.group for q in quantities(WALKIES) if not q.range.fixed} == set(GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_can_be_switched_off_and_the_others_stay(group):
    fewer = without(WALKIES, group)
    assert getattr(fewer, group) == getattr(NONE, group) != getattr(WALKIES, group)
    assert all(getattr(fewer, other) == getattr(WALKIES, other) for other in GROUPS if other != group)


def test_the_course_set_has_the_published_values():
    course = {f"{q.group}.{q.name}": q.range for q in quantities(COURSE)}
    published = {
        "contact.friction": (0.6, 1.4), "motor.kp": (0.6, 1.1), "motor.kd": (0.8, 1.5), "body.mass": (0.9, 1.3),
        "body.com_x": (-0.02, 0.03), "body.com_y": (-0.005, 0.005), "body.com_z": (-0.005, 0.005),
        "sensing.gyro_noise": (-0.1, 0.1), "sensing.gravity_noise": (-0.05, 0.05),
        "sensing.joint_position_noise": (-0.05, 0.05), "sensing.last_action_noise": (-0.01, 0.01),
        "latency.command_delay": (0.0, 0.02), "latency.imu_delay": (0.0, 0.02), "pushes.kick_speed": (0.0, 0.1),
    }  # fmt: skip
    assert {name: course[name] for name in published} == {name: Range(*ends) for name, ends in published.items()}
    assert COURSE.pushes.kick_interval == 0.02 / 0.04, "one in 25 control steps"
    # The stretch stands for the inertias and has no published value; everything else is off.
    rest = {name: bounds for name, bounds in course.items() if name not in published}
    none = {f"{q.group}.{q.name}": q.range for q in quantities(NONE)}
    assert {name for name, bounds in rest.items() if bounds != none[name]} == {"body.stretch"}


def test_every_quantity_says_its_unit_and_when_it_is_drawn():
    described = quantities(WALKIES)
    kinds = [kind for group in GROUPS for kind in fields_of(type(getattr(WALKIES, group))).values()]
    ranges = [kind for kind in kinds if unwrapped(kind)[0] is Range]
    assert len(described) == len(ranges) == len({q.name for q in described}) == 38
    for quantity in described:
        assert quantity.unit in {"1", "×", "m", "m/s", "kg", "rad", "rad/s", "s", "N"}
        assert quantity.drawn in {"episode", "step"} and quantity.meaning.strip()
    assert {q.drawn for q in quantities(COURSE)} == {"run", "step"}


def changed(group, **values):
    return replace(WALKIES, **{group: replace(getattr(WALKIES, group), **values)})


REFUSED = {
    "upside down": (changed("motor", kp=Range(1.0, 0.5)), r"motor\.kp.*low ≤ high"),
    "not a number": (changed("motor", kp=Range(float("nan"), 1.0)), r"motor\.kp"),
    "massless": (changed("body", mass=Range(0.0, 1.0)), r"body\.mass\.low.*more than 0"),
    "frictionless": (changed("contact", friction=Range(-0.1, 1.0)), r"contact\.friction"),
    "negative delay": (changed("latency", imu_delay=Range(-0.01, 0.0)), r"latency\.imu-delay\.low.*from 0 to 1"),
    "forgotten target": (
        changed("latency", command_delay=Range(0.0, 0.03), command_jitter=Range(0.0, 0.031)),
        "61 ms.*60 ms",
    ),
    "trunk that is all taken away": (changed("body", payload=Range(-1.5, 0.0)), r"body\.payload\.low.*-1\.28"),
    "wall": (changed("contact", slope=Range(0.0, 1.5)), r"contact\.slope\.high"),
    "never": (changed("pushes", kick_interval=0.0), r"pushes\.kick-interval.*more than 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_simulated_is_refused(case):
    randomization, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        allowed(randomization)


def test_what_just_can_be_is_allowed():
    assert allowed(changed("latency", command_delay=Range(0.0, 0.05), command_jitter=Range(0.0, 0.01)))
    assert allowed(changed("contact", slope=Range(0.0, 0.3))) and allowed(changed("body", payload=Range(-1.2, 0.0)))
