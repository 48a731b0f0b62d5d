"""A movement in the walking task: what the policy is shown, when, what following it is worth, and who has fallen."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_simulator import plain_walk, still_walk

from walkies.deploy import policy_file
from walkies.deploy.blocks import Blocks
from walkies.deploy.controllers import Sensors
from walkies.deploy.controllers.generic import GenericController
from walkies.errors import UserError
from walkies.quaternions import about_z, product, up_in_body, yaw_of
from walkies.robots import get_robot
from walkies.tasks.gait.presets import TRICK
from walkies.tasks.motion import task as motion
from walkies.tasks.motion.task import TERMS, MotionConfig
from walkies.tasks.randomization import NONE, Range
from walkies.tasks.signal import SIGNALS, Errors
from walkies.tasks.start import Start
from walkies.tasks.walk import WalkConfig

KEY = jax.random.key(3)
ROBOT = get_robot("pupper")
N = 40
STILL = Start(fade_probability=0.0, stale_history=0.0, tilt=0.0, joint_position=0.0, joint_velocity=0.0, velocity=0.0)
SIT = MotionConfig(file="sit", clock_spread=0.0, requests=0.0)


def quiet(**changes) -> WalkConfig:
    """The nominal robot in the frames of the sit, undisturbed."""
    return replace(TRICK, **{"randomization": NONE, "start": STILL, "motion": SIT} | changes)


def test_the_frame_is_the_courses():
    walk = plain_walk(quiet())
    sizes = {name: part.stop - part.start for name, part in walk.contract.slices.items()}
    assert sizes == {
        "motion_command": 24, "motion_anchor": 6, "gyro": 3, "joint_position": 12, "joint_velocity": 12,
        "last_action": 12,
    }  # fmt: skip
    assert walk.observation_size == 69 and walk.mirror.critic.source.shape == (walk.privileged_size,)


def test_the_policy_is_shown_what_the_robot_will_show_it():
    """Training in JAX beside the controller in numpy, which has it from the file. Control: an action before."""
    walk = plain_walk(quiet(start=replace(STILL, fade_probability=1.0)))
    movement = walk.motion_reference.movement
    policy = policy_file.PolicyFile(
        (policy_file.Layer(np.zeros((walk.observation_size, 12)), np.zeros(12), "tanh"),), 1, 5.0, 0.25, (0.75,) * 12,
        ROBOT.default_pose, ROBOT.lower_limits, ROBOT.upper_limits, observation=walk.config.observation,
        blocks=Blocks(trick=movement),
    )  # fmt: skip
    controller = GenericController(policy, ROBOT, fade_in=0.0)
    rng = np.random.default_rng(0)
    yaw = rng.uniform(-3, 3, N)
    tilts = product(about_z(yaw), np.tile([0.995, 0.0998, 0.0, 0.0], (N, 1)))
    sensors = Sensors(np.zeros((N, 3)), tilts, np.tile(ROBOT.default_pose, (N, 1)))
    controller.activate(sensors)
    ours = motion.begin(SIT, walk.motion_reference, KEY, jnp.ones(N, bool), jnp.asarray(yaw_of(tilts), jnp.float32))
    asked = {10: "sit", 130: "rise", 160: "sit"}
    before, apart, frames = None, [], []
    for step in range(260):
        if step in asked:
            controller.play(asked[step])
        controller.tick(sensors, None)
        shown = controller.history[:, : 24 + 6]
        np.testing.assert_allclose(ours.command, shown[:, :24], atol=1e-5)
        np.testing.assert_allclose(ours.seen_from(jnp.asarray(tilts, jnp.float32)), shown[:, 24:], atol=1e-5)
        frames.append(int(ours.frame[0]))
        if before is not None:
            apart.append(np.abs(before - shown).max())
        before = shown
        if step + 1 in asked:  # of the next action, as the controller hears it
            ours = ours._replace(asked=jnp.full(N, movement.names.index(asked[step + 1])))
        ours = motion.advance(SIT, walk.motion_reference, ours, jnp.ones((N, 2)), jnp.ones(N, bool), 0.02)
    assert max(apart) > 0.02, "the control: a step makes a difference"
    clips = [next(c.name for c in movement.clips if c.start <= frame < c.end) for frame in frames]
    assert list(dict.fromkeys(clips)) == ["stand", "sit", "rise"] and clips.count("rise") > 30


def turning(quaternion, rate, seconds):
    """Orientations (n, 4) after turning at `rate` (n, 3) rad/s, body frame, for so long."""
    angle = np.linalg.norm(rate, axis=1, keepdims=True) * seconds
    axis = rate / np.linalg.norm(rate, axis=1, keepdims=True)
    return product(quaternion, np.concatenate([np.cos(angle / 2), axis * np.sin(angle / 2)], axis=1))


def test_the_frame_is_seen_from_where_the_imu_says_that_the_robot_is():
    """Robots that turn at 2 rad/s, each about an axis of its own, and read their IMU 40 ms late: what they are shown is
    seen from the orientation of two actions ago. Control: from that of now it is not."""
    late = replace(NONE, latency=replace(NONE.latency, imu_delay=Range(0.04, 0.04)))
    walk = still_walk(quiet(randomization=late))
    rng, state = np.random.default_rng(0), walk.reset(KEY, N)
    rate = rng.normal(size=(N, 3))
    rate *= 2.0 / np.linalg.norm(rate, axis=1, keepdims=True)
    first = np.array(state.physics.qpos[:, 3:7], float)
    for step in range(12):
        now = turning(first, rate, 0.02 * step)
        physics = state.physics._replace(
            qpos=state.physics.qpos.at[:, 3:7].set(now), qvel=state.physics.qvel.at[:, 3:6].set(rate)
        )
        state, _ = walk.step(state._replace(physics=physics), jnp.zeros((N, 12)), jax.random.key(step))
    shown = np.array(state.history)[:, walk.contract.slices["motion_anchor"]]
    two_ago = turning(first, rate, 0.02 * 9)
    np.testing.assert_allclose(state.motion.seen_from(jnp.asarray(two_ago, jnp.float32)), shown, atol=5e-3)
    assert float(jnp.abs(state.motion.seen_from(jnp.asarray(now, jnp.float32)) - shown).max(axis=1).min()) > 0.02


def test_on_a_slope_the_imu_reports_what_its_gravity_says():
    """Tilt from the reading, heading from the robot. Control: the robot's own tilt is another."""
    walk = still_walk(quiet())
    quaternion = np.array(walk.reset(KEY, N).physics.qpos[:, 3:7], float)
    gravity = np.random.default_rng(1).normal([0.1, 0.05, -1.0], 0.02, (N, 3))
    gravity /= np.linalg.norm(gravity, axis=1, keepdims=True)
    reading = jnp.asarray(np.concatenate([np.zeros((N, 3)), gravity], axis=1), jnp.float32)
    found = np.array(walk.reported(jnp.asarray(quaternion, jnp.float32), reading, jnp.zeros(N)), float)
    np.testing.assert_allclose(-up_in_body(found), gravity, atol=1e-5)
    np.testing.assert_allclose(np.angle(np.exp(1j * (yaw_of(found) - yaw_of(quaternion)))), 0.0, atol=0.05)
    assert np.abs(-up_in_body(quaternion) - gravity).max(axis=1).min() > 0.02


def test_a_misaligned_imu_sees_the_frame_misaligned():
    """As from a robot that leans by so much, up to the angle's square. Control: a sensor without errors does not."""
    walk = still_walk(quiet())
    state = walk.reset(KEY, N)
    mounting = np.random.default_rng(0).normal(0.0, 0.03, (N, 3))
    leaning = turning(np.array(state.motion.orientation, float), -mounting, 1.0)
    signal = SIGNALS["motion_anchor"]
    true = state.motion.seen_from(state.motion.orientation)
    errors = Errors(np.zeros((N, 3)), mounting, np.zeros((N, 12)))
    seen = state.motion.seen_from(jnp.asarray(leaning, jnp.float32))
    np.testing.assert_allclose(signal.distort(true, errors, 0.0), seen, atol=5e-3)
    assert np.abs(signal.distort(true, None, 0.0) - seen).max() > 0.04


def test_episodes_begin_in_the_frames_of_the_movement():
    """Joints, height and orientation are those of the frame, so nothing is missed; and all frames occur. Control: as
    on the robot they begin with the first frame, standing."""
    walk = still_walk(quiet())
    state = walk.reset(KEY, 400)
    off = motion.deviation(state.motion, state.physics.qpos, state.physics.qvel[:, 6:], walk.stature.height)
    assert float(jnp.abs(off.joints).max()) < 1e-5 and float(jnp.abs(off.speeds).max()) < 1e-4
    assert float(off.tilted.max()) < 2e-3 and 0.0 <= float(off.height.min()) <= float(off.height.max()) < 0.25
    frames = np.array(state.motion.frame)
    assert frames.min() < 5 and frames.max() > len(walk.motion_reference.heights) - 6 and len(set(frames)) > 100
    as_robot = still_walk(quiet(start=replace(STILL, fade_probability=1.0))).reset(KEY, 400)
    assert (np.array(as_robot.motion.frame) == 0).all()
    np.testing.assert_allclose(np.array(as_robot.physics.qpos[:, 7:]), np.tile(ROBOT.default_pose, (400, 1)), atol=1e-6)


def test_following_exactly_is_worth_the_whole_weight():
    """Control: half a radian away the angles are worth next to nothing."""
    walk = still_walk(quiet())
    state = walk.reset(KEY, N)
    state = state._replace(physics=state.physics._replace(qpos=state.physics.qpos.at[:, 2].set(state.motion.height)))
    scale = walk.contract.scale
    action = (state.motion.command[:, :12] - walk.default_pose) / jnp.asarray(scale)
    _, outcome = walk.step(state, action, KEY)
    inside = np.array(jnp.abs(action).max(axis=1) < 1.0)
    assert inside.sum() > 10
    for name, weight in (("motion_joints", 2.0), ("motion_height", 1.0), ("motion_orientation", 1.0)):
        np.testing.assert_allclose(np.array(outcome.metrics[f"reward/{name}"])[inside], weight, rtol=1e-4)
    _, away = walk.step(state, action + 0.5 / jnp.asarray(scale), KEY)
    assert float(away.metrics["reward/motion_joints"][inside].max()) < 0.2


@pytest.mark.parametrize(("lower", "tilt", "falls"), [(0.0, 0.0, False), (0.6, 0.0, True), (0.0, 1.0, True)])
def test_who_is_far_from_its_frame_has_fallen(lower, tilt, falls):
    """By its height, in hip heights, or its tilt, in rad; a trunk that leans with its frame has not."""
    walk = still_walk(quiet())
    state = walk.reset(KEY, N)
    qpos = state.physics.qpos.at[:, 2].set(state.motion.height - lower * ROBOT.hip_height)
    turned = jnp.tile(jnp.array([np.cos(tilt / 2), np.sin(tilt / 2), 0.0, 0.0], jnp.float32), (N, 1))
    qpos = qpos.at[:, 3:7].set(product(state.motion.orientation, turned))
    state = state._replace(physics=state.physics._replace(qpos=qpos))
    _, outcome = walk.step(state, jnp.zeros((N, 12)), KEY)
    assert np.array(outcome.terminated).tolist() == [falls] * N


def test_the_first_frame_waits_for_the_fade_in():
    walk = still_walk(quiet(start=replace(STILL, fade_probability=1.0)))
    state, frames = walk.reset(KEY, N), []
    for step in range(110):
        state, _ = walk.step(state, jnp.zeros((N, 12)), jax.random.fold_in(KEY, step))
        frames.append(np.array(state.motion.frame))
    ends = np.array(state.fade_in) / 0.02
    first = np.argmax(np.array(frames) > 0, axis=0) + 1
    moved = np.array(frames).max(axis=0) > 0
    assert moved.sum() > N // 2 and (np.abs(first - ends)[moved] <= 2).all() and np.ptp(ends) > 20


def test_clips_are_asked_for_at_the_rate_that_is_given():
    """The sit is begun about as often as it is asked for, and only from where it begins."""
    config = replace(SIT, requests=2.0)
    walk = plain_walk(quiet(motion=config))
    reference, n = walk.motion_reference, 300
    state = motion.begin(config, reference, KEY, jnp.ones(n, bool), jnp.zeros(n))
    advance = jax.jit(lambda state, u: motion.advance(config, reference, state, u, jnp.ones(n, bool), 0.02))
    rng, before, jumps, seen = np.random.default_rng(0), np.zeros(n, int), 0.0, set()
    for _ in range(400):
        state = advance(state, jnp.asarray(rng.random((n, 2)), jnp.float32))
        frame = np.array(state.frame)
        jumps = max(jumps, np.abs(reference.movement.joint_pos[frame] - reference.movement.joint_pos[before]).max())
        seen |= {clip.name for clip in reference.movement.clips for one in frame if clip.start <= one < clip.end}
        before = frame
    assert seen == {"stand", "sit", "rise"} and jumps < 0.2
    never = replace(config, requests=0.0)
    still = motion.begin(never, reference, KEY, jnp.ones(n, bool), jnp.zeros(n))
    for _ in range(100):
        still = motion.advance(never, reference, still, jnp.zeros((n, 2)), jnp.ones(n, bool), 0.02)
    assert (np.array(still.frame) < reference.movement.clips[0].end).all()


def test_a_reward_without_a_movement_is_refused():
    for name in TERMS:
        with pytest.raises(UserError, match=f"{name.replace('_', '-')}: got 1 without a movement"):
            plain_walk(replace(WalkConfig(), rewards=replace(WalkConfig().rewards, **{name: 1.0})))
    with pytest.raises(UserError, match="got nothing, expected one of bow"):
        plain_walk(quiet(motion=MotionConfig()))


def test_some_robots_clocks_run_fast_and_some_slow():
    """Up to a twentieth off either way. Control: without the spread, nowhere."""
    for spread, apart in ((0.05, True), (0.0, False)):
        config = replace(SIT, clock_spread=spread)
        walk = plain_walk(quiet(motion=config))
        state = motion.begin(config, walk.motion_reference, KEY, jnp.ones(N, bool), jnp.zeros(N))
        for _ in range(40):  # within the first clip
            state = motion.advance(config, walk.motion_reference, state, jnp.ones((N, 2)), jnp.ones(N, bool), 0.02)
        passed = np.array(state.frame + state.share) / 40.0
        assert (np.ptp(passed) > 0.06) == apart and abs(passed - 1.0).max() <= spread + 1e-5
