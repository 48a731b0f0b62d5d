"""`walkies replay`, `excite` and `export` as a person meets them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from deploy import synthetic
from walkies import cli
from walkies.deploy.excite import excitation
from walkies.deploy.identification import identify as module
from walkies.deploy.identification.identify import Estimate, Identified
from walkies.deploy.identification.replay import doubts, propose, reproduce
from walkies.deploy.identification.windows import Cut
from walkies.deploy.policy_file import Layer, read, write
from walkies.deploy.recordings.align import align
from walkies.deploy.recordings.logs import Messages, write_csv
from walkies.lab.bench import replay as bench
from walkies.lab.bench.replay import Hidden, Recorder, record
from walkies.robots import get_robot
from walkies.tasks.randomization import Randomization, quantities

PUPPER = get_robot("pupper")
SHAKE = excitation(PUPPER)
HIDDEN = Hidden(latency=0.015, kp=0.8, kd=1.4, frictionloss=0.6, gyro_bias=(0.02, -0.01, 0.015))


@pytest.fixture(scope="module")
def recording():
    return record(SHAKE, PUPPER, HIDDEN, lambda time: None, 7.0, held=True, seed=1)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(module, "HELD", Cut(40, 10, 0, 3))


def say(capsys, *arguments):
    status = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_replay_tells_the_robot_and_proposes_ranges(tmp_path, recording, few, capsys):
    write_csv(tmp_path / "log.csv", recording)
    write(tmp_path / "policy.json", SHAKE)
    out_file = tmp_path / "found" / "robot.json"
    status, out, _ = say(capsys, "replay", tmp_path / "log.csv", tmp_path, "--out", out_file, "--threads", 1)
    assert status == 0
    assert ": reproduced" in out and "as the file says" in out and "held in the air" in out
    assert "note:" not in out and "ground_friction" in out and "not identifiable" in out
    found = json.loads(out_file.read_text())
    assert found["reproduced"] and found["held"] and found["estimates"]["ground_friction"] is None
    assert found["estimates"]["latency"]["value"] == pytest.approx(8 / 520, abs=0.004)
    assert found["estimates"]["kp"]["value"] == pytest.approx(0.8 * 5.0, rel=0.1)
    ranges = found["randomization"]
    assert (
        ranges["motor.kp"][0] < 0.8 < ranges["motor.kp"][1]
        and ranges["motor.frictionloss"][0] < 0.6 < ranges["motor.frictionloss"][1]
    )
    assert (
        ranges["latency.command_delay"][0] < 8 / 520 < ranges["latency.command_delay"][1]
        and ranges["sensing.gyro_bias"][1] > 0.02
    )
    assert set(ranges) <= {f"{q.group}.{q.name}" for q in quantities(Randomization())}
    flags = [word for word in out.split() if word.startswith("--task.")]
    assert len(flags) == 2 * len(ranges)
    help_text = say(capsys, "train", "--help", "all")[1]
    assert all(flag in help_text for flag in flags)


def test_another_policys_log_is_recognised(tmp_path, recording, few, capsys):
    """One weight of the policy changed by a hundredth: the log is not this policy's."""
    weights = SHAKE.layers[0].weights.copy()
    weights[weights != 0] *= 1.01
    write_csv(tmp_path / "log.csv", recording)
    write(tmp_path / "other.json", replace(SHAKE, layers=(Layer(weights, SHAKE.layers[0].bias, "tanh"),)))
    status, out, _ = say(capsys, "replay", tmp_path / "log.csv", tmp_path / "other.json", "--threads", 1)
    assert status == 1 and "NOT this policy's answers" in out


def _of(document, path):
    path.write_text(json.dumps(document))
    return read(path)


def test_the_log_of_a_policy_with_a_gait_is_put_together_and_told_from_anothers(tmp_path):
    """What the frame has beyond the one of 2025 is read with the rest."""
    policy = _of(synthetic.gaits(history=2, hidden=(8,)), tmp_path / "policy.json")
    recording = record(policy, PUPPER, HIDDEN, lambda time: np.array([0.4, 0.0, 0.0]), 5.0, held=True, seed=1)
    log = align(recording, policy, PUPPER)
    assert reproduce(log, policy).reproduced
    assert np.nanmax(np.abs(log.part("gait_reference"))) > 0.1
    other = _of(synthetic.gaits(history=2, hidden=(8,), seed=1), tmp_path / "other.json")
    assert not reproduce(align(recording, other, PUPPER), other).reproduced, "the control"


def test_other_scale_pose_or_limits_are_recognised(recording):
    ours = reproduce(align(recording, SHAKE, PUPPER), SHAKE)
    assert ours.reproduced and ours.compared > 200 and ours.commands_compared > 200
    for change in (
        {"action_scale": tuple(1.01 * scale for scale in SHAKE.action_scale)},
        {"default_joint_pos": tuple(angle + 0.01 for angle in SHAKE.default_joint_pos)},
        {"joint_upper_limits": tuple(np.array(SHAKE.default_joint_pos) + 0.1)},
    ):
        other = replace(SHAKE, **change)
        wrong = reproduce(align(recording, other, PUPPER), other)
        assert not wrong.reproduced and wrong.command_error > 1e-3 and wrong.error <= 1e-4


def test_outputs_of_another_time_do_not_count(tmp_path, recording, capsys):
    late = recording.policy_output
    write_csv(tmp_path / "log.csv", recording._replace(policy_output=Messages(late.time[:20], late.values[:20])))
    write(tmp_path / "policy.json", SHAKE)
    status, _, err = say(capsys, "replay", tmp_path / "log.csv", tmp_path / "policy.json")
    assert status == 2 and "record both topics" in err


def test_ranges_reach_as_far_as_the_estimate_may_be_wrong():
    estimates = (
        Estimate("latency", 0.002, 0.0001, "s", None, True),
        Estimate("kp", 4.0, 0.4, "N m/rad", 5.0, True),
        Estimate("kd", 0.3, 0.001, "N m s/rad", 0.25, True),
        Estimate("frictionloss", 0.1, 0.1, "N m", 0.125, False),
        Estimate("ground_friction", 0.5, 0.01, "1", None, True),
        Estimate("gyro_bias_x", -0.03, 0.001, "rad/s", 0.0, True),
        Estimate("gyro_bias_y", 0.01, 0.001, "rad/s", 0.0, True),
        Estimate("gyro_bias_z", 9.0, 9.0, "rad/s", 0.0, False),
    )
    ranges = propose(estimates)
    expected = {
        "latency.command-delay": (0.0, 0.006),
        "motor.kp": (0.8 - 0.16, 0.8 + 0.16),
        "motor.kd": (1.2 * 0.75, 1.2 * 1.25),
        "contact.friction": (0.5 * 0.7, 0.5 * 1.3),
        "sensing.gyro-bias": (-0.04, 0.04),
    }
    assert ranges.keys() == expected.keys()
    for name, pair in expected.items():
        assert ranges[name] == pytest.approx(pair)


def test_doubts_are_said():
    sound = Identified(True, (), 0.003, 0.05, (0.003,) * 12, 10, 20.0)
    assert doubts(sound, PUPPER) == []
    (elsewhere,) = doubts(sound._replace(joint_error=0.045, held=False), PUPPER)
    assert "really on the ground" in elsewhere
    (weak,) = doubts(sound._replace(each_joint=(0.003,) * 8 + (0.03,) + (0.003,) * 3), PUPPER)
    assert weak.startswith("leg_back_r_3 is 0.030 rad off")


def test_excite_writes_a_policy_that_the_robot_loads(tmp_path, capsys):
    status, out, _ = say(capsys, "excite", "--out", tmp_path / "shake.json", "--kp", 6.5, "--kd", 0.3)
    assert status == 0 and "held in the air" in out
    policy = read(tmp_path / "shake.json")
    assert (policy.kp, policy.kd) == (6.5, 0.3)
    lower, upper = PUPPER.target_limits()
    reach = np.array(policy.action_scale)
    assert np.all(policy.default_joint_pos - reach > lower) and np.all(policy.default_joint_pos + reach < upper)
    assert policy.layers[-1].activation == "tanh", "whatever it computes, the swing is bounded"


def test_export_writes_onnx_beside_the_policy(tmp_path, capsys):
    write(tmp_path / "policy.json", SHAKE)
    status, out, _ = say(capsys, "export", tmp_path)
    assert status == 0 and "checked with onnxruntime" in out
    import onnxruntime

    session = onnxruntime.InferenceSession((tmp_path / "policy.onnx").read_bytes())
    observation = np.random.default_rng(0).normal(size=(5, SHAKE.observation_size)).astype(np.float32)
    (action,) = session.run(["action"], {"observation": observation})
    np.testing.assert_allclose(action, SHAKE.act(observation), atol=1e-5)
    status, _, err = say(capsys, "export", tmp_path / "none.json")
    assert status == 2 and "none.json" in err


def test_bench_measures_errors_against_what_was_hidden(few, capsys):
    status, out, _ = say(capsys, "bench", "replay", "--robots", 1, "--seconds", 6, "--threads", 1, "--json")
    assert status == 0
    result = json.loads(out)
    (errors,) = result["errors"]
    assert abs(errors["latency"]) < 0.004 and abs(errors["kp"]) < 0.1 and errors["ground_friction"] is None
    status, _, err = say(capsys, "bench", "replay", "--no-held")
    assert status == 2 and "--policy" in err


def test_recorder_loses_delays_and_darkens():
    rng = np.random.default_rng(0)
    time = np.arange(2000) * 0.02
    recorder = Recorder(jitter=0.004, loss=0.1, blackout=1.0)
    got = bench._received(time, time[:, None], recorder, rng)
    assert len(got.time) == pytest.approx(0.9 * 1950, rel=0.03)
    assert np.all(np.diff(got.time) >= 0) and np.all(got.time >= got.values[:, 0] - 1e-5)
    assert np.mean(got.time - got.values[:, 0]) == pytest.approx(0.004, rel=0.2)
    assert not np.any((got.values >= 20.0) & (got.values < 20.97))
