"""What a robot is made of, read off its model by geometry alone."""

import mujoco
import numpy as np
import pytest

import made_trees
from made_trees import BIPED, HEXAPOD, HUMANOID, QUADRUPED_WITH_ARM, mjcf, nameless
from walkies.errors import UserError
from walkies.robots import PUPPER, load_model
from walkies.robots.reading.anatomy import anatomy, limits, lowest, posed
from walkies.robots.reading.stand import stand

ROBOTS = {"biped": BIPED, "hexapod": HEXAPOD, "quadruped": QUADRUPED_WITH_ARM, "humanoid": HUMANOID}


@pytest.mark.parametrize(
    ("name", "legs", "arms"),
    [("biped", [6] * 2, []), ("hexapod", [3] * 6, []), ("quadruped", [3] * 4, [6]), ("humanoid", [6] * 2, [10] * 2)],
)
def test_limbs_are_found_whatever_they_are_called(name, legs, arms):
    for seed in range(3):
        found = anatomy(nameless(ROBOTS[name], seed).compile())
        assert [len(limb.joints) for limb in found.legs] == legs and [len(limb.joints) for limb in found.arms] == arms
        assert found.kind == name and len(found.joints) == (29 if name == "humanoid" else sum(legs + arms))
        assert {len(limb.feet) for limb in found.legs} == {4 if name == "humanoid" else 1}
    if name == "humanoid":
        left, right = found.arms
        assert left.joints[:3] == right.joints[:3], "the waist carries both"


def test_a_waist_above_the_legs_belongs_to_none_of_them():
    """A robot whose base is its chest. Control: with the waist welded its legs are the same."""
    leg = (
        '<body name="{n}_thigh" pos="0 {y} -0.1"><joint name="{n}_hip" axis="0 1 0"/><geom size="0.03"/>'
        '<body name="{n}_shank" pos="0 0 -0.4"><joint name="{n}_knee" axis="0 1 0"/><geom size="0.03"/>'
        '<body name="{n}_foot" pos="0 0 -0.4"><joint name="{n}_ankle" axis="0 1 0"/>'
        '<geom type="box" size="0.1 0.04 0.02" pos="0.05 0 -0.04"/></body></body></body>'
    )
    text = (
        '<mujoco><worldbody><body name="chest" pos="0 0 1.5"><freejoint/><geom type="box" size="0.1 0.2 0.2"/>'
        '<body name="pelvis" pos="0 0 -0.4">{waist}<geom type="box" size="0.1 0.15 0.05"/>'
        + "".join(leg.format(n=n, y=y) for n, y in (("left", 0.1), ("right", -0.1)))
        + "</body></body></worldbody></mujoco>"
    )
    waist = '<joint name="bends" axis="0 1 0"/><joint name="turns" axis="0 0 1"/>'
    for given, idle in ((waist, ["bends", "turns"]), ("", [])):
        model = mujoco.MjModel.from_xml_string(text.format(waist=given))
        found = anatomy(model)
        legs = [[model.joint(joint).name for joint in limb.joints] for limb in found.legs]
        assert legs == [[f"{side}_{part}" for part in ("hip", "knee", "ankle")] for side in ("left", "right")]
        rest = set(found.joints).difference(*(limb.joints for limb in found.legs))
        assert sorted(model.joint(joint).name for joint in rest) == idle
        assert 0.7 < stand(model, found).hips < 0.86, "measured to where the legs begin, not to the waist"


def mirrored(found, angles, sign=None):
    sign = np.array(found.sign if sign is None else sign)
    return sign * angles[np.array(found.partner)]


@pytest.mark.parametrize("name", [*ROBOTS, "pupper"])
def test_a_mirrored_pose_is_the_mirror_image_of_the_robot(name):
    """In random poses, for the points of all feet. Control: one sign the other way."""
    model = load_model(PUPPER) if name == "pupper" else nameless(ROBOTS[name], 5).compile()
    found = anatomy(model)
    low, high = limits(model, found.joints)
    angles = np.random.default_rng(0).uniform(low, high)
    feet = [geom for limb in found.legs for geom in limb.feet]
    here = posed(model, found.joints, angles).geom_xpos[feet] * [1, -1, 1]

    def apart(sign=None):
        there = posed(model, found.joints, mirrored(found, angles, sign)).geom_xpos[feet]
        return np.linalg.norm(here[:, None] - there[None], axis=-1).min(axis=1).max()

    assert apart() < 1e-6
    wrong = list(found.sign)
    wrong[found.joints.index(found.legs[0].joints[-2])] *= -1
    assert apart(wrong) > 1e-3


def test_puppers_record_is_what_is_read():
    model = load_model(PUPPER)
    found = anatomy(model)
    assert [model.joint(j).name for j in found.joints] == list(PUPPER.joint_names)
    assert [model.geom(geom).name for limb in found.legs for geom in limb.feet] == list(PUPPER.foot_geoms)
    assert found.partner == PUPPER.mirror_joints and found.sign == PUPPER.mirror_signs
    assert model.body(found.base).name == PUPPER.base_body and found.kind == "quadruped" and not found.arms


def test_legs_that_lie_level_at_zero_are_legs():
    """Control: the arm of a quadruped, which lies level, is none."""
    flat = [
        made_trees.Chain(chain.name, "yxx", chain.start, ((0, 0, 0), *((0, 0.14 * np.sign(chain.start[1]), 0),) * 2))
        for chain in QUADRUPED_WITH_ARM[:4]
    ]
    found = anatomy(nameless(flat, 0).compile())
    assert found.kind == "quadruped" and [len(limb.feet) for limb in found.legs] == [1] * 4
    assert len(anatomy(nameless(QUADRUPED_WITH_ARM, 0).compile()).arms) == 1


def test_a_robot_that_limps_has_no_mirror_image():
    left, right = BIPED
    other = made_trees.Chain(right.name, right.axes, (0.0, -0.1, -0.02), right.steps)
    assert anatomy(nameless((left, other), 0).compile()).partner is None


def y_up(chain):
    """The same chain in a model of which y points upward and z to the right."""
    turned = [(x, z, -y) for x, y, z in (chain.start, *chain.steps)]
    return made_trees.Chain(chain.name, chain.axes.translate(str.maketrans("yz", "zy")), turned[0], tuple(turned[1:]))


WHEELS = [
    made_trees.Chain(f"wheel{x}{y}", "y", (x, y, -0.05), ((0, 0, 0),), tip='<geom type="cylinder" size="0.05 0.01" '
                     'euler="1.5708 0 0" class="collider" pos="{tip}"/>', bend="")
    for x in (0.1, -0.1) for y in (0.1, -0.1)
]  # fmt: skip
STRAY = '<body><freejoint/><geom size="1"/><body><joint/><geom size="1"/></body></body></worldbody>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (mjcf([y_up(chain) for chain in BIPED]), "left and right of the robot lie along its z axis; expected y"),
        (mjcf([made_trees.Chain("arm", "zyy", (0, 0, 0), ((0, 0, 0.1),) * 3)]), "3 hinges and 0 legs: no two limbs"),
        (mjcf(BIPED).replace('<joint name="left_0"', '<joint name="left_0" type="slide"'), "left_0 slides; expected"),
        (mjcf(BIPED).replace("</worldbody>", STRAY), "2 bodies with hinges float"),
        (mjcf(WHEELS), "rolls on wheels"),
    ],
    ids=["y up", "an arm", "a slide", "two robots", "a car"],
)
def test_what_is_no_legged_robot_is_said(text, said):
    with pytest.raises(UserError, match=said):
        anatomy(mujoco.MjModel.from_xml_string(text))


MESH = '<asset><mesh name="m" vertex="0 0 0 .3 0 0 0 .2 0 0 0 .4 .1 .1 .1"/></asset>'


@pytest.mark.parametrize("shape", ["sphere", "capsule", "box", "cylinder", "ellipsoid", "mesh"])
def test_the_lowest_point_of_a_shape(shape):
    """Rays from below hit none lower, and one that is nearly as low."""
    asset, geom = (MESH, 'mesh="m"') if shape == "mesh" else ("", 'size="0.1 0.2 0.3"')
    turn = "0.3 -0.8 0.5 0.2"
    body = f'<geom type="{shape}" {geom} pos="1 2 3" quat="{turn}"/>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco>{asset}<worldbody>{body}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    bottom, hits, found = lowest(model, data, 0), [], np.zeros(1, np.int32)
    for x, y in np.random.default_rng(0).uniform(-0.6, 0.6, (4000, 2)) + data.geom_xpos[0, :2]:
        start = np.array([x, y, bottom - 1.0])
        distance = mujoco.mj_ray(model, data, start, np.array([0.0, 0, 1]), None, 1, -1, found)
        hits += [bottom - 1.0 + distance] if found[0] >= 0 else []
    assert bottom - 1e-9 <= min(hits) < bottom + 0.03
