"""Servos of robots whose files state none."""

import mujoco
import numpy as np
import pytest

from made_trees import BIPED, QUADRUPED_WITH_ARM, mjcf
from walkies.robots.reading.anatomy import anatomy, posed
from walkies.robots.reading.check import torques, torques_alone
from walkies.robots.reading.servos import CATCHES, SAG_ALONE, SLOWEST, servos
from walkies.robots.reading.stand import stand
from walkies.robots.units import GRAVITY


def seen(text):
    model = mujoco.MjModel.from_xml_string(text)
    parts = anatomy(model)
    return model, parts, stand(model, parts)


def motor_of(most):
    return lambda joint: f'<motor joint="{joint}" ctrlrange="{-most} {most}"/>'


def held_by(model, parts, stance, leg):
    """N m of each joint where one foot takes the whole wrench, by MuJoCo's recursion under a gravity that leans."""
    data = posed(model, parts.joints, stance.angles)
    foot = np.mean([data.geom_xpos[geom] for geom in leg.feet], axis=0)
    upward = data.subtree_com[parts.base] - foot
    model.opt.gravity[:] = -np.linalg.norm(model.opt.gravity) * upward / np.linalg.norm(upward)
    mujoco.mj_forward(model, data)
    gravity, along, about = np.zeros(model.nv), np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_rne(model, data, 0, gravity)
    mujoco.mj_jac(model, data, along, about, foot, int(model.geom_bodyid[leg.feet[0]]))
    jacobian = np.vstack([along, about])
    base = model.jnt_dofadr[model.body_jntadr[parts.base]] + np.arange(6)
    wrench = np.linalg.solve(jacobian[:, base].T, gravity[base])
    return (gravity - wrench @ jacobian)[model.jnt_dofadr[list(leg.joints)]]


@pytest.mark.parametrize("tree", [BIPED, QUADRUPED_WITH_ARM])
def test_what_a_leg_carries_alone_is_what_balances_gravity(tree):
    """Control: with both feet on the ground the same joints need something else."""
    model, parts, stance = seen(mjcf(tree))
    alone, together = torques_alone(model, parts, stance), torques(model, parts, stance)
    for leg in parts.legs:
        places = [parts.joints.index(joint) for joint in leg.joints]
        expected = np.abs(held_by(mujoco.MjModel.from_xml_string(mjcf(tree)), parts, stance, leg))
        np.testing.assert_allclose(alone[places], expected, atol=1e-9 * alone.max())
        assert not np.allclose(np.abs(together[places]), expected, rtol=0.1)
    others = set(range(len(parts.joints))) - {parts.joints.index(joint) for leg in parts.legs for joint in leg.joints}
    assert not alone[sorted(others)].any()


def test_a_biped_is_stiff_enough_for_one_leg():
    """Control: a robot of four legs, which never stands on one, is told no more than its rotors and its stand ask."""
    for tree, held in ((BIPED, True), (QUADRUPED_WITH_ARM, False)):
        model, parts, stance = seen(mjcf(tree))
        most = 3.0 * torques_alone(model, parts, stance).max()
        model, parts, stance = seen(mjcf(tree, actuator=motor_of(most)))
        model.dof_armature[6:] = 1e-4  # a rotor that asks for less than any leg needs
        sag = torques_alone(model, parts, stance) / servos(model, parts, stance).kp
        assert (sag.max() <= SAG_ALONE + 1e-9) == held


def test_servos_of_a_biped_are_quick_enough_to_catch_it():
    """Control: those of a robot of four legs, with rotors as light, close a gap as slowly as any servo may."""
    for tree, quick in ((BIPED, True), (QUADRUPED_WITH_ARM, False)):
        model, parts, stance = seen(mjcf(tree))
        most = 3.0 * torques_alone(model, parts, stance).max()
        model, parts, stance = seen(mjcf(tree, actuator=motor_of(most)))
        model.dof_armature[6:] = 0.1  # a rotor that would damp more than either allows
        found = servos(model, parts, stance)
        rate = found.kp / (found.kd + found.damping)
        needed = CATCHES * np.sqrt(GRAVITY / stance.hips)
        assert needed > 2 * SLOWEST
        np.testing.assert_allclose(rate, needed if quick else SLOWEST, rtol=1e-6)
