"""A reference gait in the walking task: its clock, what the policy is shown, and what following it is worth."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_simulator import plain_walk, still_walk

from walkies.deploy import policy_file
from walkies.deploy.blocks import Blocks, HeadingHold
from walkies.deploy.controllers import Sensors
from walkies.deploy.controllers.generic import GenericController
from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.generator import LIFT, TROT, Gait
from walkies.tasks.gait.kinematics import Legs
from walkies.tasks.gait.presets import PRESETS, STABLE_GAIT, VELOCITY_FS, with_preset
from walkies.tasks.gait.task import GaitConfig
from walkies.tasks.randomization import NONE
from walkies.tasks.rewards import EFFORT
from walkies.tasks.signal import FRAME, GAIT
from walkies.tasks.start import Start
from walkies.tasks.walk import WalkConfig

KEY = jax.random.key(3)
ROBOT = get_robot("pupper")


N = 50
"""Robots; one number, so that each task compiles once."""


def quiet(task: WalkConfig) -> WalkConfig:
    """The nominal robot, beginning as on the robot, its clock exact."""
    return replace(
        task,
        randomization=NONE,
        start=Start(fade_probability=1.0, stale_history=0.0),
        observation_history=2,
        gait=replace(task.gait, clock_spread=0.0),
    )


def moving(walk, seed=0):
    """New robots that are told to walk forward at up to 0.7 m/s, the fade-in over."""
    rng = np.random.default_rng(seed)
    state, command = walk.reset(KEY, N), np.zeros((N, 3), np.float32)
    command[:, 0] = rng.uniform(0.2, 0.7, N)
    return state._replace(clock=jnp.full(N, 10.0), command=jnp.asarray(command))


def shown(walk, state) -> np.ndarray:
    """(n, nu): the reference in the newest frame."""
    return np.array(state.history)[:, walk.contract.slices[GAIT]]


@pytest.mark.parametrize("name", ["velocity-fs", "stable-gait"])
def test_a_ready_task_has_the_courses_frame_and_steps(name):
    walk = still_walk(quiet(PRESETS[name]))
    state, outcome = walk.step(walk.reset(KEY, N), jnp.zeros((N, 12)), KEY)
    seen = walk.observe(state)
    assert walk.contract.frame_size == 48 and seen.policy.shape == (N, 2 * 48) == (N, walk.observation_size)
    assert seen.critic.shape == (N, walk.privileged_size)
    assert np.isfinite(np.array(outcome.reward)).all() and np.isfinite(np.array(seen.critic)).all()
    assert walk.mirror.policy.source.shape == (96,) and walk.mirror.critic.source.shape == (walk.privileged_size,)
    followed = "reward/gait_tracking" in outcome.metrics
    assert followed == (name != "velocity-fs") and "gait_error" in outcome.metrics
    fastest = {"velocity-fs": 0.7, "stable-gait": 0.7, "mixed-gaits": 1.5}
    assert (walk.contract.gains, walk.config.commands.forward) == ((5.5, 0.25), fastest[name])


def test_the_policy_is_shown_what_the_robot_will_show_it():
    """Training in JAX beside the controller in numpy, which has it from the file's tables: same clock, same commands.
    Control: what was shown an action before."""
    walk, n, rng = still_walk(quiet(STABLE_GAIT)), 5, np.random.default_rng(0)
    policy = policy_file.PolicyFile(
        (policy_file.Layer(np.zeros((walk.observation_size, 12)), np.zeros(12), "tanh"),), 2, 5.5, 0.25, (0.75,) * 12,
        ROBOT.default_pose, ROBOT.lower_limits, ROBOT.upper_limits, observation=walk.config.observation,
        blocks=Blocks(heading_hold=HeadingHold(kp=0.0), gait_reference=walk.gait_reference),
    )  # fmt: skip
    controller = GenericController(policy, ROBOT)
    still = Sensors(np.zeros((n, 3)), np.tile([1.0, 0, 0, 0], (n, 1)), np.tile(ROBOT.default_pose, (n, 1)))
    controller.activate(still)
    command, before = np.zeros((n, 3)), np.zeros((n, 12))
    no = jnp.zeros((n, 3))
    ours = gait.begin(walk.config.gait, walk.gait_reference, KEY, jnp.ones(n, bool), no, walk.default_pose)
    apart = []
    for i in range(60):
        if i % 7 == 0:
            command = rng.uniform(-0.7, 0.7, (n, 3)) * (rng.random((n, 1)) > 0.2)
        controller.tick(still, command)
        theirs = controller.history[:, policy.slices[GAIT]]
        told = jnp.asarray(command, jnp.float32)
        if i:
            ours = gait.advance(ours, walk.gait_reference, walk.control_dt, told, walk.default_pose)
        else:
            ours = gait.begin(walk.config.gait, walk.gait_reference, KEY, jnp.ones(n, bool), told, walk.default_pose)
        np.testing.assert_allclose(ours.reference, theirs, atol=2e-4)
        apart.append(np.abs(before - theirs).max())
        before = theirs
    assert min(apart[1:]) > 0.02


def test_the_frame_shows_the_reference_of_the_command_that_it_tells():
    walk = still_walk(quiet(STABLE_GAIT))
    state = moving(walk)
    for i in range(4):
        state, _ = walk.step(state, jnp.zeros((N, 12)), jax.random.key(i))
        command, seconds = np.array(state.command), np.array(state.gait.seconds)
        np.testing.assert_allclose(seconds, (i + 1) * walk.control_dt, rtol=1e-5)
        expected = walk.gait_reference.offset(seconds, command, walk.default_pose)
        np.testing.assert_allclose(shown(walk, state), expected, atol=2e-4)
        np.testing.assert_allclose(walk.observe(state).critic[:, -12:], expected, atol=2e-4)
        state = state._replace(command=state.command.at[: N // 2].set(0.0))
    state, _ = walk.step(state, jnp.zeros((N, 12)), jax.random.key(9))
    told_to_stand = (np.array(state.command) == 0.0).all(axis=1)
    size = np.abs(shown(walk, state)).max(axis=1)
    assert told_to_stand.sum() > N // 3 and (size[told_to_stand] == 0.0).all() and (size[~told_to_stand] > 0.1).all()


def test_clocks_begin_at_zero_as_on_the_robot_and_elsewhere_at_any_phase():
    config, n = STABLE_GAIT.gait, 4000
    reference, as_robot = gait.reference(config, ROBOT), jnp.arange(n) % 2 == 0
    state = gait.begin(config, reference, KEY, as_robot, jnp.zeros((n, 3)), np.array(ROBOT.default_pose))
    seconds, rate = np.array(state.seconds), np.array(state.rate)
    assert (seconds[::2] == 0.0).all()
    counts, _ = np.histogram(seconds[1::2] * config.frequency, 10, (0.0, 1.0))
    assert counts.sum() == n // 2 and counts.min() > 150
    assert abs(rate.min() - 0.95) < 2e-3 and abs(rate.max() - 1.05) < 2e-3 and abs(rate.mean() - 1.0) < 2e-3
    after = gait.advance(state, reference, 0.02, jnp.zeros((n, 3)), np.array(ROBOT.default_pose))
    np.testing.assert_allclose(after.seconds - seconds, 0.02 * rate, atol=1e-6)


def test_following_counts_against_what_was_shown_before_the_action():
    """Joints jump to their targets here. Control: a policy that keeps the default pose."""
    walk = still_walk(quiet(STABLE_GAIT))
    state = moving(walk)
    for i in range(6):  # until the targets in force are those of the reference
        followed = state.gait.reference / walk.contract.action_scale
        moved, outcome = walk.step(state, followed, jax.random.key(i))
        _, stood = walk.step(state, jnp.zeros((N, 12)), jax.random.key(i))
        state = moved
    weight, within = STABLE_GAIT.rewards.gait_tracking, np.abs(followed).max(axis=1) < 0.99
    assert float(outcome.metrics["gait_error"].mean()) < 0.05 < 0.15 < float(stood.metrics["gait_error"].mean())
    assert float(outcome.metrics["reward/gait_tracking"][within].min()) > 0.9 * weight
    assert float(stood.metrics["reward/gait_tracking"].mean()) < 0.7 * weight


@pytest.mark.parametrize("command", [(0.3, 0, 0), (-0.3, 0, 0), (0, 0, 1.0), (0, 0.2, -1.0)])
def test_the_feet_that_should_stand_are_those_that_the_reference_has_on_the_ground(command):
    """By the kinematics of the angles that it shows, row by row. Control: half a cycle later it is the other feet."""
    robot = get_robot("pupper")
    shown = gait.reference(STABLE_GAIT.gait, robot)
    stances, legs = gait.stances(shown, robot), Legs(robot)
    rows = np.arange(shown.n_samples) + 1e-6
    seconds = rows / (shown.n_samples * shown.frequency)
    told = np.tile(np.array(command, float), (len(rows), 1))
    heights = np.array([legs.feet(angles)[:, 2] for angles in shown.angles(seconds, told)])
    down = heights <= heights.min() + 0.002
    stance = shown.stance(seconds, told, stances)
    assert (stance == down).mean() > 0.97, "but for the rows next to a touchdown, whose angles are mixed"
    later = shown.stance(seconds + 0.5 / shown.frequency, told, stances)
    assert (later == down).mean() < 0.5


def test_following_the_gait_counts_more_at_first():
    """Following weighs `emphasis` times as much in the beginning, and nothing else does. Control: without it."""
    config = quiet(STABLE_GAIT)
    walk = plain_walk(replace(config, gait=replace(config.gait, emphasis=3.0, emphasis_steps=100)))
    steps = [float(walk.at(jnp.float32(count)).gait_emphasis) for count in (0, 50, 100, 1000)]
    np.testing.assert_allclose(steps, [3.0, 2.0, 1.0, 1.0])
    state = walk.reset(KEY, 4)
    first, last = (walk.at(jnp.float32(count)).step(state, jnp.zeros((4, 12)), KEY)[1] for count in (0, 100))
    for name, value in last.metrics.items():
        factor = 3.0 if name == "reward/gait_tracking" else 1.0
        effort = name.removeprefix("reward/") in EFFORT
        if not effort:
            np.testing.assert_allclose(first.metrics[name], factor * value, rtol=1e-6)
    assert (np.array(last.metrics["reward/gait_tracking"]) > 0.0).all()
    assert walk.gait_emphasis == 1.0, "the task itself stays as it is"
    unled = plain_walk(replace(config, gait=replace(config.gait, emphasis=1.0)))
    assert float(unled.at(jnp.float32(0)).gait_emphasis) == 1.0


def test_without_a_gait_nothing_changes():
    """No leaf of the state, no random number, no input of the critic, no reward: bit for bit. A gait that only stands
    in the configuration is none; the control is one that is shown."""
    task = replace(quiet(WalkConfig()), randomization=WalkConfig().randomization)
    tasks = (task, replace(task, gait=STABLE_GAIT.gait), replace(task, gait=STABLE_GAIT.gait,
             observation=STABLE_GAIT.observation))  # fmt: skip
    plain, other, gaits = map(still_walk, tasks)
    states = [walk.reset(KEY, N) for walk in (plain, other, gaits)]
    assert states[0].gait is None
    for one, same in zip(jax.tree.leaves(states[0]), jax.tree.leaves(states[1]), strict=True):
        np.testing.assert_array_equal(one, same)
    assert len(jax.tree.leaves(states[2])) == len(jax.tree.leaves(states[0])) + 3
    for name in ("physics", "command", "sensor_bias", "factors", "clock"):
        for one, same in zip(*(jax.tree.leaves(getattr(states[i], name)) for i in (0, 2)), strict=True):
            # Two programs: XLA rounds here and there in another order.
            np.testing.assert_allclose(one, same, rtol=1e-5, atol=1e-6)
    assert gaits.privileged_size == plain.privileged_size + 12 == other.privileged_size + 12
    _, outcome = jax.eval_shape(plain.step, states[0], jnp.zeros((N, 12)), KEY)
    assert not [name for name in outcome.metrics if "gait" in name]


def test_a_zero_reference_is_zero_and_is_kept_from_the_policy():
    """As `desired_up` is: nothing that is always alike may get a weight. Control: a real gait's inputs."""
    walk = still_walk(quiet(VELOCITY_FS))
    state, _ = walk.step(moving(walk), jnp.zeros((N, 12)), KEY)
    assert (shown(walk, state) == 0.0).all() and (np.array(state.command) != 0.0).any()
    frames = walk.informative.reshape(2, 48)
    assert (frames[:, walk.contract.slices[GAIT]] == 0.0).all() and frames.sum() == 2 * (36 - 3)
    assert still_walk(quiet(STABLE_GAIT)).informative.sum() == 2 * (48 - 3)


def test_what_does_not_fit_is_refused():
    followed = replace(WalkConfig(), rewards=replace(WalkConfig().rewards, gait_tracking=1.0))
    for task, message in (
        (followed, "gait-tracking: got 1 without a gait to follow"),
        (replace(WalkConfig(), observation=(*FRAME, GAIT)), "has no tables"),
        (
            replace(STABLE_GAIT, shape=replace(STABLE_GAIT.shape, gait_width=(0.1, 0.2))),
            "got 2 numbers, expected 1, or 3",
        ),
        (replace(STABLE_GAIT, gait=replace(STABLE_GAIT.gait, lift=replace(LIFT, stride=0.5))), "the gait lift: leg"),
    ):
        with pytest.raises(UserError, match=message):
            plain_walk(task)


def test_a_ready_task_takes_what_else_is_given():
    """Field by field, down to a number of a gait. Control: nothing is given."""
    assert with_preset(WalkConfig(), None) == WalkConfig() and with_preset(WalkConfig(), "stable-gait") == STABLE_GAIT
    own = GaitConfig(lift=replace(LIFT, swing_lift=0.03))
    task = with_preset(WalkConfig(observation_history=20, gait=own, kd=0.3), "stable-gait")
    assert task == replace(
        STABLE_GAIT, observation_history=20, kd=0.3, gait=replace(STABLE_GAIT.gait, lift=own.lift)
    )  # fmt: skip
    assert with_preset(STABLE_GAIT, "stable-gait") == STABLE_GAIT, "written out twice is written out once"


def test_tables_are_the_generators():
    made = gait.reference(STABLE_GAIT.gait, ROBOT)
    assert made.n_samples == 100 and made.frequency == 1.5 and made.lift_table is not None
    legs = Legs(ROBOT)
    forward = legs.feet(made.trot_table[0])[0, 0] - legs.feet(made.trot_table[0])[1, 0]
    assert abs(forward - 0.075) < 1e-9
    steep = gait.reference(GaitConfig(tables="trot", trot=Gait(stride=0.02)), ROBOT)
    assert steep.lift_table is None and np.abs(steep.trot_table - made.trot_table).max() > 0.1
    assert TROT.stride == 0.1
