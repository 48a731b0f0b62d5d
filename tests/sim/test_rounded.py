"""Robots whose own parts touch one another as spheres and capsules."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.robots import get_robot, in_default_pose, load_model
from walkies.run.config import build, of_robot
from walkies.sim import actuation, make_simulator, nominal_params, rounded
from walkies.sim.native import NativeSimulator
from walkies.sim.params import on_itself

ROUND = (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE)
EVERY = ("biped", "small-humanoid", "humanoid", "go")


def kinds(model):
    return [mujoco.mjtGeom(model.geom_type[geom]) for pair in on_itself(model) for geom in pair]


def in_pose(model, robot, **change):
    """Data in the default pose, but for some joints."""
    data = in_default_pose(model, robot)
    for name, angle in change.items():
        data.joint(name).qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    return data


@pytest.mark.parametrize("name", EVERY)
def test_all_of_them_are_round_and_the_robot_is_as_heavy(name):
    """Control: in the file some are not."""
    robot = get_robot(name)
    before, after = load_model(robot, visuals=False), rounded.rounded(robot)
    assert not set(kinds(before)) <= set(ROUND) and set(kinds(after)) <= set(ROUND)
    for fact in ("body_mass", "body_inertia", "body_ipos", "geom_friction", "dof_armature", "actuator_gainprm"):
        np.testing.assert_array_equal(getattr(before, fact), getattr(after, fact))
    assert before.ngeom == after.ngeom and abs(len(on_itself(before)) - len(on_itself(after))) < 5


@pytest.mark.parametrize("name", EVERY)
def test_nothing_touches_in_the_default_pose(name):
    robot = get_robot(name)
    model = rounded.rounded(robot)
    data = in_pose(model, robot)
    gaps = [mujoco.mj_geomDistance(model, data, *pair, 1.0, None) for pair in on_itself(model)]
    assert min(gaps) >= rounded.APART


def test_they_are_as_long_and_as_wide():
    """Reach of the new shape along the three axes of the old one, by MuJoCo's distance to a small sphere far out."""
    for kind, size in (("box", (0.08, 0.03, 0.006)), ("ellipsoid", (0.01, 0.05, 0.02)), ("box", (0.04, 0.04, 0.04))):
        least, wide, long = np.argsort(size, kind="stable")
        reach = np.array(shell(kind, size))[[least, wide, long]]
        np.testing.assert_allclose(reach, np.array(size)[[wide, wide, long]], atol=1e-6)
    np.testing.assert_allclose(shell("cylinder", (0.02, 0.07)), [0.02, 0.02, 0.07], atol=1e-6)
    np.testing.assert_allclose(shell("cylinder", (0.05, 0.01)), [0.05, 0.05, 0.05], atol=1e-6)


def shell(kind, size):
    """m that a turned geom reaches along its old axes once it is round."""
    numbers, probes = " ".join(map(str, size)), "".join(f'<geom name="p{i}" size="0.001"/>' for i in range(3))
    spec = mujoco.MjSpec.from_string(
        f'<mujoco><worldbody><body><freejoint/><geom name="it" type="{kind}" size="{numbers}" pos="0.1 0.2 0.3" '
        f'euler="30 40 50"/></body><body><freejoint/>{probes}</body></worldbody></mujoco>'
    )
    model = spec.compile()
    place, axes = model.geom("it").pos.copy(), np.zeros(9)
    mujoco.mju_quat2Mat(axes, model.geom("it").quat)
    rounded._round(spec.geom("it"), model, model.geom("it").id)
    for i, axis in enumerate(axes.reshape(3, 3).T):
        spec.geom(f"p{i}").pos = place + 2.0 * axis
    model = spec.compile()
    assert mujoco.mjtGeom(model.geom("it").type[0]) in ROUND
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    it = model.geom("it").id
    return [2.0 - 0.001 - mujoco.mj_geomDistance(model, data, it, model.geom(f"p{i}").id, 9.0, None) for i in range(3)]


def test_parts_that_become_too_thick_never_touch(monkeypatch):
    """Where parts are nearer to one another than is allowed: here because much is not."""
    robot = get_robot("biped")
    assert len(on_itself(rounded.rounded(robot))) > 10, "the control"
    monkeypatch.setattr(rounded, "APART", 2.0)
    assert len(on_itself(rounded.rounded(robot))) == 0


def test_legs_that_meet_push_each_other_apart_in_training():
    """Legs turned inwards, in the air. Control: without such contacts they stay as they are told."""
    robot = get_robot("biped")
    rolls = [i for i, name in enumerate(robot.joint_names) if name.endswith("hip_roll")]
    inwards = [np.array(robot.default_pose) for _ in range(2)]
    for pose, sign in zip(inwards, (1.0, -1.0), strict=True):
        pose[rolls] += 0.35 * sign * np.array([1.0, -1.0])
    model = rounded.rounded(robot)
    pose = min(inwards, key=lambda one: nearest(model, robot, one))
    assert nearest(model, robot, pose) < -0.005
    moved = {touch: settled(robot, pose, touch) - pose for touch in ("all", "none")}
    assert np.abs(moved["all"][rolls]).max() > 3 * np.abs(moved["none"][rolls]).max()


def nearest(model, robot, pose):
    """m between the two parts that are nearest to each other."""
    data = in_pose(model, robot, **dict(zip(robot.joint_names, pose, strict=True)))
    return min(mujoco.mj_geomDistance(model, data, *pair, 1.0, None) for pair in on_itself(model))


def settled(robot, pose, touch):
    """Joint angles after 60 ms, told the angles at which they begin."""
    simulator = make_simulator("native", robot, self_contacts=touch, threads=1)
    params = simulator.prepare(nominal_params(simulator.model, robot), 1)
    angles = jnp.asarray(pose[None], jnp.float32)
    qpos = jnp.concatenate([jnp.asarray([[0.0, 0.0, 3.0, 1.0, 0.0, 0.0, 0.0]]), angles], axis=1)
    state = actuation.initial_state(qpos, jnp.zeros((1, 6 + robot.num_joints)), angles)
    for _ in range(3):
        state = actuation.step(simulator, params, state, angles, jnp.zeros(1, int))[0]
    return np.asarray(state.qpos)[0, 7:]


def test_robots_whose_record_says_so_train_with_them():
    for name in ("biped", "humanoid", "small-humanoid", "go", "hexapod", "servo-dog", "pupper"):
        robot = get_robot(name)
        assert of_robot(robot).self_contacts == robot.self_contacts
    assert get_robot("go").self_contacts and not get_robot("hexapod").self_contacts


def test_a_mesh_becomes_as_long_and_as_wide_as_its_box():
    """A box as a mesh, away from its body's origin: MuJoCo finds its centre and axes. The same box is the judge."""
    corners = " ".join(f"{x} {y} {z}" for x in (0.1, 0.3) for y in (0.02, 0.08) for z in (0.0, 0.012))
    found = []
    for geom in ('type="mesh" mesh="it"', 'type="box" size="0.1 0.03 0.006" pos="0.2 0.05 0.006"'):
        spec = mujoco.MjSpec.from_string(
            f'<mujoco><asset><mesh name="it" vertex="{corners}"/></asset><worldbody><body><freejoint/>'
            f'<geom name="it" {geom}/></body></worldbody></mujoco>'
        )
        rounded._round(spec.geom("it"), spec.compile(), 0)
        model, axes = spec.compile(), np.zeros(9)
        mujoco.mju_quat2Mat(axes, model.geom_quat[0])
        assert model.geom_type[0] == mujoco.mjtGeom.mjGEOM_CAPSULE
        found.append((model.geom_pos[0].copy(), model.geom_size[0, :2].copy(), np.abs(axes.reshape(3, 3)[:, 2])))
    for mesh, box, expected in zip(*found, ((0.2, 0.05, 0.006), (0.03, 0.07), (1.0, 0.0, 0.0)), strict=True):
        np.testing.assert_allclose(box, expected, atol=1e-9)
        np.testing.assert_allclose(mesh, box, atol=1e-6)


def test_the_engine_refuses_them_as_they_are_and_takes_them_rounded():
    robot = get_robot("biped")
    with pytest.raises(UserError, match="capsule and box"):
        NativeSimulator(load_model(robot, visuals=False), self_contacts="all")
    assert len(make_simulator("native", robot, self_contacts="all").spheres) > len(robot.foot_geoms)


def test_such_a_robot_walks_and_the_critic_sees_only_the_ground():
    """A step of training; what touches nothing but the robot itself is no input. Control: the simulator has those."""
    robot = get_robot("biped")
    walk = build(replace(of_robot(robot), threads=1))
    actions = jnp.zeros((4, robot.num_joints))
    assert len(walk.spheres) < len(walk.simulator.spheres) and "" not in walk.spheres
    state = walk.step(walk.reset(jax.random.key(0), 4), actions, jax.random.key(1))[0]
    assert state.contact.shape == (4, len(walk.spheres))
    assert walk.observe(state).critic.shape == walk.observe(walk.reset(jax.random.key(2), 4)).critic.shape
