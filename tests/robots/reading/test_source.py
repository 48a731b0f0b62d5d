"""Robots' files: nothing is lost on the way, and what cannot be read is said in one sentence."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.robots import PUPPER
from walkies.robots.reading.source import find_mesh, read

TETRAHEDRON = "v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


def link(name, mass=1.0, inertia=0.01, shapes=""):
    return f"""<link name="{name}"><inertial><mass value="{mass}"/>
      <inertia ixx="{inertia}" iyy="{inertia}" izz="{inertia}" ixy="0" ixz="0" iyz="0"/></inertial>{shapes}</link>"""


def ball(radius=0.02, kind="collision"):
    return f'<{kind}><geometry><sphere radius="{radius}"/></geometry></{kind}>'


def mesh(name, kind="collision"):
    return f'<{kind}><geometry><mesh filename="{name}"/></geometry></{kind}>'


def joint(name, parent, child, at="0 0 -0.2", kind="revolute"):
    return f"""<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/><origin xyz="{at}"/>
      <axis xyz="0 1 0"/><limit lower="-1" upper="1" effort="10" velocity="10"/></joint>"""


def two_legs(trunk="", foot=None, extra=""):
    """Feet are welded to the legs, as in most URDFs."""
    foot = ball() if foot is None else foot
    parts = [link("trunk", 3.0, shapes=ball(0.05) + trunk)]
    for side, y in (("left", 0.1), ("right", -0.1)):
        parts += [link(f"{side}_leg"), link(f"{side}_foot", 0.1, 1e-4, foot)]
        parts += [joint(f"{side}_hip", "trunk", f"{side}_leg", f"0 {y} 0")]
        parts += [joint(f"{side}_ankle", f"{side}_leg", f"{side}_foot", kind="fixed")]
    return f'<robot name="two legs">{"".join(parts)}{extra}</robot>'


@pytest.fixture
def write(tmp_path):
    def written(text, name="robot.urdf"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return written


def test_a_urdf_floats_and_weighs_what_its_links_do_and_keeps_its_feet(write):
    source = read(write(two_legs()))
    model = source.spec.compile()
    assert source.mass == pytest.approx(5.2) and model.body_mass.sum() == pytest.approx(5.2)
    assert (model.nq, model.nv) == (9, 8) and model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    assert {model.body(i).name for i in range(1, model.nbody)} >= {"trunk", "left_foot", "right_foot"}
    assert any("trunk" in note and "floats" in note for note in source.notes)
    naive = mujoco.MjModel.from_xml_string(two_legs())
    assert naive.body_mass.sum() < 3.0 and naive.nv == 2, "the control: MuJoCo alone loses the trunk"


def test_an_mjcf_keeps_its_own_joints_and_mass():
    source = read(PUPPER.mjcf)
    expected = mujoco.MjModel.from_xml_path(str(PUPPER.mjcf))
    np.testing.assert_allclose(source.spec.compile().body_mass, expected.body_mass)
    assert source.notes == ()


def test_meshes_are_found_as_ros_finds_them(write, tmp_path):
    write(TETRAHEDRON, "dog_description/meshes/foot.obj")
    for name in ("package://dog_description/meshes/foot.obj", "../meshes/foot.obj"):
        path = write(two_legs(foot=mesh(name)), "dog_description/urdf/robot.urdf")
        model = read(path).spec.compile()
        assert (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH).sum() == 2
    folder = tmp_path / "dog_description" / "urdf"
    assert find_mesh("package://dog_description/meshes/foot.obj", folder) is not None
    assert find_mesh("package://cat_description/meshes/foot.obj", folder) is None


def test_a_mesh_that_only_shows_may_be_missing_one_that_collides_may_not(write):
    source = read(write(two_legs(trunk=mesh("package://x/trunk.dae", "visual"))))
    assert any("1 visual meshes" in note and "not there" in note for note in source.notes)
    with pytest.raises(
        UserError, match=r"left_foot collides as package://x/foot.stl, which is not there.*folders above"
    ):
        read(write(two_legs(foot=mesh("package://x/foot.stl"))))
    write("", "foot.dae")
    with pytest.raises(UserError, match=r"collides as foot.dae, of which MuJoCo reads .stl"):
        read(write(two_legs(foot=mesh("foot.dae"))))


def test_a_link_without_inertia_gets_that_of_its_shapes(write):
    """A ball of radius r and mass m has 0.4 m r². Control: a link that states one keeps it."""
    hollow = two_legs().replace(link("trunk", 3.0, shapes=ball(0.05)), link("trunk", 3.0, 0.0, ball(0.05)))
    source = read(write(hollow))
    model = source.spec.compile()
    np.testing.assert_allclose(model.body("trunk").inertia, [0.4 * 3.0 * 0.05**2] * 3, rtol=1e-6)
    assert model.body_mass.sum() == pytest.approx(5.2) and any("trunk" in note for note in source.notes)
    np.testing.assert_allclose(read(write(two_legs())).spec.compile().body("trunk").inertia, [0.01] * 3)
    with pytest.raises(UserError, match="left_leg weighs 1 kg and has no inertia"):
        read(write(two_legs().replace(link("left_leg"), link("left_leg", 1.0, 0.0))))


def test_shapes_of_no_size_that_only_show_are_left_out(write):
    source = read(write(two_legs(trunk=ball(0.0, "visual"))))
    assert source.notes[0].startswith("1 visual shapes")


LOOP = joint("again", "right_leg", "left_foot", kind="fixed")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("", "robot.urdf", "is not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><robot/>', "robot.urdf", "declares its own document type"),
        ("<sdf/>", "robot.sdf", "begins with <sdf>"),
        ('<robot xmlns:xacro="http://x"><xacro:leg/></robot>', "robot.urdf", "is a template; expand it first"),
        ("<robot/>", "robot.urdf", "has no link"),
        (two_legs(extra=LOOP), "robot.urdf", "left_foot hangs from two joints, a closed loop"),
        (two_legs(extra=link("spare")), "robot.urdf", "2 links hang from none (trunk, spare)"),
        (two_legs(extra=joint("j", "trunk", "ghost")), "robot.urdf", "names the link ghost"),
        (two_legs().replace('mass value="3.0"', 'mass value="3 kg"'), "robot.urdf", "got 3 kg, expected a number"),
        (f'<robot name="a">{link("trunk")}</robot>', "robot.urdf", "nothing in it has a hinge"),
        ("<mujoco><worldbody><body><geom/></body></worldbody></mujoco>", "robot.xml", "MuJoCo cannot read it"),
    ],
)
def test_what_is_no_robot_is_said_in_one_sentence(write, text, name, said):
    with pytest.raises(UserError) as error:
        read(write(text, name))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_two_robots_are_one_too_many(write):
    body = '<body name="{}"><joint axis="0 1 0"/><geom size="0.1"/></body>'
    with pytest.raises(UserError, match=r"2 bodies with joints stand side by side \(a, b\)"):
        read(write(f"<mujoco><worldbody>{body.format('a')}{body.format('b')}</worldbody></mujoco>", "two.xml"))
    with pytest.raises(UserError, match="no such file"):
        read(Path("nowhere.urdf"))
