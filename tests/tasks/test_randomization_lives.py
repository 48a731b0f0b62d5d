"""Randomization in the running task: what is drawn per step, what stays for an episode, nothing left after a reset."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_simulator import plain_walk
from scipy import stats

from walkies.rl.policy import Policy
from walkies.rl.rollout import rollout, start
from walkies.tasks.motion.task import SIGNALS, MotionConfig
from walkies.tasks.randomization import NONE, WALKIES, Randomization, Range, quantities
from walkies.tasks.signal import FRAME
from walkies.tasks.start import Start
from walkies.tasks.walk import WalkConfig

KEY = jax.random.key(5)
CALM = Start(fade_probability=0.0, stale_history=0.0, tilt=0.0, joint_position=0.0, joint_velocity=0.0, velocity=0.0)
NOISE = {
    "gyro_noise": ("gyro", Range(-0.1, 0.3)),
    "gravity_noise": ("gravity", Range(-0.05, 0.1)),
    "joint_position_noise": ("joint_position", Range(-0.02, 0.06)),
    "last_action_noise": ("last_action", Range(0.01, 0.03)),
    "joint_velocity_noise": ("joint_velocity", Range(-0.5, 0.7)),
    "motion_anchor_noise": ("motion_anchor", Range(-0.03, 0.05)),
}
N = 1500


def quick(function):
    """Compiled fast, to run slowly."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@cache
def noisy_frames() -> dict[str, np.ndarray]:
    """Signal → (3, N, size) of robots that stand still in a movement's first frame, step after step, less what is true
    (of gravity: all of it)."""
    sensing = replace(NONE.sensing, **{name: bounds for name, (_, bounds) in NOISE.items()})
    config = WalkConfig(
        randomization=replace(NONE, sensing=sensing), start=replace(CALM, fade_probability=1.0),
        observation=(*FRAME, "joint_velocity", *SIGNALS), motion=MotionConfig(file="sit"),
    )  # fmt: skip
    walk = plain_walk(config)
    state, frames, step = quick(partial(walk.reset, num_envs=N))(KEY), [], quick(walk.step)
    for key in jax.random.split(KEY, 3):
        state, _ = step(state, jnp.zeros((N, 12)), key)
        frames.append(np.array(state.history))
    seen = {name: np.array(frames)[..., part] for name, part in walk.contract.slices.items()}
    return seen | {"motion_anchor": seen["motion_anchor"] - [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]}


def test_all_noise_is_here():
    assert {q.name for q in quantities(WALKIES) if q.drawn == "step" and q.group == "sensing"} == set(NOISE)


@pytest.mark.parametrize("name", NOISE)
def test_noise_has_its_range_and_is_drawn_at_every_step(name):
    """Kolmogorov–Smirnov against the named distribution; a range 10% wider is rejected. Steps know nothing of each
    other, nor do axes."""
    part, bounds = NOISE[name]
    seen = noisy_frames()[part]

    def p_value(high: float) -> float:
        expected = np.random.default_rng(0).uniform(bounds.low, high, (20 * N, seen.shape[-1]))
        if part == "gravity":  # seen with a length of 1
            expected += [0.0, 0.0, -1.0]
            expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        return stats.ks_2samp(seen[1, :, 0], expected[:, 0]).pvalue

    width = bounds.high - bounds.low
    assert p_value(bounds.high) > 1e-3 and p_value(bounds.high + 0.1 * width) < 1e-6
    assert abs(np.corrcoef(seen[1, :, 0], seen[2, :, 0])[0, 1]) < 0.1
    assert abs(np.corrcoef(seen[1, :, 0], seen[1, :, 1])[0, 1]) < 0.1


WIDE = replace(
    WALKIES,
    latency=replace(
        WALKIES.latency, command_delay=Range(0.0, 0.02), command_jitter=Range(0.0, 0.02), imu_delay=Range(0.0, 0.1)
    ),
    pushes=replace(WALKIES.pushes, force=Range(1.0, 5.0), force_interval=0.05, kick_interval=0.05),
)
ROBOTS, LIVES = 200, 25


@cache
def lives(randomization: Randomization) -> tuple:
    """Robots whose episodes end with every second step: their first state, and that after LIVES of them."""
    walk = plain_walk(WalkConfig(randomization=randomization, episode_seconds=0.04))
    assert walk.time_limit == 2
    policy = Policy(walk.observation_size, walk.action_space, hidden=(4,))
    params = policy.init(KEY)
    act = partial(rollout, walk, policy, params, lambda x: x, lambda x: x[:, 0], horizon=2 * LIVES)
    first = quick(partial(start, walk, num_envs=ROBOTS, stagger=False))(KEY)
    actors, rows = quick(act)(actors=first, key=KEY)
    assert np.array(rows.done).sum() == LIVES * ROBOTS
    return first.state, actors.state


def excess(state) -> float:
    """By how much the widest-spread of some drawn numbers leave their ranges, in widths of the ranges."""
    walk = plain_walk(WalkConfig())
    nominal = walk.nominal
    shown = {
        "kp": state.params.kp[:, 0] / nominal.kp[:, 0] / (state.params.torque_limit / nominal.torque_limit)[:, 0],
        "friction": state.params.friction,
        "strength": (state.params.torque_limit / nominal.torque_limit)[:, 3],
        "frictionloss": (state.params.dof_frictionloss / nominal.dof_frictionloss)[:, 3],
        "armature": (state.params.dof_armature / nominal.dof_armature)[:, 3],
        "mass": (state.params.body_mass / nominal.body_mass)[:, 5],
        "gyro_bias": state.sensor_bias[:, 0],
        "encoder_bias": state.sensor_bias[:, 7],
    }
    group = {q.name: q.group for q in quantities(WIDE)}
    worst = 0.0
    for name, values in shown.items():
        bounds = getattr(getattr(WIDE, group[name]), name)
        width = bounds.high - bounds.low
        beyond = np.maximum(np.max(values) - bounds.high, bounds.low - np.min(values))
        assert np.ptp(values) > 0.9 * width, f"{name} is still drawn over its whole range"
        worst = max(worst, float(beyond / width))
    return worst


def test_nothing_accumulates_over_many_lives():
    _, old = lives(WIDE)
    assert excess(old) < 1e-4
    # Negative control: factors of two lives multiplied.
    twice = old._replace(params=old.params._replace(dof_armature=old.params.dof_armature**2 / 0.0016))
    assert excess(twice) > 0.2


def test_a_new_life_knows_nothing_of_the_last():
    """All that runs through an episode is as at the start of the first: forces, late targets, readings, clock."""
    first, old = lives(WIDE)
    assert not np.any(old.force.left) and not np.any(old.lateness) and not np.any(old.action)
    np.testing.assert_array_equal(np.unique(old.clock), np.unique(first.clock))
    np.testing.assert_array_equal(old.physics.targets, first.physics.targets)
    assert not np.any(old.air_time) and not np.any(old.goal) and not np.any(old.physics.qacc_warmstart)
    assert np.ptp(old.imu, axis=1).max() == 0.0, "readings from before birth are those of birth"
    for one, other in zip(jax.tree.leaves(old), jax.tree.leaves(first), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
