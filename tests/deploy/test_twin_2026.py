"""The controller of 2026 against the fact sheet's formulas in plain floats, each with the mistakes people make."""

import math
from dataclasses import replace

import numpy as np
import plain_contract as plain
import pytest

from walkies.deploy.blocks import Blocks, CommandClip, GaitReference, HeadingHold, JumpSlot, Movement
from walkies.deploy.blocks import gait as gait_block
from walkies.deploy.controllers.base import Sensors
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.controllers.inputs import Speeds
from walkies.deploy.controllers.neural_controller import CONFIGS, NeuralController, multiplex
from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.robots import get_robot
from walkies.tasks.motion.movement import Clip

PUPPER = get_robot("pupper")
POSE = np.array(PUPPER.default_pose)
RATE = CONFIGS[2026].tick_rate
HOLD = {"kp": 1.0, "clip": 0.3, "yaw_threshold": 0.1, "walk_threshold": 0.05}
CLIP = {"vx": [-0.6, 0.7], "wz": [-2.0, 2.0]}


def table(seed, rows=100):
    """A smooth closed curve of joint angles around the default pose."""
    rng = np.random.default_rng(seed)
    phase = np.arange(rows)[:, None] / rows + rng.uniform(0, 1, 12)
    return POSE + 0.3 * np.sin(2 * np.pi * phase) + 0.1 * np.cos(4 * np.pi * phase)


GAIT = GaitReference(
    frequency=1.333, trot_table=table(0), gallop_table=table(1), lift_table=table(2), gallop_back_table=table(3),
    gallop_speed=0.5, gallop_freq_mult=2.5,
)  # fmt: skip
JUMP = JumpSlot(table(4), playback_s=0.94, active_s=0.8, cross_fade_s=0.06, grid_s=0.75, busy_s=1.0)


def policy(frame, history=1, bias=0.0, **changes):
    size = history * sum(
        {"gyro": 3, "gravity": 3, "command": 3, "desired_up": 3, "motion_anchor": 6}.get(n, 12) for n in frame
    )
    size += 12 * history * frame.count("motion_command")
    layer = Layer(np.zeros((size, 12)), np.full(12, float(bias)), "tanh")
    limits = PUPPER.lower_limits, PUPPER.upper_limits
    plain_file = PolicyFile((layer,), history, 5.5, 0.25, (0.75,) * 12, PUPPER.default_pose, *limits, observation=frame)
    return replace(plain_file, **changes)


def turned(angle, n=1):
    return np.tile([math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)], (n, 1))


def sensors(yaw=0.0, gyro=(0.0, 0.0, 0.0)):
    return Sensors(np.array([gyro], float), turned(yaw), POSE[None].copy())


def script(k):
    """Command and heading of action k: walks, turns, stands, walks on, backwards, fast; the robot drifts."""
    commands = [(0.3, 0.0, 0.0), (0.3, 0.1, 0.0), (0.0, 0.0, 1.5), (0.0, 0.0, -1.5), (0.0, 0.0, 0.0)]
    commands += [(-0.2, 0.0, 0.05), (0.9, 0.0, 0.0), (-0.9, 0.0, 0.3), (0.02, 0.2, -0.02)]
    return commands[k // 25 % len(commands)], 0.4 * math.sin(0.05 * k) + 3.0


def act(controller, actions, command_of=lambda k: script(k)[0], yaw_of=lambda k: script(k)[1], before=None):
    """Frames (actions, H · frame) that the policy saw."""
    controller.activate(sensors(yaw_of(0)))
    seen, k = [], 0
    while k < actions:
        if before is not None and controller.memory.counter == -1:
            before(controller, k)
        command = np.array([command_of(k)])
        controller.tick(sensors(yaw_of(k)), command)
        if controller.memory.acted[0]:
            seen.append(controller.memory.seen[0])
            k += 1
            if before is not None:
                before(controller, k)
    return np.array(seen)


def golden(actions, fault=""):
    """Command and gait reference of every action by the plain formulas."""
    block = gait_block.document(GAIT, PUPPER.joint_names)
    hold, rows = plain.Hold(HOLD, fault), []
    for k in range(actions):
        command, yaw = script(k)
        quaternion = turned(yaw)[0]
        told = hold(plain.clip(command, CLIP), quaternion)
        t = k * 0.02 if fault == "phase by step count" else k * 10 / RATE
        rows.append([*told, *plain.gait(block, t, told, PUPPER.default_pose, fault)])
    return np.array(rows)


BLOCKS = Blocks(CommandClip.parse(CLIP), HeadingHold(**HOLD), GAIT)
ACTIONS = 250


@pytest.fixture(scope="module")
def seen():
    file = policy(("command", "gait_reference"), blocks=BLOCKS)
    return act(NeuralController(file, PUPPER), ACTIONS)


def test_commands_and_references_are_the_fact_sheets(seen):
    np.testing.assert_allclose(seen, golden(ACTIONS), atol=2e-6)
    assert np.abs(seen[:, 3:]).max() > 0.2, "it moves"


@pytest.mark.parametrize("fault", ["truncating modulo", "phase by step count", "resets at every command"])
def test_a_mistake_would_be_noticed(seen, fault):
    assert np.abs(seen - golden(ACTIONS, fault)).max() > 1e-2


def test_frames_are_newest_first():
    """Control: the oldest first."""
    file = policy(("command", "gait_reference"), history=4, blocks=BLOCKS)
    seen, frames = act(NeuralController(file, PUPPER), 40), golden(40)
    newest = np.concatenate([frames[20 - i] for i in range(4)])
    np.testing.assert_allclose(seen[20], newest, atol=2e-6)
    assert np.abs(seen[20] - np.concatenate([frames[17 + i] for i in range(4)])).max() > 1e-2
    assert np.all(seen[0][15:] == 0), "before the first frame there is nothing"


def test_without_a_block_the_hold_is_on_with_a_gait_and_off_without():
    drift = dict(command_of=lambda k: (0.3, 0.0, 0.0), yaw_of=lambda k: 0.1 if k else 0.0)
    for blocks, frame, expected in (
        (Blocks(gait_reference=GAIT), ("command", "gait_reference"), -0.1),
        (Blocks(gait_reference=GAIT, heading_hold=HeadingHold(kp=0.0)), ("command", "gait_reference"), 0.0),
        (Blocks(), ("command",), 0.0),
        (Blocks(heading_hold=HeadingHold(kp=5.0)), ("command",), -0.3),
    ):
        seen = act(NeuralController(policy(frame, blocks=blocks), PUPPER), 3, **drift)
        assert seen[2, 2] == pytest.approx(expected, abs=1e-6)
    blind = policy(("command", "gait_reference"), blocks=Blocks(gait_reference=GAIT), use_imu=False)
    assert act(NeuralController(blind, PUPPER), 3, command_of=lambda k: (0.3, 0, 0), yaw_of=lambda k: 0.0)[2, 2] == 0


def test_activation_forgets_the_heading_and_the_history_and_not_the_pose_command():
    """The controller of 2025 keeps the history; either keeps the pose command."""
    for edition, kept in ((2026, False), (2025, True)):
        file = policy(("gyro", "gravity", "desired_up"), history=2, edition=edition)
        controller = NeuralController(file, PUPPER)
        controller.activate(sensors())
        assert np.all(controller.memory.observation[0, [5, 14]] == -1)
        controller.pose(np.array([[math.cos(0.1), math.sin(0.1), 0.0, 0.0]]))
        while not controller.memory.acted[0]:
            controller.tick(sensors(gyro=(0.5, 0.0, 0.0)), None)
        up = [0.0, math.sin(0.2), math.cos(0.2)]
        np.testing.assert_allclose(controller.memory.seen[0, 6:9], up, atol=1e-6)
        controller.activate(sensors(), controller.memory)
        assert (controller.memory.observation[0, 9] == 0.5) == kept
        assert controller.memory.observation[0, 5] == -1
        while not controller.memory.acted[0]:
            controller.tick(sensors(), None)
        np.testing.assert_allclose(controller.memory.seen[0, 6:9], up, atol=1e-6)


def test_activation_forgets_heading_jumps_and_movement():
    """Walking at a heading, then switched on again at another one: that one is held. Control: without it, the first."""
    blocks = Blocks(heading_hold=HeadingHold(**HOLD), gait_reference=GAIT, jump_slot=JUMP)
    controller = NeuralController(policy(("command", "gait_reference"), blocks=blocks), PUPPER)
    walking = dict(command_of=lambda k: (0.3, 0.0, 0.0))
    act(controller, 120, yaw_of=lambda k: 0.0, **walking)
    controller.jump(np.ones(1, bool))
    assert np.isfinite(controller.memory.inputs.jumps.start).any()
    kept = controller.memory
    for _ in range(10):
        controller.tick(sensors(0.2), np.array([[0.3, 0.0, 0.0]]))
    assert controller.memory.seen[0, 2] == pytest.approx(-0.2, abs=1e-6), "the control"
    controller.activate(sensors(0.2), kept)
    assert not np.isfinite(controller.memory.inputs.jumps.start).any()
    while not controller.memory.acted[0]:
        controller.tick(sensors(0.2), np.array([[0.3, 0.0, 0.0]]))
    assert controller.memory.seen[0, 2] == pytest.approx(0.0, abs=1e-6)
    trick = movement()
    dancer = NeuralController(policy(("motion_command",), blocks=Blocks(trick=trick)), PUPPER)
    act(dancer, 2, command_of=lambda k: (0, 0, 0), yaw_of=lambda k: 0.0)
    dancer.play("sit")
    assert dancer.memory.inputs.playback.queue
    dancer.activate(sensors(), dancer.memory)
    assert dancer.memory.inputs.playback == trick.begin()


def first_command(blocks, asked, yaw=(0.0, 0.0), limits=None):
    """What a policy is told at its second action under one command, with these headings at the first and the second."""
    config = replace(CONFIGS[2026], speeds=limits or Speeds(), init_duration=0.0)
    controller = NeuralController(policy(("command", "gait_reference"), blocks=blocks), PUPPER, config=config)
    return act(controller, 2, command_of=lambda k: asked, yaw_of=lambda k: yaw[min(k, 1)])[1, :3]


def test_the_order_is_clip_cap_hold():
    """Each pair in intervals that the other order would tell apart, as the comments say."""
    caps = Blocks(CommandClip(vx=(0.6, 1.0)), HeadingHold(kp=0.0), GAIT, JUMP)
    assert first_command(caps, (0.8, 0.0, 0.0))[0] == pytest.approx(0.49)  # clipped last: 0.6
    turns = Blocks(CommandClip(wz=(-0.05, 0.05)), HeadingHold(**HOLD), GAIT)
    assert first_command(turns, (0.3, 0.0, 0.0), (0.0, 0.2))[2] == pytest.approx(-0.2, abs=1e-6)  # clipped last: -0.05
    assert first_command(turns, (0.3, 0.0, 0.5), (0.0, 0.2))[2] == pytest.approx(-0.2, abs=1e-6)  # held first: 0.05
    slow = Blocks(None, HeadingHold(**HOLD), GAIT)
    assert first_command(slow, (0.5, 0.0, 0.0), (0.0, 0.2), Speeds(cap=0.04))[2] == 0  # capped last: -0.2


def test_what_stands_on_a_threshold():
    """A turn of just the yaw threshold and a walk of just the walk threshold are not held; speeds that just reach
    theirs count for the gait's tables. Control: a hair to the other side."""
    hold = HeadingHold(**HOLD)
    for command, held in (
        ((0.3, 0, 0.1), False),
        ((0.3, 0, 0.0999), True),
        ((0.05, 0, 0), False),
        ((0.0501, 0, 0), True),
    ):
        assert hold(hold.begin(1), np.array([command]), np.zeros(1))[0].held[0] == held
    at = lambda vx: GAIT.angles(np.array([0.2]), np.array([[vx, 0.0, 0.0]]))[0]  # noqa: E731
    for edge, table, times in (
        (GAIT.dir_threshold, "trot_table", 1.0),
        (GAIT.gallop_speed, "gallop_table", GAIT.gallop_freq_mult),
    ):
        row = int(0.2 * GAIT.frequency * times % 1.0 * GAIT.n_samples)
        assert np.abs(at(edge) - GAIT.tables[table][row]).max() < 0.03
        assert np.abs(at(edge - 1e-6) - at(edge)).max() > 0.1


def test_only_who_was_pressed_jumps_and_no_more_than_four_clips_wait():
    jumps = JUMP.trigger(JUMP.begin(2), np.array([True, False]), 0.7)
    gait = np.full((2, 12), 0.1)
    _, shown = JUMP.blend(jumps, gait, 0.75 + 0.4, np.zeros((2, 3)), POSE)
    assert np.abs(shown[0] - 0.1).max() > 0.05
    np.testing.assert_array_equal(shown[1], gait[1])
    trick = movement()
    playback = trick.begin()
    for _ in range(5):
        playback = trick.request(playback, "sit")
    assert len(playback.queue) == 4


def test_who_is_switched_off_stopped_or_failed_is_damped_and_not_limp():
    file = policy(("command",))
    for edition in (2025, 2026):
        controller = NeuralController(replace(file, edition=edition), PUPPER)
        controller.activate(sensors())
        left = controller.deactivate()
        assert np.all(left.kp == 0) and np.all(left.position == 0) and np.all(left.kd == 0.1)
    failing = NeuralController(replace(file, layers=(replace(file.layers[0], bias=np.full(12, np.nan)),)), PUPPER)
    failing.activate(sensors())
    for _ in range(failing.start_up + 1):
        command = failing.tick(sensors(), None)
    assert failing.failed[0] and np.all(command.kp == 0) and np.all(command.kd == 0.1)


@pytest.mark.parametrize(("edition", "seconds"), [(2025, 1.0), (2026, 2.0)])
def test_start_up_and_fade_in_take_their_time(edition, seconds):
    controller = NeuralController(policy(("last_action",), bias=0.5, edition=edition), PUPPER)
    controller.activate(sensors())
    assert controller.start_up == seconds * RATE
    for _ in range(round(seconds * RATE)):
        assert np.all(controller.tick(sensors(), None).kp == PUPPER.init_kp)
    for _ in range(round(seconds * RATE / 2) + 1):
        controller.tick(sensors(), None)
    np.testing.assert_allclose(controller.applied, 0.5 * np.tanh(0.5), atol=0.01)
    for _ in range(round(seconds * RATE)):
        controller.tick(sensors(), None)
    np.testing.assert_allclose(controller.applied, np.tanh(0.5), atol=1e-6)


def test_nobody_silences_a_dead_gamepad_in_2026():
    message = np.array([[0.5, 0.0, 0.0]])
    np.testing.assert_array_equal(multiplex(CONFIGS[2026], message, 60.0), message)
    np.testing.assert_array_equal(multiplex(CONFIGS[2025], message, 0.51), 0 * message)


def test_commands_are_clipped_then_limited_by_the_node_then_capped_by_the_slot():
    frame = ("command", "gait_reference")
    off = HeadingHold(kp=0.0)
    blocks = Blocks(CommandClip(vx=(-1.0, 1.2)), off, GAIT, JUMP)
    cases = (
        ({}, False, (2.0, -2.0, 3.0), (0.49, -0.49, 3.0)),
        ({}, True, (2.0, -2.0, 3.0), (1.2, -1.5, 3.0)),
        ({"cap": 0.3}, True, (2.0, -2.0, 3.0), (0.3, -0.3, 3.0)),
        ({"forward": 0.4, "backward": 0.2}, True, (2.0, 0.0, 0.0), (0.4, 0.0, 0.0)),
        ({"forward": 0.4, "backward": 0.2}, True, (-2.0, 0.0, 0.0), (-0.2, 0.0, 0.0)),
    )
    for limits, running, asked, expected in cases:
        config = replace(CONFIGS[2026], speeds=Speeds(**limits), init_duration=0.0)
        controller = NeuralController(policy(frame, blocks=blocks), PUPPER, config=config)
        controller.activate(sensors())
        controller.run(running)
        controller.tick(sensors(), np.array([asked]))
        np.testing.assert_allclose(controller.memory.seen[0, :3], expected, atol=1e-6)


def test_stiffness_is_scaled_joint_by_joint():
    scale = tuple(np.linspace(0.5, 1.5, 12))
    controller = NeuralController(
        policy(("command",)), PUPPER, config=replace(CONFIGS[2026], kp_scale=scale, init_duration=0.0)
    )
    controller.activate(sensors())
    command = controller.tick(sensors(), None)
    np.testing.assert_allclose(command.kp[0], 5.5 * np.array(scale))
    assert np.all(command.kd == 0.25)


def test_jumps_begin_on_the_grid_wait_for_each_other_and_blend():
    """Against the plain formulas: of four presses one comes before the fade-in ends, and one finds no place."""
    blocks = Blocks(heading_hold=HeadingHold(kp=0.0), gait_reference=GAIT, jump_slot=JUMP)
    controller = NeuralController(policy(("command", "gait_reference"), blocks=blocks), PUPPER)
    presses, block = (20, 110, 115, 120), {"n_samples": 100, **{k: getattr(JUMP, k) for k in vars(JUMP)}}
    reference, rows = plain.Jump(block), []
    times = [k * 10 / RATE for k in range(260)]
    for k, t in enumerate(times):
        if k in presses and times[k - 1] + 1 / RATE >= 2.0:  # pressed just after the action before
            reference.trigger(times[k - 1] + 1 / RATE)
        gait = plain.gait(gait_block.document(GAIT, PUPPER.joint_names), t, (0.3, 0.0, 0.0), PUPPER.default_pose)
        rows.append(reference(gait, t, PUPPER.default_pose))
    assert reference.starts == [2.25, 3.75]

    def press(controller, k):
        if k in presses:
            controller.jump(np.ones(1, bool))

    still = dict(command_of=lambda k: (0.3, 0.0, 0.0), yaw_of=lambda k: 0.0)
    seen = act(controller, 260, before=press, **still)[:, 3:]
    np.testing.assert_allclose(seen, rows, atol=2e-6)
    without = act(NeuralController(policy(("command", "gait_reference"), blocks=blocks), PUPPER), 260, **still)[:, 3:]
    jumping = np.abs(seen - without).max(axis=1) > 1e-3
    assert jumping.any() and not jumping[: round(2.25 * RATE / 10)].any(), "control: it shows, and not too soon"


def test_a_fast_start_is_a_hop():
    hop = replace(JUMP, hop_table=table(5, 60), hop_speed=0.5, hop_play_s=0.8, hop_table_s=1.2, hop_reach_frequency=3.0)
    gait, pose = np.zeros((2, 12)), POSE
    command = np.array([[0.6, 0, 0], [0.3, 0, 0]])
    jumps = hop.trigger(hop.begin(2), np.ones(2, bool), 0.7)
    assert jumps.start[0, 0] == pytest.approx(0.75)
    jumps, shown = hop.blend(jumps, gait, 0.75 + 0.4, command, pose)
    reached = (0.75 * 3.0 % 1.0) / 3.0
    place = (reached + 0.4) / 1.2 * 59
    low = int(place)
    row = (1 - (place - low)) * hop.hop_table[low] + (place - low) * hop.hop_table[low + 1]
    np.testing.assert_allclose(shown[0], row - pose, atol=1e-9)
    slow = 0.4 / 0.94 * 100
    np.testing.assert_allclose(
        shown[1],
        (1 - slow % 1) * JUMP.jump_table[int(slow)] + slow % 1 * JUMP.jump_table[int(slow) + 1] - pose,
        atol=1e-9,
    )
    _, later = hop.blend(jumps, gait, 0.75 + 0.4, command[::-1], pose)
    np.testing.assert_array_equal(later, shown)  # settled when it began


def movement():
    rng = np.random.default_rng(0)
    anchor = rng.normal(size=(100, 4))
    anchor /= np.linalg.norm(anchor, axis=1, keepdims=True)
    clips = (Clip("stand", 0, 40, loop=True), Clip("bow", 40, 70, next="stand"), Clip("sit", 70, 100))
    return Movement("dance", 50.0, table(6), 0.1 * table(7), anchor, clips)


def test_a_movement_waits_for_the_fade_in_loops_goes_on_and_holds():
    """Frames by hand: 39 intervals of a loop of 40 frames take 0.78 s; a request is heard at the end of its clip, or at
    once after a last frame that was held."""
    trick = movement()
    at = trick.begin()
    frames = {}
    for tenth in range(-5, 60):
        t = tenth / 10
        if tenth == 10:
            at = trick.request(at, "bow")
        if tenth == 31:
            at = trick.request(at, "sit")
        if tenth == 52:
            at = trick.request(at, "bow")
        at, frames[tenth] = trick.at(at, t)
    assert [frames[k] for k in (-5, -1, 0, 1, 7)] == [0, 0, 0, 5, 35]
    assert frames[8] == 1, "0.8 s is 0.02 s into the second round"
    assert frames[15] == 36 and frames[16] == 42, "the bow begins at 1.56 s"
    assert frames[21] == 67 and frames[22] == 3, "0.58 s later it stands again, from 2.14 s on"
    assert frames[36] == 34 and frames[37] == 70, "the sit, asked for at 3.1 s, waits until 3.70 s"
    assert frames[43] == 99 and frames[51] == 99, "held"
    assert frames[52] == 40 and frames[53] == 45, "at once"
    with pytest.raises(ValueError, match="stand, bow, sit"):
        trick.request(at, "jump")


def test_the_recorded_orientation_is_seen_from_the_robot():
    """Against plain matrix products; turning robot and first frame alike changes nothing."""
    trick, frame = movement(), ("motion_command", "motion_anchor")
    controller = NeuralController(policy(frame, blocks=Blocks(trick=trick)), PUPPER)
    heading = lambda k: 0.3 + 0.01 * k  # noqa: E731
    seen = act(controller, 135, command_of=lambda k: (0, 0, 0), yaw_of=heading)
    w, x, y, z = trick.anchor_quat_wxyz[0]
    turn = heading(0) - math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    playback = trick.begin()
    for k in range(135):
        playback, shown = trick.at(playback, k * 10 / RATE - 2.0)
        expected = plain.anchor(turned(heading(k))[0], turn, trick.anchor_quat_wxyz[shown])
        np.testing.assert_allclose(seen[k, 24:], expected, atol=1e-6)
        np.testing.assert_allclose(seen[k, :12], trick.joint_pos[shown], atol=1e-6)
        np.testing.assert_allclose(seen[k, 12:24], trick.joint_vel[shown], atol=1e-6)
    assert shown > 20
    other = np.array(seen[:, 24:])
    elsewhere = NeuralController(policy(frame, blocks=Blocks(trick=trick)), PUPPER)
    again = act(elsewhere, 135, command_of=lambda k: (0, 0, 0), yaw_of=lambda k: heading(k) + 1.0)
    np.testing.assert_allclose(again[:, 24:], other, atol=1e-6)


def test_the_idealized_loop_tells_a_policy_the_same():
    """What examination and film drive with. Control: a file without blocks gets the command as it comes."""
    policies = policy(("command", "gait_reference"), blocks=BLOCKS), policy(("command",))
    for file, expected in ((policies[0], golden(60)), (policies[1], None)):
        controller = GenericController(file, PUPPER, tick_rate=RATE / 10)
        controller.activate(sensors())
        for k in range(60):
            command, yaw = script(k)
            controller.tick(sensors(yaw), np.array([command]))
            told = controller.history[0]
            np.testing.assert_allclose(told, command if expected is None else expected[k], atol=2e-6)
    assert np.abs(golden(60)[:, :3] - [script(k)[0] for k in range(60)]).max() > 0.05
