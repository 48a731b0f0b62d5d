"""One vocabulary of conditions: what training, judge, viewer and identification call by one name is one quantity."""

from dataclasses import fields

import mujoco
import mujoco.batch
import numpy as np
import pytest

from walkies.deploy.identification.fit import QUANTITIES, UNITS, Physics
from walkies.judge import ranges
from walkies.judge.rehearsal.conditions import AXES, BOXES, GRID
from walkies.robots import get_robot, load_model
from walkies.show.viewer.settings import SLIDERS, Settings
from walkies.sim import conditions
from walkies.sim.conditions import VOCABULARY, Condition
from walkies.tasks.randomization import WALKIES, quantities

PUPPER = get_robot("pupper")


def test_every_quantity_has_a_unit_and_a_meaning():
    assert list(VOCABULARY) == [entry.name for entry in fields(Condition)]
    assert all(quantity.unit and quantity.meaning for quantity in VOCABULARY.values())
    assert all(quantity.nominal == getattr(Condition(), name) for name, quantity in VOCABULARY.items())
    assert all(quantity.unit == "×" and quantity.nominal == 1.0 for quantity in VOCABULARY.values() if quantity.of)


def test_whoever_puts_a_robot_under_conditions_takes_them_from_there():
    assert set(ranges.RANGES) <= set(VOCABULARY)
    named = {name for axis in (*AXES, *GRID) for name in axis.fields} | {
        n for box in BOXES.values() for n in box.ranges
    }
    assert named <= set(VOCABULARY)
    assert set(QUANTITIES.values()) <= set(VOCABULARY) and set(QUANTITIES) == set(Physics._fields)
    assert UNITS == {"latency": "s", "kp": "N m/rad", "kd": "N m s/rad", "frictionloss": "N m", "ground_friction": "1"}


def test_what_training_randomizes_by_the_same_name_is_measured_in_the_same_unit():
    shared = [quantity for quantity in quantities(WALKIES) if quantity.name in VOCABULARY]
    assert len(shared) >= 13
    for quantity in shared:
        assert quantity.unit == VOCABULARY[quantity.name].unit, quantity.name


@pytest.mark.parametrize("slider", SLIDERS, ids=lambda slider: slider.name)
def test_every_slider_changes_a_condition(slider):
    high, nominal = Settings().changed({slider.name: slider.high}).condition, Settings().condition
    assert high != nominal and nominal == Condition()
    assert Settings().changed({slider.name: getattr(Settings(), slider.name)}).condition == nominal, "the control"


def test_a_model_and_a_batch_are_told_alike():
    kp, kd, low, high = (np.full((1, PUPPER.num_joints), value) for value in (4.0, 0.3, -2.0, 1.5))
    model = load_model(PUPPER, visuals=False)
    batch = mujoco.batch.Batch(load_model(PUPPER, visuals=False), 2, 1)
    for physics, n in ((model, 1), (batch, 2)):
        conditions.set_friction(physics, np.full(n, 0.3))
        conditions.set_contact_time(physics, np.full(n, 0.05))
        conditions.set_servos(physics, kp.repeat(n, axis=0), kd.repeat(n, axis=0))
        conditions.set_torque_limits(physics, low.repeat(n, axis=0), high.repeat(n, axis=0))
        conditions.set_frictionloss(physics, np.arange(6, 18), np.full((n, 1), 0.2))
    told = batch.get_model(1)
    untold = load_model(PUPPER, visuals=False)
    for name in (
        "geom_friction", "geom_solref", "actuator_gainprm", "actuator_biasprm", "actuator_forcerange",
        "dof_frictionloss",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(model, name), getattr(told, name))
        assert not np.array_equal(getattr(untold, name), getattr(told, name)), "the control"


def test_ice_is_slippery_and_dry_joints_are_stiff():
    """What is written is what MuJoCo heeds."""
    model = load_model(PUPPER, visuals=False)
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, PUPPER.standing_height, 1, 0, 0, 0]
    data.qpos[7:] = data.ctrl[:] = PUPPER.default_pose
    conditions.set_friction(model, np.array([0.07]))
    mujoco.mj_step(model, data, 100)
    assert set(data.contact.friction[: data.ncon, 0]) == {0.07}
