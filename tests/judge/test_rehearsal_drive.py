"""Rehearsals in blocks: the same as the twin tick by tick, robot for robot; and each condition does what it says."""

from dataclasses import replace
from pathlib import Path

import mujoco
import mujoco.batch
import numpy as np
import pytest
from rehearsal_policies import PUPPER, STANDING, TOPPLING, TWITCHING

from walkies.deploy.controllers.neural_controller import NeuralController, gravity_in_body
from walkies.deploy.policy_file import read
from walkies.judge.loop import Loop, Many, layout, rollout, standing
from walkies.judge.rehearsal import world
from walkies.judge.rehearsal.conditions import BASE, DEGREE, Condition, scripts
from walkies.judge.rehearsal.drive import drive, held
from walkies.judge.trace import World, rehearse
from walkies.robots import load_spec
from walkies.sim import conditions as vocabulary
from walkies.sim.base import torque_range

QUIET = replace(BASE, noise=0.0, friction=1.0, imu_period=0.0, encoder_step=0.0)
"""The nominal model exactly, behind its queues."""
DT = 10 / 520


def twin_end(condition, seed, actions, command_queue, imu_queue):
    """Where the tick-by-tick twin ends on the same script."""
    script = scripts(PUPPER, [seed], actions, DT)

    def action_at(time):
        return int(np.clip(np.floor((time - 1.0) / DT + 1e-6), 0, actions - 1))

    def push(time):
        begins = abs((time - 1.0) / DT - round((time - 1.0) / DT)) < 1e-6 and time > 1 - 1e-9
        happens = begins and script.chance[0, action_at(time)] < condition.push_rate * DT
        return condition.push_speed * script.push_direction[0, action_at(time)] if happens else None

    start = np.concatenate([[0, 0, PUPPER.reset_height[0]], np.zeros(4), TWITCHING.default_joint_pos])
    start[[3, 6]] = np.cos(script.yaw[0] / 2), np.sin(script.yaw[0] / 2)
    surroundings = World(command_queue, imu_queue, pushes=push)
    seconds = 1.0 + actions * DT
    return rehearse(
        TWITCHING, PUPPER, lambda t: script.command[0, action_at(t)], seconds, world=surroundings, qpos=start[None]
    ).final_qpos[0]


@pytest.mark.parametrize(("command_queue", "imu_queue"), [(8, 10), (0, 0), (13, 4)])
def test_blocks_are_the_twins_ticks(command_queue, imu_queue):
    condition = replace(
        QUIET, command_delay=command_queue / 520, imu_delay=imu_queue / 520, push_speed=0.1, push_rate=3.0
    )
    end = drive(TWITCHING, PUPPER, [condition], [3], 104 * DT).final_qpos[0]
    np.testing.assert_allclose(end, twin_end(condition, 3, 104, command_queue, imu_queue), atol=1e-9)


@pytest.mark.parametrize(("command_queue", "imu_queue"), [(9, 10), (8, 11)])
def test_one_tick_more_of_delay_ends_elsewhere(command_queue, imu_queue):
    """Negative control of the test above."""
    end = drive(TWITCHING, PUPPER, [QUIET], [3], 104 * DT).final_qpos[0]
    assert np.max(np.abs(end - twin_end(QUIET, 3, 104, command_queue, imu_queue))) > 1e-5


def test_a_robot_does_not_depend_on_the_others_nor_on_threads():
    conditions = [BASE, replace(BASE, command_delay=0.03, kp=0.8), replace(BASE, push_speed=0.3)]
    together = drive(TWITCHING, PUPPER, conditions, [5, 6, 7], 1.0, threads=2)
    alone = drive(TWITCHING, PUPPER, conditions[1:2], [6], 1.0, threads=1)
    np.testing.assert_array_equal(together.final_qpos[1], alone.final_qpos[0])
    assert together.power[1] == alone.power[0]


def test_falls_are_seen_and_told():
    fallen = drive(TOPPLING, PUPPER, [BASE] * 2, [0, 1], 3.0)
    assert set(fallen.cause) <= {"tilt", "trunk touched the ground"} and np.all(fallen.fell_at < 3.0)
    stood = drive(STANDING, PUPPER, [BASE] * 2, [0, 1], 3.0)
    assert set(stood.cause) == {""} and np.all(stood.fell_at == pytest.approx(3.0, abs=DT))
    command = scripts(PUPPER, [0, 1], 156, DT)
    settled = command.since_change * DT >= 1.0
    speed = [np.linalg.norm(c[s][:, :2], axis=-1).mean() for c, s in zip(command.command, settled, strict=True)]
    np.testing.assert_allclose(stood.lin_vel_error, speed, atol=0.03)


def test_a_simulation_that_mujoco_gives_up_leaves_the_others_alone():
    """With memory for a robot in the air and not for one in the ground, only the latter is reported."""
    spec = load_spec(PUPPER, visuals=False, solver_iterations=20)
    for memory in range(20_000, 80_000, 1_000):
        spec.memory = memory
        batch = mujoco.batch.Batch(spec.compile(), 2, 1)
        batch.bind("qpos")[:, 2] = 5.0, 0.02
        out, ok = rollout(batch, np.zeros((2, 3, 12)), np.array([0, 1]), ("qpos", "qvel", "actuator_force"))
        if np.any(batch.status != 0):
            break
    assert batch.status[0] == 0 and batch.status[1] != 0, "no memory size let MuJoCo raise for one robot only"
    assert ok.tolist() == [True, False]
    gravity = 9.81 * 0.004**2 * np.array([1, 3, 6])
    np.testing.assert_allclose(5.0 - out["qpos"][0, :, 2], gravity, rtol=1e-3)
    np.testing.assert_array_equal(out["qpos"][1, :, 2], 0.02)
    assert np.all(out["actuator_force"][1] == 0)


def robots(*conditions, seeds=None, tick_rate=520.0):
    """(batch, given, script) of robots with their conditions applied."""
    given = vocabulary.columns(conditions)
    script = scripts(PUPPER, seeds or range(len(conditions)), 10, DT)
    model = world.model_for(PUPPER, tick_rate, bool(given["backlash"].any()))
    batch = mujoco.batch.Batch(model, len(conditions), 1)
    world.apply(batch, PUPPER, given, script)
    return batch, given, script


def set_motors(batch, kp, kd, low, high):
    vocabulary.set_servos(batch, kp, kd)
    vocabulary.set_torque_limits(batch, low, high)


def test_every_condition_reaches_the_simulation():
    """Each field of a condition, changed alone, ends a short rehearsal elsewhere; an unchanged one does not."""
    other = {
        "friction": 0.05, "command_delay": 0.03, "imu_delay": 0.04, "payload": 0.4, "mass": 1.2, "com_x": 0.02,
        "com_y": 0.01, "push_speed": 0.3, "push_rate": 9.0, "side_force": 3.0, "slope": 0.1, "contact_time": 0.05,
        "elliptic": 1.0, "twisting": 1.0, "kp": 0.7, "kd": 1.3, "weak_leg": 0.5, "torque_limit": 0.3,
        "no_load_speed": 3.0, "backlash": 0.02, "noise": 2.0, "imu_tilt": 0.1, "encoder_bias": 0.05,
        "frictionloss": 2.0, "gyro_bias": 0.1, "imu_period": 0.03, "encoder_step": 0.02,
    }  # fmt: skip
    assert set(other) | {"tick_rate"} == set(Condition.__dataclass_fields__)
    usual = replace(BASE, push_speed=0.05, push_rate=3.0)
    plain = [
        usual,
        usual,
        *(replace(usual, **{k: v}) for k, v in other.items() if k not in ("no_load_speed", "backlash")),
    ]
    ends = drive(TWITCHING, PUPPER, plain, [1] * len(plain), 0.7).final_qpos
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.all(np.max(np.abs(ends[2:] - ends[0]), axis=1) > 1e-6)
    weak = replace(usual, torque_limit=0.4)
    slow = drive(TWITCHING, PUPPER, [weak, replace(weak, no_load_speed=3.0)], [1, 1], 0.7).final_qpos
    assert np.max(np.abs(slow[1] - slow[0])) > 1e-6
    loose = drive(TWITCHING, PUPPER, [replace(usual, backlash=0.02)], [1], 0.7).final_qpos
    assert loose.shape[1] == 31 and np.max(np.abs(loose[0, :3] - ends[0, :3])) > 1e-6
    late = drive(TWITCHING, PUPPER, [replace(usual, tick_rate=480.0)], [1], 0.7).final_qpos
    assert np.max(np.abs(late - ends[0])) > 1e-6


def test_slope_is_gravity_turned_and_the_imu_knows():
    angle = 7 * DEGREE
    batch, given, script = robots(replace(BASE, slope=angle), BASE)
    down = vocabulary.down(given["slope"], script.slope_direction)
    np.testing.assert_allclose(np.arccos(-down[:, 2]), [angle, 0.0], atol=1e-9)
    np.testing.assert_allclose(batch.expand("opt.gravity"), 9.81 * down, atol=1e-9)
    # A robot that lies flat on the ground sees gravity where it is.
    np.testing.assert_allclose(
        gravity_in_body(vocabulary.level(given["slope"], script.slope_direction)), down, atol=1e-12
    )


@pytest.mark.parametrize(("friction", "slides"), [(0.05, True), (0.8, False)])
def test_ice_on_a_slope_is_slid_down_at_the_known_rate(friction, slides):
    """g (sin θ − μ cos θ), from the second in which the controller only stands."""
    angle = 6 * DEGREE
    end = drive(STANDING, PUPPER, [replace(BASE, slope=angle, friction=friction, noise=0.0)], [0], 2 * DT)
    seconds = 1.0 + 2 * DT
    expected = 0.5 * 9.81 * (np.sin(angle) - friction * np.cos(angle)) * seconds**2
    moved = float(np.linalg.norm(end.final_qpos[0, :2]))
    assert moved == pytest.approx(expected, rel=0.15) if slides else moved < 0.02


def test_side_force_accelerates_a_floating_robot():
    """½ F t² / m, against a robot beside it without that force."""
    batch, *_ = robots(replace(BASE, side_force=4.0), BASE)
    batch.bind("qpos")[:, 2] = 5.0
    set_motors(batch, *(np.zeros((2, 12)),) * 4)
    centre = batch.bind("subtree_com")
    batch.rollout(104, np.zeros((2, 104, 12)))
    shift = centre[0, 0] - centre[1, 0]
    mass = batch.expand("body_mass")[0].sum()
    assert np.linalg.norm(shift[:2]) == pytest.approx(0.5 * 4.0 / mass * 0.1**2, rel=0.05)
    assert abs(shift[2]) < 1e-6


def test_payload_mass_and_centre_of_mass():
    batch, *_ = robots(
        replace(BASE, payload=0.5), replace(BASE, mass=1.2), replace(BASE, com_x=0.02, com_y=-0.01), BASE
    )
    weight = batch.expand("body_mass").sum(axis=1)
    np.testing.assert_allclose(weight / weight[3], [1 + 0.5 / weight[3], 1.2, 1.0, 1.0])
    trunk = batch.model.body("base_link").id
    shift = batch.expand("body_ipos")[2, trunk] - batch.expand("body_ipos")[3, trunk]
    np.testing.assert_allclose(shift, [0.02, -0.01, 0.0], atol=1e-12)


def test_contacts_are_softer_or_elliptic():
    batch, *_ = robots(replace(BASE, contact_time=0.06), replace(BASE, elliptic=1.0), BASE)
    assert [batch.get_model(i).opt.cone for i in range(3)] == [0, 1, 0]
    assert batch.get_model(1).opt.impratio == 100 and batch.get_model(2).opt.impratio == 10
    conditions = [replace(BASE, contact_time=time, noise=0.0) for time in (0.005, 0.02, 0.08)]
    height = drive(STANDING, PUPPER, conditions, [0] * 3, 1.0).final_qpos[:, 2]
    assert height[0] > height[1] + 1e-4 and height[1] > height[2] + 1e-4, "softer ground is stood in deeper"


def test_contacts_that_resist_twisting():
    """Those of the robots that are told so."""
    batch, *_ = robots(replace(BASE, twisting=1.0), BASE)
    assert set(batch.get_model(0).geom_condim) == {6} and set(batch.get_model(1).geom_condim) == {3}


def test_a_held_command_begins_once_actions_have_faded_in():
    script = scripts(PUPPER, [0, 1], 60, DT)
    given = held(script, (0.0, 0.0, 1.5), 52)
    assert given.command.shape == script.command.shape and given.since_change.shape == script.since_change.shape
    assert not given.command[:, :52].any() and np.all(given.command[:, 52:] == [0.0, 0.0, 1.5])
    assert not given.since_change[:, :52].any() and given.since_change[1, 52:].tolist() == list(range(8))
    np.testing.assert_array_equal(given.noise, script.noise)


def test_turning_is_measured_as_the_robot_turns():
    """One that stands does not turn whatever it is told, and misses a held command by all of it: the seconds of the
    fade-in, in which nothing is commanded, do not count, be it one or two."""
    for edition in (2025, 2026):
        told = drive(replace(STANDING, edition=edition), PUPPER, [BASE] * 2, [0, 1], 5.0, command=(0.0, 0.0, 1.5))
        np.testing.assert_allclose(told.yaw_rate, 0.0, atol=0.02)
        np.testing.assert_allclose(told.yaw_rate_error, 1.5, atol=0.03)


def test_who_follows_a_held_command_is_measured_turning_its_way():
    """Control of the test above: a policy that walks, told to turn left and right, misses what it does not reach."""
    walker = read(Path(__file__).parents[1] / "browser" / "walker.json")
    for side in (1.0, -1.0):
        told = drive(walker, PUPPER, [BASE] * 2, [0, 1], 4.0, command=(0.0, 0.0, 1.5 * side))
        assert np.all(side * told.yaw_rate > 0.5)
        assert np.all(told.yaw_rate_error >= 1.5 - side * told.yaw_rate - 1e-9)


def test_motors():
    """Torque that falls with speed in a motor's own direction, and one leg that is weak."""
    given = vocabulary.columns([replace(BASE, no_load_speed=10.0), replace(BASE, weak_leg=0.25, torque_limit=2.0)])
    script = scripts(PUPPER, [0, 1], 2, DT)
    factor = vocabulary.strength(given["weak_leg"], script.weak_leg, PUPPER)
    _, _, limit = vocabulary.motors_of(given, PUPPER, script.weak_leg)
    leg = script.weak_leg[1]
    np.testing.assert_array_equal(factor[0], 1.0)
    np.testing.assert_array_equal(
        factor[1].reshape(4, 3), np.where(np.arange(4) == leg, 0.25, 1.0)[:, None] * np.ones(3)
    )
    speed = np.tile([0.0, 5.0, 20.0, -5.0, -20.0, 10.0] * 2, (2, 1))
    low, high = torque_range(limit, given["no_load_speed"][:, None], speed)
    np.testing.assert_allclose(high[0, :6], [3.0, 1.5, 0.0, 3.0, 3.0, 0.0])
    np.testing.assert_allclose(low[0, :6], [-3.0, -3.0, -3.0, -1.5, 0.0, -3.0])
    np.testing.assert_allclose(high[1], 2.0 * factor[1])


def test_backlash_is_play_between_motor_and_link():
    batch, *_ = robots(replace(BASE, backlash=0.02), replace(BASE, backlash=0.001))
    model, where = batch.model, layout(batch.model, PUPPER)
    plain = world.model_for(PUPPER, 520.0, backlash=False)
    assert model.body_mass.sum() == pytest.approx(plain.body_mass.sum()) and model.nu == 12
    assert np.all(np.diff(where.qpos) == 2) and plain.nq == 19 and model.nq == 31
    batch.bind("qpos")[:, 2] = 0.165
    batch.bind("qpos")[:, where.qpos] = PUPPER.default_pose
    gains = (np.full((2, 12), 5.0), np.full((2, 12), 0.25), np.full((2, 12), -3.0), np.full((2, 12), 3.0))
    set_motors(batch, *gains)
    batch.rollout(1040, np.tile(PUPPER.default_pose, (2, 1040, 1)))
    gaps = np.abs(batch.bind("qpos")[:, where.qpos + 1])
    assert np.all(gaps.max(axis=1) > [0.018, 0.0008]), "the robot's weight lies on the ends of the play"
    assert np.all(gaps <= [[0.023], [0.004]])


def test_sensors_are_misaligned_and_biased_by_what_was_asked(monkeypatch):
    from walkies.deploy.controllers import neural_controller

    seen = []
    real = neural_controller.tick
    monkeypatch.setattr(neural_controller, "tick", lambda *a, **k: seen.append(a[4]) or real(*a, **k))
    conditions = [replace(QUIET, imu_tilt=0.1), replace(QUIET, encoder_bias=0.05), replace(QUIET, noise=2.0), QUIET]
    end = drive(STANDING, PUPPER, conditions, [1] * 4, 2 * DT).final_qpos
    start, first = seen[0], seen[520]
    gravity = gravity_in_body(first.orientation)
    assert np.arccos(gravity[0] @ gravity[3]) == pytest.approx(0.1, abs=1e-3)
    np.testing.assert_allclose(np.abs(start.joint_position[1] - start.joint_position[3]), 0.05, atol=1e-12)
    # The servo trusts the same encoder: the reading comes near the target, the joint does not.
    read, true = (np.abs(q[1] - q[3]).mean() for q in (first.joint_position, end[:, 7:]))
    assert read < 0.025 and true > 0.03
    noise = first.joint_position[2] - first.joint_position[3]
    assert 0.03 < np.abs(noise).max() <= 0.1
    np.testing.assert_array_equal(gravity[2] == gravity[3], [False] * 3)


def test_different_clocks_are_refused():
    with pytest.raises(ValueError, match="tick_rate"):
        drive(STANDING, PUPPER, [BASE, replace(BASE, tick_rate=500.0)], [0, 1], 1.0)


def test_a_robot_that_speaks_the_idealized_protocol_is_rehearsed_too():
    """At its own rate, with physics steps of at most 2 ms, and without a start-up."""
    generic = replace(PUPPER, protocol="generic")
    own_rate = replace(BASE, tick_rate=0.0, noise=0.0)
    stood = drive(STANDING, generic, [own_rate], [0], 1.0)
    assert stood.cause[0] == "" and stood.fell_at[0] == pytest.approx(1.0)
    assert world.model_for(generic, 50.0, False).opt.timestep == pytest.approx(0.002)
    assert world.model_for(PUPPER, 520.0, False).opt.timestep == 1 / 1040
    toppled = drive(TOPPLING, generic, [own_rate], [0], 3.0)
    assert toppled.cause[0] in ("tilt", "trunk touched the ground")


def test_a_sample_of_the_imu_is_read_until_the_next_and_angles_come_in_steps():
    """10 ms are 10.4 physics steps. Control: without a period each tick's reading is new."""
    given = vocabulary.columns([BASE, replace(BASE, imu_period=0.0, encoder_step=0.0)])
    script = scripts(PUPPER, [0, 0], 10, DT)
    batch = mujoco.batch.Batch(world.model_for(PUPPER, 520.0, backlash=False), 2, 1)
    plant = world.plant(given, script, PUPPER, batch.model.opt.timestep)
    loop = Loop(Many(batch), PUPPER, NeuralController(TWITCHING, PUPPER), plant)
    start = standing(batch.model, PUPPER, TWITCHING.default_joint_pos, np.zeros(2))
    loop.reset(start)
    loop.activate()
    spins, late = [start[:, :3] * 0], plant.imu_delay[0]
    for tick in range(1, 90):
        motion = loop.advance(ticks=1)
        spins += list(motion.qvel[:, 1:, 3:6].transpose(1, 0, 2))
        now = loop.read(None)
        sampled = int(int(2 * tick / 10.4) * 10.4) - late
        np.testing.assert_allclose(now.gyro[0], spins[max(sampled, 0)][0], atol=1e-12)
        np.testing.assert_allclose(now.gyro[1], spins[max(2 * tick - late, 0)][1], atol=1e-12)
        steps = now.joint_position / 0.00038
        np.testing.assert_allclose(steps[0], np.round(steps[0]), atol=1e-6)
        assert np.abs(now.joint_position[0] - loop.qpos[0, loop.where.qpos]).max() <= 0.00019 + 1e-12
    assert np.abs(steps[1] - np.round(steps[1])).max() > 0.05
    assert np.abs(now.gyro[0] - now.gyro[1]).max() > 1e-4


@pytest.mark.parametrize(("edition", "still"), [(2025, 1.0), (2026, 2.0)])
def test_commands_wait_until_the_actions_have_faded_in(edition, still, monkeypatch):
    """What the controller is told, in the age that the file is written for. Control: the script of the other age."""
    told, tick = [], NeuralController.tick

    def watched(controller, sensors, velocity_command, emergency_stop=False):
        told.append((controller.memory.ticks / controller.tick_rate, np.array(velocity_command, float)))
        return tick(controller, sensors, velocity_command, emergency_stop)

    monkeypatch.setattr(NeuralController, "tick", watched)
    drive(replace(STANDING, edition=edition), PUPPER, [BASE], [1], 3.0)
    first = next(time for time, command in told if np.any(np.nan_to_num(command)))
    assert first == pytest.approx(still + still, abs=2 * DT), "start-up takes as long as the fade-in"
    own, other = (scripts(PUPPER, [1], 156, DT, seconds).command[0].any(axis=1).argmax() * DT for seconds in (1.0, 2.0))
    assert own == pytest.approx(1.0, abs=DT) and other == pytest.approx(2.0, abs=DT)
