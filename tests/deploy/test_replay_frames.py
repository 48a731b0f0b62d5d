"""Logs of robots whose frames are listed in their policy's file: other orders, a gait reference, twenty frames."""

from dataclasses import replace

import numpy as np
import pytest

from walkies import cli
from walkies.deploy.blocks import Blocks, GaitReference
from walkies.deploy.excite import excitation
from walkies.deploy.identification import identify as module
from walkies.deploy.identification.identify import identify
from walkies.deploy.identification.replay import reproduce
from walkies.deploy.identification.windows import Cut
from walkies.deploy.policy_file import Layer, PolicyFile, read, write
from walkies.deploy.recordings.align import align
from walkies.deploy.recordings.logs import write_csv
from walkies.errors import UserError
from walkies.lab.bench.replay import Hidden, Recorder, record
from walkies.robots import get_robot
from walkies.tasks import signal
from walkies.tasks.signal import FRAME

PUPPER = get_robot("pupper")
HIDDEN = Hidden(latency=0.015, kp=0.8, kd=1.4, frictionloss=0.6, gyro_bias=(0.02, -0.01, 0.015))
COURSE = (*FRAME, "gait_reference")
"""The frame of the course of 2026: 48 numbers, of which it sees the last 20."""
SHUFFLED = ("last_action", "command", "gait_reference", "joint_position", "gravity", "desired_up", "gyro")
PERFECT = Recorder(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def shaking(frame: tuple[str, ...], history: int) -> PolicyFile:
    """The policy of `walkies excite` behind another frame. It still looks at nothing but its last action."""
    plain = excitation(PUPPER)
    size = signal.total(signal.chosen(frame), PUPPER)
    weights = np.zeros((size * history, 12))
    weights[signal.slices(signal.chosen(frame), PUPPER)["last_action"]] = plain.layers[0].weights[
        plain.slices["last_action"]
    ]
    blocks = Blocks()
    if "gait_reference" in frame:
        turn = np.linspace(0, 2 * np.pi, 50, endpoint=False)[:, None]
        table = np.array(PUPPER.default_pose) + 0.2 * np.sin(turn + np.arange(12))
        blocks = Blocks(gait_reference=GaitReference(1.5, table, table))
    return replace(
        plain,
        layers=(Layer(weights, plain.layers[0].bias, "tanh"),),
        observation=frame,
        observation_history=history,
        blocks=blocks,
    )


@pytest.fixture(scope="module", params=[(COURSE, 20), (SHUFFLED, 3)], ids=["course", "shuffled"])
def recorded(request):
    """(policy, its log of a robot with hidden parameters that hangs in the air and is told to walk)."""
    policy = shaking(*request.param)
    return policy, record(policy, PUPPER, HIDDEN, lambda time: [0.5, 0.0, 0.0], 9.0, held=True, seed=1)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(module, "HELD", Cut(40, 10, 0, 3))


def test_a_frames_signals_are_read_where_the_file_says(recorded, few):
    policy, recording = recorded
    assert recording.observation.values.shape[1] == policy.observation_size == 48 * policy.observation_history
    log = align(recording, policy, PUPPER)
    known = log.runs(20)
    assert sum(run.stop - run.start for run in known) > 0.8 * len(log.frame)
    for run in known:
        np.testing.assert_allclose(np.linalg.norm(log.part("gravity")[run], axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(log.part("desired_up")[run], [[0.0, 0.0, 1.0]] * (run.stop - run.start), atol=1e-7)
        np.testing.assert_allclose(log.part("command")[run][:, 0], 0.5, atol=1e-7)
        assert np.abs(log.part("gait_reference")[run]).max() > 0.15
    answers = reproduce(log, policy)
    assert answers.reproduced and answers.compared > 200 and answers.commands_compared > 200
    found = {e.name: e for e in identify(log, policy, PUPPER, threads=1).estimates}
    assert found["latency"].value == pytest.approx(8 / 520, abs=0.004)
    assert found["kp"].value == pytest.approx(0.8 * policy.kp, rel=0.1)
    assert found["kd"].value == pytest.approx(1.4 * policy.kd, rel=0.25)
    assert found["frictionloss"].value == pytest.approx(0.6 * 0.125, rel=0.3)
    for axis, bias in zip("xyz", HIDDEN.gyro_bias, strict=True):
        assert found[f"gyro_bias_{axis}"].value == pytest.approx(bias, abs=0.01)


def test_a_log_read_in_another_order_is_not_this_policys(recorded):
    """Control: the same network, and a frame of the same size in which signals stand elsewhere."""
    policy, recording = recorded
    swapped = {"joint_position": "last_action", "last_action": "joint_position"}
    other = replace(policy, observation=tuple(swapped.get(name, name) for name in policy.observation))
    wrong = reproduce(align(recording, other, PUPPER), other)
    assert not wrong.reproduced and wrong.command_error > 0.01


def test_a_file_of_another_age_says_how_many_numbers_it_takes(recorded):
    policy, recording = recorded
    with pytest.raises(UserError, match=rf"{policy.observation_size} numbers, the policy takes 108 \(3 frames of 36\)"):
        align(recording, excitation(PUPPER, edition=2025), PUPPER)


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (("joint_position",), r"no joint_position \(joint_pos_rel in obs_spec\)"),
        (("gyro", "gravity"), r"no gyro \(base_ang_vel in obs_spec\), gravity \(projected_gravity in obs_spec\)"),
        (("last_action",), r"no last_action \(last_action in obs_spec\).*`walkies excite`"),
    ],
)
def test_what_a_frame_lacks_is_named(without, says):
    """Without its last action nothing is known of a log; without sensors still whether the policy ran."""
    lacking = shaking(tuple(name for name in FRAME if name not in without or name == "last_action"), 3)
    recording = record(lacking, PUPPER, Hidden(), lambda time: None, 6.0, held=True, recorder=PERFECT)
    if "last_action" in without:
        lacking = replace(lacking, observation=(*FRAME[:-1], "joint_velocity"))
        with pytest.raises(UserError, match=says):
            align(recording, lacking, PUPPER)
        return
    log = align(recording, lacking, PUPPER)
    assert reproduce(log, lacking).reproduced
    with pytest.raises(UserError, match=says):
        identify(log, lacking, PUPPER, held=True, threads=1)


def test_replay_reads_the_frame_from_the_file_and_says_what_it_can(tmp_path, few, capsys):
    """Through files, as a person does it; where nothing can be fitted the first lines stand all the same."""
    policy = shaking(("last_action", "joint_position", "gait_reference", "command"), 4)
    write(tmp_path / "policy.json", policy)
    assert read(tmp_path / "policy.json").observation == policy.observation
    log = record(policy, PUPPER, HIDDEN, lambda time: None, 7.0, held=True, seed=2)
    write_csv(tmp_path / "log.csv", log)
    status = cli.run(["replay", str(tmp_path / "log.csv"), str(tmp_path / "policy.json"), "--threads", "1"])
    said = capsys.readouterr()
    assert status == 2
    assert ": reproduced" in said.out and "as the file says" in said.out
    assert "base_ang_vel" in said.err and "projected_gravity" in said.err and "joint_pos_rel" not in said.err


@pytest.mark.parametrize("contract", [2025, 2026])
def test_excite_writes_either_edition(tmp_path, capsys, contract):
    """Both hold the frame of 2025, so that both ages load them; only that of 2026 lists it."""
    assert cli.run(["excite", "--out", str(tmp_path / "shake.json"), "--contract", str(contract)]) == 0
    policy = read(tmp_path / "shake.json")
    assert policy.edition == contract and policy.observation == FRAME and policy.blocks.document(()) == {}
    assert ('"obs_spec"' in (tmp_path / "shake.json").read_text()) == (contract == 2026)
