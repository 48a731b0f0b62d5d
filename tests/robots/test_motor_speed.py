"""How fast a robot's motors are: what its record says is what training, examination and rehearsal simulate."""

from __future__ import annotations

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.judge.elsewhere import Elsewhere
from walkies.judge.exam import CONTROL_DT
from walkies.judge.loop import nominal_plant
from walkies.judge.rehearsal import world
from walkies.judge.rehearsal.conditions import base_of
from walkies.judge.rehearsal.drive import scripts
from walkies.robots import get_robot, load_model, names
from walkies.robots.folders import RECORD, ZOO
from walkies.robots.reading.infer import add
from walkies.robots.record import parse, read, torque_speed
from walkies.sim import actuation, conditions, make_simulator, nominal_params
from walkies.tasks.randomization import NONE
from walkies.tasks.walk import Walk, WalkConfig

SLOW = 2.0
"""rad/s; the motors of the dog below run at 6.17 against their damping alone."""
DOG = ZOO / "servo-dog"


@pytest.fixture(scope="module")
def dogs(tmp_path_factory):
    """The servo dog, and the same with slower motors, as its owner writes them."""
    place = tmp_path_factory.mktemp("robots")
    fast = add(DOG / "model.xml", "fast", place).robot
    add(DOG / "model.xml", "slow", place)
    path = place / "slow" / RECORD
    text, count = re.subn(r"speed = [0-9.]+ }", f"speed = {SLOW} }}", path.read_text())
    assert count == fast.num_joints
    path.write_text(text)
    return fast, read(place / "slow")


@pytest.mark.parametrize("name", names())
def test_in_the_zoo_damping_alone_does_it(name):
    """Or no speed is known: nothing that was trained before has changed."""
    assert np.isinf(get_robot(name).torque_speed).all()


def test_it_is_what_holds_a_joint_at_its_speed(dogs):
    """torque (1 − speed / torque_speed) = damping · speed. Without damping the two speeds are one."""
    _, slow = dogs
    joint = next(iter(parse(slow.mjcf.with_name(RECORD)).joints.values()))
    assert joint.speed == SLOW and joint.damping > 0
    ends = torque_speed(joint)
    assert joint.torque * (1 - SLOW / ends) == pytest.approx(joint.damping * SLOW)
    assert set(slow.torque_speed) == {ends} and ends > SLOW
    assert torque_speed(joint._replace(damping=0.0)) == SLOW
    assert torque_speed(joint._replace(speed=0.0)) == np.inf
    assert torque_speed(joint._replace(speed=joint.torque / joint.damping)) == np.inf


def test_a_speed_below_nothing_is_refused(dogs, tmp_path):
    _, slow = dogs
    path = tmp_path / RECORD
    path.write_text(slow.mjcf.with_name(RECORD).read_text().replace(f"speed = {SLOW}", "speed = -1.0", 1))
    with pytest.raises(UserError, match="and nothing below it"):
        parse(path)


def fastest(robot, simulator):
    """rad/s that joints reach in a tenth of a second, floating freely, on the way to far targets."""
    made = make_simulator(simulator, robot, threads=1)
    task = Walk(robot, made, nominal_params(made.model, robot), WalkConfig(randomization=NONE))
    params = made.prepare(task.nominal._replace(gravity=jnp.zeros((1, 3))), 1)
    pose = jnp.array(robot.default_pose)[None]
    qpos = jnp.concatenate([jnp.array([[0.0, 0.0, 5.0, 1.0, 0.0, 0.0, 0.0]]), pose], axis=1)
    state = actuation.initial_state(qpos, jnp.zeros((1, 6 + robot.num_joints)), pose)
    step, most = jax.jit(lambda state, target: actuation.step(made, params, state, target, jnp.zeros(1, int))), 0.0
    for _ in range(5):
        state, readings = step(state, pose + 0.7)
        assert readings.ok.all()
        most = max(most, float(jnp.abs(state.qvel[:, 6:]).max()))
    return most


@pytest.mark.parametrize("simulator", ["native", "mujoco"])
def test_no_joint_runs_faster_in_training(dogs, simulator):
    """Control: the same robot with its own motors."""
    fast, slow = dogs
    assert fastest(slow, simulator) <= 1.02 * SLOW
    assert fastest(fast, simulator) > 1.5 * SLOW


def test_examination_and_rehearsal_have_the_same_motors(dogs):
    """The slower of what a rehearsal asks for and what the robot has."""
    fast, slow = dogs
    assert np.isinf(nominal_plant(fast, 2).no_load_speed).all()
    np.testing.assert_array_equal(nominal_plant(slow, 2).no_load_speed, [slow.torque_speed] * 2)
    own = slow.torque_speed[0]
    for asked, expected in ((np.inf, own), (3.0 * own, own), (0.5 * own, 0.5 * own)):
        given = conditions.columns([replace(base_of(slow), no_load_speed=asked)])
        plant = world.plant(given, scripts(slow, [0], 2, CONTROL_DT), slow, 0.002)
        np.testing.assert_array_equal(plant.no_load_speed, np.full((1, slow.num_joints), expected))


def test_an_examination_in_another_simulator_has_them_too(dogs):
    """It weakens them by itself, whichever side of their range the loop has narrowed."""
    _, slow = dogs
    batch = mujoco.batch.Batch(load_model(slow, own_contacts=False, visuals=False), 2, 1)
    there = Elsewhere(batch, slow, None)
    limit = np.broadcast_to(slow.torque_limit, (2, slow.num_joints))
    conditions.set_torque_limits(batch, -limit, 0.3 * limit)
    params = there._params(np.arange(2))
    np.testing.assert_allclose(params.torque_limit, limit)
    np.testing.assert_allclose(params.torque_speed, [slow.torque_speed] * 2)
