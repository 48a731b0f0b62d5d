"""Joints with a fixed target: who is meant by which word, and that nothing the policy says reaches them."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_simulator import plain_walk, still_walk

from pupper_frame import FRAME_SIZE, SLICES
from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.tasks import mirror
from walkies.tasks.contract import Contract
from walkies.tasks.hold import ARMS, IDLE, WAIST, groups, held
from walkies.tasks.randomization import NONE
from walkies.tasks.start import Start
from walkies.tasks.walk import WalkConfig

QUIET = WalkConfig(randomization=NONE, start=Start(fade_probability=0.0, stale_history=0.0))
HOLDING = replace(QUIET, hold=("front_r", "leg_back_l_3"))
HELD = [0, 1, 2, 11]
KEY = jax.random.key(3)


def named(robot, joints):
    return {robot.joint_names[joint] for joint in joints}


def test_waist_and_arms_are_what_the_tree_says():
    robot = get_robot("humanoid")
    found = {word: named(robot, joints) for word, joints in groups(robot).items()}
    assert found[WAIST] == {"waist_yaw", "waist_roll", "waist_pitch"}
    assert found[ARMS] == {name for name in robot.joint_names if re.search("shoulder|elbow|wrist", name)}
    assert found[IDLE] == found[WAIST] | found[ARMS]
    small = get_robot("small-humanoid")
    found = {word: named(small, joints) for word, joints in groups(small).items()}
    assert found[WAIST] == set() and {"head_pan", "left_elbow"} < found[ARMS] == found[IDLE]
    assert groups(get_robot("hexapod")) == {IDLE: (), ARMS: (), WAIST: ()}


def test_names_do_not_matter_to_groups(tmp_path):
    """The same robot whose joints are called otherwise has the same waist and arms."""
    robot = get_robot("humanoid")
    names = tuple(f"hinge{place}" for place in range(robot.num_joints))
    text = robot.mjcf.read_text()
    for old, new in zip(robot.joint_names, names, strict=True):
        text = text.replace(f'"{old}"', f'"{new}"')
    (tmp_path / "robot.xml").write_text(text)
    other = replace(robot, mjcf=tmp_path / "robot.xml", joint_names=names)
    assert groups(other) == groups(robot)


def test_fingers_do_not_make_a_waist_of_a_shoulder(tmp_path):
    """Of two hinges at a hand the arm branches; the arm stays one, since it lies on one side. Control: in the middle it
    would be a waist."""
    robot = get_robot("small-humanoid")
    text, names = robot.mjcf.read_text(), list(robot.joint_names)
    for side in ("left", "right"):
        fingers = "".join(
            f'<body name="{side}_finger{i}"><joint name="{side}_finger{i}" axis="0 0 1"/>'
            '<inertial pos="0 0 0" mass="0.01" diaginertia="1e-5 1e-5 1e-5"/></body>'
            for i in (0, 1)
        )
        text = re.sub(rf'(<joint name="{side}_elbow"[^>]*/>)', rf"\1{fingers}", text)
        names += [f"{side}_finger0", f"{side}_finger1"]
    (tmp_path / "robot.xml").write_text(text)
    joints, mirrored = len(names), dict(zip(names, robot.mirror_joints, strict=False))
    partner = [mirrored.get(name, names.index(swapped(name))) for name in names]
    pose = (0.0,) * joints
    other = replace(
        robot, mjcf=tmp_path / "robot.xml", joint_names=tuple(names), mirror_joints=tuple(partner), joints=None,
        default_pose=pose,
    )  # fmt: skip
    assert groups(other)[WAIST] == () and len(groups(other)[ARMS]) == len(robot.idle_joints) + 4
    middle = replace(other, mirror_joints=tuple(range(joints)))
    assert "left_elbow" in named(middle, groups(middle)[WAIST])


def swapped(name):
    return name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")


def test_words_mean_joints_legs_patterns_and_groups():
    robot = get_robot("small-humanoid")
    assert named(robot, held(robot, ("head_pan",))) == {"head_pan"}
    assert named(robot, held(robot, ("*_elbow", "head_*"))) == {"left_elbow", "right_elbow", "head_pan", "head_tilt"}
    assert held(robot, ("left",)) == robot.legs[0]
    assert held(robot, ("arms", "idle", "head_pan")) == robot.idle_joints == held(robot, ("idle",))
    assert held(robot, ()) == ()


@pytest.mark.parametrize(
    ("name", "word", "told"),
    [
        (
            "small-humanoid",
            "arm",
            ("--task.hold arm:", "did you mean arms?", "idle (8 joints", "a leg (left, right)", "head_tilt"),
        ),
        ("small-humanoid", "left_elbo", ("did you mean left_elbow?",)),
        ("small-humanoid", "waist", ("has none;", "expected idle", "arms (8 joints")),
        ("pupper", "arms", ("all of its joints belong to legs", "leg_back_l_3")),
        ("pupper", "*", ("holds every joint of pupper", "leave some out")),
        ("pupper", "tail_*", ("--task.hold tail_*:", "by name or pattern")),
    ],
)
def test_a_word_that_means_nothing_is_refused_with_what_there_is(name, word, told):
    with pytest.raises(UserError) as error:
        held(get_robot(name), (word,))
    assert "--task.hold" in str(error.value) and all(part in str(error.value) for part in told), error.value


def targets(config, steps=8, robots=64):
    """Joint targets (steps, robots, nu) minus the default pose under actions that are anything."""
    walk, found = still_walk(config), []
    state = walk.reset(KEY, robots)
    for i in range(steps):
        action = 3.0 * jax.random.normal(jax.random.key(i), (robots, walk.action_space.size))
        state, _ = walk.step(state, action, jax.random.key(i))
        found.append(np.array(state.physics.targets[:, 0]))
    return walk, state, np.array(found) - np.array(walk.robot.default_pose, np.float32)


def test_a_held_joints_target_never_moves():
    """Whatever the policy says. Control: the others do, and so do these where nothing is held."""
    walk, state, moved = targets(HOLDING)
    assert walk.action_space.size == walk.robot.num_joints - len(HELD)
    assert not moved[..., HELD].any()
    assert np.abs(moved[..., walk.contract.free]).max(axis=(0, 1)).min() > 0.1
    assert np.abs(targets(QUIET)[2][..., HELD]).max(axis=(0, 1)).min() > 0.1
    assert not np.array(state.action)[:, HELD].any(), "so action_rate counts nothing of them"
    frames = np.array(state.history).reshape(-1, walk.contract.observation_history, FRAME_SIZE)
    shown = frames[..., SLICES["last_action"]]
    assert not shown[..., HELD].any() and shown[..., walk.contract.free].any()


def test_the_policy_is_not_shown_the_noise_of_an_action_that_it_has_not():
    walk, plain = plain_walk(HOLDING), plain_walk(QUIET)
    dropped = (plain.informative - walk.informative).reshape(-1, FRAME_SIZE)
    expected = np.zeros(FRAME_SIZE)
    expected[np.arange(FRAME_SIZE)[SLICES["last_action"]][HELD]] = 1.0
    np.testing.assert_array_equal(dropped, [expected] * walk.contract.observation_history)


def test_without_a_held_joint_nothing_changes():
    contract = plain_walk(QUIET).contract
    action = jnp.ones((2, contract.robot.num_joints))
    assert contract.spread(action) is action and contract.scale == QUIET.action_scale


def test_scale_of_a_held_joint_is_zero():
    robot = get_robot("pupper")
    scale = np.array(Contract(robot, hold=tuple(HELD)).scale)
    assert not scale[HELD].any() and set(np.delete(scale, HELD)) == {QUIET.action_scale}


def test_mirrored_actions_are_those_of_all_joints():
    """Spread and mirrored, or mirrored and spread. Control: with one side held there is no mirror image."""
    both, none, one = (plain_walk(replace(QUIET, hold=hold)) for hold in (("leg_front_*", "leg_*_3"), (), ("front_r",)))
    assert (both.mirror is not None, one.mirror, mirror.exists(one.robot, one.contract.hold)) == (True, None, False)
    action = jax.random.normal(KEY, (5, both.action_space.size))
    there = both.contract.spread(both.mirror.mirror_action(action))
    np.testing.assert_array_equal(there, none.mirror.mirror_action(both.contract.spread(action)))
    np.testing.assert_array_equal(both.mirror.mirror_action(both.mirror.mirror_action(action)), action)
