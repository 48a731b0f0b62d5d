"""What a policy follows, as the page shows it: clips by name, a ghost in the reference's pose, and stance feet."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from made_policies import LENGTH, movement, still, still_gait, still_trick
from walkies.deploy.controllers.neural_controller import CONFIGS
from walkies.deploy.policy_file import PolicyFile
from walkies.quaternions import yaw_of
from walkies.robots import get_robot
from walkies.show.viewer.gauges import Gauges
from walkies.show.viewer.scene import poses
from walkies.show.viewer.settings import Settings
from walkies.show.viewer.walker import Moment, Walker
from walkies.tasks.gait.task import stances
from walkies.tasks.rewards import RewardParams, RewardWeights

ROBOT = get_robot("pupper")
POSE = np.array(ROBOT.default_pose)
BEGINS = 0.4
"""s until the policy is faded in, and its movement begins."""
CONFIG = replace(CONFIGS[2026], init_duration=0.2, fade_in_duration=BEGINS - 0.2, command_timeout=0.5)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PolicyFile]:
    folder = tmp_path_factory.mktemp("policies")
    return {
        "plain": still(folder / "plain.json", ROBOT),
        "gait": still_gait(folder / "gait.json", ROBOT),
        "still": still_gait(folder / "still.json", ROBOT, "zero"),
        "trick": still_trick(folder / "trick.json", ROBOT),
    }


def walker_of(policy: PolicyFile) -> Walker:
    return Walker(policy, ROBOT, CONFIG, clock=lambda: 0.0)


def run(walker: Walker, seconds: float) -> list[Moment]:
    found = (walker.advance() for _ in range(round(seconds / walker.dt)))
    return [moment for moment in found if moment is not None]


def place(walker: Walker, yaw: float, joints: np.ndarray) -> None:
    """Put the robot in the air, leaning nowhere, with other joint angles."""
    walker.data.qpos[:7] = (0.3, -0.2, 0.4, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
    walker.data.qpos[walker.loop.where.qpos] = joints


def bodies(walker: Walker, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return poses(walker.model, mujoco.MjData(walker.model), qpos[None])


def test_a_clip_that_was_asked_for_waits_plays_and_goes_on(policies: dict[str, PolicyFile]) -> None:
    walker = walker_of(policies["trick"])
    assert walker.clips == ["stand", "bow", "sit"]
    assert run(walker, BEGINS + 0.1)[-1].clip == "stand"
    walker.play("bow")
    asked = walker.moment()
    assert (asked.clip, asked.queue) == ("stand", ("bow",)), "it waits for the end of the present one"
    seen = [moment.clip for moment in run(walker, 1.2)]
    assert sorted(set(seen), key=seen.index) == ["stand", "bow"] and seen[-1] == "stand", "and is followed by the next"
    assert walker.moment().queue == ()
    walker.play("sit")
    assert run(walker, 3.0)[-1].clip == "sit", "held"


def test_a_clip_that_is_not_there_is_refused(policies: dict[str, PolicyFile]) -> None:
    with pytest.raises(ValueError, match="stand, bow, sit"):
        walker_of(policies["trick"]).play("jump")
    plain = walker_of(policies["plain"])
    with pytest.raises(ValueError, match="no recorded movement"):
        plain.play("bow")
    assert plain.clips == [] and (plain.moment().clip, plain.moment().queue) == ("", ())


def test_clips_and_reference_are_those_of_the_policy_that_is_loaded(policies: dict[str, PolicyFile]) -> None:
    walker = walker_of(policies["plain"])
    expected = {"plain": (0, False), "trick": (3, True), "gait": (0, True), "still": (0, False)}
    for name, (clips, follows) in expected.items():
        walker.load(policies[name])
        run(walker, BEGINS)
        assert (len(walker.clips), walker.reference.exists) == (clips, follows), name
        assert (walker.ghost() is not None) == follows, "a gait that always stands is none"
        assert (walker.moment().stance is not None) == (name == "gait")


def test_a_gaits_ghost_without_an_offset_is_the_robot_in_its_default_pose(policies: dict[str, PolicyFile]) -> None:
    walker = walker_of(policies["gait"])
    run(walker, 0.3)
    place(walker, 0.7, POSE)
    ghost = walker.ghost()
    assert ghost is not None
    for ours, theirs in zip(bodies(walker, ghost), bodies(walker, walker.data.qpos), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    place(walker, 0.7, POSE + 0.3)  # the control: a robot with other angles is not where its ghost is
    again = walker.ghost()
    assert again is not None
    np.testing.assert_array_equal(again, ghost)
    assert np.abs(bodies(walker, again)[0] - bodies(walker, walker.data.qpos)[0]).max() > 0.02


def test_a_gaits_ghost_has_the_angles_that_the_policy_saw(policies: dict[str, PolicyFile]) -> None:
    walker = walker_of(policies["gait"])
    walker.drive(np.array([0.4, 0.0, 0.0]))
    offset = run(walker, 0.5)[-1].gait_reference
    ghost = walker.ghost()
    assert offset is not None and ghost is not None and np.abs(offset).max() > 0.05
    np.testing.assert_allclose(ghost[walker.loop.where.qpos], POSE + offset, atol=1e-9)
    np.testing.assert_array_equal(ghost[:7], walker.data.qpos[:7])


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.0])
def test_a_movements_ghost_stands_on_the_ground_and_faces_as_the_robot_did(
    policies: dict[str, PolicyFile], yaw: float
) -> None:
    """While the movement is the default pose, a robot that stands in it where the ghost does coincides with it."""
    walker = walker_of(policies["trick"])
    assert walker.ghost() is None, "the controller is starting up"
    place(walker, yaw, POSE)
    run(walker, 0.25)
    place(walker, yaw, POSE)
    ghost = walker.ghost()
    assert ghost is not None
    walker.data.qpos[2] = ghost[2]
    for ours, theirs in zip(bodies(walker, ghost), bodies(walker, walker.data.qpos), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert lowest(walker, ghost) == pytest.approx(0.0, abs=1e-9)
    place(walker, yaw + 0.5, POSE)
    turned = walker.ghost()
    assert turned is not None and yaw_of(turned[3:7]) == pytest.approx(yaw, abs=1e-6), "the robot has turned since"


def lowest(walker: Walker, qpos: np.ndarray) -> float:
    """m, of any collider in a configuration above the ground under its trunk."""
    data = mujoco.MjData(walker.model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(walker.model, data)
    geoms = [walker.model.geom(name).id for name in (*ROBOT.foot_geoms, *ROBOT.knee_geoms, *ROBOT.torso_geoms)]
    return float((data.geom_xpos[geoms, 2] - walker.model.geom_size[geoms, 0]).min()) - walker.ground_height(qpos[:2])


def test_a_movements_ghost_leans_as_its_frame_does_also_on_a_slope(policies: dict[str, PolicyFile]) -> None:
    walker, trick = walker_of(policies["trick"]), movement(ROBOT)
    run(walker, BEGINS)
    walker.play("sit")
    run(walker, 2.0)
    ghost = walker.ghost()
    assert ghost is not None
    np.testing.assert_allclose(ghost[walker.loop.where.qpos], trick.joint_pos[-1], atol=1e-6)
    assert 2.0 * np.arcsin(ghost[5]) == pytest.approx(0.3, abs=1e-3)
    assert np.abs(trick.joint_pos[-1] - POSE).max() > 0.1, "the control: not the default pose"
    walker.change(Settings(slope=5.0))
    run(walker, 1.1)
    walker.data.qpos[0] += 1.0
    ghost = walker.ghost()
    assert ghost is not None and walker.ground_height(ghost[:2]) > 0.05
    assert lowest(walker, ghost) == pytest.approx(0.0, abs=1e-9)


def test_feet_stand_as_in_the_row_of_the_table_that_the_policy_saw(policies: dict[str, PolicyFile]) -> None:
    """Control: a quarter of a cycle later."""
    policy = policies["gait"]
    gait, walker = policy.blocks.gait_reference, walker_of(policy)
    assert gait is not None
    assert all(moment.stance is not None and moment.stance.all() for moment in run(walker, 0.5)), "nothing commanded"
    walker.drive(np.array([0.4, 0.0, 0.0]))
    moments = run(walker, 2.0)[1:]
    angles = POSE + np.array([moment.gait_reference for moment in moments])
    rows = np.abs(angles[:, None] - gait.trot_table).max(axis=-1).argmin(axis=1)
    seen, feet = np.array([moment.stance for moment in moments]), stances(gait, ROBOT)[0]
    assert np.mean(seen == feet[rows]) > 0.97, "but for rounding between two rows"
    assert np.mean(seen == feet[(rows + gait.n_samples // 4) % gait.n_samples]) < 0.8
    assert 0.2 < np.mean(seen) < 0.9


WEIGHTS = replace(
    RewardWeights(), motion_joints=2.0, motion_height=1.0, motion_orientation=1.0, gait_contacts=1.5, gait_tracking=1.0
)
FOLLOWS = ("motion_joints", "motion_height", "motion_orientation", "gait_contacts", "gait_tracking")


def test_rewards_for_following_are_measured_against_what_is_followed(policies: dict[str, PolicyFile]) -> None:
    """A robot that stands in the default pose does as `stand` has it, and not as `sit`."""
    walker, shape = walker_of(policies["trick"]), RewardParams()
    gauges = Gauges(ROBOT, walker.model, WEIGHTS, shape)
    moment = run(walker, BEGINS + 0.2)[-1]
    contact, stands = gauges.read(walker, moment, 0.02)
    assert all(contact) and stands["motion_height"] > 0.95 and stands["motion_orientation"] > 0.95
    walker.play("sit")
    moment = run(walker, 2.0)[-1]
    _, sits = gauges.read(walker, moment, 0.02)
    off = walker.data.qpos[walker.loop.where.qpos] - movement(ROBOT).joint_pos[3 * LENGTH - 1]
    assert sits["motion_joints"] == pytest.approx(2.0 * np.exp(-np.mean(off**2) / shape.motion_joints**2), rel=1e-3)
    assert sits["motion_joints"] < stands["motion_joints"] and sits["motion_orientation"] < 0.5
    assert sits["gait_contacts"] == sits["gait_tracking"] == 0.0


def test_rewards_for_contacts_are_measured_against_the_gaits(policies: dict[str, PolicyFile]) -> None:
    walker = walker_of(policies["gait"])
    gauges = Gauges(ROBOT, walker.model, WEIGHTS, RewardParams())
    run(walker, BEGINS)
    walker.drive(np.array([0.4, 0.0, 0.0]))
    for moment in run(walker, 1.0)[1:]:
        contact, terms = gauges.read(walker, moment, 0.02)
        assert moment.stance is not None
        assert terms["gait_contacts"] == pytest.approx(1.5 * np.mean(np.array(contact) == moment.stance))
        assert terms["motion_joints"] == 0.0
    plain = walker_of(policies["plain"])  # the control: nothing to follow
    gauges = Gauges(ROBOT, plain.model, WEIGHTS, RewardParams())
    plain.drive(np.array([0.4, 0.0, 0.0]))
    _, terms = gauges.read(plain, run(plain, BEGINS)[-1], 0.02)
    assert [terms[name] for name in FOLLOWS] == [0.0] * len(FOLLOWS)
