"""Robots read off their files into folders: nothing is lost on the way, and what people change stays."""

import json
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from made_trees import BIPED, HEXAPOD, HUMANOID, QUADRUPED_WITH_ARM, mjcf
from walkies import cli
from walkies.cli.robots.named import strained
from walkies.errors import UserError
from walkies.robots import folders, get_robot, known, load_model, load_spec, names
from walkies.robots.folders import MODEL, RECORD, ZOO
from walkies.robots.reading import trials
from walkies.robots.reading.infer import add
from walkies.robots.record import READ
from walkies.tasks.walk import WalkConfig

MADE = {"biped": BIPED, "hexapod": HEXAPOD, "quadruped": QUADRUPED_WITH_ARM, "humanoid": HUMANOID}
WELDED = """<mujoco><compiler angle="radian"/><worldbody><body name="trunk"><freejoint/>
<inertial pos="0.01 0 0.02" mass="3" diaginertia="0.02 0.03 0.03"/><geom type="box" size="0.15 0.08 0.04"/>
<body name="pack" pos="-0.05 0 0.08" euler="0 0.3 0.2">
<inertial pos="0 0.01 0" mass="0.7" diaginertia="1e-3 2e-3 2e-3"/></body>{legs}</body></worldbody></mujoco>"""
LEG = """<body name="{n}_hip" pos="{x} {y} 0"><joint name="{n}_a" axis="1 0 0" range="-0.8 0.8" armature="0.003"/>
<inertial pos="0 0 0" mass="0.2" diaginertia="2e-4 2e-4 2e-4"/>
<body name="{n}_thigh"><joint name="{n}_b" axis="0 1 0" range="-1.5 2" armature="0.003" damping="0.1"/>
<inertial pos="0 0 -0.07" mass="0.3" diaginertia="8e-4 8e-4 1e-4"/>
<geom type="capsule" size="0.02" fromto="0 0 -0.03 0 0 -0.12"/>
<body name="{n}_shank" pos="0 0 -0.15"><joint name="{n}_c" axis="0 1 0" range="-2.6 -0.1" armature="0.003"/>
<inertial pos="0 0 -0.07" mass="0.15" diaginertia="4e-4 4e-4 5e-5"/>
<body name="{n}_toe" pos="0 0 -0.15" euler="0 0.4 0"><inertial pos="0.01 0 0" mass="0.05" diaginertia="1e-5 2e-5 2e-5"/>
<geom size="0.02"/></body></body></body></body>"""
"""A leg whose foot is welded on."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def welded():
    places = {"a": (0.15, 0.08), "b": (0.15, -0.08), "c": (-0.15, 0.08), "d": (-0.15, -0.08)}
    return WELDED.format(legs="".join(LEG.format(n=n, x=x, y=y) for n, (x, y) in places.items()))


def put(text, name="made.xml"):
    path = Path(name)
    path.write_text(text)
    return path


def dynamics(model, order, angles, speeds):
    """Mass matrix and bias forces with the base level, rows in the order of the joints' names."""
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, 0.5, 1, 0, 0, 0]
    dofs = np.concatenate([np.arange(6), [model.joint(name).dofadr[0] for name in order]])
    data.qpos[[model.joint(name).qposadr[0] for name in order]] = angles
    data.qvel[dofs] = speeds
    mujoco.mj_forward(model, data)
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return full[np.ix_(dofs, dofs)], data.qfrc_bias[dofs]


@pytest.mark.parametrize("name", [*MADE, "welded"])
def test_it_moves_as_in_its_file(here, name):
    """The same mass matrix and the same forces, though welded parts are one. Control: a toe that is heavier."""
    text = welded() if name == "welded" else mjcf(MADE[name])
    robot = add(put(text)).robot
    before, after = mujoco.MjModel.from_xml_string(text), load_model(robot)
    rng, order = np.random.default_rng(1), robot.joint_names
    angles, speeds = rng.uniform(robot.lower_limits, robot.upper_limits), rng.normal(0, 1, 6 + robot.num_joints)
    here_, there = (dynamics(model, order, angles, speeds) for model in (before, after))
    for one, other in zip(here_, there, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7 * np.abs(one).max())
    last = before.nbody - 1
    before.body_mass[last] *= 1.01
    assert not np.allclose(dynamics(before, order, angles, speeds)[0], there[0], rtol=1e-6, atol=1e-9)
    assert robot.mass == pytest.approx(after.body_mass.sum(), rel=1e-7)
    assert after.nbody == 2 + robot.num_joints - sum(model_joints - 1 for model_joints in after.body_jntnum[2:])


def test_its_joints_keep_their_numbers(here):
    """Limits, armature, damping, friction of the file; and a servo's gains, with its motor's torque."""
    text = mjcf(QUADRUPED_WITH_ARM, actuator=lambda j: f'<position joint="{j}" kp="11" kv="0.7" forcerange="-3 3"/>')
    robot = add(put(text)).robot
    model, source = load_model(robot), mujoco.MjModel.from_xml_string(text)
    for name in robot.joint_names:
        mine, theirs = model.joint(name), source.joint(name)
        for fact in ("range", "armature", "damping", "frictionloss", "axis", "pos"):
            np.testing.assert_allclose(getattr(mine, fact), getattr(theirs, fact), rtol=1e-6, err_msg=fact)
    assert (robot.kp, robot.kd, robot.torque_limit) == tuple((x,) * robot.num_joints for x in (11.0, 0.7, 3.0))


def test_it_stands_on_spheres_where_its_shapes_were(here):
    """The lowest points of its feet are where they were, and every foot has as many spheres."""
    for name, chains in MADE.items():
        robot = add(put(mjcf(chains)), name).robot
        model = load_model(robot)
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        mujoco.mj_forward(model, data)
        low = [data.geom(foot).xpos[2] - model.geom(foot).size[0] for foot in robot.foot_geoms]
        assert np.abs(low).max() < 0.02 * robot.hip_height and robot.points == (4 if name == "humanoid" else 1)
        for foot in robot.foot_geoms:
            np.testing.assert_allclose(data.site(foot).xpos, data.geom(foot).xpos, atol=1e-9)


def test_a_unit_of_action_is_what_the_motor_can_do(here):
    """Stiff servos of weak motors get a smaller range, in a leg not too small to swing. Control: a stronger motor."""
    scales = {}
    for torque in (0.5, 4.0, 40.0):
        servo = f'kp="11" kv="0.7" forcerange="-{torque} {torque}"'
        text = mjcf(QUADRUPED_WITH_ARM, actuator=lambda j, servo=servo: f'<position joint="{j}" {servo}/>')
        robot = add(put(text), f"of-{10 * torque:g}").robot
        scales[torque] = dict(zip(robot.joint_names, robot.action_scale, strict=True))
    legs = [joint for leg in robot.legs for joint in leg]
    pose = dict(zip(robot.joint_names, robot.default_pose, strict=True))
    ends = zip(robot.joint_names, robot.lower_limits, robot.upper_limits, strict=True)
    for name, low, high in ends:
        reach, in_leg = max(high - pose[name], pose[name] - low), robot.joint_names.index(name) in legs
        for torque, own in scales.items():
            asked = max(1.25 * torque / 11.0, 0.35 if in_leg else 0.0)
            assert own[name] == pytest.approx(min(0.75, reach, asked), rel=0.01), (name, torque)
    assert scales[0.5] != scales[4.0] != scales[40.0] and 0 < len(legs) < robot.num_joints


def test_ground_resists_turning_as_far_out_as_a_foot_is_wide(here):
    """Its coefficient is a length. Control: thicker feet."""
    for radius in (0.02, 0.03):
        text = welded().replace('<geom size="0.02"/>', f'<geom size="{radius}"/>')
        robot = add(put(text), f"r{radius * 100:g}").robot
        model = load_model(robot)
        for foot in robot.foot_geoms:
            np.testing.assert_allclose(model.geom(foot).friction[1:], [radius, radius / 2], rtol=1e-6)


def test_what_a_person_changed_stays(here):
    path = put(welded())
    folder = add(path).folder
    text = (folder / RECORD).read_text()
    (folder / RECORD).write_text(
        text.replace("forward = ", "forward = 0.31 # ").replace("a_a = { pose = 0.0", "a_a = { pose = 0.1")
    )
    again = add(path)
    assert sorted(again.kept) == ["commands.forward", "joints.a_a.pose"]
    assert again.robot.gamepad[0] == 0.31 and again.robot.default_pose[0] == 0.1
    assert add(path).kept == again.kept, "and stays the next time"
    (folder / READ).unlink()
    assert add(path).robot.gamepad[0] != 0.31, "nobody can tell any more what was changed"


def test_a_changed_number_is_the_models(here):
    added = add(put(welded()))
    folder, before = added.folder, added.robot.kp
    text = (folder / RECORD).read_text()
    (folder / RECORD).write_text(re.sub(r"(b_c = \{.*?) kp = [\d.]+", r"\1 kp = 7.5", text))
    robot = get_robot("made")
    model = load_model(robot)
    assert model.actuator("b_c").gainprm[0] == 7.5 == -model.actuator("b_c").biasprm[1]
    changed = [name for name, one, other in zip(robot.joint_names, before, robot.kp, strict=True) if one != other]
    assert changed == ["b_c"]


@pytest.mark.parametrize(
    ("pattern", "instead", "said"),
    [
        (r"mass = [\d.]+", 'mass = "much"', "robot.mass: got much where a finite number belongs"),
        (r"\[commands\]", "[commands", "is not TOML"),
        (r"(a_b = .*?) pose = [-\d.]+", r"\1 pose = 9.0", "joints.a_b: pose 9 lies outside its limits"),
        (r"(a_b = \{) pose = [-\d.]+,", r"\1", "joints.a_b.pose is missing"),
        (r'mirror = "b_b"', 'mirror = "zz"', "there is no zz"),
        (r"kp = [\d.]+", "kp = -1.0", "expected kp, torque and scale above 0"),
    ],
)
def test_a_damaged_record_is_told(here, pattern, instead, said):
    folder = add(put(welded())).folder
    text = (folder / RECORD).read_text()
    changed = re.sub(pattern, instead, text, count=1)
    assert changed != text
    (folder / RECORD).write_text(changed)
    with pytest.raises(UserError, match=re.escape(said)):
        get_robot("made")


@pytest.mark.parametrize("name", sorted(path.parent.name for path in ZOO.glob(f"*/{RECORD}")))
def test_the_zoo_is_what_its_models_say(here, name):
    """`python benchmarks/zoo.py` writes it."""
    add(ZOO / name / "model.xml", name, here)
    for file in (MODEL, RECORD, READ):
        assert (here / name / file).read_text() == (ZOO / name / file).read_text(), f"{name}/{file} is out of date"
    robot = get_robot(name)
    assert robot.mass == pytest.approx(mujoco.MjModel.from_xml_path(str(robot.mjcf)).body_mass.sum(), rel=1e-6)


def test_a_name_leads_nowhere_else(here):
    """Policy files name robots."""
    add(put(welded()), "other")
    (here / "elsewhere").mkdir()
    for file in (MODEL, RECORD):
        (here / "elsewhere" / file).write_text((here / "robots/other" / file).read_text())
    assert known("other") and "other" in names()
    for name in ("../elsewhere", str(here / "elsewhere"), "", ".", "other/"):
        assert not known(name) and folders.find(name) is None


@pytest.mark.parametrize("name", ["../x", "Big", "", "a b"])
def test_a_name_must_be_one(here, name):
    with pytest.raises(UserError, match="names a folder"):
        add(put(welded()), name)
    assert not (here / "robots").exists()


def test_nothing_is_half_written(here):
    """Of a file that has no robot."""
    with pytest.raises(UserError, match="expected a robot with legs"):
        add(put("<mujoco><worldbody><body><geom size='1'/></body></worldbody></mujoco>"))
    assert not (here / "robots").exists()


def test_the_command_says_what_it_found(here, capsys):
    put(welded(), "my dog.xml")
    assert cli.run(["robot", "add", "my dog.xml"]) == 0
    said = capsys.readouterr().out
    assert "a quadruped of 6.5 kg with 12 joints" in said and "walkies train my-dog" in said
    assert (here / "robots/my-dog/robot.png").stat().st_size > 10_000
    assert cli.run(["robot", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["my-dog"]["joints"] == 12 and {"go", "humanoid"} <= set(rows)
    assert cli.run(["robot", "check", "my-dog"]) in (0, 1)
    assert "quadruped" in capsys.readouterr().out


@pytest.mark.parametrize(("torque", "fade_in"), [(5.0, 1.0), (0.02, 0.0)])
def test_who_falls_on_its_servos_alone_starts_without_a_fade_in(here, torque, fade_in):
    """The same robot, with motors that hold it and with such that do not; of the second training says so beforehand."""
    servos = "".join(f'<motor joint="{n}_{j}" forcerange="-{torque} {torque}"/>' for n in "abcd" for j in "abc")
    robot = add(put(welded().replace("</mujoco>", f"<actuator>{servos}</actuator></mujoco>"))).robot
    assert set(robot.torque_limit) == {torque} and robot.fade_in == fade_in
    told = strained(robot)
    assert bool(told) == (fade_in == 0.0) and all("just to stand" in line for line in told)


def test_parts_that_overlap_where_it_stands_are_told_and_do_not_touch(here):
    """Controls: a dog of shorter thighs, of which nothing is told; and the same model without its excludes."""
    wide, thin = welded(), welded().replace("0 0 -0.03 0 0 -0.12", "0 0 -0.09 0 0 -0.12")
    for text, overlaps in ((thin, False), (wide, True)):
        added = add(put(text))
        assert any("overlap in the standing pose" in note for note in added.notes) == overlaps
        for excluded in (True, False):
            spec = load_spec(added.robot)
            for exclude in [] if excluded else list(spec.excludes):
                spec.delete(exclude)
            model = spec.compile()
            data = mujoco.MjData(model)
            mujoco.mj_resetDataKeyframe(model, data, 0)
            data.qpos[2] += 1.0
            mujoco.mj_forward(model, data)
            assert (data.ncon > 0) == (overlaps and not excluded)


def test_servos_are_tried_as_weak_as_training_draws_them():
    assert WalkConfig().randomization.motor.kp.low == trials.WEAK
