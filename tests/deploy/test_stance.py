"""Plausible numbers for a robot: standing poses are, mixed-up ones are not, and the reasons hold in its model."""

import mujoco
import numpy as np
import pytest

from walkies.deploy.checks.robot_rules import joints
from walkies.deploy.checks.stance import stance
from walkies.deploy.policy_file import PolicyFile
from walkies.robots import get_robot, load_model
from walkies.robots.base import Range

PUPPER = get_robot("pupper")
DEFAULT = np.array(PUPPER.default_pose)


def legs(hip, abduction, knee):
    right = np.array([hip, abduction, knee])
    return np.concatenate([right, -right, right, -right])


STANDING = {
    "default": DEFAULT,
    "home": np.zeros(12),
    "crouch": legs(0.9, 0.0, -1.6),
    "tall": legs(0.1, 0.0, -0.2),
    "wide": legs(0.26, 0.3, -0.52),
    "narrow": legs(0.26, -0.3, -0.52),
}
MIXED_UP = {
    "left and right swapped": DEFAULT[list(PUPPER.mirror_joints)],
    "signs reversed": -DEFAULT,
    "order reversed": DEFAULT[::-1],
    "joint by joint": DEFAULT.reshape(4, 3).T.ravel(),
    "joints of a leg reversed": DEFAULT.reshape(4, 3)[:, ::-1].ravel(),
    "hip and abduction swapped": legs(0.0, 0.26, -0.52),
}


def findings(pose):
    limits = (-3.5,) * 12, (3.5,) * 12
    policy = PolicyFile((), 1, 5.0, 0.25, (0.75,) * 12, tuple(pose), *limits)
    return [finding for finding in joints(policy, PUPPER) if finding.code == "implausible-pose"]


@pytest.mark.parametrize("name", STANDING)
def test_standing_poses_are_plausible(name):
    assert findings(STANDING[name]) == []


@pytest.mark.parametrize("name", MIXED_UP)
def test_mixed_up_poses_are_found(name):
    found = findings(MIXED_UP[name])
    assert found and all("feet are" in finding.message and finding.reference for finding in found)


def test_feet_are_where_the_model_has_them():
    """By default all four alike; a leg turned outwards moves its foot outwards on either side."""
    feet = stance(PUPPER, DEFAULT)
    np.testing.assert_allclose(feet.below, 0.141, atol=5e-4)
    np.testing.assert_allclose(feet.ahead, -0.009, atol=5e-4)
    np.testing.assert_allclose(feet.outward, 0.018, atol=5e-4)
    assert np.all(stance(PUPPER, STANDING["wide"]).outward > feet.outward + 0.03)


def test_reasons_of_the_plausible_ranges_hold_in_the_model():
    """Torque of standing, reach of a leg, travel of the joints: the numbers that the robot's record gives."""
    model = load_model(PUPPER, visuals=False)
    data = mujoco.MjData(model)
    data.qpos[7:] = DEFAULT
    mujoco.mj_forward(model, data)
    weight = model.body_subtreemass[model.body(PUPPER.base_body).id] * 9.81
    torque, jacobian = data.qfrc_bias.copy(), np.zeros((3, model.nv))
    for site in PUPPER.foot_sites:
        mujoco.mj_jacSite(model, data, jacobian, None, model.site(site).id)
        torque -= jacobian[2] * weight / 4
    assert np.abs(torque[6:]).max() == pytest.approx(0.33, abs=0.005)
    assert "0.33 N m" in PUPPER.plausible.kp.reason

    reach = max(
        stance(PUPPER, legs(a, 0, b)).below[0] for a in np.linspace(-1.2, 2.5, 38) for b in np.linspace(-2.7, 0.7, 35)
    )
    assert reach == pytest.approx(0.172, abs=5e-4) and reach < PUPPER.plausible.foot_below.high
    np.testing.assert_allclose(stance(PUPPER, np.zeros(12)).below, 0.112, atol=5e-4)

    travel = np.array(PUPPER.upper_limits) - PUPPER.lower_limits
    assert travel.max() < 2 * PUPPER.plausible.action_scale.high
    assert PUPPER.plausible.limit_width.low == PUPPER.limit_inset


def test_ranges_say_what_they_are():
    assert str(Range(1.0, float("inf"), "N m/rad", "")) == "at least 1 N m/rad"
    assert str(Range(-0.03, 0.03, "m", "")) == "-0.03 … 0.03 m"
