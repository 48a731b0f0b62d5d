"""Heading hold in training: what the policy is told is what the robot's controller would tell it."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from fake_simulator import still_walk

from walkies.quaternions import about_z, product, yaw_of
from walkies.tasks.commands import Commands
from walkies.tasks.gait.heading import NO_HOLD, HeadingHold
from walkies.tasks.randomization import NONE, Range
from walkies.tasks.walk import WalkConfig

N = 40
KEY = jax.random.key(5)
HOLD = HeadingHold()
PLAIN = WalkConfig(randomization=NONE, observation_history=1)


def holding(hold: HeadingHold):
    """The task with that hold, on robots that stay where they are put."""
    return still_walk(replace(PLAIN, commands=Commands(interval=1e6, heading_hold=hold)))


def turned(state, angle: np.ndarray):
    """Robots turned by angles (n,) rad about the vertical."""
    qpos = np.array(state.physics.qpos, float)
    qpos[:, 3:7] = product(about_z(angle), qpos[:, 3:7])
    return state._replace(physics=state.physics._replace(qpos=jnp.asarray(qpos, jnp.float32)))


def ask(state, given: np.ndarray):
    """Robots that are commanded something else from now on."""
    return state._replace(hold=state.hold._replace(given=jnp.asarray(given, jnp.float32)))


def test_both_libraries_see_the_same_heading():
    quaternion = np.random.default_rng(0).normal(size=(N, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    np.testing.assert_allclose(yaw_of(jnp.asarray(quaternion)), yaw_of(quaternion), atol=1e-5)


def test_the_policy_is_told_what_the_robots_controller_tells_it():
    """Over commands and turns that begin and end holding: beside the numpy that the controller twin runs. Control: the
    commands that are given."""
    walk, rng = holding(HOLD), np.random.default_rng(0)
    state, heading, differs = walk.reset(KEY, N), HOLD.begin(N), 0
    heading, _ = HOLD(heading, np.array(state.hold.given, float), np.array(yaw_of(state.physics.qpos[:, 3:7]), float))
    for i in range(40):
        if i % 5 == 0:
            given = rng.uniform(-1.0, 1.0, (N, 3)) * [0.5, 0.2, 0.3] * (rng.random((N, 1)) > 0.2)
            state = ask(state, given)
        state = turned(state, rng.normal(0.0, 0.15, N))
        state, _ = walk.step(state, jnp.zeros((N, 12)), jax.random.key(i))
        yaw = yaw_of(np.array(state.physics.qpos[:, 3:7], float))
        heading, told = HOLD(heading, given, yaw)
        np.testing.assert_allclose(state.command, told, atol=1e-5)
        frame = np.array(state.history)[:, walk.contract.slices["command"]]
        np.testing.assert_allclose(frame, told, atol=1e-5)
        differs += int((np.abs(told - given).max(axis=1) > 0.02).sum())
    assert N < differs < 30 * N


def test_the_heading_is_as_old_as_the_imus_reading():
    """Robots that turn at 1 rad/s and read their IMU 40 ms late lag 0.04 rad behind. Control: without latency they do
    not."""
    given = np.tile([0.4, 0.0, 0.0], (N, 1))
    for delay, lag in ((0.0, 0.0), (0.04, 0.04)):
        late = replace(NONE, latency=replace(NONE.latency, imu_delay=Range(delay, delay)))
        walk = still_walk(replace(PLAIN, commands=Commands(interval=1e6, heading_hold=HOLD), randomization=late))
        state = ask(walk.reset(KEY, N), given)
        state = state._replace(physics=state.physics._replace(qvel=state.physics.qvel.at[:, 3:6].set([0, 0, 1.0])))
        for i in range(10):
            state = turned(state, np.full(N, 0.02))
            state, _ = walk.step(state, jnp.zeros((N, 12)), jax.random.key(i))
        behind = np.angle(np.exp(1j * (yaw_of(state.physics.qpos[:, 3:7]) - state.hold.heading.target)))
        np.testing.assert_allclose(state.command[:, 2], -(behind - lag), atol=2e-3)


def test_a_nudged_robot_is_told_and_paid_to_turn_back():
    """By hand: half a radian to the left, so 0.3 rad/s to the right at most, which becomes the rewarded yaw rate.
    Controls: a nudge within the clip, a robot that is told to turn, and one that stands."""
    walk = holding(HOLD)
    state = walk.reset(KEY, N)
    given = np.tile([0.4, 0.0, 0.0], (N, 1))
    given[2], given[3] = [0.4, 0.0, 0.5], 0.0
    state, _ = walk.step(ask(state, given), jnp.zeros((N, 12)), KEY)
    np.testing.assert_allclose(state.command, given, atol=1e-6)
    nudge = np.full(N, 0.5)
    nudge[1] = 0.1
    state = turned(state, nudge)
    for i in range(20):
        state, _ = walk.step(state, jnp.zeros((N, 12)), jax.random.key(i))
    np.testing.assert_allclose(state.command[:4, 2], [-0.3, -0.1, 0.5, 0.0], atol=1e-5)
    np.testing.assert_allclose(state.goal[:4, 2], [-0.3, -0.1, 0.5, 0.0], atol=1e-5)


def test_without_it_commands_are_told_as_given():
    """And the state has nothing more. Control: with it."""
    states = [holding(hold).reset(KEY, N) for hold in (NO_HOLD, HOLD)]
    assert states[0].hold is None and Commands().heading_hold == NO_HOLD
    np.testing.assert_allclose(states[0].command, states[1].hold.given, atol=1e-6)
    assert len(jax.tree.leaves(states[1])) == len(jax.tree.leaves(states[0])) + 3
