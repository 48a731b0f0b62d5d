"""The URDF that other engines get, read by MuJoCo's own URDF compiler: it is the same robot."""

from __future__ import annotations

import re

import mujoco
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.robots import PUPPER, get_robot, load_model, load_spec, names
from walkies.sim.conditions import symmetric
from walkies.sim.other import urdf

OFFSET = """
<mujoco><worldbody><geom name="floor" type="plane" size="1 1 1"/>
  <body name="trunk" pos="0 0 1"><freejoint/><geom type="sphere" size="0.1" mass="2"/>
    <body name="arm" pos="0.1 0.2 0.3" quat="0.3 0.7 -0.2 0.5">
      <joint name="shoulder" pos="0.01 -0.02 0.03" axis="1 2 -1" ref="0.2" range="-1 1.5" limited="true"/>
      <geom type="sphere" size="0.05" mass="0.5" pos="0 0.1 0.1"/>
      <geom type="sphere" size="0.03" mass="0.2" pos="0.2 0 0"/>
      <body name="hand" pos="0 0 0.3" euler="0 90 0">
        <joint name="wrist" pos="-0.05 0 0" axis="0 1 0"/>
        <geom type="sphere" size="0.04" mass="0.3" pos="0 0 0.05"/>
        <geom type="sphere" size="0.02" mass="0.1" pos="0.1 0.1 0.05"/>
      </body></body></body></worldbody>
  <actuator><position joint="shoulder" kp="1" forcerange="-2 2"/><position joint="wrist" kp="1" forcerange="-2 2"/>
  </actuator></mujoco>
"""
"""Hinges beside their bodies' origins, a reference angle, skew frames, pitch of 90°."""
ROBOTS = [*names(), "offset"]


def model_of(robot: str) -> mujoco.MjModel:
    if robot == "offset":
        return mujoco.MjModel.from_xml_string(OFFSET)
    return load_model(get_robot(robot), own_contacts=False, visuals=False)


def read_back(text: str) -> mujoco.MjModel:
    """A URDF compiled by MuJoCo, its base afloat."""
    keep = '<mujoco><compiler fusestatic="false" discardvisual="false" balanceinertia="false"/></mujoco>'
    spec = mujoco.MjSpec.from_string(re.sub("<robot name=[^>]*>", lambda tag: tag[0] + keep, text))
    spec.worldbody.first_body().add_freejoint()
    return spec.compile()


def differences(model: mujoco.MjModel, text: str) -> dict[str, float]:
    """Largest differences, relative to the size of the quantity, over random states."""
    other = read_back(text)
    links = [other.body(urdf.link_name(model, body)).id for body in range(1, model.nbody)]
    joints = [other.joint(urdf.joint_name(model, joint)) for joint in urdf.hinges(model)]
    assert other.nbody == model.nbody and other.njnt == model.njnt
    mine, theirs = mujoco.MjData(model), mujoco.MjData(other)
    rng, found = np.random.default_rng(0), {}

    def compare(what: str, a: np.ndarray, b: np.ndarray) -> None:
        found[what] = max(found.get(what, 0.0), float(np.abs(a - b).max() / np.abs(a).max()))

    limits = [joint.range for joint in joints]
    zero = model.qpos0[7:]
    limited = model.jnt_limited[1:] > 0
    compare("limits", model.jnt_range[1:][limited] - zero[limited, None], np.array(limits)[limited])
    compare("mass", model.body_mass[1:], other.body_mass[links])
    for _ in range(5):
        base, angles = rng.normal(0, 1, 7), rng.normal(0, 1, model.nv - 6)
        base[3:] /= np.linalg.norm(base[3:])
        mine.qpos[:] = np.concatenate([base, angles + zero])
        theirs.qpos[:7] = base
        for joint, angle in zip(joints, angles, strict=True):
            theirs.qpos[joint.qposadr[0]] = angle
        dofs = [*range(6), *(joint.dofadr[0] for joint in joints)]
        matrices = []
        for this, data in ((model, mine), (other, theirs)):
            this.dof_armature[:] = 0
            mujoco.mj_forward(this, data)
            matrices.append(np.zeros((this.nv, this.nv)))
            mujoco.mj_fullM(this, data, matrices[-1])
        compare("mass matrix", matrices[0], matrices[1][np.ix_(dofs, dofs)])
        compare("joint axes", mine.xaxis[1:], theirs.xaxis[[joint.id for joint in joints]])
        compare("joint anchors", mine.xanchor[1:], theirs.xanchor[[joint.id for joint in joints]])
        compare("link axes", mine.xmat[1:], theirs.xmat[links])
        compare("centres of mass", mine.xipos[1:], theirs.xipos[links])
        spheres = urdf.on_ground(model, urdf.ground_geom(model))
        colliders = np.flatnonzero(other.geom_contype)
        found["spheres"] = float(len(spheres) != len(colliders))
        for place, radius in zip(mine.geom_xpos[spheres], model.geom_size[spheres, 0], strict=True):
            nearest = np.linalg.norm(theirs.geom_xpos[colliders] - place, axis=1)
            sizes = np.abs(other.geom_size[colliders, 0] - radius)
            found["spheres"] = max(found["spheres"], float((nearest + sizes).min()))
    return found


@pytest.mark.parametrize("robot", ROBOTS)
def test_it_is_the_same_robot(robot: str) -> None:
    model = model_of(robot)
    urdf.check(model, "bullet")
    for what, difference in differences(model, urdf.urdf(model)).items():
        assert difference < 1e-9, what


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        (("mass value", 1.001), {"mass", "mass matrix"}),
        (("inertia ixx", 1.01), {"mass matrix"}),
        (("sphere radius", 1.01), {"spheres"}),
        (("limit lower", 1.01), {"limits"}),
    ],
)
def test_a_wrong_number_is_noticed(fault: tuple[str, float], noticed: set[str]) -> None:
    (element, factor), model = fault, model_of("pupper")
    tag, attribute = element.split()

    def wrong(found: re.Match[str]) -> str:
        return f"{found[1]}{float(found[2]) * factor:.17g}"

    text = re.sub(rf'(<{tag} [^>]*{attribute}=")([^"]*)', wrong, urdf.urdf(model))
    assert {what for what, difference in differences(model, text).items() if difference > 1e-7} == noticed


def test_a_rotor_adds_its_inertia_to_the_joint_that_it_drives() -> None:
    model = model_of("pupper")
    rotors, bodies = np.linspace(0.001, 0.002, model.nu), urdf.bodies_of(model)
    more = urdf.with_rotors(model, bodies, rotors).inertia - bodies.inertia
    for joint, rotor in zip(urdf.hinges(model), rotors, strict=True):
        added, axis = symmetric(more[model.jnt_bodyid[joint] - 1]), model.jnt_axis[joint]
        np.testing.assert_allclose(added, rotor * np.outer(axis, axis), atol=1e-12)
    assert not more[0].any()


def test_no_line_is_longer_than_bullet_reads() -> None:
    assert max(map(len, urdf.urdf(model_of("humanoid")).splitlines())) < 1024


@pytest.mark.parametrize("change", ["box", "slide", "no actuator", "ctrlrange", "slope", "two hinges"])
def test_a_model_of_which_a_part_would_be_lost_is_refused(change: str) -> None:
    spec = load_spec(PUPPER, own_contacts=False, visuals=False)
    spec.delete(spec.key("home"))
    words = {"box": "the box", "slide": "slide", "no actuator": "11 actuators", "ctrlrange": "ctrlrange"}
    words |= {"slope": "other than z = 0", "two hinges": "2 joints"}
    foot = spec.geom(PUPPER.foot_geoms[0])
    if change == "box":
        foot.type, foot.size = mujoco.mjtGeom.mjGEOM_BOX, [0.02, 0.02, 0.02]
    if change == "slide":
        spec.joint(PUPPER.joint_names[0]).type = mujoco.mjtJoint.mjJNT_SLIDE
    if change == "no actuator":
        spec.delete(spec.actuators[0])
    if change == "ctrlrange":
        spec.actuators[0].ctrllimited, spec.actuators[0].ctrlrange = True, [-1, 1]
    if change == "slope":
        spec.geom("floor").quat = [1, 0.1, 0, 0]
    if change == "two hinges":
        foot.parent.add_joint(name="more", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0])
    with pytest.raises(UserError, match=words[change]):
        urdf.check(spec.compile(), "bullet")
