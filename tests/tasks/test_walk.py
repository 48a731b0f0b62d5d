"""The walking task: what is sensed, when, and what the robot's controller would have sensed."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_simulator import plain_walk, still_walk

from pupper_frame import FRAME_SIZE, SLICES
from walkies.rl import train
from walkies.rl.recipes import PPO
from walkies.tasks import signal
from walkies.tasks.curriculum import FULL, Ramp
from walkies.tasks.randomization import NONE, ZERO, Pushes, Randomization, Range, Sensing
from walkies.tasks.start import Start
from walkies.tasks.walk import WalkConfig

QUIET = WalkConfig(
    randomization=NONE,
    start=Start(fade_probability=0.0, stale_history=0.0),
    observation_history=3,
)
KEY = jax.random.key(7)


def disturbed(**groups) -> WalkConfig:
    """`QUIET` with some groups of the randomization replaced."""
    return replace(QUIET, randomization=replace(NONE, **groups))


def rotation(quaternion):
    """(3, 3), body to world, of one quaternion w x y z."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def frames(state, walk):
    return np.array(state.history).reshape(-1, walk.contract.observation_history, FRAME_SIZE)


def test_last_action_in_the_frame_is_the_one_just_executed():
    """Upstream feeds the action before that in training and this one on the robot."""
    walk = still_walk(QUIET)
    state = walk.reset(KEY, 4)
    for i, value in enumerate([0.1, -0.2, 0.3]):
        state, _ = walk.step(state, jnp.full((4, 12), value), jax.random.key(i))
    newest_first = frames(state, walk)[..., SLICES["last_action"]]
    np.testing.assert_allclose(newest_first[:, :, 0], [[0.3, -0.2, 0.1]] * 4, rtol=1e-6)
    assert not np.allclose(newest_first[:, :, 0], [[-0.2, 0.1, 0.0]] * 4), "the stale order must be told apart"


def test_noise_is_drawn_once_per_frame():
    """A frame, once sensed, moves through the history unchanged."""
    walk = still_walk(disturbed(sensing=Sensing()))
    state = walk.reset(KEY, 4)
    before, _ = walk.step(state, jnp.zeros((4, 12)), jax.random.key(1))
    after, _ = walk.step(before, jnp.zeros((4, 12)), jax.random.key(2))
    np.testing.assert_array_equal(frames(after, walk)[:, 1:], frames(before, walk)[:, :-1])
    assert (frames(after, walk)[:, 0] != frames(before, walk)[:, 0]).any(axis=1).all()
    heard = frames(after, walk)[:, 0, SLICES["last_action"]]  # of an action that is exactly zero
    assert 0 < np.abs(heard).max() <= 0.01 and not np.array(after.action).any()
    np.testing.assert_array_equal(walk.observe(after).policy, walk.observe(after).policy)


def test_the_first_history_is_what_the_robots_buffer_holds():
    walk = still_walk(QUIET)
    history = frames(walk.reset(KEY, 4), walk)
    expected = np.zeros(FRAME_SIZE)
    expected[5] = -1.0
    np.testing.assert_array_equal(history[:, 1:], np.broadcast_to(expected, (4, 2, FRAME_SIZE)))
    stale = frames(still_walk(replace(QUIET, start=Start(stale_history=1.0))).reset(KEY, 4), walk)
    assert (np.abs(stale[:, 1:] - expected).max(axis=-1) > 0.01).all()


def test_targets_are_clamped_as_on_the_board():
    walk = still_walk(replace(QUIET, action_scale=10.0))
    state, _ = walk.step(walk.reset(KEY, 1), jnp.ones((1, 12)), KEY)
    upper = np.array(walk.robot.upper_limits) - 0.1
    np.testing.assert_allclose(state.physics.targets[0, 0], upper, rtol=1e-6)


def test_fade_in_scales_the_action_and_what_is_remembered_of_it():
    walk = still_walk(replace(QUIET, start=Start(fade_probability=1.0, fade_in=Range(1.0, 1.0))))
    state = walk.reset(KEY, 2)
    np.testing.assert_allclose(state.physics.qpos[:, 7:], [walk.robot.default_pose] * 2, rtol=1e-6)
    for k in range(4):
        state, _ = walk.step(state, jnp.ones((2, 12)), KEY)
        np.testing.assert_allclose(state.action, np.full((2, 12), 0.02 * k), atol=1e-6)
        offset = np.array(state.physics.targets[:, 0]) - np.array(walk.robot.default_pose)
        np.testing.assert_allclose(offset, 0.75 * 0.02 * k, atol=1e-6)
    np.testing.assert_allclose(frames(state, walk)[:, 0, SLICES["last_action"]], 0.06, atol=1e-6)


def test_actions_fade_in_as_long_as_either_software_takes():
    """One to two seconds, drawn per episode, of which the critic is told the share. Control: robots already running."""
    walk = still_walk(replace(QUIET, start=Start(fade_probability=0.5)))
    state = walk.reset(KEY, 4000)
    starting = np.array(state.clock) == 0.0
    assert 0.45 < starting.mean() < 0.55
    drawn = np.array(state.fade_in)
    assert 1.0 <= drawn.min() < 1.01 and 1.99 < drawn.max() <= 2.0 and abs(np.median(drawn) - 1.5) < 0.05
    for _ in range(3):
        state, _ = walk.step(state, jnp.ones((4000, 12)), KEY)
    share = np.where(starting, 0.04 / drawn, 1.0)
    np.testing.assert_allclose(state.action[:, 0], share, rtol=1e-5)
    told = next(iter(walk.observe(state).critic[:, signal.slices(walk.privileged, walk)["fade_in"]].T))
    np.testing.assert_allclose(told, np.where(starting, 0.06 / drawn, 1.0), rtol=1e-5)


def test_actions_beyond_one_act_as_one():
    walk = still_walk(QUIET)
    state = walk.reset(KEY, 1)
    one, _ = walk.step(state, jnp.ones((1, 12)), KEY)
    more, _ = walk.step(state, 5.0 * jnp.ones((1, 12)), KEY)
    np.testing.assert_array_equal(one.physics.qpos, more.physics.qpos)


def test_constant_inputs_never_reach_the_policy():
    walk = still_walk(QUIET)
    state = walk.reset(KEY, 3)
    seen = np.array(walk.observe(state).policy).reshape(3, 3, FRAME_SIZE)
    assert (seen[..., SLICES["desired_up"]] == 0.0).all()
    assert (frames(state, walk)[:, 0, SLICES["desired_up"]] == [0, 0, 1]).all()


def test_falling_ends_the_episode_and_is_paid_for():
    walk = still_walk(QUIET)
    state = walk.reset(KEY, 3)
    tilted = jnp.array([np.cos(0.5), np.sin(0.5), 0.0, 0.0])  # 1 rad of roll
    qpos = state.physics.qpos.at[0, 3:7].set(tilted).at[1, 3:7].set(jnp.array([1.0, 0, 0, 0]))
    qpos = qpos.at[2, 2].set(-1.0)  # where the fake simulator reports a blow-up
    state = state._replace(physics=state.physics._replace(qpos=qpos))
    _, outcome = walk.step(state, jnp.zeros((3, 12)), KEY)
    assert outcome.terminated.tolist() == [True, False, True]
    assert float(outcome.metrics["reward/termination"][0]) == pytest.approx(QUIET.rewards.termination)
    assert outcome.metrics["blew_up"].tolist() == [0.0, 0.0, 1.0]


def test_an_action_that_is_no_number_ends_the_episode_and_goes_no_further():
    walk = still_walk(QUIET)
    action = jnp.zeros((3, 12)).at[1, 4].set(jnp.nan)
    state, outcome = walk.step(walk.reset(KEY, 3), action, KEY)
    assert outcome.terminated.tolist() == [False, True, False]
    assert outcome.metrics["blew_up"].tolist() == [0.0, 1.0, 0.0]
    # The parameters of this simulator are the robots' own, among them a speed of ∞.
    for leaf in jax.tree.leaves((state._replace(params=None), outcome, walk.observe(state))):
        assert np.isfinite(leaf).all()


def test_pushes_come_once_an_interval_and_within_their_speed():
    walk = still_walk(disturbed(pushes=Pushes(kick_interval=0.1, kick_speed=Range(0.0, 0.5))))
    state = walk.reset(KEY, 4000)
    after, _ = walk.step(state, jnp.zeros((4000, 12)), KEY)
    kick = np.linalg.norm(np.array(after.physics.qvel - state.physics.qvel), axis=1)
    assert abs((kick > 0).mean() - 0.2) < 0.03 and kick.max() <= 0.5 and kick.max() > 0.49


def test_sensor_errors_last_for_the_episode():
    biases = replace(NONE.sensing, gyro_bias=Range(-0.5, 0.5), encoder_bias=Range(0.1, 0.1))
    walk = still_walk(disturbed(sensing=biases))
    state = walk.reset(KEY, 4)
    error = lambda s: frames(s, walk)[:, 0, :3] - np.array(s.physics.qvel[:, 3:6])  # noqa: E731
    first = error(state)
    state, _ = walk.step(state, jnp.zeros((4, 12)), KEY)
    np.testing.assert_allclose(error(state), first, atol=1e-6)
    assert np.abs(first).max() > 0.05 and len(np.unique(first)) == 12
    offset = np.array(state.physics.qpos[:, 7:]) - np.array(walk.robot.default_pose)
    np.testing.assert_allclose(frames(state, walk)[:, 0, SLICES["joint_position"]] - offset, 0.1, atol=1e-6)


def test_on_a_slope_the_imu_feels_gravity_and_the_critic_is_told():
    walk = still_walk(disturbed(contact=replace(NONE.contact, slope=Range(0.1, 0.1))))
    state = walk.reset(KEY, 6)
    quaternion, down = np.array(state.physics.qpos[:, 3:7]), np.array(state.down)
    expected = [rotation(q).T @ g for q, g in zip(quaternion, down, strict=True)]
    np.testing.assert_allclose(frames(state, walk)[:, 0, SLICES["gravity"]], expected, atol=1e-5)
    np.testing.assert_allclose(walk.observe(state).critic[:, -3:], expected, atol=1e-5)
    assert np.abs(np.array(expected) - [rotation(q).T @ [0, 0, -1] for q in quaternion]).max() > 0.05
    assert walk.observe(state).critic.shape[1] == walk.privileged_size == still_walk(QUIET).privileged_size + 3


def test_a_late_imu_shows_what_was_sensed_whole_control_steps_ago():
    """The still simulator reports the gyro without delay: the task's own lag is all there is."""
    walk = still_walk(disturbed(latency=replace(NONE.latency, imu_delay=Range(0.04, 0.04))))
    state = walk.reset(KEY, 3)
    seen, true = [], [np.array(state.physics.qvel[:, 3:6])]
    for i in range(5):
        turning = state.physics._replace(qvel=state.physics.qvel.at[:, 3:6].set(float(i)))
        state, _ = walk.step(state._replace(physics=turning), jnp.zeros((3, 12)), jax.random.key(i))
        seen.append(frames(state, walk)[:, 0, :3])
        true.append(np.full((3, 3), float(i)))
    np.testing.assert_allclose(seen, [true[0], true[0], *true[1:4]], atol=1e-6)


def test_the_age_of_a_reading_is_drawn_anew_in_each_step():
    """As the task draws it. Control: without jitter all robots, which turn alike, read alike."""
    spread = {}
    for jitter in (ZERO, Range(0.0, 0.040)):
        walk = still_walk(disturbed(latency=replace(NONE.latency, imu_delay=Range(0.004, 0.004), imu_jitter=jitter)))
        state = walk.reset(KEY, 300)
        seen = []
        for i in range(8):
            turning = state.physics._replace(qvel=state.physics.qvel.at[:, 3:6].set(float(i)))
            state, _ = walk.step(state._replace(physics=turning), jnp.zeros((300, 12)), jax.random.key(i))
            seen.append(frames(state, walk)[:, 0, 0])
        spread[jitter] = [len(np.unique(row)) for row in seen[4:]]
        ages = [i - row for i, row in enumerate(seen)][4:]
    assert spread[ZERO] == [1, 1, 1, 1] and min(spread[Range(0.0, 0.040)]) == 3
    assert set(np.unique(ages)) == {0.0, 1.0, 2.0}


def test_what_comes_during_an_episode_reaches_the_simulator():
    """Force and delays that the simulator is given are those of the state, and the critic is told of the force."""
    config = disturbed(
        latency=replace(NONE.latency, command_jitter=Range(0.008, 0.008)),
        pushes=replace(NONE.pushes, force=Range(3.0, 3.0), force_interval=0.02),
    )
    walk = still_walk(config)
    state = walk.reset(KEY, 4)
    for action in (jnp.zeros((4, 12)), jnp.full((4, 12), 0.1)):
        state, _ = walk.step(state, action, KEY)
    force, targets = (np.array(state.physics.qacc_warmstart[:, s]) for s in (slice(0, 3), slice(3, 8)))
    np.testing.assert_allclose(np.linalg.norm(force, axis=1), 3.0, rtol=1e-6)
    np.testing.assert_array_equal(force, state.force.now())
    np.testing.assert_array_equal(state.lateness, [[2, 2, 0, 0]] * 4)
    sent = np.array(state.physics.targets[:, :, 0])
    assert (sent[:, 0] != sent[:, 1]).all()
    np.testing.assert_array_equal(targets, sent[:, [1, 1, 0, 0, 0]])
    expected = [0.1 * rotation(q).T @ f for q, f in zip(np.array(state.physics.qpos[:, 3:7]), force, strict=True)]
    np.testing.assert_allclose(walk.observe(state).critic[:, -3:], expected, atol=1e-6)


def test_mirror_is_an_involution_that_swaps_left_and_right():
    walk = still_walk(replace(QUIET, randomization=Randomization()))
    observation = walk.observe(walk.reset(KEY, 5))
    twice = walk.mirror.mirror_observation(walk.mirror.mirror_observation(observation))
    for once, again in zip(observation, twice, strict=True):
        np.testing.assert_array_equal(once, again)
    image = walk.mirror.mirror_observation(observation).policy
    assert (np.array(image[:, 7]) == -np.array(observation.policy[:, 7])).all(), "sideways command"
    right_hip, left_hip = SLICES["joint_position"].start, SLICES["joint_position"].start + 3
    np.testing.assert_array_equal(image[:, left_hip], -observation.policy[:, right_hip])
    action = jax.random.normal(KEY, (5, 12))
    np.testing.assert_array_equal(walk.mirror.mirror_action(walk.mirror.mirror_action(action)), action)
    assert walk.mirror.critic[0].shape == (walk.privileged_size,)


def test_sizes_are_as_declared():
    walk = still_walk(WalkConfig(observation_history=4))
    observation = walk.observe(walk.reset(KEY, 2))
    assert observation.policy.shape == (2, walk.observation_size) == (2, 144)
    assert observation.critic.shape == (2, walk.privileged_size)


def test_the_task_of_a_moment_depends_on_the_count_of_steps_alone():
    walk = plain_walk(replace(QUIET, effort=Ramp(start=0.0, steps=100)))
    state = walk.reset(KEY, 4)

    def cost(task):
        return float(task.step(state, jnp.full((4, 12), 0.5), KEY)[1].metrics["reward/action_rate"].mean())

    late = cost(walk)
    assert cost(walk.at(jnp.float32(0))) == 0.0 and late < 0.0
    np.testing.assert_allclose(
        [cost(walk.at(jnp.float32(50))), cost(walk.at(jnp.float32(100)))], [late / 2, late], rtol=1e-5
    )
    assert not walk.shares, "the task itself stays as it is"


def test_turning_may_count_more_later():
    """The terms of the yaw rate alone, at half of their weights half way from nothing."""
    walk = plain_walk(replace(QUIET, effort=FULL, turning=Ramp(start=0.0, steps=100)))
    state = walk.reset(KEY, 4)

    def terms(task):
        metrics = task.step(state, jnp.full((4, 12), 0.5), KEY)[1].metrics
        return {name: float(value.mean()) for name, value in metrics.items() if name.startswith("reward/")}

    late, middle, early = terms(walk), terms(walk.at(jnp.float32(50))), terms(walk.at(jnp.float32(0)))
    for name, value in late.items():
        share = 0.5 if name in ("reward/tracking_ang_vel", "reward/ang_vel_error") else 1.0
        np.testing.assert_allclose(middle[name], share * value, rtol=1e-5)
        np.testing.assert_allclose(early[name], (2.0 * share - 1.0) * value, rtol=1e-5, atol=1e-9)
    assert late["reward/tracking_ang_vel"] > 0.0


def test_training_tells_the_task_how_far_it_is():
    """The second iteration of 4 robots × 5 steps finds the task after 20 steps."""
    recipe = replace(
        PPO, num_envs=4, horizon=5, hidden=(8,), critic_hidden=(8,), minibatches=1, time_limits="rollout_end"
    )
    seen = {}
    for name, growth in {"growing": Ramp(0.0, 40), "constant": Ramp(1.0, 40)}.items():
        walk = plain_walk(replace(QUIET, effort=growth))
        state = train.init(recipe, walk, KEY)
        iterate = train.make_iteration(recipe, walk)
        costs = []
        for _ in range(2):
            state, metrics = iterate(state)
            costs.append(float(metrics["reward/action_rate"]))
        seen[name] = costs
    assert seen["growing"][0] == 0.0 and seen["constant"][0] < 0.0
    assert 0.3 < seen["growing"][1] / seen["constant"][1] < 0.7
