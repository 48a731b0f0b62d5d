"""Parameters read out of a model, and principal axes."""

from __future__ import annotations

from dataclasses import replace

import jax
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walkies.robots import PUPPER, load_model
from walkies.sim import nominal_params
from walkies.sim.params import mixed_contact, read_params
from walkies.sim.principal import principal_inertia

TWO_GEOMS = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1" friction="{0}" solmix="{1}" priority="{2}" solref="{3}"/>
    <body pos="0 0 0.09">
      <freejoint/>
      <geom name="ball" size="0.1" friction="0.8" solmix="2" solref="0.03 0.9" solimp="0.1 0.8 0.01 0.4 3"/>
    </body>
  </worldbody>
</mujoco>"""


FLOORS = [
    (1, 1, 0, "0.02 1"),
    (0.5, 0.3, 0, "0.02 1"),
    (0.5, 1, 1, "0.02 1"),
    (1, 1, 0, "-100 -10"),
    (1, 0, -1, "0.02 1"),
]


@pytest.mark.parametrize("floor", FLOORS)
def test_contact_parameters_are_mixed_as_mujoco_mixes_them(floor: tuple) -> None:
    model = mujoco.MjModel.from_xml_string(TWO_GEOMS.format(*floor))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    solref, solimp, friction = mixed_contact(model, 0, 1)
    np.testing.assert_allclose(data.contact[0].solref, solref, rtol=1e-14)
    np.testing.assert_allclose(data.contact[0].solimp, solimp, rtol=1e-14)
    assert data.contact[0].friction[0] == friction


def test_nominal_parameters_of_pupper() -> None:
    model = load_model(PUPPER, visuals=False)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: np.asarray(leaf)[0], nominal_params(model, PUPPER))
    # Half the spheres', half the floor's; the larger friction.
    np.testing.assert_allclose(params.contact_solimp[:3], [0.4575, 0.975, 0.016])
    np.testing.assert_allclose(params.contact_solref, [0.02, 1])
    assert params.friction == 1
    assert np.isclose(params.body_mass.sum(), 3.17) and params.body_mass.shape == (13,)
    assert (params.kp == 5).all() and (params.kd == 0.25).all() and (params.torque_limit == 3).all()
    assert np.isinf(params.torque_speed).all()
    moments, quaternion = principal_inertia(params.body_inertia)
    np.testing.assert_allclose(moments, np.sort(model.body_inertia[1:], axis=1), rtol=1e-9)
    assert quaternion.shape == (13, 4)


def test_models_without_one_set_of_parameters_are_refused() -> None:
    model = load_model(PUPPER)
    model.geom("leg_back_r_knee").friction[0] = 2
    with pytest.raises(ValueError, match="leg_back_r_knee"):
        read_params(model)
    model = load_model(PUPPER)
    model.actuator_biasprm[4, 1] = 0
    with pytest.raises(ValueError, match=r"leg_front_l_2.*position servo"):
        read_params(model)
    with pytest.raises(ValueError, match="colliding plane"):
        read_params(mujoco.MjModel.from_xml_string("<mujoco/>"))


def test_the_joint_order_is_that_of_the_record() -> None:
    model = load_model(PUPPER)
    model.actuator_trnid[[0, 1], 0] = model.actuator_trnid[[1, 0], 0]
    read_params(model)
    with pytest.raises(ValueError, match="pupper's joints"):
        nominal_params(model, PUPPER)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("kp", 5.5, r"kp of 'leg_front_r_1' is 5 in the MJCF and 5\.5 in the record of pupper"),
        ("kd", 0.2, r"kv of 'leg_front_r_1' is 0\.25 in the MJCF and 0\.2 "),
        ("torque_limit", 2.0, "forcerange of .* is 3 .* and 2 "),
        ("lower_limits", (-1.22, -0.41, *PUPPER.lower_limits[2:]), "lower limit of 'leg_front_r_2'"),
        ("upper_limits", (2.6, *PUPPER.upper_limits[1:]), "upper limit of 'leg_front_r_1'"),
    ],
)
def test_the_mjcf_states_what_the_record_states(field: str, value: object, said: str) -> None:
    model = load_model(PUPPER)
    nominal_params(model, PUPPER)
    with pytest.raises(ValueError, match=said):
        nominal_params(model, replace(PUPPER, **{field: value}))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=9, max_size=9),
    st.sampled_from([(1, 2, 3), (1, 1, 2), (2, 2, 2), (1, 3, 3)]),
)
def test_principal_axes_are_a_rotation_that_gives_the_inertia_back(entries: list[float], moments: tuple) -> None:
    axes = np.linalg.qr(np.reshape(entries, (3, 3)) + 3 * np.eye(3))[0]
    full = axes @ np.diag(np.array(moments) * 1e-4) @ axes.T
    found, quaternion = principal_inertia(full[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    rotation = matrix.reshape(3, 3)
    assert np.isclose(np.linalg.norm(quaternion), 1)
    np.testing.assert_allclose(rotation @ np.diag(found) @ rotation.T, full, atol=1e-17)
    np.testing.assert_allclose(found, np.sort(moments) * 1e-4, rtol=1e-12)
