"""What the options of `load_model` change, and what they must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from walkies.robots import PUPPER, get_robot, load_model, names
from walkies.robots.base import Robot


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


INERTIAS = ("body_mass", "body_inertia", "body_ipos", "body_iquat", "body_subtreemass")

TOUCHES_NOTHING = 'group="2" contype="0" conaffinity="0"'
MADE_UP = f"""
<mujoco>
  <compiler angle="radian" {{compiler}}/>
  <asset>
    <mesh name="wedge" vertex="0 0 0  .1 0 0  0 .1 0  0 0 .1"/>
    <texture name="stripes" builtin="checker" type="2d" width="64" height="64"/>
    <material name="paint" texture="stripes"/>
  </asset>
  <worldbody>
    <light pos="0 0 3"/>
    <geom name="floor" type="plane" size="1 1 1" material="paint"/>
    <body name="base" pos="0 0 0.5">
      <freejoint/>
      {{inertial}}
      <geom name="shell" {TOUCHES_NOTHING} type="box" size=".1 .05 .02" pos=".01 .02 0" euler=".1 .2 .3" density="900"/>
      <geom name="hat" {TOUCHES_NOTHING} type="mesh" mesh="wedge" density="1200" material="paint"/>
      <geom name="plain" contype="0" conaffinity="0" size=".03" pos="0 0 .1" mass="2"/>
      <geom name="bumper" group="2" size=".015" pos="0 0 -.1" mass=".05"/>
      <body name="leg" pos=".1 0 0">
        <joint name="hip" axis="0 1 0"/>
        <geom name="calf" {TOUCHES_NOTHING} type="capsule" size=".01" fromto="0 0 0  0 .02 -.1" mass=".7"/>
        <geom name="foot" group="3" size=".02" pos="0 0 -.1" mass="0"/>
      </body>
    </body>
  </worldbody>
  <actuator><position joint="hip"/></actuator>
  <sensor>{{sensor}}</sensor>
</mujoco>
"""
"""A robot nearly all of whose mass is in what pleases the eye; its bumper is drawn like a visual, and touches."""

STATED = '<inertial pos=".01 0 0" euler=".3 .1 0" mass="4" diaginertia=".03 .04 .05"/>'
MADE_UP_ROBOTS = {
    "inferred": {},
    "stated for one body": {"inertial": STATED},
    "stated and overruled": {"inertial": STATED, "compiler": 'inertiafromgeom="true"'},
    "inferred from some groups": {"compiler": 'inertiagrouprange="2 2"'},
    "at least so much": {"compiler": 'boundmass="3" boundinertia="0.01"'},
    "a sensor on what is seen": {"sensor": '<framepos objtype="geom" objname="hat"/>'},
}


def made_up(folder: Path, parts: dict[str, str]) -> Robot:
    path = folder / "made_up.xml"
    path.write_text(MADE_UP.format(**{"compiler": "", "inertial": "", "sensor": "", **parts}))
    return replace(PUPPER, name="made-up", mjcf=path)


@pytest.mark.parametrize("case", [*MADE_UP_ROBOTS, "pupper"])
def test_without_visuals_no_mass_is_lost(case: str, tmp_path: Path) -> None:
    robot = PUPPER if case == "pupper" else made_up(tmp_path, MADE_UP_ROBOTS[case])
    whole, bare = load_model(robot), load_model(robot, visuals=False)
    assert bare.ngeom < whole.ngeom and (bare.ntex, bare.nmat, bare.nlight) == (0, 0, 0)
    for field in INERTIAS:
        np.testing.assert_allclose(getattr(bare, field), getattr(whole, field), rtol=1e-12, atol=1e-15, err_msg=field)
    if case != "pupper":
        assert {"bumper", "foot"} <= {bare.geom(g).name for g in range(bare.ngeom)}, "what touches stays"
    ends = []
    for model in (whole, bare):
        data = mujoco.MjData(model)
        data.qvel[:] = np.random.default_rng(0).normal(0, 1, model.nv)
        mujoco.mj_step(model, data, 50)
        ends.append(data.qpos.copy())
    np.testing.assert_array_equal(*ends)


def test_deleting_the_visuals_would_lose_mass(tmp_path: Path) -> None:
    """Control: what goes into no inertia before it is deleted is gone, and so is a bumper that is drawn."""
    robot = made_up(tmp_path, {"compiler": 'boundmass="0.01" boundinertia="1e-5"'})
    spec = mujoco.MjSpec.from_file(str(robot.mjcf))
    for geom in [geom for geom in spec.geoms if geom.group == 2]:
        spec.delete(geom)
    assert spec.compile().body_mass.sum() < load_model(robot, visuals=False).body_mass.sum() - 1


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


@pytest.mark.parametrize("name", names())
def test_ground_sensors_need_no_names_of_geoms(name: str) -> None:
    """One for each sphere that touches, in every robot's model. Control: there are none unless they are asked for."""
    model, plain = (load_model(get_robot(name), ground_sensors=sensors, visuals=False) for sensors in (True, False))
    touching = model.geom_conaffinity.astype(bool) | model.geom_contype.astype(bool)
    spheres = np.flatnonzero(touching & (model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE))
    read = model.sensor_refid[model.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT]
    assert sorted(read) == sorted(spheres) and plain.nsensor == model.nsensor - len(spheres)


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
