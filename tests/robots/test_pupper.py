"""The Pupper model against the published numbers, written down here a second time and put together without MuJoCo."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
import pytest

from walkies.robots import PUPPER, load_model

S = np.sqrt(0.5)
RIGHT, LEFT = -1.0, 1.0
LEGS = (("front_r", 0.075, 0.0835, RIGHT), ("front_l", 0.075, 0.0835, LEFT))
LEGS += (("back_r", -0.075, 0.0725, RIGHT), ("back_l", -0.075, 0.0725, LEFT))
RANGES = ((-1.22, 2.51), (-0.42, 3.14), (-2.79, 0.71))
DEFAULT = np.array([0.26, 0, -0.52, -0.26, 0, 0.52] * 2)


def rotation(quaternion: tuple[float, ...]) -> np.ndarray:
    """Rotation matrix of a quaternion w x y z, which need not have unit length."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def turn_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def links(x: float, y: float, side: float) -> list[dict]:
    """The three links of a leg: place in the parent, mass, centre of mass, inertia."""
    right = side == RIGHT
    return [
        {
            "pos": (x, side * y, 0),
            "quat": (S, S, 0, 0) if right else (S, -S, 0, 0),
            "mass": 0.18,
            "com": (0, 0, 0),
            "iquat": (1, 0, 0, 0),
            "inertia": (7.4e-5, 5.8e-5, 4.8e-5),
        },
        {
            "pos": (0, 0, 0),
            "quat": (S, 0, -S, 0) if right else (0, S, 0, -S),
            "mass": 0.186,
            "com": (0, -0.0334, 0.05419),
            "iquat": (0.903877, 0.427791, 0, 0),
            "inertia": (1.13e-4, 9.74951e-5, 4.65049e-5),
        },
        {
            "pos": (0, -0.0494, 0.0685),
            "quat": (S, 0, S, 0) if right else (0, -S, 0, S),
            "mass": 0.05,
            "com": (0.03866, side * 0.03585, 0.01833),
            "iquat": (0.270598, 0.653281, -0.270598, 0.653281) if right else (0.653281, 0.270598, -0.653281, 0.270598),
            "inertia": (7.7e-5, 7.55e-5, 5.5e-6),
        },
    ]


def bodies(angles: np.ndarray) -> list[dict]:
    """All 13 bodies with the base frame as the world's: frames, joint axes, which joints move them."""
    base = {"mass": 1.506, "com": (0.025, 0, 0.015), "iquat": (0, 0.677807, 0, 0.73524)}
    base |= {"inertia": (0.00854071, 0.0085, 0.00235929), "p": np.zeros(3), "R": np.eye(3), "joints": []}
    found, joint = [base], 0
    for _, x, y, side in LEGS:
        p, R, joints = np.zeros(3), np.eye(3), []
        for link in links(x, y, side):
            p = p + R @ np.array(link["pos"])
            R = R @ rotation(link["quat"]) @ turn_z(angles[joint])
            joints = [*joints, (6 + joint, p, R[:, 2])]
            found.append(link | {"p": p, "R": R, "joints": joints})
            joint += 1
    return found


def inertia_matrix(angles: np.ndarray) -> np.ndarray:
    """Joint-space inertia Σ m JᵥᵀJᵥ + JᵤᵀI Jᵤ plus armature, with the base at the origin. (18, 18)"""
    M = np.diag([0.0] * 6 + [0.0016] * 12)
    for body in bodies(angles):
        com = body["p"] + body["R"] @ np.array(body["com"])
        axes = body["R"] @ rotation(body["iquat"])
        linear, angular = np.zeros((3, 18)), np.zeros((3, 18))
        linear[:, :3] = angular[:, 3:6] = np.eye(3)
        linear[:, 3:6] = np.cross(np.eye(3), com).T
        for dof, anchor, axis in body["joints"]:
            linear[:, dof], angular[:, dof] = np.cross(axis, com - anchor), axis
        M += body["mass"] * linear.T @ linear + angular.T @ axes @ np.diag(body["inertia"]) @ axes.T @ angular
    return M


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_model(PUPPER)


def at(model: mujoco.MjModel, angles: np.ndarray) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:3], data.qpos[7:] = 0, angles
    mujoco.mj_forward(model, data)
    return data


POSES = [np.zeros(12), DEFAULT, *np.random.default_rng(0).uniform(-0.7, 0.7, (4, 12))]


@pytest.mark.parametrize("angles", POSES)
def test_links_colliders_and_sites_lie_where_published(model: mujoco.MjModel, angles: np.ndarray) -> None:
    data = at(model, angles)
    found = bodies(angles)
    np.testing.assert_allclose(data.xpos[1:], [body["p"] for body in found], atol=1e-12)
    np.testing.assert_allclose(data.xmat[1:].reshape(-1, 3, 3), [body["R"] for body in found], atol=1e-12)
    for leg, (name, _, _, side) in enumerate(LEGS):
        thigh, shank = found[3 * leg + 2], found[3 * leg + 3]
        knee = thigh["p"] + thigh["R"] @ [0, -0.0494, 0.0685]
        foot = shank["p"] + shank["R"] @ [0.06231, side * 0.06216, 0.018]
        np.testing.assert_allclose(data.geom(f"leg_{name}_knee").xpos, knee, atol=1e-12)
        np.testing.assert_allclose(data.geom(f"leg_{name}_foot").xpos, foot, atol=1e-12)
        np.testing.assert_allclose(data.site(f"leg_{name}_3_foot_site").xpos, foot, atol=1e-12)
    np.testing.assert_allclose(data.site(PUPPER.imu_site).xpos, [0.09, 0, 0.032], atol=1e-12)


@pytest.mark.parametrize("angles", POSES)
def test_inertia_matrix(model: mujoco.MjModel, angles: np.ndarray) -> None:
    data, M = at(model, angles), np.zeros((18, 18))
    mujoco.mj_fullM(model, data, M)
    np.testing.assert_allclose(M, inertia_matrix(angles), atol=2e-8)
    # The test can fail: another pose, or a shank a gram heavier, is far outside that bound.
    assert np.abs(M - inertia_matrix(angles + 0.01)).max() > 1e-5
    heavier = load_model(PUPPER)
    heavier.body("leg_back_l_3").mass[:] += 1e-3
    mujoco.mj_fullM(heavier, at(heavier, angles), M)
    assert np.abs(M - inertia_matrix(angles)).max() > 1e-4


def test_masses_joints_and_motors(model: mujoco.MjModel) -> None:
    assert np.isclose(model.body_mass.sum(), 1.506 + 4 * (0.18 + 0.186 + 0.05)) and np.isclose(
        model.body_mass.sum(), 3.17
    )
    assert (model.nq, model.nv, model.nu) == (19, 18, 12)
    expected = []
    for *_, side in LEGS:
        expected += [(low, high) if side == RIGHT else (-high, -low) for low, high in RANGES]
    np.testing.assert_array_equal(model.jnt_range[1:], expected)
    np.testing.assert_array_equal(np.transpose([PUPPER.lower_limits, PUPPER.upper_limits]), expected)
    np.testing.assert_array_equal(PUPPER.default_pose, DEFAULT)
    assert tuple(model.joint(j).name for j in range(1, 13)) == PUPPER.joint_names
    assert tuple(model.actuator(a).name for a in range(12)) == PUPPER.joint_names
    np.testing.assert_array_equal(model.actuator_trnid[:, 0], np.arange(1, 13))
    assert (model.actuator_gainprm[:, 0] == PUPPER.kp).all() and PUPPER.kp == 5
    assert (model.actuator_biasprm[:, 1] == -5).all() and (model.actuator_biasprm[:, 2] == -PUPPER.kd).all()
    np.testing.assert_array_equal(model.actuator_forcerange, [[-PUPPER.torque_limit, PUPPER.torque_limit]] * 12)
    for values, number in ((model.dof_armature, 0.0016), (model.dof_damping, 0.01), (model.dof_frictionloss, 0.125)):
        assert (values[6:] == number).all() and (values[:6] == 0).all()


def test_options_and_contact_parameters(model: mujoco.MjModel) -> None:
    option = model.opt
    assert (option.timestep, option.impratio, option.iterations, option.ls_iterations) == (0.004, 10, 2, 5)
    assert option.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL and option.solver == mujoco.mjtSolver.mjSOL_NEWTON
    assert option.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert option.disableflags == mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    for names, radius in ((PUPPER.foot_geoms, 0.01995), (PUPPER.knee_geoms, 0.025), (PUPPER.torso_geoms, 0.02)):
        for name in names:
            geom = model.geom(name)
            assert geom.type == mujoco.mjtGeom.mjGEOM_SPHERE and geom.size[0] == radius and geom.group == 3
            np.testing.assert_array_equal(geom.friction, [0.8, 0.02, 0.01])
            np.testing.assert_array_equal(geom.solimp[:3], [0.015, 1, 0.031])
    np.testing.assert_array_equal(model.geom("floor").solimp[:3], [0.9, 0.95, 0.001])
    assert model.geom("floor").friction[0] == 1
    colliders = {*PUPPER.foot_geoms, *PUPPER.knee_geoms, *PUPPER.torso_geoms, "floor"}
    touching = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    assert {model.geom(g).name for g in np.flatnonzero(touching)} == colliders


def test_torso_spheres_are_inscribed_in_the_corners_of_its_box(model: mujoco.MjModel) -> None:
    # Half sizes along x, y, z of the base: the box's own axes are turned by quarters.
    half = np.abs(rotation((0.5, -0.5, -0.5, 0.5)) @ [0.04507, 0.06379, 0.129715])
    centre = np.array([0.02146, 0, 0.03345])
    corners = {tuple(np.round(centre + signs * (half - 0.02), 9)) for signs in itertools.product((-1, 1), repeat=3)}
    assert {tuple(np.round(model.geom(name).pos, 9)) for name in PUPPER.torso_geoms} == corners
    assert all(model.geom(name).bodyid == model.body(PUPPER.base_body).id for name in PUPPER.torso_geoms)


def test_feet_of_the_default_pose_touch_the_ground(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    np.testing.assert_array_equal(data.qpos[7:], DEFAULT)
    np.testing.assert_array_equal(data.ctrl, DEFAULT)
    mujoco.mj_forward(model, data)
    clearance = [data.geom(name).xpos[2] - 0.01995 for name in PUPPER.foot_geoms]
    np.testing.assert_allclose(clearance, 0, atol=1e-3)
    low, high = PUPPER.reset_height
    assert data.qpos[2] < low < high, "at the reset heights the feet are clear of the ground"


def test_it_stands(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    for _ in range(500):
        mujoco.mj_step(model, data)
    assert abs(data.qpos[2] - PUPPER.standing_height) < 0.003
    assert np.abs(data.qvel).max() < 0.01
    touching = {model.geom(g).name for contact in data.contact for g in contact.geom} - {"floor"}
    assert touching == set(PUPPER.foot_geoms)


def mirror(qpos: np.ndarray, qvel: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reflect a state and its targets in the plane y = 0."""

    def joints(values: np.ndarray) -> np.ndarray:
        return np.array(PUPPER.mirror_signs) * values[list(PUPPER.mirror_joints)]

    base = qpos[:7] * [1, -1, 1, 1, -1, 1, -1]
    speed = qvel[:6] * [1, -1, 1, -1, 1, -1]
    return np.r_[base, joints(qpos[7:])], np.r_[speed, joints(qvel[6:])], joints(target)


def test_mirror_map_is_a_symmetry_of_the_dynamics() -> None:
    model = load_model(PUPPER, solver_iterations=100)
    model.opt.tolerance = 0
    rng = np.random.default_rng(1)
    for _ in range(5):
        qpos = np.r_[0, 0, 0.15, 1, rng.normal(0, 0.1, 3), DEFAULT + rng.normal(0, 0.2, 12)]
        qpos[3:7] /= np.linalg.norm(qpos[3:7])
        qvel, target = rng.normal(0, 0.5, 18), DEFAULT + rng.normal(0, 0.3, 12)
        ends = []
        for start in ((qpos, qvel, target), mirror(qpos, qvel, target)):
            data = mujoco.MjData(model)
            data.qpos, data.qvel, data.ctrl = start
            mujoco.mj_step(model, data, 50)
            ends.append((data.qpos.copy(), data.qvel.copy(), data.ctrl.copy()))
        assert np.abs(ends[0][0] - qpos).max() > 0.05
        for mine, mirrored in zip(mirror(*ends[0]), ends[1], strict=True):
            np.testing.assert_allclose(mine, mirrored, atol=1e-6)
        # Without the change of sign it is no symmetry.
        assert np.abs(mirror(*ends[0])[0][7:] + ends[1][0][7:]).max() > 0.05
    legs = [PUPPER.leg_names[i] for i in PUPPER.mirror_legs]
    assert legs == ["front_l", "front_r", "back_l", "back_r"]
