"""The linter: silent on a sound file, and every fault gets its own code, severity, reference and mend."""

import ast
import copy
import inspect
import itertools
import json
import random
import time

import numpy as np
import pytest
from fuzz import damaged
from hypothesis import given, settings
from hypothesis import strategies as st

from walkies.contract import FRAME_SIZE, SLICES, Contract
from walkies.deploy import json_values, lint_network, lint_robot, policy_json, rtneural
from walkies.deploy import lint as module
from walkies.deploy.findings import ERROR, NOTE, SEVERITIES, UNCHECKED, WARNING
from walkies.deploy.lint import check, command, lint
from walkies.deploy.policy_file import PolicyFileError, export, from_document, read
from walkies.robots import get_robot

PUPPER = get_robot("pupper")
RANGE = {"vx": (-0.75, 0.75), "vy": (-0.5, 0.5), "yaw_rate": (-2.0, 2.0)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A document that the robot may walk with, as far as a file can tell."""
    rng = np.random.default_rng(0)
    size = 2 * FRAME_SIZE
    layers = [
        (0.6 * rng.normal(size=(size, 32)) / size**0.5, np.zeros(32)),
        (0.6 * rng.normal(size=(32, 12)) / 32**0.5, np.zeros(12)),
    ]
    scale = np.full(size, 2.0)
    for frame in range(2):
        scale[frame * FRAME_SIZE :][SLICES["desired_up"]] = 0.0
    path = tmp_path_factory.mktemp("sound") / "policy.json"
    export(path, layers, "elu", np.zeros(size), scale, Contract(PUPPER, 2), command_range=RANGE)
    return json.loads(path.read_text())


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
    "unsupported-frame": (_set("obs_spec", {"components": [{"name": "command", "size": 3}]}), UNCHECKED),
    "missing-pose": (lambda d: d.pop("default_joint_pos"), UNCHECKED),
    "bad-layer-size": (_set("layers", 0, "shape", [None, 31]), ERROR),
    "bad-output-size": (lambda d: d["layers"].pop(), ERROR),
    "not-finite": (_set("layers", 0, "weights", 0, 0, 0, 1e300), ERROR),
    "wrong-type": (_set("use_imu", 1), ERROR),
    "ignored-key": (_set("maximum_pitch_command", 0.0), NOTE),
    "newer-key": (_set("command_clip", {}), NOTE),
    "unknown-key": (_set("action_scales", 0.5), WARNING),
    "gain-over-cap": (_set("kp", 20.0), ERROR),
    "implausible-gain": (_set("kd", 0), ERROR),
    "mirrored-scale": (_set("action_scale", -0.75), ERROR),
    "implausible-scale": (_set("action_scale", 1e6), ERROR),
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
    "command-range-unknown": (lambda d: d["walkies"].pop("command_range"), NOTE),
    "command-range": (_set("walkies", "command_range", "yaw_rate", [-1.0, 1.0]), WARNING),
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
        _set("walkies", "command_range", "vy", [-0.5, 0.6]),
        _set("walkies", "command_range", "vy", [-0.5, 0.49]),
    ),
    "unbounded": (_set("layers", 1, "activation", "sigmoid"), _set("layers", 1, "activation", "elu")),
    "one-sided": (_set("layers", 1, "activation", "elu"), _set("layers", 1, "activation", "sigmoid")),
    "missing-key": (lambda d: d["walkies"].pop("command_range"), lambda d: d.pop("kp")),
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
        monkeypatch.setattr(lint_network, "MAX_PARAMETERS", most)
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
    told = set(module._PROBLEMS).union(*(codes_in(inspect.getsource(m)) for m in (module, lint_network, lint_robot)))
    assert codes_in(inspect.getsource(policy_json)) | codes_in(inspect.getsource(rtneural)) <= set(module._PROBLEMS)
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


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": NaN}', "[" * 100_000, '{"a": 1, "a": 2}', "\x00"])
def test_hostile_text_is_one_clear_finding(tmp_path, text):
    path = tmp_path / "policy.json"
    path.write_text(text)
    (finding,) = lint(path)
    assert finding.code == "unreadable" and finding.severity == ERROR and str(path) in finding.message


LONG = "1" + "0" * 4000  # a whole number that no float holds
PRELU = '{"type": "prelu", "shape": [null, 72], "weights": %s}, '
HOSTILE = {
    "endless gain": ('"kp": 5.0', f'"kp": {LONG}', "bad-gain"),
    "endless limit": ("[2.51, ", f"[{LONG}, ", "bad-joint-array"),
    "endless history": ('"observation_history": 2', f'"observation_history": {LONG}', "bad-history"),
    "endless input": ("[null, 72]", f"[null, {LONG}]", "bad-input-size"),
    "endless layer": ("[null, 32]", f"[null, {LONG}]", "bad-layer-size"),
    "endless time": ('"control_dt": 0.02', f'"control_dt": {LONG}', "control-rate"),
    "endless range": ("[-0.75, 0.75]", f"[-{LONG}, {LONG}]", "command-range"),
    "overflowing gain": ('"kp": 5.0', '"kp": 1e999', "bad-gain"),
    "deep slopes": ('"layers": [', '"layers": [' + PRELU % ("[" * 900 + "]" * 900), "not-finite"),
    "list for a word": ('"elu"', '["elu"]', "unknown-activation"),
    "half a character": ('"use_imu"', '"use_im\\ud800u"', "unknown-key"),
    "terminal's orders": ('"use_imu"', '"use_imu\\u001b[2J"', "unknown-key"),
    "orders as a value": ('"kp": 5.0', '"kp": "\\u001b[2J\\ud800"', "bad-gain"),
    "orders as a shape": ("[null, 72]", '["\\u001b[2J\\ud800", 0]', "bad-input-size"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_values_are_findings_that_can_be_printed(sound, tmp_path, case, capsys):
    """Numbers without end, depth, and what a terminal would obey: a finding each, and no other reader raises on it."""
    old, new, code = HOSTILE[case]
    text, path = json.dumps(sound), tmp_path / "policy.json"
    assert old in text
    path.write_text(text.replace(old, new, 1))
    found = {finding.code for finding in lint(path)}
    assert code in found
    printed = module.text(path, lint(path))
    assert printed.encode() and "\x1b" not in printed and len(printed) < 3000
    try:
        read(path)
    except PolicyFileError as error:
        assert str(error).encode() and "\x1b" not in str(error)


def test_many_faults_take_no_longer_than_few(sound):
    """Thousands of unknown keys or broken layers: told to some number, in a second."""
    started = time.process_time()
    strange = check({**sound, **{f"action_scal{i}": i for i in range(50_000)}})
    broken = {"type": "dense", "shape": [None, 12], "weights": 1}
    layers = check({**sound, "layers": [broken] * 50_000})
    assert time.process_time() - started < 1.0
    assert len(strange) == module.MAX_UNKNOWN_KEYS + 1 and "49,980 more" in strange[-1].message
    assert len(layers) == json_values.MAX_PROBLEMS
    assert len(check({**sound, "layers": [broken] * 3})) == 3


def test_damaged_files_are_read_or_refused_in_one_line(sound, tmp_path, recwarn):
    """Whatever a disk or an editor has done to a policy: findings of one line each, and no other reader raises more."""
    path, outcomes = tmp_path / "policy.json", {"read": 0, "refused": 0, "would be a traceback": 0}
    small = copy.deepcopy(sound)
    (first, bias), (last, _) = (layer["weights"] for layer in small["layers"])
    first[:], bias[:], last[:] = [row[:2] for row in first], bias[:2], last[:2]
    small["layers"][0]["shape"] = [None, 2]
    for content in damaged(json.dumps(small).encode(), 300):
        path.write_bytes(content)
        for finding in lint(path):
            said = " ".join([finding.key, finding.message, finding.mend])
            assert said.isprintable() and len(said) < 500, said
        try:
            read(path)
            outcomes["read"] += 1
        except PolicyFileError as error:
            assert str(error).isprintable() and str(path) in str(error)
            outcomes["refused"] += 1
        try:  # the control: the damage is some
            from_document(json.loads(content))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            outcomes["would be a traceback"] += 1
    assert min(outcomes.values()) > 20, outcomes
    assert not recwarn.list


def test_files_too_large_to_be_checked_in_seconds_are_answered_at_once(tmp_path, capsys):
    path = tmp_path / "policy.json"
    for size, code in ((module.MAX_BYTES, "unreadable"), (module.MAX_BYTES + 1, "too-large"), (10**10, "too-large")):
        with path.open("wb") as file:
            file.truncate(size)  # takes no room on the disk
        started = time.process_time()
        (finding,) = lint(path)
        assert finding.code == code and time.process_time() - started < 1.0
    with pytest.raises(SystemExit) as stop:
        command(path)
    out = capsys.readouterr().out
    assert stop.value.code == 1 and "nothing in it was looked at" in out and "not fit" not in out


def test_a_git_lfs_pointer_is_named_as_what_it_is(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:5ec0\nsize 1285538\n")
    (finding,) = lint(path)
    assert finding.severity == ERROR and "Git LFS pointer" in finding.message and "git lfs pull" in finding.message


def test_brackets_are_no_markup(sound, tmp_path, capsys):
    """Names and content of a user's, as they are: `[red]` is no colour and `[/blink]` closes nothing."""
    path = tmp_path / "[red]robots" / "[bold]policy.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**sound, "[blink]key[/blink]": 1, "walkies": {"robot": "[link=x]spot"}}))
    command(path)
    out = capsys.readouterr().out
    assert str(path) in out and "[blink]key[/blink]" in out and "[link=x]spot" in out and "\x1b" not in out


def test_missing_file_is_one_clear_finding(tmp_path):
    assert [finding.code for finding in lint(tmp_path / "none.json")] == ["unreadable"]


NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([10**4000, -(10**4000), 3.4e38, -3.5e38, 2**70, True, None, "1", [1.0]]),
)


@given(st.lists(NUMBERS, max_size=6))
def test_many_numbers_are_judged_as_one_by_one(values):
    assert json_values.all_finite(values) == all(json_values.is_finite(value) for value in values)


def test_the_largest_policies_take_a_second(sound, tmp_path):
    """As many weights as the largest file published for the robot, 39 MB."""
    rng, sizes = np.random.default_rng(0), (72, 1216, 1216, 12)
    layers = [
        {
            "type": "dense",
            "activation": "tanh",
            "shape": [None, outputs],
            "weights": [np.round(rng.normal(size=(inputs, outputs)) / inputs**0.5, 17).tolist(), [0.0] * outputs],
        }
        for inputs, outputs in itertools.pairwise(sizes)
    ]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({**sound, "layers": layers}))
    assert path.stat().st_size > 30e6
    started = time.process_time()
    found = lint(path)
    assert time.process_time() - started < 3.0, "about one second of an undisturbed core"
    assert "large" in {finding.code for finding in found}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(value=VALUES, choice=st.randoms(use_true_random=False))
def test_never_raises_whatever_stands_anywhere(sound, value, choice: random.Random):
    document = copy.deepcopy(sound)
    spot = document
    while True:
        key = choice.choice(list(spot) if isinstance(spot, dict) else range(len(spot)))
        if not isinstance(spot[key], dict | list) or not spot[key] or choice.random() < 0.4:
            spot[key] = value
            break
        spot = spot[key]
    for finding in check(document):
        assert finding.severity in SEVERITIES


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
    assert "error [gain-over-cap] at kp: 20 is above the board's cap" in out and "mend: train with kp ≤ 10" in out
