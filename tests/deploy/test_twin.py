"""The controller twin: golden vectors, agreement with what training trains, and every trait of the real controller."""

import json
import subprocess
import sys
from dataclasses import replace

import mujoco
import numpy as np
import plain_controller
import pytest

from pupper_frame import SLICES
from walkies.deploy.controllers.neural_controller import (
    CONFIGS,
    MotorCommand,
    Sensors,
    activate,
    board,
    multiplex,
    tick,
)
from walkies.deploy.controllers.twin import model_for
from walkies.deploy.policy_file import Layer, PolicyFile, read
from walkies.judge.trace import World, rehearse
from walkies.robots import get_robot
from walkies.tasks.contract import Contract
from walkies.tasks.signal import Sensed

PUPPER = get_robot("pupper")
CONFIG = CONFIGS[2025]
FAULTS = ["permuted joints", "reversed history", "late action", "gravity sign", "swapped legs", "degrees"]


@pytest.fixture(scope="module")
def golden_policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "policy.json"
    path.write_text(json.dumps(plain_controller.document()))
    return read(path)


@pytest.fixture(scope="module")
def golden():
    content = json.loads(plain_controller.GOLDEN.read_text())
    return tuple(np.array(content[name]) for name in ("observation", "action", "position"))


def constant_policy(bias=0.0, history=1, **changes):
    layer = Layer(np.zeros((36 * history, 12)), np.broadcast_to(bias, (12,)).astype(float), "tanh")
    pose = PUPPER.default_pose
    limits = PUPPER.lower_limits, PUPPER.upper_limits
    return replace(PolicyFile((layer,), history, 5.0, 0.25, (0.75,) * 12, pose, *limits, edition=2025), **changes)


def level(n=1, joints=PUPPER.default_pose):
    return Sensors(np.zeros((n, 3)), np.tile([1.0, 0, 0, 0], (n, 1)), np.tile(np.array(joints, float), (n, 1)))


def tilted(angle, n=1):
    return level(n)._replace(orientation=np.tile([np.cos(angle / 2), np.sin(angle / 2), 0, 0], (n, 1)))


def tick_until_action(policy, memory, sensors, config=CONFIG, **inputs):
    """Ticks up to and including the next one at which the controller looks at its sensors."""
    while True:
        before = memory.counter
        memory, command = tick(config, policy, PUPPER, memory, sensors, **inputs)
        if memory.counter == 0 and before != 0:
            return memory, command


def scripted(policy):
    """The twin on the scripted sensors of the golden vectors: observations, actions, positions after the board."""
    memory, rows = activate(policy, level()), []
    config = replace(CONFIG, fade_in_duration=plain_controller.FADE)
    for k in range(plain_controller.ACTIONS):
        gyro, quat, joints, command = (np.array([part]) for part in plain_controller.sensors(k))
        memory, asked = tick_until_action(policy, memory, Sensors(gyro, quat, joints), config, velocity_command=command)
        rows.append((memory.seen[0], memory.action[0], board(PUPPER, asked).position[0]))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def test_twin_reproduces_the_golden_vectors(golden_policy, golden):
    for got, expected in zip(scripted(golden_policy), golden, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)


def test_golden_vectors_are_the_plain_controllers(golden):
    for got, expected in zip(plain_controller.run(), golden, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_controllers_fail_loudly(golden, fault):
    """Negative controls: each classic mistake is a thousand times beyond the tolerance in what the joints are told."""
    observations, actions, positions = plain_controller.run(fault)
    assert np.max(np.abs(np.array(observations) - golden[0])) > 2e-3
    assert np.max(np.abs(np.array(actions) - golden[1])) > 2e-3
    assert np.max(np.abs(np.array(positions) - golden[2])) > 2e-3


MISTAKES = {
    "permuted joints": lambda gyro, quat, joints: (gyro, quat, np.roll(joints, 1, axis=1)),
    "swapped legs": lambda gyro, quat, joints: (gyro, quat, joints.reshape(1, 4, 3)[:, [1, 0, 3, 2]].reshape(1, 12)),
    "gravity sign": lambda gyro, quat, joints: (gyro, quat[:, [1, 0, 3, 2]], joints),  # turned upside down
    "conjugate orientation": lambda gyro, quat, joints: (gyro, quat * [1, -1, -1, -1], joints),
    "gyro in degrees": lambda gyro, quat, joints: (np.degrees(gyro), quat, joints),
    "joints in degrees": lambda gyro, quat, joints: (gyro, quat, np.degrees(joints)),
    "nothing": lambda *right: right,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_wiring_of_the_twin_fails_loudly(golden_policy, golden, mistake, monkeypatch):
    """The twin itself, fed as a careless hardware interface would, leaves the golden vectors (or stops the robot)."""
    right = plain_controller.sensors

    def wrong(k):
        gyro, quat, joints, command = right(k)
        readings = (np.array([part]) for part in (gyro, quat, joints))
        return *(part[0] for part in MISTAKES[mistake](*readings)), command

    monkeypatch.setattr(plain_controller, "sensors", wrong)
    off = [np.max(np.abs(got - expected)) for got, expected in zip(scripted(golden_policy), golden, strict=True)]
    assert all(value > 2e-3 for value in off) if mistake != "nothing" else max(off) < 2e-6


def test_the_twin_knows_nothing_of_training():
    """What runs on the robot gets a file, not the objects that trained it."""
    training = {"walkies.rl", "walkies.run", "walkies.tasks.walk", "walkies.tasks.rewards"}
    code = f"import sys, walkies.judge.trace; print({training} & {{*sys.modules}})"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert seen.strip() == "set()"


def test_the_multiplier_of_gains_multiplies_both():
    _, command = tick_until_action(
        constant_policy(), activate(constant_policy(), level()), level(), replace(CONFIG, gain_multiplier=1.5)
    )
    assert command.kp[0, 0] == 7.5 and command.kd[0, 0] == 0.375


def test_policy_sees_what_training_computes(golden_policy):
    """The contract that training observes through, on the twin's own states, gives the twin's observations."""
    trace = rehearse(golden_policy, PUPPER, lambda t: np.array([0.3, 0.1, -0.5]), 2.5)
    contract = Contract(PUPPER, observation_history=2)
    history, applied = contract.initial_history()[None], np.zeros((1, 12), np.float32)
    command = np.array([[0.3, 0.1, -0.5]], np.float32)
    ticks = np.flatnonzero(trace.acted[:, 0])
    assert len(ticks) == 78
    for k in ticks:
        w, x, y, z = trace.qpos[k, 0, 3:7]
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, np.array([w, x, y, z]))
        gravity = (rotation.reshape(3, 3).T @ [0, 0, -1.0])[None].astype(np.float32)
        gyro, joints = trace.qvel[k, :, 3:6].astype(np.float32), trace.qpos[k, :, 7:].astype(np.float32)
        sensed = Sensed(gyro, gravity, command, joints, np.zeros_like(joints), applied)
        history = contract.push(history, contract.frame(sensed))
        np.testing.assert_allclose(trace.observation[k], history, atol=1e-6)
        applied = np.float32(min(trace.time[k] - 1.0, 1.0)) * trace.action[k]
        np.testing.assert_allclose(trace.command.position[k], contract.target(applied), atol=1e-6)


def test_start_up_interpolates_then_fades_in():
    start = np.array(PUPPER.default_pose) + 0.4
    policy = constant_policy(bias=2.0)
    memory = activate(policy, level(joints=start))
    positions, gains, acted = [], [], []
    for _ in range(1100):
        memory, command = tick(CONFIG, policy, PUPPER, memory, level())
        positions.append(command.position[0] - PUPPER.default_pose)
        gains.append((command.kp[0, 0], command.kd[0, 0]))
        acted.append(memory.acted[0])
    straight = 0.4 * (1 - np.arange(520) / 520)[:, None] * np.ones(12)
    np.testing.assert_allclose(np.array(positions)[:520], straight, atol=1e-12)
    assert gains[519] == (7.5, 0.25) and gains[520] == (5.0, 0.25)
    np.testing.assert_array_equal(np.flatnonzero(acted), np.arange(520, 1100, 10))
    fade = np.minimum((np.arange(520, 1100, 10) - 520) / 520, 1)
    expected = 0.75 * np.tanh(2.0) * fade
    free = [0, 1, 2]  # joints whose limits are far
    np.testing.assert_allclose(np.array(positions)[520::10, free], np.repeat(expected[:, None], 3, axis=1), atol=1e-6)
    np.testing.assert_array_equal(positions[521], positions[529])


def test_commands_are_clamped_twice_and_gains_capped():
    far = MotorCommand(np.array([[9.0] * 12, [-9.0] * 12]), np.full((2, 12), 50.0), np.full((2, 12), 3.0))
    clamped = board(PUPPER, far)
    np.testing.assert_allclose(clamped.position[0], np.array(PUPPER.upper_limits) - 0.1)
    np.testing.assert_allclose(clamped.position[1], np.array(PUPPER.lower_limits) + 0.1)
    assert clamped.position[1, 0] == pytest.approx(-1.12) and clamped.position[0, 0] == pytest.approx(2.41)
    assert set(clamped.kp.ravel()) == {10.0} and set(clamped.kd.ravel()) == {1.0}
    narrow = constant_policy(bias=9.0, joint_upper_limits=(0.55,) * 12, joint_lower_limits=(-0.55,) * 12)
    memory = activate(narrow, level())
    for _ in range(1100):
        memory, command = tick(CONFIG, narrow, PUPPER, memory, level())
    highest = np.minimum(np.array(PUPPER.default_pose) + 0.75, 0.55)
    np.testing.assert_allclose(command.position[0], highest, atol=1e-6)


def test_tilt_stops_late_and_for_good():
    """Not during start-up; one action after it is seen; latched although the robot is upright again."""
    policy = constant_policy(bias=1.0)
    memory = activate(policy, tilted(2.0))
    for _ in range(520):
        memory, command = tick(CONFIG, policy, PUPPER, memory, tilted(2.0))
    assert command.kp[0, 0] == 7.5 and not memory.stopped[0]
    memory, command = tick(CONFIG, policy, PUPPER, memory, tilted(2.0))
    assert memory.stopped[0] and command.kp[0, 0] == 7.5, "the command of start-up is held for another action"
    for _ in range(9):
        memory, command = tick(CONFIG, policy, PUPPER, memory, level())
        assert command.kp[0, 0] == 7.5
    for _ in range(30):
        memory, command = tick(CONFIG, policy, PUPPER, memory, level())
        assert np.all(command.kp == 0) and np.all(command.position == 0) and np.all(command.kd == 0.1)
    again = activate(policy, level(), memory)
    assert not again.stopped[0]


@pytest.mark.parametrize(("angle", "stops"), [(1.49, False), (1.51, True)])
def test_tilt_limit(angle, stops):
    memory, _ = tick_until_action(constant_policy(), activate(constant_policy(), level()), tilted(angle))
    assert memory.stopped[0] == stops


def test_pressing_stop_during_start_up_waits_for_its_end():
    policy = constant_policy()
    memory = activate(policy, level())
    for k in range(520):
        memory, command = tick(CONFIG, policy, PUPPER, memory, level(), emergency_stop=k == 100)
    assert memory.stopped[0] and command.kp[0, 0] == 7.5
    memory, command = tick(CONFIG, policy, PUPPER, memory, level())
    assert command.kp[0, 0] == 0.0 and command.kd[0, 0] == 0.1


def test_reactivation_keeps_stale_history(golden_policy):
    memory = activate(golden_policy, level())
    fresh = memory.observation.copy()
    assert sorted(set(fresh[0])) == [-1.0, 0.0] and np.flatnonzero(fresh[0]).tolist() == [5, 41]
    for k in range(8):
        gyro, quat, joints, command = (np.array([part]) for part in plain_controller.sensors(k))
        memory, _ = tick_until_action(golden_policy, memory, Sensors(gyro, quat, joints), velocity_command=command)
    again = activate(golden_policy, level(), memory)
    expected = memory.observation.copy()
    expected[:, [5, 41]] = -1.0
    np.testing.assert_array_equal(again.observation, expected)
    assert np.max(np.abs(again.observation - fresh)) > 0.1
    stale, _ = tick_until_action(golden_policy, again, level())
    first, _ = tick_until_action(golden_policy, activate(golden_policy, level()), level())
    assert np.max(np.abs(stale.action - first.action)) > 1e-3, "the policy feels its last life"
    assert np.any(stale.seen[0, SLICES["last_action"]] != 0) and np.all(first.seen[0, SLICES["last_action"]] == 0)


def test_nan_switches_that_robot_off_and_no_other():
    policy = constant_policy(bias=0.5)
    memory = activate(policy, level(3))
    broken = level(3)
    broken.joint_position[1, 4] = np.nan
    memory, _ = tick_until_action(policy, memory, level(3))
    memory, command = tick_until_action(policy, memory, broken)
    assert memory.failed.tolist() == [False, True, False]
    assert np.all(command.position[1] == 0) and np.all(command.kp[1] == 0)
    assert np.all(command.kd[1] == CONFIG.estop_kd), "damped, not limp"
    assert np.all(command.kp[[0, 2]] == 5.0)
    memory, command = tick_until_action(policy, memory, level(3))
    assert memory.failed[1] and np.all(command.kp[1] == 0)


def overflowing(*last):
    """A policy whose actions are ±3 · 3e38 = ±∞, or their difference, NaN: in two layers, since in a single one a fused
    multiply-add may or may not overflow on the way."""
    beyond = Layer(3.0 * np.eye(2), np.zeros(2))
    layers = (Layer(np.zeros((36, 2)), np.full(2, 3e38)), beyond, Layer(np.array(last, float).T, np.zeros(12)))
    return constant_policy(layers=layers)


INFINITE, NOT_A_NUMBER = overflowing(*[(1.0, 1.0), (-1.0, -1.0)] * 6), overflowing(*[(1.0, -1.0)] * 12)


def test_nan_action_switches_off():
    memory, command = tick_until_action(NOT_A_NUMBER, activate(NOT_A_NUMBER, level()), level())
    assert memory.failed[0] and np.all(command.kp == 0)


def test_infinite_action_switches_off_where_the_fade_in_is_zero_and_is_clamped_later():
    """0 · ∞ is NaN, which the controller looks for in what it would tell the joints; half of ∞ is clamped."""
    at_once = activate(INFINITE, level())
    memory, command = tick_until_action(INFINITE, at_once, level())
    assert memory.failed[0] and np.all(command.kp == 0) and np.all(np.isfinite(command.position))
    later = at_once._replace(ticks=520 + 260)
    memory, command = tick_until_action(INFINITE, later, level())
    assert not memory.failed[0] and np.all(command.kp == 5.0)
    ends = np.where(np.arange(12) % 2 == 0, PUPPER.upper_limits, PUPPER.lower_limits)
    np.testing.assert_allclose(command.position[0], ends, rtol=1e-6)
    memory, _ = tick_until_action(INFINITE, memory, level())
    assert set(np.abs(memory.seen[0, SLICES["last_action"]])) == {100.0}, "observations are clamped"


def test_after_a_nan_action_no_activation_works_until_the_history_is_forgotten():
    memory, _ = tick_until_action(NOT_A_NUMBER, activate(NOT_A_NUMBER, level()), level())
    sound = constant_policy()
    again, command = tick_until_action(sound, activate(sound, level(), memory), level())
    assert again.failed[0] and np.all(command.kp == 0)
    anew, command = tick_until_action(sound, activate(sound, level()), level())
    assert not anew.failed[0] and np.all(command.kp == 5.0)
    broken = level()._replace(gyro=np.full((1, 3), np.nan))
    blind, _ = tick_until_action(sound, anew, broken)
    healed, _ = tick_until_action(sound, activate(sound, level(), blind), level())
    assert blind.failed[0] and not healed.failed[0], "what the sensors said is written over"


def test_without_imu_the_orientation_must_be_identity():
    policy = constant_policy(use_imu=False)
    memory, _ = tick_until_action(policy, activate(policy, level()), level())
    assert not memory.failed[0]
    for angle in (0.1, 2.0):  # looked at before the tilt that would stop it
        failing, command = tick_until_action(policy, memory, tilted(angle))
        assert failing.failed[0] and not failing.stopped[0] and np.all(command.kp == 0)


def test_multiplexer_times_out():
    message = np.array([[0.5, 0.0, 1.0]])
    assert multiplex(CONFIG, None, 0.0) is None
    np.testing.assert_array_equal(multiplex(CONFIG, message, 0.5), message)
    np.testing.assert_array_equal(multiplex(CONFIG, message, 0.51), [[0.0, 0.0, 0.0]])
    trace = rehearse(constant_policy(), PUPPER, lambda t: message[0] if t < 1.5 else None, 2.5)
    seen = trace.observation[:, 0, 6]
    assert seen[np.searchsorted(trace.time, 1.95)] == 0.5 and seen[np.searchsorted(trace.time, 2.03)] == 0.0


def test_rehearsal_is_a_plain_loop_over_mujoco(golden_policy):
    """Commands replayed by a person's loop of mj_step at 1/1040 s give the same states, bit for bit; queues queue."""
    joystick = lambda t: np.array([0.3, 0.0, 0.0])  # noqa: E731
    trace = rehearse(golden_policy, PUPPER, joystick, 1.3)
    model = model_for(PUPPER)
    data = mujoco.MjData(model)
    assert model.opt.timestep == pytest.approx(1 / 1040)
    data.qpos[:] = trace.qpos[0, 0]
    for k in range(len(trace.time)):
        np.testing.assert_array_equal(data.qpos, trace.qpos[k, 0])
        kp, kd = trace.command.kp[k, 0], trace.command.kd[k, 0]
        model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1], model.actuator_biasprm[:, 2] = kp, -kp, -kd
        data.ctrl[:] = trace.command.position[k, 0]
        mujoco.mj_step(model, data, 2)
        np.testing.assert_array_equal(data.actuator_force, trace.torque[k, 0])


def test_queues_delay_commands_and_imu():
    policy = constant_policy(bias=0.3)
    world = World(command_queue=8, imu_queue=10, pushes=lambda t: np.array([0.2, 0.1]) if t == 1.25 else None)
    trace = rehearse(policy, PUPPER, lambda t: None, 1.5, world=world)
    first = np.flatnonzero(trace.command.kp[:, 0, 0] == 5.0)[0]
    assert first == 520 + 8
    ticks = np.flatnonzero(trace.acted[:, 0])[2:]
    np.testing.assert_allclose(trace.observation[ticks, 0, :3], trace.qvel[ticks - 10, 0, 3:6], atol=1e-6)
    assert np.max(np.abs(trace.observation[ticks, 0, :3] - trace.qvel[ticks, 0, 3:6])) > 1e-3


def test_standing_robot_stands_and_a_fallen_one_is_stopped():
    trace = rehearse(constant_policy(), PUPPER, lambda t: None, 3.0)
    assert trace.final_qpos[0, 2] == pytest.approx(0.155, abs=0.003) and not trace.stopped.any()
    over = np.concatenate([[0, 0, 0.2, 0, 1.0, 0, 0], PUPPER.default_pose])[None]
    trace = rehearse(constant_policy(), PUPPER, lambda t: None, 1.2, qpos=over)
    assert trace.stopped[-1, 0] and np.all(trace.command.kp[-1] == 0) and np.all(trace.command.kd[-1] == 0.1)
    assert not trace.failed.any()
