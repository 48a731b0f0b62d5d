"""The adaptive curriculum: from the nominal robot to the ranges as given, by what happened in training alone."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_simulator import plain_walk
from hypothesis import given
from hypothesis import strategies as st

from pupper_frame import SLICES
from walkies.errors import UserError
from walkies.rl import train
from walkies.rl.recipes import PPO
from walkies.robots import PUPPER, load_model
from walkies.run.saved import checkpoint
from walkies.sim import nominal_params
from walkies.sim.mujoco import MujocoSimulator
from walkies.sim.native import NativeSimulator
from walkies.tasks import curriculum
from walkies.tasks.curriculum import FULL, Curriculum, Narrowed, Ramp, narrowed
from walkies.tasks.randomization import (
    COURSE,
    NONE,
    WALKIES,
    Latency,
    Randomization,
    Range,
    quantities,
    turning_freely,
)  # fmt: skip
from walkies.tasks.randomization.draw import draw
from walkies.tasks.walk import Walk, WalkConfig

KEY = jax.random.key(0)
DT = 0.004
WILD = replace(
    WALKIES,
    contact=replace(WALKIES.contact, softness=Range(0.6, 1.5), friction=Range(0.3, 0.5)),
    latency=Latency(Range(0.0, 0.02), Range(0.0, 0.01), Range(0.0, 0.06)),
    pushes=replace(WALKIES.pushes, force=Range(2.0, 5.0)),
    motor=replace(WALKIES.motor, kp=Range(0.9, 0.9)),
)
"""With what the ready sets leave out: late jitter, forces, a range beside its nominal value, a fixed one beside it."""
SETS = {"course": COURSE, "walkies": WALKIES, "wild": WILD}
ALWAYS = Curriculum(adaptive=True, steps=400, falls=1e9, lin_vel_error=1e9)
OFF = Curriculum(adaptive=False)
NEVER = replace(ALWAYS, start=1.0, lin_vel_error=1e-9)
RECIPE = replace(PPO, num_envs=4, horizon=5, hidden=(8,), critic_hidden=(8,), minibatches=1, time_limits="rollout_end")
ROLLOUT = 4 * 5


@pytest.fixture(scope="module")
def nominal():
    return nominal_params(load_model(PUPPER), PUPPER)


@cache
def drawing(name: str | None, moving: bool):
    """The compiled draw of a set (None: nothing randomized), narrowed to a difficulty or as it is."""
    config, params = SETS.get(name, NONE), nominal_params(load_model(PUPPER), PUPPER)
    return jax.jit(lambda d: draw(KEY, 64, at(config, d) if moving else config, params, DT))


def drawn(name: str | None, difficulty: float | None = None):
    return drawing(name, difficulty is not None)(jnp.float32(difficulty or 0.0))


def same(a, b) -> bool:
    leaves, others = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(leaves) == len(others) and all(np.array_equal(x, y) for x, y in zip(leaves, others, strict=True))


def at(config: Randomization, difficulty: float) -> Randomization:
    return narrowed(config, jnp.asarray(difficulty, jnp.float32))


@pytest.mark.parametrize("name", SETS)
def test_difficulty_one_is_the_set_to_the_bit(name):
    """Quantity by quantity to the bit; compiled into a draw, but for how the compiler rounds."""
    uniform = jax.random.uniform(KEY, (1000,))
    for difficulty, equal in ((1.0, True), (0.99, False)):
        pairs = zip(quantities(SETS[name]), quantities(at(SETS[name], difficulty)), strict=True)
        found = [same(plain.range.value(uniform), moving.range.value(uniform)) for plain, moving in pairs]
        assert all(found) == equal
        close = jax.tree.map(lambda a, b: np.allclose(a, b, 1e-5, 1e-5), drawn(name, difficulty), drawn(name))
        assert all(jax.tree.leaves(close)) == equal


@pytest.mark.parametrize("name", SETS)
def test_difficulty_zero_is_the_nominal_robot(name):
    """Whatever the set; a thousandth more is not."""
    expected = drawn(None)
    for difficulty, equal in ((0.0, True), (0.001, False)):
        robots = drawn(name, difficulty)
        assert same(robots.params._replace(gravity=0), expected.params._replace(gravity=0)) == equal
        np.testing.assert_allclose(robots.params.gravity[:3, 2], -9.81, rtol=1e-6)
        assert np.allclose(robots.privileged[:, :9], expected.privileged, atol=1e-6) == equal
    robots = drawn(name, 0.0)
    assert not np.any(robots.sensor_bias) and not np.any(robots.delays.imu)
    assert robots.down is None or np.array_equal(robots.down, np.broadcast_to([0.0, 0.0, -1.0], (64, 3)))


def test_every_quantity_is_narrowed_and_nothing_else():
    given_, narrow = quantities(WILD), quantities(at(WILD, 0.0))
    for before, after, plain in zip(given_, narrow, quantities(NONE), strict=True):
        np.testing.assert_array_equal(
            [after.range.value(0.0), after.range.value(1.0)], [plain.range.low, plain.range.high], before.name
        )
        assert (after.range.fixed, after.range.off, after.range.reach) == (
            before.range.fixed, before.range.off, before.range.reach,
        )  # fmt: skip
    assert at(WILD, 0.5).pushes.kick_interval == WILD.pushes.kick_interval
    assert at(WILD, 0.5).pushes.force_duration == WILD.pushes.force_duration


@given(st.floats(0, 1), st.floats(-3, 3), st.floats(0, 3), st.floats(-3, 3))
def test_the_ends_move_in_a_straight_line(difficulty, low, width, nominal):
    moving = Narrowed(low, low + width, Range(nominal, nominal), jnp.float32(difficulty))
    for uniform, end in ((0.0, low), (1.0, low + width)):
        np.testing.assert_allclose(moving.value(uniform), nominal + difficulty * (end - nominal), atol=3e-6)


def test_torsional_friction_grows_with_the_steps_and_with_nothing_else():
    """From none to the range as given, at any difficulty. Whoever has it in full from the start gets a range like the
    others."""
    config = WalkConfig(twisting=Ramp(start=0.0, steps=100, after=20))
    walk, full = plain_walk(config), plain_walk(replace(config, twisting=FULL))
    high = WALKIES.contact.torsion.high

    def most(task: Walk, steps: int, difficulty: float) -> float:
        found = task.at(jnp.float32(steps), jnp.float32(difficulty)).randomization.contact.torsion
        np.testing.assert_allclose(found.value(0.5), (found.value(0.0) + found.value(1.0)) / 2, rtol=1e-6)
        return float(found.value(1.0))

    for steps, share in ((0, 0.0), (20, 0.0), (40, 0.25), (100, 1.0), (10**6, 1.0)):
        assert most(walk, steps, 0.0) == most(walk, steps, 1.0) == pytest.approx(share * high)
        assert (most(full, steps, 0.0), most(full, steps, 1.0)) == pytest.approx((1.0, high))
    before, after = (quantities(walk.at(jnp.float32(n), jnp.float32(0.5)).randomization) for n in (0, 100))
    moved = [a.name for a, b in zip(before, after, strict=True) if a.range.value(1.0) != b.range.value(1.0)]
    assert moved == ["torsion"]
    drawn = draw(KEY, 64, walk.at(jnp.float32(0)).randomization, nominal_params(load_model(PUPPER), PUPPER), DT)
    assert not np.any(drawn.params.torsion)


def test_ground_that_never_resists_turning_stays_so():
    """A range of one value costs nothing: it does not begin to grow."""
    walk = plain_walk(WalkConfig(randomization=turning_freely(WALKIES)))
    assert walk.at(jnp.float32(0)).randomization.contact.torsion == Range(1.0, 1.0)
    assert plain_walk(WalkConfig()).at(jnp.float32(0)).randomization.contact.torsion != Range(1.0, 1.0)


def test_the_critic_is_told_what_was_drawn(nominal):
    robots = drawn("walkies", 0.4)
    told = np.array(robots.privileged)
    np.testing.assert_allclose(told[:, 0], robots.params.friction - 1.0, atol=1e-6)
    assert told[:, 0].min() >= 0.4 * -0.6 - 1e-6 and told[:, 0].max() <= 0.4 * 0.4 + 1e-6
    np.testing.assert_allclose(told[:, 8] * 0.02, robots.delays.imu * DT, atol=DT / 2 + 1e-6)
    shift = robots.params.body_ipos[:, 0, 0] - nominal.body_ipos[0, 0, 0]
    assert np.corrcoef(told[:, 3], shift)[0, 1] > 0.9
    assert not np.allclose(told, drawn("walkies").privileged)


def metrics(fell=0.0, lin_vel_error=0.0):
    return {"fell": jnp.float32(fell), "lin_vel_error": jnp.float32(lin_vel_error)}


@pytest.mark.parametrize(
    ("seen", "passed"),
    [
        (metrics(), True),
        (metrics(fell=0.0009), True),
        (metrics(fell=0.0011), False),
        (metrics(lin_vel_error=0.29), True),
        (metrics(lin_vel_error=0.31), False),
        (metrics(lin_vel_error=np.nan), False),
        (metrics(fell=np.nan), False),
    ],
)
def test_marks(seen, passed):
    """0.05 falls a second are 0.001 in a control step of 20 ms."""
    assert bool(curriculum.passes(Curriculum(), seen, 0.02)) == passed


def test_widens_narrows_and_stays_within_bounds():
    config = Curriculum(steps=100)
    for before, passed, after in ((0.5, True, 0.7), (0.5, False, 0.3), (0.9, True, 1.0), (0.1, False, 0.0)):
        found = curriculum.advance(config, jnp.float32(before), jnp.bool_(passed), 20)
        np.testing.assert_allclose(found, after, rtol=1e-6)
        assert found.dtype == jnp.float32


def quick(function):
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@cache
def compiled(config: Curriculum):
    """An iteration, compiled fast."""
    return quick(partial(train.iterate, RECIPE, plain_walk(WalkConfig(curriculum=config))))


def begun(config: Curriculum):
    return train.init(RECIPE, plain_walk(WalkConfig(curriculum=config)), KEY)


def trained(config: Curriculum, iterations: int, state=None):
    """The state after so many iterations, and what each reported."""
    state, told = begun(config) if state is None else state, []
    iterate = compiled(replace(config, start=0.0))  # which only `begun` looks at
    for _ in range(iterations):
        state, found = iterate(state)
        told.append(float(found.get("difficulty", np.nan)))
    return state, told


def test_training_widens_while_the_policy_passes_and_narrows_while_it_fails():
    """20 steps a rollout of 400 for the whole way: a twentieth each; what is reported was in force in the rollout."""
    state, told = trained(ALWAYS, 3)
    np.testing.assert_allclose(told, [0.0, 0.05, 0.10], atol=1e-6)
    np.testing.assert_allclose(state.curriculum, 0.15, atol=1e-6)
    np.testing.assert_allclose(trained(NEVER, 3)[1], [1.0, 0.95, 0.90], atol=1e-6)


def test_training_at_full_difficulty_is_training_without_a_curriculum():
    """And at another difficulty it is not. Off, nothing is kept and nothing reported."""
    off, told = trained(OFF, 3)
    assert off.curriculum is None and np.isnan(told).all()
    full, _ = trained(replace(ALWAYS, start=1.0), 3)
    other, _ = trained(ALWAYS, 3)
    apart = [_distance(state.learner.params, off.learner.params) for state in (full, other)]
    assert apart[0] < 1e-5 < 1e-3 < apart[1]  # two programs, which round differently


def _distance(a, b):
    return max(float(jnp.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_the_first_robots_are_drawn_at_the_first_difficulty():
    for start, perfect in ((0.0, True), (0.5, False)):
        assert np.any(begun(replace(ALWAYS, start=start)).actors.state.sensor_bias) == (not perfect)


def test_without_difficulty_nobody_pushes_and_sensors_are_perfect():
    pushed = replace(WILD, pushes=replace(WILD.pushes, kick_interval=0.02))  # at every step
    walk = plain_walk(WalkConfig(randomization=pushed, curriculum=ALWAYS))
    for difficulty, quiet in ((0.0, True), (1.0, False)):
        task = walk.at(jnp.float32(0), jnp.float32(difficulty))
        state = quick(partial(task.reset, num_envs=9))(KEY)
        after, _ = quick(task.step)(state, jnp.zeros((9, 12)), KEY)
        kicked = np.any(after.physics.qvel[:, :2] != state.physics.qvel[:, :2])
        joints = after.history[:, SLICES["joint_position"]]
        offset = after.physics.qpos[:, 7:] - task.default_pose
        assert (kicked, np.allclose(joints, offset, atol=1e-6)) == (not quiet, quiet)
        assert np.any(after.lateness) == (not quiet)


def test_a_resumed_training_is_the_same_to_the_bit(tmp_path):
    """Forgetting the difficulty alone would make another training."""
    straight, _ = trained(ALWAYS, 4)
    half, _ = trained(ALWAYS, 2)
    checkpoint.save(tmp_path / "half", half, {})
    like = train.shapes(RECIPE, plain_walk(WalkConfig(curriculum=ALWAYS)), KEY)
    loaded, _ = checkpoint.load(tmp_path / "half", like)
    forgotten = loaded._replace(curriculum=jnp.float32(0.9))
    plain = lambda state: jax.tree.map(np.array, state._replace(key=jax.random.key_data(state.key)))  # noqa: E731
    assert same(plain(trained(ALWAYS, 2, loaded)[0]), plain(straight))
    assert not same(plain(trained(ALWAYS, 2, forgotten)[0]).learner, plain(straight).learner)


def test_both_simulators_walk_in_the_narrowed_world():
    """The same robots move alike on either, those of another difficulty do not; and training on MuJoCo widens."""
    robot = PUPPER
    model = load_model(robot, own_contacts=False, visuals=False, ground_sensors=True, solver_iterations=100)
    simulators = NativeSimulator(model, solver="exact", threads=1), MujocoSimulator(model, threads=1)
    walks = [
        Walk(robot, simulator, nominal_params(model, robot), WalkConfig(curriculum=ALWAYS)) for simulator in simulators
    ]

    def moved(walk, difficulty):
        task = walk.at(jnp.float32(0), difficulty)
        step = lambda state, key: (task.step(state, 0.1 * jax.random.normal(key, (6, 12)), key)[0], None)  # noqa: E731
        return jax.lax.scan(step, task.reset(KEY, 6), jax.random.split(KEY, 10))[0].physics.qpos

    (native, easy), (mujoco, _) = [
        [np.array(run(jnp.float32(difficulty))) for difficulty in (1.0, 0.0)]
        for run in (quick(partial(moved, walk)) for walk in walks)
    ]
    assert np.median(np.abs(native - mujoco).max(1)) < 1e-3 < 1e-2 < np.median(np.abs(native - easy).max(1))
    state = train.init(RECIPE, walks[1], KEY)
    after, told = quick(partial(train.iterate, RECIPE, walks[1]))(state)
    np.testing.assert_allclose([told["difficulty"], after.curriculum], [0.0, 0.05], atol=1e-6)


def test_checkpoints_with_and_without_are_told_apart(tmp_path):
    walks = {c.adaptive: plain_walk(WalkConfig(curriculum=c)) for c in (ALWAYS, OFF)}
    for has in (True, False):
        checkpoint.save(tmp_path / str(has), train.init(RECIPE, walks[has], KEY), {})
    like = {has: train.shapes(RECIPE, walk, KEY) for has, walk in walks.items()}
    assert checkpoint.load(tmp_path / "False", like[False])[0].curriculum is None
    with pytest.raises(UserError, match="it lacks curriculum"):
        checkpoint.load(tmp_path / "False", like[True])
    with pytest.raises(UserError, match="it has besides curriculum"):
        checkpoint.load(tmp_path / "True", like[False])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start": 1.5}, "--task.curriculum.start: got 1.5, expected from 0 to 1"),
        ({"steps": 0}, "--task.curriculum.steps: got 0, expected a whole number from 1 to"),
        ({"falls": -1.0}, "--task.curriculum.falls: got -1"),
        ({"lin_vel_error": float("nan")}, "--task.curriculum.lin-vel-error: got nan"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        plain_walk(WalkConfig(curriculum=Curriculum(**wrong)))
