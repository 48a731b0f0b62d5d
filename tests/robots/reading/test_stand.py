"""The pose in which a robot stands, and what would make its training fail."""

import json

import mujoco
import numpy as np
import pytest

from made_trees import BIPED, HEXAPOD, HUMANOID, QUADRUPED_WITH_ARM, Chain, mjcf
from walkies import cli
from walkies.robots import PUPPER, load_model
from walkies.robots.folders import ZOO
from walkies.robots.reading.anatomy import anatomy, limits, lowest, posed
from walkies.robots.reading.check import check, torque_limits, torques
from walkies.robots.reading.stand import STRETCH, UPRIGHT, hip, stand

ROBOTS = {"biped": BIPED, "hexapod": HEXAPOD, "quadruped": QUADRUPED_WITH_ARM, "humanoid": HUMANOID}


def compiled(text):
    model = mujoco.MjModel.from_xml_string(text)
    return model, anatomy(model)


@pytest.mark.parametrize("name", ROBOTS)
def test_feet_stand_below_the_hips_and_carry_the_centre_of_mass(name):
    model, parts = compiled(mjcf(ROBOTS[name]))
    found = stand(model, parts)
    data = posed(model, parts.joints, found.angles)
    low, high = limits(model, parts.joints)
    assert found.origin == "computed" and (low - 1e-9 <= found.angles).all() and (found.angles <= high + 1e-9).all()
    feet = np.array([data.geom_xpos[list(leg.feet)].mean(axis=0) for leg in parts.legs])
    hips = data.xanchor[[hip(model, leg) for leg in parts.legs]]
    size = found.hips
    assert abs(data.subtree_com[parts.base, 0] - feet[:, 0].mean()) < 0.02 * size
    np.testing.assert_allclose(feet[:, 1], hips[:, 1], atol=0.02 * size)
    assert np.ptp(feet[:, 2]) < 0.01 * size and np.ptp(feet[:, 0] - hips[:, 0]) < 0.02 * size
    np.testing.assert_allclose(found.angles, np.array(parts.sign) * found.angles[list(parts.partner)], atol=1e-6)
    if name == "humanoid":
        heights = [lowest(model, data, geom) for geom in parts.legs[0].feet]
        assert np.ptp(heights) < 0.005, "its soles are level"


ANKLES = [
    Chain(
        name, "zxyyyx", (0.0, y, -0.02), ((0, 0, 0), (0, 0, 0), (0, 0, -0.14), (0, 0, -0.14), (0, 0, 0), (0, 0, -0.03))
    )
    for name, y in (("left", 0.07), ("right", -0.07))
]
"""A biped that can bend its knees and keep its feet level."""


@pytest.mark.parametrize(("chains", "share"), [(HEXAPOD, STRETCH), (ANKLES, UPRIGHT)])
def test_legs_are_stretched_as_far_as_they_should_be(chains, share):
    """Downwards from hip to foot, where no limit is in the way. Control: the limit of the knee in the made robots."""
    for wide in (True, False):
        text = mjcf(chains)
        model, parts = compiled(text.replace('range="-1 1.2"', 'range="-2.5 2.5"') if wide else text)
        found = stand(model, parts)
        data = posed(model, parts.joints, found.angles)
        leg = parts.legs[0]
        below = leg.joints[leg.joints.index(hip(model, leg)) :]
        ends = np.array([*data.xanchor[list(below)], data.geom_xpos[leg.feet[0]]])
        reach = np.linalg.norm(np.diff(ends, axis=0), axis=1).sum()
        right = ends[0, 2] - ends[-1, 2] == pytest.approx(share * reach, rel=0.02)
        assert right == (wide or chains is ANKLES)


def test_a_keyframe_is_the_pose():
    model = load_model(PUPPER)
    found = stand(model, anatomy(model))
    assert found.origin == "keyframe" and found.angles.tolist() == list(PUPPER.default_pose)
    assert found.height == pytest.approx(PUPPER.standing_height, abs=0.01)


LEVERS = """<mujoco><worldbody><body name="trunk"><freejoint/><inertial pos="0 0 0" mass="{mass}" diaginertia="1 1 1"/>
{legs}</body></worldbody></mujoco>"""
LEVER = """<body pos="0 {start} 0"><joint name="{name}" axis="1 0 0" range="-1 1" actuatorfrcrange="-{limit} {limit}"/>
<inertial pos="0 {y} 0" mass="1e-6" diaginertia="1e-9 1e-9 1e-9"/>
<geom size="0.01" pos="0 {y} -0.2" mass="0"/></body>"""


def levers(mass=8.0, limit=20.0):
    """A trunk on two legs, whose feet are 0.3 m outside of their hinges."""
    legs = [LEVER.format(name=f"leg{i}", start=0.1 * side, y=0.3 * side, limit=limit)
            for i, side in enumerate((1, -1))]  # fmt: skip
    model = mujoco.MjModel.from_xml_string(LEVERS.format(mass=mass, legs="".join(legs)))
    return model, anatomy(model)


def test_torques_to_stand_are_those_of_levers():
    """Half of the weight times 0.3 m, in either leg. Control: of twice the mass twice as much."""
    for mass in (8.0, 16.0):
        model, parts = levers(mass)
        stance = stand(model, parts)._replace(angles=np.zeros(2))
        np.testing.assert_allclose(np.abs(torques(model, parts, stance)), [0.5 * mass * 9.81 * 0.3] * 2, rtol=1e-3)
    assert torque_limits(model, parts).tolist() == [20.0, 20.0]


def problems(text_or_model):
    model = mujoco.MjModel.from_xml_string(text_or_model) if isinstance(text_or_model, str) else text_or_model
    parts = anatomy(model)
    return " ".join(f"{one.what}: {one.mend}." for one in check(model, parts, stand(model, parts)))


def test_there_is_nothing_to_say_of_a_sound_robot():
    assert problems(mjcf(BIPED)) == "" and problems(load_model(PUPPER)) == ""


SERVO = '<position joint="left_0" kp="6" kv="0.3" forcerange="-2 2"/>'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({'range="-1 1.2"': 'range="-60 70"'}, "may turn to 70 rad: state limits in rad"),
        ({'range="-1 1.2"': ""}, "12 joints have no limits"),
        ({'forcerange="-2 2"': ""}, "12 joints state no torque limit"),
        ({'forcerange="-2 2"': 'forcerange="-.3 .3"'}, "N m to stand"),
        ({SERVO: ""}, "left_0 has no motor"),
        ({'pos="0.1 0 -0.05"': 'pos="0.1 0 -0.5"'}, "mm lower than the feet"),
        ({'contype="0"': 'contype="1"', 'size="0.05" pos="0.1 0': 'size="0.2" pos="0.1 0'}, "overlap"),
        ({'kp="6"': 'kp="2"'}, "has a kp of 2 N m/rad, soft for a robot on two legs"),
        ({'mass="2.0"': 'mass="2000"', "-2 2": "-9e3 9e3"}, "weighs 2,004 kg: state masses in kg"),
    ],
)
def test_what_would_make_training_fail_is_said(changes, said):
    text = mjcf(BIPED)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    assert said in problems(text)


@pytest.mark.parametrize(("kp", "soft"), [(40, True), (100, False)])
def test_a_humanoid_with_gains_of_ten_hertz_on_its_rotors_is_told(kp, soft):
    """33.3 kg with hips 0.52 m above its feet: 0.4 of that is 68 N m/rad."""
    text = (ZOO / "humanoid" / "model.xml").read_text(encoding="utf-8")
    said = problems(text.replace('<position kp="100" kv="2"/>', f'<position kp="{kp}" kv="2"/>'))
    assert said.count("68 at least") == (2 if soft else 0)
    assert ("left_hip_pitch has a kp of 40 N m/rad" in said) == soft


def test_soft_servos_are_no_problem_on_more_legs():
    assert "soft" not in problems(mjcf(HEXAPOD).replace('kp="6"', 'kp="0.5"'))


def scaled(chain, factor):
    grown = [tuple(factor * x for x in step) for step in (chain.start, *chain.steps)]
    return Chain(chain.name, chain.axes, grown[0], tuple(grown[1:]))


def test_units_limits_and_mirror_images():
    large = mjcf([scaled(chain, 1000) for chain in BIPED])
    assert "m above its feet: state lengths in m, not mm" in problems(large)
    limping = mjcf([BIPED[0], Chain("right", "zxyyyx", (0.0, -0.1, -0.02), BIPED[1].steps)])
    assert "not mirror images" in problems(limping)


def test_the_command_prints_what_it_read(tmp_path, capsys):
    path = tmp_path / "robot.xml"
    path.write_text(mjcf(BIPED))
    assert cli.run(["robot", "check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "robot.xml: biped" in out and "No problems found." in out and "left_3" in out
    assert cli.run(["robot", "check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "biped" and found["mass"] == pytest.approx(2.0 + 12 * 0.3) and found["problems"] == []
    assert found["feet"] == [["left_5"], ["right_5"]] and len(found["pose"]) == 12
    path.write_text(mjcf(BIPED).replace('forcerange="-2 2"', ""))
    assert cli.run(["robot", "check", str(path)]) == 1 and "1 to look at." in capsys.readouterr().out
    assert cli.run(["robot", "check", str(tmp_path / "none.urdf")]) == 2 and "no such file" in capsys.readouterr().err
