"""The linter answers any file, in a second and in lines that can be printed, however damaged or hostile it is."""

import copy
import itertools
import json
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import damaged
from walkies.cli.lint import command
from walkies.deploy import json_values
from walkies.deploy.checks import lint as module
from walkies.deploy.checks.findings import ERROR, SEVERITIES
from walkies.deploy.checks.lint import check, lint
from walkies.deploy.policy_file import PolicyFileError, from_document, read


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
    "endless range": ("[-0.75, 0.75]", f"[-{LONG}, {LONG}]", "bad-block"),
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
    for content in damaged(json.dumps(small).encode(), 450):
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
    assert stop.value.code == 1 and "it was not examined" in out and "not fit" not in out


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
