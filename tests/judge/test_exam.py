"""The examination as a whole: it drives MuJoCo as a plain loop would, is reproducible, and judges as it says."""

import errno
import hashlib
import json
from collections import deque
from dataclasses import replace
from pathlib import Path

import mujoco
import mujoco.batch
import numpy as np
import pytest

from walkies.cli.exam import command
from walkies.deploy.controllers import gravity_in_body
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.policy_file import Layer, PolicyFile, write
from walkies.errors import UserError
from walkies.judge import exam, report_card
from walkies.judge.exam import SOLVER_ITERATIONS, STAND, drive, examine
from walkies.judge.loop import Loop, Many, delayed, nominal_plant
from walkies.judge.ranges import PHYSICS_STEPS, apply, draw
from walkies.quaternions import rotation_of
from walkies.robots import get_robot, load_model
from walkies.run.folders import find_policy

PUPPER = get_robot("pupper")
BODIES = 13


def policy_of(bias=0.0, weights=0.0, history=1, seed=0):
    """A one-layer policy: tanh(observation · random weights + bias); nothing hangs on the constant inputs."""
    matrix = weights * np.random.default_rng(seed).normal(size=(36 * history, 12))
    matrix.reshape(history, 36, 12)[:, 9:12] = 0.0
    layer = Layer(matrix, np.broadcast_to(bias, (12,)).astype(float), "tanh")
    pose = PUPPER.default_pose
    return PolicyFile((layer,), history, 5.0, 0.25, (0.75,) * 12, pose, PUPPER.lower_limits, PUPPER.upper_limits)


STANDING = policy_of()
TOPPLING = policy_of(bias=[3.0, 0.0, 3.0, 3.0, 0.0, 3.0] * 2)
TWITCHING = policy_of(bias=0.0, weights=0.15, history=2)


@pytest.fixture(scope="module")
def standing():
    return examine(STANDING, episodes=4)


def test_standing_policy_survives_but_does_not_follow(standing):
    drawn = draw(0, 4, PUPPER, BODIES)
    counts = drawn.since_change >= 50
    assert standing["survival"] == 1.0 and not standing["passed"] and standing["falls"] == []
    speed = np.linalg.norm(drawn.command[..., :2], axis=-1)[counts].mean()
    assert standing["lin_vel_error"] == pytest.approx(speed, abs=0.03)
    assert standing["yaw_rate_error"] == pytest.approx(np.abs(drawn.command[..., 2])[counts].mean(), abs=0.05)


def test_toppling_policy_is_seen_to_fall():
    card = examine(TOPPLING, episodes=3)
    assert card["survival"] == 0.0 and not card["passed"]
    assert {fall["cause"] for fall in card["falls"]} <= {"tilt", "trunk touched the ground"}
    assert len(card["falls"]) == 3 and all(fall["time"] < 5 for fall in card["falls"])
    assert card["lin_vel_error"] > 0.9 and card["yaw_rate_error"] > 1.8
    json.dumps(card, allow_nan=False)


def test_non_finite_actions_are_a_fall():
    huge = Layer(np.zeros((36, 12)), np.full(12, 3e38))
    card = examine(replace(STANDING, layers=(huge, Layer(2.0 * np.eye(12), np.zeros(12)))), episodes=2)
    assert card["survival"] == 0.0 and {fall["cause"] for fall in card["falls"]} == {"action not finite"}


def test_same_seed_same_card_at_any_thread_count():
    one, two = examine(TWITCHING, 2, seed=5, threads=1), examine(TWITCHING, 2, seed=5, threads=2)
    assert one == two
    assert examine(TWITCHING, 2, seed=6)["marks"] != one["marks"]


def test_gains_are_capped_as_the_motor_board_caps_them():
    capped, greedy, weak = (
        drive(replace(TOPPLING, kp=kp, kd=kd), PUPPER, 1, 0)[0].velocity for kp, kd in ((10, 1), (50, 9), (9, 1))
    )
    np.testing.assert_array_equal(capped, greedy)
    assert not np.array_equal(capped, weak)


def test_an_episode_does_not_depend_on_how_many_there_are():
    few, many = drive(TWITCHING, PUPPER, 1, 0)[0], drive(TWITCHING, PUPPER, 3, 0)[0]
    np.testing.assert_array_equal(few.position, many.position[:1])


def plain_loop(policy, model, drawn, i, steps, fault=""):
    """One episode as a person would write it from the description, one mj_step at a time, on episode i's own model."""
    data = mujoco.MjData(model)
    pose = np.array(policy.default_joint_pos)
    low = np.maximum(policy.joint_lower_limits, np.array(PUPPER.lower_limits) + 0.1)
    high = np.minimum(policy.joint_upper_limits, np.array(PUPPER.upper_limits) - 0.1)
    data.qpos[:] = [0, 0, 0.165, np.cos(drawn.yaw[i] / 2), 0, 0, np.sin(drawn.yaw[i] / 2), *pose]

    def gains(kp, kd):
        kp, kd = kp * drawn.kp[i], kd * drawn.kd[i]
        model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1], model.actuator_biasprm[:, 2] = kp, -kp, -kd

    imu = deque(maxlen=PHYSICS_STEPS + 1)

    def tick(target):
        data.ctrl[:] = target
        mujoco.mj_step(model, data)
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, data.qpos[3:7])
        imu.append((data.qvel[3:6].copy(), rotation.reshape(3, 3).T @ [0, 0, -1.0]))

    gains(7.5, 0.25)
    for _ in range(STAND * PHYSICS_STEPS):
        tick(pose)
    gains(policy.kp, policy.kd)
    queue = deque([pose] * (drawn.command_delay[i] + (fault == "delay") + 1))
    frames = [np.array([0, 0, 0, 0, 0, -1.0] + [0.0] * 30, np.float32)] * policy.observation_history
    applied, positions, before = np.zeros(12, np.float32), [], np.zeros(12, np.float32)
    for step in range(steps):
        gyro, gravity = imu[-1 - drawn.imu_delay[i]]
        if fault == "gravity":
            gravity = -gravity
        noise = drawn.noise[i, step]
        gravity = gravity + noise[3:6]
        joints = data.qpos[7:].copy()
        if fault == "legs":
            joints = joints[[3, 4, 5, 0, 1, 2, *range(6, 12)]]
        frame = np.concatenate(
            [
                gyro + noise[:3],
                gravity / np.linalg.norm(gravity),
                drawn.command[i, step],
                [0, 0, 1],
                joints.astype(np.float32) * 0 + (joints + noise[6:18]).astype(np.float32) - pose.astype(np.float32),
                (before if fault == "stale action" else applied) + noise[18:] * (fault != "exact action"),
            ]
        ).astype(np.float32)
        frames = [frame, *frames[:-1]]
        order = frames[::-1] if fault == "history" else frames
        action = policy.act(np.concatenate(order)[None])[0]
        before, applied = applied, np.float32(min(step * 0.02, 1.0)) * action
        target = np.clip(pose + 0.75 * applied.astype(float), low, high)
        data.qvel[:2] += drawn.push[i, step]
        for _ in range(PHYSICS_STEPS):
            queue.append(target)
            queue.popleft()
            tick(queue[0])
        positions.append(data.qpos[:2].copy())
    return np.array(positions)


@pytest.fixture(scope="module")
def driven():
    """(models, drawn, record) of a policy that moves, for two episodes with different delays."""
    model = load_model(PUPPER, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    record, drawn = drive(TWITCHING, PUPPER, 2, 1)
    batch = mujoco.batch.Batch(model, 2)
    apply(batch, PUPPER, drawn)
    assert np.any(drawn.command_delay > 0) and np.any(drawn.imu_delay > 0)
    return [batch.get_model(i) for i in range(2)], drawn, record


@pytest.mark.parametrize("i", [0, 1])
def test_exam_equals_a_plain_loop_written_independently(driven, i):
    """Frames, joint order, delays, noise, fade-in, history, clamps, gains and pushes, all at once."""
    models, drawn, record = driven
    steps = min(150, int(record.fall_step[i]))
    assert steps == 150
    np.testing.assert_allclose(plain_loop(TWITCHING, models[i], drawn, i, steps), record.position[i, :steps], atol=1e-6)


@pytest.mark.parametrize("fault", ["delay", "gravity", "legs", "stale action", "history"])
def test_plain_loop_with_a_fault_goes_elsewhere(driven, fault):
    """Negative controls of the test above."""
    models, drawn, record = driven
    other = plain_loop(TWITCHING, models[0], drawn, 0, 150, fault)
    assert np.max(np.abs(other - record.position[0, :150])) > 1e-4


def test_sensed_frames_are_mujocos_own():
    """Gyro and gravity against MuJoCo's gyro sensor and body frame; a flipped sign would be seen."""
    model = load_model(PUPPER, visuals=False)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    loop = Loop(
        Many(mujoco.batch.Batch(model, 1, 1)), PUPPER, GenericController(STANDING, PUPPER), nominal_plant(PUPPER, 1)
    )
    for _ in range(10):
        quat = rng.normal(size=4)
        data.qpos[:7] = [0, 0, 1, *quat / np.linalg.norm(quat)]
        data.qvel[:] = rng.normal(size=model.nv)
        mujoco.mj_forward(model, data)
        loop.qpos[:], loop.qvel[:] = data.qpos, data.qvel
        loop.reset()
        sensors = loop.read(None)
        gravity = gravity_in_body(sensors.orientation)
        np.testing.assert_allclose(sensors.gyro[0], data.sensor("imu_gyro").data, atol=1e-12)
        rotation = data.body("base_link").xmat.reshape(3, 3)
        np.testing.assert_allclose(rotation_of(data.qpos[None, 3:7])[0], rotation, atol=1e-12)
        np.testing.assert_allclose(rotation @ gravity[0], [0, 0, -1], atol=1e-12)
        assert np.max(np.abs(rotation.T @ gravity[0] - [0, 0, -1])) > 1e-3


@pytest.mark.parametrize("steps_per_tick", [2, PHYSICS_STEPS])
@pytest.mark.parametrize("ticks", [1, 3])
def test_delays_pick_the_right_physics_step(steps_per_tick, ticks):
    """A hand-written queue of targets, numbered by tick, for every delay."""
    before, delays = 4, np.arange(4 * steps_per_tick + 1)
    known = np.tile(np.arange(before + ticks, dtype=float)[None, :, None], (len(delays), 1, 12))
    (arrived,) = delayed([known], before, delays, steps_per_tick)
    for delay in delays.tolist():
        queue = deque([0.0] * (delay + 1), maxlen=delay + 1)
        for tick in range(before + ticks):
            for step in range(steps_per_tick):
                queue.append(float(tick))
                if tick >= before:
                    assert np.all(arrived[delay, (tick - before) * steps_per_tick + step] == queue[0])


def test_the_imu_is_late_by_so_many_physics_steps():
    model = load_model(PUPPER, visuals=False)
    late = nominal_plant(PUPPER, 6)._replace(imu_delay=np.arange(6))
    loop = Loop(Many(mujoco.batch.Batch(model, 6, 1)), PUPPER, GenericController(STANDING, PUPPER), late)
    loop.qpos[:, 2] = 5.0
    loop.qvel[:, 3:6] = [1.0, 2.0, 3.0]
    loop.reset()
    loop.activate()
    motion = loop.advance(0)
    assert len(np.unique(motion.qvel[0, :, 3])) == 6
    np.testing.assert_array_equal(loop.read(1).gyro, motion.qvel[np.arange(6), 5 - np.arange(6), 3:6])


def test_command_line_writes_the_report_where_the_run_is(tmp_path, capsys):
    write(tmp_path / "policy.json", STANDING)
    command(tmp_path, episodes=1)
    kept = tmp_path / "exams" / "seed-0-episodes-1"
    card = json.loads(kept.with_suffix(".json").read_text())
    assert {"passed", "survival", "lin_vel_error", "yaw_rate_error", "episodes", "seed"} <= set(card)
    assert card["episodes"] == 1 and card["seed"] == 0
    assert card["policy"] == hashlib.sha256((tmp_path / "policy.json").read_bytes()).hexdigest()
    assert "Examination: FAILED" in kept.with_suffix(".md").read_text()
    said = capsys.readouterr().out
    assert "Examination: FAILED" in said and str(kept.with_suffix(".json")) in said
    command(tmp_path / "policy.json", episodes=1, json=True, out=tmp_path / "elsewhere")
    assert json.loads(capsys.readouterr().out)["survival"] == card["survival"]
    there = tmp_path / "elsewhere" / "exams" / "seed-0-episodes-1.json"
    assert there.read_text() == kept.with_suffix(".json").read_text()


@pytest.fixture
def quick(monkeypatch, standing):
    """Replaces the driving; the list of (episodes, seed) that were examined."""
    asked = []

    def examine(policy, episodes=100, seed=0, threads=0, simulator="mujoco"):
        asked.append((episodes, seed))
        return {**standing, "episodes": episodes, "seed": seed}

    monkeypatch.setattr(exam, "examine", examine)
    return asked


def test_another_examination_leaves_the_runs_own_card(quick, tmp_path):
    write(tmp_path / "policy.json", STANDING)
    command(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("report.json", "report_card.md")}
    command(tmp_path, episodes=3, seed=7)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert json.loads((tmp_path / "exams" / "seed-7-episodes-3.json").read_text())["episodes"] == 3
    assert quick == [(100, 0), (3, 7)]


def test_where_nothing_can_be_written_nothing_is_examined(quick, tmp_path, monkeypatch):
    """Refused before, whether a file is in the way or the folder may only be read."""
    write(tmp_path / "policy.json", STANDING)
    (tmp_path / "exams").write_text("in the way")
    with pytest.raises(UserError, match="is a file; expected a folder"):
        command(tmp_path, seed=7)
    assert quick == []
    command(tmp_path)
    assert quick == [(100, 0)], "the control: there is room for the run's own card"
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(UserError, match="nothing may be written"):
        command(tmp_path)
    assert quick == [(100, 0)]


def test_a_card_that_cannot_be_written_is_printed(quick, tmp_path, monkeypatch, capsys):
    """What shows only at the end: a full disk, or a permission that the system misreports."""

    def full(card, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path / "policy.json", STANDING)
    monkeypatch.setattr(report_card, "write", full)
    with pytest.raises(OSError, match="No space"):
        command(tmp_path)
    assert "Examination: FAILED" in capsys.readouterr().out


def test_a_policy_that_is_not_there_is_told_with_what_there_is(tmp_path, monkeypatch):
    """A folder without one, a path that is nothing, a run that was stopped too early; and the runs to choose from."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"no policy in {tmp_path}; .*`walkies train pupper` makes one"):
        find_policy(Path())
    with pytest.raises(UserError, match="no policy at nope; expected a run folder"):
        find_policy(Path("nope"))
    stopped, finished = Path("runs/stopped"), Path("runs/finished")
    (stopped / "checkpoints").mkdir(parents=True)
    (stopped / "checkpoints" / "000000012288.safetensors").touch()
    finished.mkdir()
    write(finished / "policy.json", STANDING)
    with pytest.raises(UserError, match="walkies train --resume --out runs/stopped"):
        find_policy(stopped)
    with pytest.raises(UserError, match=r"In runs there are: runs/finished$"):
        find_policy(Path("nope"))
    assert find_policy(finished) == find_policy(finished / "policy.json") == finished / "policy.json"


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="seed: got 10000, expected a whole number from 0 to 9999"):
        draw(10_000, 1, PUPPER, BODIES)
    with pytest.raises(UserError, match="--episodes: got 0"):
        draw(0, 0, PUPPER, BODIES)
    with pytest.raises(UserError, match="unknown robot 'spot'"):
        examine(replace(STANDING, walkies={"robot": "spot"}), 1)
