"""What is said of the robot's loader is what it does: RTNeural's model_loader.h and nlohmann::json."""

import copy
import json

import numpy as np
import pytest
import rtneural_reader

from pupper_frame import FRAME_SIZE
from walkies.cli.lint import command
from walkies.deploy.checks.findings import ERROR, NOTE, UNCHECKED
from walkies.deploy.checks.lint import check, lint
from walkies.deploy.policy_file import Layer, PolicyFile, PolicyFileError, read
from walkies.deploy.policy_json import frame_document
from walkies.deploy.rtneural import UNSUPPORTED
from walkies.robots import get_robot
from walkies.tasks.signal import FRAME

PUPPER = get_robot("pupper")
OBSERVATIONS = np.random.default_rng(1).normal(size=(5, FRAME_SIZE))


@pytest.fixture
def document():
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(FRAME_SIZE, 5)) / 6, rng.normal(size=(5, 12)) / 3
    first[9:12] = 0.0
    layers = Layer(first, rng.normal(size=5), "elu"), Layer(None, np.full(5, 0.1)), Layer(last, np.zeros(12), "tanh")
    pose, limits = PUPPER.default_pose, (PUPPER.lower_limits, PUPPER.upper_limits)
    ranges = {"vx": [-0.75, 0.75], "vy": [-0.5, 0.5], "yaw_rate": [-2.0, 2.0]}
    return PolicyFile(
        layers, 1, 5.0, 0.25, (0.5,) * 12, pose, *limits, walkies={"robot": "pupper", "command_range": ranges}
    ).document()


@pytest.fixture
def actions(tmp_path):
    """Actions of a document as walkies reads it from a file; the independent reader must agree."""

    def of(document):
        path = tmp_path / "policy.json"
        path.write_text(json.dumps(document))
        got = read(path).act_exactly(OBSERVATIONS)
        np.testing.assert_allclose(got, [rtneural_reader.run(document, o) for o in OBSERVATIONS], atol=1e-12)
        return got

    return of


def codes(document):
    return {finding.code: finding.severity for finding in check(document)}


def test_the_document_is_sound(document):
    assert check(document) == []


def test_byte_order_mark_is_passed_over(document, tmp_path):
    path = tmp_path / "policy.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    assert lint(path) == [] and read(path).observation_history == 1
    path.write_bytes(json.dumps(document).encode("utf-16"))  # the control: this the robot refuses
    assert [finding.code for finding in lint(path)] == ["unreadable"]


def test_whole_numbers_may_be_written_as_others(document, actions):
    expected = actions(document)
    document["in_shape"], document["observation_history"] = [None, 36.0], 1.0
    for layer in document["layers"]:
        layer["shape"] = [None, float(layer["shape"][-1])]
    assert check(document) == []
    np.testing.assert_array_equal(actions(document), expected)
    for key, value in (("observation_history", 1.5), ("in_shape", [None, 36.5]), ("observation_history", True)):
        assert ERROR in codes({**document, key: value}).values()


def test_no_history_is_a_history_of_one(document, actions):
    del document["observation_history"]
    assert codes(document) == {"course-check": "error"}, "the robot would take it, but it does not get that far"
    actions(document)
    document["in_shape"] = [None, 72]
    assert codes(document)["bad-input-size"] == ERROR


def test_dense_layers_need_no_bias_and_have_two_names(document, actions):
    last = document["layers"][-1]
    expected = actions(document)
    last["type"], last["weights"] = "time-distributed-dense", last["weights"][:1]
    assert check(document) == []
    np.testing.assert_array_equal(actions(document), expected)  # its bias was zero
    last["weights"] = []
    assert codes(document)["bad-layer"] == ERROR


def test_slopes_stand_in_a_list_within_a_list(document, actions):
    prelu, expected = document["layers"][1], actions(document)
    prelu["weights"] = [[[0.1]]]
    assert check(document) == []
    np.testing.assert_array_equal(actions(document), expected)
    for weights in ([[0.1] * 5], [0.1] * 5, [[]], [], 0.1, [[[[0.1]] * 5]], None):
        prelu["weights"] = weights
        assert ERROR in codes(document).values(), weights
    prelu["weights"] = [[[0.1] * 4]]
    assert codes(document) == {"bad-layer-size": ERROR}


def test_an_activation_beside_slopes_is_never_read(document, actions):
    expected = actions(document)
    document["layers"][1]["activation"] = "tanh"
    np.testing.assert_array_equal(actions(document), expected)
    document["layers"][0]["activation"] = "tanh"  # the control: beside weights it is
    assert np.abs(actions(document) - expected).max() > 1e-3
    document["layers"][1]["activation"] = "swish"
    assert check(document) == []


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_layers_that_only_the_robot_runs_are_not_called_unfit(document, tmp_path, capsys, kind):
    path = tmp_path / "policy.json"
    document["layers"].insert(1, {"type": kind, "shape": [None, 5], "weights": []})
    assert codes(document) == {"unsupported-layer": UNCHECKED}
    path.write_text(json.dumps(document))
    with pytest.raises(SystemExit) as stop:
        command(path)
    out = capsys.readouterr().out
    assert stop.value.code == 1 and f"a {kind} layer" in out and "cannot tell" in out and "not fit" not in out
    with pytest.raises(PolicyFileError, match=f"got a {kind} layer, expected dense or prelu"):
        read(path)
    assert codes({**document, "kd": 0})["implausible-gain"] == ERROR, "all but the network is checked"
    del document["layers"][1]["weights"]
    assert codes(document)["bad-layer"] == ERROR, "the loader demands them of every layer"


def test_layers_that_nobody_knows_are_passed_over_by_the_robot(document):
    document["layers"].insert(1, {"type": "transformer", "shape": [None, 5], "weights": []})
    assert codes(document) == {"bad-layer": ERROR}


def test_a_pose_left_to_the_launch_file_is_not_known_here(document, tmp_path):
    del document["default_joint_pos"]
    assert codes(document) == {"missing-pose": UNCHECKED, "course-check": ERROR}
    del document["obs_spec"]  # the robot of 2025 has no validator
    assert codes(document)["missing-pose"] == UNCHECKED and ERROR not in codes(document).values()
    assert codes({**document, "kd": 0})["implausible-gain"] == ERROR
    (tmp_path / "policy.json").write_text(json.dumps(document))
    with pytest.raises(PolicyFileError, match="default_joint_pos: got nothing"):
        read(tmp_path / "policy.json")


def test_frames_of_the_newer_controller_are_told_from_frames_that_no_robot_makes(document):
    """36 numbers in the old order are what the robot of 2025 runs, too; 20 frames of 48 are for a robot of 2026."""
    plain = {**document, "obs_spec": frame_document(FRAME, get_robot("pupper"), 1)}
    names = ("base_ang_vel", "projected_gravity", "command", "desired_world_z", "joint_pos_rel", "last_action")
    assert tuple(part["name"] for part in plain["obs_spec"]["components"]) == names
    assert codes(plain) == {}
    gait = copy.deepcopy(plain)
    gait["obs_spec"]["components"].append({"name": "gait_reference", "size": 12})
    gait.update(in_shape=[None, 960], observation_history=20, contract_version=2)
    gait["layers"][0]["weights"][0] = [[0.1] * 5] * 960
    gait["obs_spec"]["history"] = 20
    assert codes(gait)["bad-block"] == ERROR, "a reference that nothing tells"
    gait["obs_spec"]["components"][-1]["name"] = "camera"
    assert codes(gait) == {"unsupported-frame": UNCHECKED, "course-check": ERROR, "ignored-key": NOTE}
    del gait["obs_spec"]
    assert codes(gait)["bad-input-size"] == ERROR
    for spec in (1, {}, {"components": 1}, {"components": [1]}, None):
        assert ("unsupported-frame" in codes({**document, "obs_spec": spec})) == (spec is not None)
