"""What the options of `load_model` change, and what they must not."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from walkies.robots import PUPPER, get_robot, load_model


def own_contacts(model: mujoco.MjModel, pose: np.ndarray) -> int:
    """Contacts between parts of a robot that hangs in the air."""
    data = mujoco.MjData(model)
    data.qpos[2], data.qpos[7:] = 1, pose
    mujoco.mj_forward(model, data)
    return data.ncon


def test_own_parts_touch_only_where_asked() -> None:
    legs_crossed = np.array(PUPPER.default_pose)
    legs_crossed[0], legs_crossed[6] = -0.5, 0.9
    poses = [*np.random.default_rng(0).uniform(PUPPER.lower_limits, PUPPER.upper_limits, (500, 12)), legs_crossed]
    touching, apart = load_model(PUPPER, visuals=False), load_model(PUPPER, visuals=False, own_contacts=False)
    counts = [own_contacts(touching, pose) for pose in poses]
    assert sum(count > 0 for count in counts) > 20
    assert all(own_contacts(apart, pose) == 0 for pose in poses)
    # Both stand on the ground alike.
    for model in (touching, apart):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        mujoco.mj_step(model, data, 100)
        assert data.ncon == 4


def test_no_own_contacts_near_the_default_pose() -> None:
    model = load_model(PUPPER, visuals=False)
    for offset in np.random.default_rng(1).uniform(-0.3, 0.3, (300, 12)):
        assert own_contacts(model, PUPPER.default_pose + offset) == 0


@pytest.mark.parametrize("options", [{"visuals": False}, {"ground_sensors": True}])
def test_looks_and_sensors_change_no_motion(options: dict) -> None:
    ends = []
    for model in (load_model(PUPPER), load_model(PUPPER, **options)):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        data.qvel[:] = np.random.default_rng(2).normal(0, 1, model.nv)
        mujoco.mj_step(model, data, 200)
        ends.append(data.qpos.copy())
    np.testing.assert_array_equal(*ends)
    assert np.abs(ends[0][:3]).max() > 0.02


def test_without_visuals_copies_are_cheap() -> None:
    bare = load_model(PUPPER, visuals=False)
    assert mujoco.mj_sizeModel(bare) < 50_000 < mujoco.mj_sizeModel(load_model(PUPPER))
    assert (bare.ntex, bare.nmat, bare.nlight) == (0, 0, 0) and bare.ngeom == 17


def test_ground_sensors_read_the_force_of_the_ground() -> None:
    model = load_model(PUPPER, ground_sensors=True)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_step(model, data, 500)
    names = (*PUPPER.foot_geoms, *PUPPER.knee_geoms, *PUPPER.torso_geoms)
    forces = np.array([data.sensor(f"ground_force_{name}").data for name in names])
    np.testing.assert_allclose(forces.sum(axis=0), [0, 0, 3.17 * 9.81], atol=0.05)
    assert (forces[:4, 2] > 5).all() and (forces[4:] == 0).all()


def test_solver_iterations() -> None:
    assert load_model(PUPPER).opt.iterations == 2
    model = load_model(PUPPER, solver_iterations=10)
    assert model.opt.iterations == 10 and model.opt.ls_iterations >= 10
    with pytest.raises(ValueError, match="at least 1"):
        load_model(PUPPER, solver_iterations=0)


def test_robots_by_name() -> None:
    assert get_robot("pupper") is PUPPER
    with pytest.raises(ValueError, match=r"'puper'.*pupper"):
        get_robot("puper")
