"""The linter: silent on a sound file, and every fault gets its own code, severity, reference and mend."""

import ast
import copy
import inspect
import json
import time

import numpy as np
import pytest

from deploy.conftest import RANGE
from pupper_frame import FRAME_SIZE
from walkies.cli.lint import command
from walkies.deploy import blocks, json_values, policy_json, rtneural
from walkies.deploy.blocks import command as command_blocks
from walkies.deploy.blocks import gait, jump, trick
from walkies.deploy.checks import lint as module
from walkies.deploy.checks import network_rules, robot_rules
from walkies.deploy.checks.findings import ERROR, NOTE, UNCHECKED, WARNING
from walkies.deploy.checks.lint import check
from walkies.robots import get_robot

PUPPER = get_robot("pupper")


def test_sound_file_has_no_finding(sound):
    assert check(sound) == []


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(document):
        for key in keys:
            document = document[key]
        document[last] = value

    return change


def _scale_row(row, factor):
    def change(document):
        matrix = document["layers"][0]["weights"][0]
        matrix[row] = [factor * value for value in matrix[row]] if any(matrix[row]) else [factor] * len(matrix[row])

    return change


def _scale_layer(index, factor):
    def change(document):
        matrix = document["layers"][index]["weights"][0]
        matrix[:] = [[factor * value for value in row] for row in matrix]

    return change


def _bias(index, value):
    return lambda document: document["layers"][index]["weights"].__setitem__(
        1, [value] * len(document["layers"][index]["weights"][1])
    )


def _each(*changes):
    return lambda document: [change(document) for change in changes]


def _only_known(name, pair):
    """Commands trained for as a file of 2025 has them, which no robot clips."""

    def change(document):
        document.pop("command_clip", None)
        document["walkies"]["command_range"] = {key: list(span) for key, span in RANGE.items()} | {name: pair}

    return change


def _without_action(joint):
    """The network's last layer says zero for a joint."""

    def change(document):
        matrix, bias = document["layers"][-1]["weights"]
        bias[joint] = 0.0
        for row in matrix:
            row[joint] = 0.0

    return change


FAULTS = {
    "missing-key": (lambda d: d.pop("joint_lower_limits"), ERROR),
    "missing-limits": (_set("joint_upper_limits", []), ERROR),
    "inverted-limits": (_set("joint_upper_limits", [-3.0] * 12), ERROR),
    "bad-joint-array": (_set("default_joint_pos", [0.0] * 11), ERROR),
    "bad-gain": (_set("kp", [5.0] * 12), ERROR),
    "bad-scale": (_set("action_scale", "much"), ERROR),
    "bad-input-size": (_set("observation_history", 4), ERROR),
    "bad-history": (_set("observation_history", 0), ERROR),
    "unknown-activation": (_set("layers", 0, "activation", "swish"), ERROR),
    "bad-layer": (_set("layers", 0, "type", "lstmm"), ERROR),
    "unsupported-layer": (_set("layers", 0, "type", "lstm"), UNCHECKED),
    "unsupported-frame": (_set("obs_spec", {"components": [{"name": "camera", "size": 12}]}), UNCHECKED),
    "bad-spec": (_set("single_observation_size", 48), ERROR),
    "bad-block": (_set("command_clip", "vx", [1.0, -1.0]), ERROR),
    "missing-pose": (lambda d: d.pop("default_joint_pos"), UNCHECKED),
    "bad-layer-size": (_set("layers", 0, "shape", [None, 31]), ERROR),
    "bad-output-size": (lambda d: d["layers"].pop(), ERROR),
    "not-finite": (_set("layers", 0, "weights", 0, 0, 0, 1e300), ERROR),
    "wrong-type": (_set("use_imu", 1), ERROR),
    "ignored-key": (_set("maximum_pitch_command", 0.0), NOTE),
    "unknown-key": (_set("action_scales", 0.5), WARNING),
    "gain-over-cap": (_set("kp", 20.0), ERROR),
    "implausible-gain": (_set("kd", 0), ERROR),
    "mirrored-scale": (_set("action_scale", -0.75), ERROR),
    "implausible-scale": (_set("action_scale", 1e6), ERROR),
    "held-joint": (_each(_set("action_scale", [0.75] * 11 + [0.0]), _without_action(11)), NOTE),
    "deaf-joint": (_set("action_scale", [0.75] * 11 + [0.0]), WARNING),
    "no-imu": (_set("use_imu", False), WARNING),
    "degrees": (_set("default_joint_pos", [15.0] * 12), ERROR),
    "pose-outside-limits": (_set("default_joint_pos", 1, -1.0), ERROR),
    "narrow-limits": (lambda d: _closed(1e-9)(d), WARNING),
    "implausible-pose": (lambda d: d["default_joint_pos"].reverse(), WARNING),
    "limits-beyond-robot": (_set("joint_upper_limits", 0, 3.0), WARNING),
    "pose-outside-board": (_set("default_joint_pos", 1, -0.4), WARNING),
    "silent-clamp": (_set("walkies", {}), WARNING),
    "deaf": (_scale_layer(0, 0.0), WARNING),
    "pose-input": (_scale_row(9, 0.01), NOTE),
    "constant-input": (_each(_scale_row(9, 0.01), _set("maximum_pitch_command", 0.0)), WARNING),
    "never-varied": (_scale_row(FRAME_SIZE + 3, 1e6), ERROR),
    "unbounded": (_set("layers", 1, "activation", ""), WARNING),
    "one-sided": (_set("layers", 1, "activation", "softmax"), ERROR),
    "large": (
        _each(
            lambda d: d["layers"].insert(1, {**d["layers"][0], "shape": [None, 1100]}),
            lambda d: d["layers"][1].update(weights=[[[0.001] * 1100] * 32, [0.0] * 1100]),
            lambda d: d["layers"].insert(2, {**d["layers"][1], "weights": [[[0.0001] * 1100] * 1100, [0.0] * 1100]}),
            lambda d: d["layers"][3].update(weights=[[[0.0001] * 12] * 1100, [0.0] * 12]),
        ),
        WARNING,
    ),
    "overflow": (_each(_bias(0, 1e38), _scale_layer(1, 1e38), _set("layers", 1, "activation", "")), ERROR),
    "rounding": (  # large hidden values that cancel
        _each(_bias(0, 1e6), _set("layers", 1, "weights", 0, [[0.1 * (-1) ** i] * 12 for i in range(32)])),
        WARNING,
    ),
    "saturated": (_bias(1, 9.0), WARNING),
    "jumpy": (_each(_scale_layer(0, 10.0), _scale_layer(1, 3.0)), WARNING),
    "control-rate": (_set("walkies", "control_dt", 0.01), ERROR),
    "unknown-robot": (_set("walkies", "robot", ["pupper"]), WARNING),
    "command-range-unknown": (lambda d: d.pop("command_clip"), NOTE),
    "course-check": (lambda d: d["obs_spec"].pop("frame_order"), ERROR),
    "no-obs-spec": (lambda d: d.pop("obs_spec"), NOTE),
    "needs-2026": (lambda d: d["obs_spec"]["components"].reverse(), NOTE),
    "command-range": (_each(_only_known("yaw_rate", [-1.0, 1.0])), WARNING),
}


@pytest.mark.parametrize("code", FAULTS, ids=list(FAULTS))
def test_each_fault_has_its_code(sound, code):
    change, severity = FAULTS[code]
    document = copy.deepcopy(sound)
    change(document)
    found = {finding.code: finding for finding in check(document)}
    assert code in found, f"found only {list(found)}"
    assert found[code].severity == severity
    assert found[code].mend and found[code].reference and found[code].message


def _row_at(row, multiple):
    """Makes a row's largest weight so many times the median row's, as the linter measures it."""

    def change(document):
        size = np.abs(np.array(document["layers"][0]["weights"][0])).max(axis=1)
        others = np.delete(size, row)
        _set("layers", 0, "weights", 0, row, [multiple * float(np.median(others[others > 0]))] * 32)(document)

    return change


def _saturate(outputs):
    return lambda document: document["layers"][1]["weights"].__setitem__(1, [9.0] * outputs + [0.0] * (12 - outputs))


def _closed(half_width):
    """Limits that leave a joint this much on either side of its place in the default pose."""

    def change(document):
        pose = document["default_joint_pos"][1]
        document["joint_lower_limits"][1], document["joint_upper_limits"][1] = pose - half_width, pose + half_width

    return change


HARD_UPPER = list(PUPPER.upper_limits)
BOARD_LOWER, BOARD_UPPER = (np.asarray(limits, float).tolist() for limits in PUPPER.target_limits())
EDGES = {
    "gain-over-cap": (_set("kp", 10.0), _set("kp", 10.01)),
    "implausible-gain": (_each(_set("kp", 1.0), _set("kd", 0.05)), _set("kd", 0.049)),
    "implausible-scale": (
        _set("action_scale", [0.05, 2.0] * 6),
        _set("action_scale", [0.049, 2.0] * 6),
    ),
    "mirrored-scale": (_set("action_scale", [0.75] * 12), _set("action_scale", [0.75] * 11 + [-0.75])),
    "deaf-joint": (
        _each(_set("action_scale", [0.75] * 11 + [0.0]), _without_action(11)),
        _each(_set("action_scale", [0.75] * 11 + [0.0]), _without_action(10)),
    ),
    "held-joint": (
        _set("action_scale", 0.75),
        _each(_set("action_scale", [0.75] * 11 + [0.0]), _without_action(11)),
    ),
    "narrow-limits": (_closed(0.051), _closed(0.049)),
    "implausible-pose": (
        _set("default_joint_pos", [0.8, 0.2, -1.4, -0.8, -0.2, 1.4] * 2),  # a deep crouch, feet apart
        _set("default_joint_pos", [0.0, 0.0, 0.3, 0.0, 0.0, -0.3] * 2),
    ),
    "degrees": (_set("joint_upper_limits", [6.28] * 12), _set("joint_upper_limits", [6.29] * 12)),
    "pose-outside-limits": (
        _each(_set("default_joint_pos", 1, 0.25), _set("joint_lower_limits", 1, 0.25)),
        _each(_set("default_joint_pos", 1, 0.249), _set("joint_lower_limits", 1, 0.25)),
    ),
    "inverted-limits": (_closed(0.001), _closed(0.0)),
    "limits-beyond-robot": (
        _set("joint_upper_limits", 0, HARD_UPPER[0] + 0.0009),
        _set("joint_upper_limits", 0, HARD_UPPER[0] + 0.0011),
    ),
    "pose-outside-board": (
        _set("default_joint_pos", 1, BOARD_LOWER[1]),
        _set("default_joint_pos", 1, BOARD_LOWER[1] - 0.001),
    ),
    "silent-clamp": (
        _each(
            _set("walkies", {}),
            _set("joint_lower_limits", BOARD_LOWER),
            _set("joint_upper_limits", BOARD_UPPER),
        ),
        _each(
            _set("walkies", {}),
            _set("joint_lower_limits", BOARD_LOWER),
            _set("joint_upper_limits", [x + 0.001 for x in BOARD_UPPER]),
        ),
    ),
    "pose-input": (_scale_layer(0, 10.0), _set("layers", 0, "weights", 0, FRAME_SIZE + 10, 3, 1e-9)),
    "constant-input": (
        _each(_row_at(9, 290.0), _set("maximum_pitch_command", 0.0), _set("maximum_roll_command", 20.0)),
        _each(_row_at(9, 290.0), _set("maximum_pitch_command", 0.0), _set("maximum_roll_command", 0.0)),
    ),
    "never-varied": (_row_at(FRAME_SIZE + 3, 290.0), _row_at(FRAME_SIZE + 3, 310.0)),
    "saturated": (_saturate(3), _saturate(4)),
    "jumpy": (  # 0.58 and 0.68 rad
        _each(_scale_layer(0, 12.0), _scale_layer(1, 2.0)),
        _each(_scale_layer(0, 15.0), _scale_layer(1, 2.0)),
    ),
    "rounding": (
        _each(_bias(0, 1e2), _set("layers", 1, "weights", 0, [[0.1 * (-1) ** i] * 12 for i in range(32)])),
        _each(_bias(0, 1e5), _set("layers", 1, "weights", 0, [[0.1 * (-1) ** i] * 12 for i in range(32)])),
    ),
    "control-rate": (_set("walkies", "control_dt", 0.0209), _set("walkies", "control_dt", 0.0211)),
    "command-range": (
        _only_known("vy", [-0.5, 0.6]),
        _only_known("vy", [-0.5, 0.49]),
    ),
    "unbounded": (_set("layers", 1, "activation", "sigmoid"), _set("layers", 1, "activation", "elu")),
    "one-sided": (_set("layers", 1, "activation", "elu"), _set("layers", 1, "activation", "sigmoid")),
    "missing-key": (lambda d: d.pop("command_clip"), lambda d: d.pop("kp")),
    "unknown-activation": (_set("layers", 0, "activation", "relu"), _set("layers", 0, "activation", "Relu6")),
}


@pytest.mark.parametrize("code", EDGES)
def test_a_finding_begins_where_its_bound_says(sound, code):
    """On the good side of every bound the linter is silent (and has gone through all its rules), beyond it speaks."""
    within, beyond = (copy.deepcopy(sound) for _ in range(2))
    for change, document in zip(EDGES[code], (within, beyond), strict=True):
        change(document)
    found = check(within)
    assert code not in {finding.code for finding in found} and ERROR not in {finding.severity for finding in found}
    assert code in {finding.code for finding in check(beyond)}


def test_size_of_a_network_is_told_beyond_a_number_of_weights(sound, monkeypatch):
    count = sum(np.size(weights) for layer in sound["layers"] for weights in layer["weights"])
    for most, expected in ((count, False), (count - 1, True)):
        monkeypatch.setattr(network_rules, "MAX_PARAMETERS", most)
        assert ("large" in {finding.code for finding in check(sound)}) == expected


def test_constant_input_becomes_an_error_beyond_a_bound(sound):
    for multiple, expected in ((290.0, WARNING), (310.0, ERROR)):
        document = copy.deepcopy(sound)
        _each(_row_at(9, multiple), _set("maximum_pitch_command", 0.0))(document)
        (severity,) = [finding.severity for finding in check(document) if finding.code == "constant-input"]
        assert severity == expected


def codes_in(source):
    """First words of the findings and problems that are made in a module."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args)
    made = (call for call in calls if getattr(call.func, "id", "") in ("Finding", "Problem", "_implausible"))
    return {part.value for call in made for part in ast.walk(call.args[0]) if isinstance(part, ast.Constant)}


def test_every_code_that_can_be_given_is_tested():
    told = set(module._PROBLEMS).union(*(codes_in(inspect.getsource(m)) for m in (module, network_rules, robot_rules)))
    readers = (policy_json, rtneural, blocks, command_blocks, gait, jump, trick, json_values)
    assert set().union(*(codes_in(inspect.getsource(m)) for m in readers)) <= set(module._PROBLEMS)
    assert told - {"unreadable", "too-large"} == set(FAULTS)
    assert codes_in('Finding("new" if x else "old", ERROR)') == {"new", "old"}, "a new one would be noticed"


def test_huge_constant_input_is_an_error(sound):
    """The upstream trap: weights divided by a deviation of 1e-6 on inputs that stood still in training."""
    document = copy.deepcopy(sound)
    _scale_row(9, 1e6)(document)
    assert next(finding for finding in check(document) if finding.code == "constant-input").severity == ERROR


def test_findings_come_worst_first(sound):
    document = copy.deepcopy(sound)
    for code in ("ignored-key", "no-imu", "gain-over-cap"):
        FAULTS[code][0](document)
    assert [finding.severity for finding in check(document)] == [ERROR, WARNING, NOTE]


def test_command_prints_and_exits(sound, tmp_path, capsys):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(sound))
    started = time.perf_counter()
    command(tmp_path)
    assert time.perf_counter() - started < 1.0
    assert "0 errors, 0 warnings, 0 notes: fit to try" in capsys.readouterr().out
    path.write_text(json.dumps({**sound, "kp": 20.0}))
    with pytest.raises(SystemExit) as stop:
        command(path, json=True)
    assert stop.value.code == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert finding["code"] == "gain-over-cap"
    with pytest.raises(SystemExit):
        command(path)
    out = capsys.readouterr().out
    assert "error [gain-over-cap] at kp: 20 is above the board's cap" in out and "fix: train with kp ≤ 10" in out
