"""The linter on files of the course's software of 2026: its validator's word, the two formats, untrained inputs."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from deploy import synthetic
from walkies.deploy.checks.findings import ERROR, NOTE, UNCHECKED, WARNING
from walkies.deploy.checks.lint import check

PLAIN = synthetic.plain(history=4, hidden=(16,))
GAITS = synthetic.gaits(history=4, hidden=(16,))
TRICK = synthetic.trick(hidden=(16,))
TRAINED = Path(__file__).parents[1] / "browser" / "policy.json"


def found(document, *codes):
    return [finding for finding in check(document) if finding.code in codes]


def test_what_the_validator_refuses_is_an_error_and_the_rest_is_looked_at_nevertheless(sound):
    document = copy.deepcopy(sound)
    del document["observation_history"], document["obs_spec"]["history"]
    document["in_shape"] = [None, 36]
    document["layers"][0]["weights"][0] = document["layers"][0]["weights"][0][:36]
    document["kp"] = 20.0
    assert [finding.code for finding in check(document)] == ["course-check", "gain-over-cap"]
    assert found(document, "course-check")[0].key == "observation_history"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: d.pop("in_shape"), "missing-key"),
        (lambda d: d.pop("layers"), "missing-key"),
        (lambda d: d.update(in_shape=[None, 100]), "bad-input-size"),
        (lambda d: d["default_joint_pos"].pop(), "bad-joint-array"),
        (lambda d: d["obs_spec"].update(history=7), "bad-spec"),
        (lambda d: d.pop("gait_reference"), "bad-block"),
        (lambda d: d["gait_reference"]["trot_table"].pop(), "bad-block"),
        (lambda d: d["jump_slot"].pop("grid_s"), "bad-block"),
        (lambda d: d.update(jump_slot=[]), "bad-block"),
        (lambda d: d["command_clip"].update(vx=[1.0, -1.0]), "bad-block"),
        (lambda d: d["layers"].pop(), "bad-output-size"),
        (lambda d: d["layers"][-1].pop("shape"), "bad-layer-size"),
    ],
)
def test_what_is_said_already_is_not_said_twice(change, code):
    document = copy.deepcopy(GAITS)
    change(document)
    errors = [finding for finding in check(document) if finding.severity == ERROR]
    assert code in {finding.code for finding in errors} and not found(document, "course-check")


def test_a_component_that_walkies_does_not_know_the_course_refuses():
    document = copy.deepcopy(PLAIN)
    document["obs_spec"]["components"][0]["name"] = "camera"
    severities = {finding.code: finding.severity for finding in check(document)}
    assert severities["unsupported-frame"] == UNCHECKED and severities["course-check"] == ERROR


def test_a_missing_pose_is_no_ones_business_in_2025_and_refused_in_2026(sound):
    document = copy.deepcopy(sound)
    del document["default_joint_pos"]
    assert {"missing-pose", "course-check"} == {finding.code for finding in check(document)}
    del document["obs_spec"], document["command_clip"]
    assert not found(document, "course-check") and found(document, "missing-pose")


def test_the_two_formats_are_told_apart(sound):
    plain, old, gaits, trick = (copy.deepcopy(one) for one in (sound, sound, GAITS, TRICK))
    del old["obs_spec"]
    assert not found(plain, "no-obs-spec", "needs-2026")
    (note,) = found(old, "no-obs-spec", "needs-2026")
    assert note.code == "no-obs-spec" and note.severity == NOTE and "--contract 2026" in note.mend
    for document, what in ((gaits, "gait_reference, jump_slot"), (trick, "trick, motion")):
        (note,) = found(document, "no-obs-spec", "needs-2026")
        assert note.code == "needs-2026" and note.severity == NOTE and what in note.message
    for kp, codes in ((1.0, ["needs-2026"]), (0.0, [])):
        held = {**plain, "heading_hold": {"kp": kp, "clip": 1.0, "yaw_threshold": 0.1, "walk_threshold": 0.05}}
        assert [note.code for note in found(held, "no-obs-spec", "needs-2026")] == codes
    (note,) = found({**old, "heading_hold": plain["heading_hold"]}, "no-obs-spec")
    assert "ignores command_clip, heading_hold" in note.message


def test_a_frame_without_a_command_needs_no_range():
    assert not found(TRICK, "command-range-unknown", "command-range")
    assert found({**PLAIN, "command_clip": {}}, "command-range-unknown"), "the control"


def _weigh(document, name, times, entries=slice(None)):
    """Makes each row of a signal's entries, in every frame, weigh so many times the median row."""
    matrix = np.array(document["layers"][0]["weights"][0])
    sizes = {one["name"]: one["size"] for one in document["obs_spec"]["components"]}
    start = sum(sizes[one] for one in _names(document)[: _names(document).index(name)])
    frames = matrix.reshape(document["observation_history"], document["single_observation_size"], -1)
    rows = frames[:, start : start + sizes[name]][:, entries]
    for _ in range(3):  # rows that weigh more move the median
        weight = np.abs(matrix).max(axis=1)
        rows *= times * np.median(weight) / np.abs(rows).max(axis=-1, keepdims=True)
    document["layers"][0]["weights"][0] = matrix.tolist()


def _names(document):
    return [one["name"] for one in document["obs_spec"]["components"]]


HELD = {
    "pose command": (PLAIN, "desired_world_z", slice(None)),
    "an axis of the command": (PLAIN, "command", slice(1, 2)),
    "gait": (GAITS, "gait_reference", slice(None)),
    "movement": (TRICK, "motion_command", slice(None)),
    "orientation": (TRICK, "motion_anchor_ori_b", slice(None)),
}


@pytest.mark.parametrize("case", HELD)
def test_inputs_that_training_held_constant_are_named_beyond_a_bound(case):
    base, name, entries = HELD[case]
    for times, severity in (
        (1.0, None),
        (5.9, None),
        (6.1, WARNING),
        (100.0, WARNING),
        (299.0, WARNING),
        (301.0, ERROR),
    ):
        document = copy.deepcopy(base)
        _weigh(document, name, times, entries)
        findings = found(document, "constant-input", "never-varied")
        assert {finding.severity for finding in findings} == ({severity} if severity else set()), (times, findings)


def test_a_gait_that_stands_still_in_the_file_too_is_only_told():
    """The course's task without a gait: its tables hold the default pose."""
    document = copy.deepcopy(GAITS)
    _weigh(document, "gait_reference", 40.0)
    assert found(document, "constant-input")[0].severity == WARNING
    del document["jump_slot"]
    for name in ("trot_table", "gallop_table", "lift_table", "gallop_back_table"):
        document["gait_reference"][name] = [document["default_joint_pos"]] * 100
    (finding,) = found(document, "constant-input")
    assert finding.severity == NOTE and "so does this file" in finding.message


def test_an_axis_that_the_file_clips_to_one_command_is_only_told():
    """Unless the heading hold moves it all the same."""
    for axis, pair, hold, severity in (
        ("vy", [0.0, 0.0], True, NOTE),
        ("vy", [0.0, 0.1], True, WARNING),
        ("wz", [0.0, 0.0], False, NOTE),
        ("wz", [0.0, 0.0], True, WARNING),
    ):
        document = copy.deepcopy(GAITS)
        entry = ("vx", "vy", "wz").index(axis)
        _weigh(document, "command", 40.0, slice(entry, entry + 1))
        document["command_clip"][axis], document["heading_hold"]["kp"] = pair, float(hold)
        (finding,) = found(document, "constant-input", "never-varied")
        assert finding.severity == severity


def test_some_of_a_reference_may_hardly_have_moved():
    """Abduction in a trot, or the z of a pose command: the rest of it tells that it was trained."""
    for base, name, entries in ((GAITS, "gait_reference", slice(1, None, 3)), (PLAIN, "desired_world_z", slice(2, 3))):
        document = copy.deepcopy(base)
        _weigh(document, name, 400.0 if name == "gait_reference" else 40.0, entries)
        assert not found(document, "constant-input", "never-varied")


DEVIATIONS = {
    "base_ang_vel": [0.5],
    "projected_gravity": [0.06, 0.06, 0.01],
    "command": [0.4, 0.25, 0.9],
    "desired_world_z": [0.0],
    "joint_pos_rel": [0.2, 0.1, 0.25],
    "last_action": [0.4],
    "gait_reference": [0.2, 0.03, 0.25],
}
"""Of what a walking robot senses, roughly; the last of three is that of all thirds."""


def _as_exported(**deviations):
    """A network as it begins, trained a little or a lot where inputs moved, and folded by the course's exporter."""
    document = synthetic.gaits(history=20, hidden=(64,))
    deviations = DEVIATIONS | deviations
    sizes = [one["size"] for one in document["obs_spec"]["components"]]
    frame = np.concatenate([np.resize(deviations[n], size) for n, size in zip(_names(document), sizes, strict=True)])
    rng, sigma = np.random.default_rng(0), np.tile(frame, 20)
    raw = rng.uniform(-1, 1, (960, 64)) / 960**0.5
    raw *= np.where(sigma > 0, rng.uniform(1, 3, 960), 1.0)[:, None]
    document["layers"][0]["weights"][0] = (raw / (sigma + 0.01)[:, None]).tolist()
    return document


def test_the_trap_of_the_courses_exporter_is_named_and_a_policy_that_leans_is_not():
    assert [f.severity for f in found(_as_exported(), "constant-input", "never-varied")] == [WARNING]
    bare = found(_as_exported(gait_reference=[0.0]), "constant-input", "never-varied")
    assert len(bare) == 2 and any("gait_reference" in finding.message for finding in bare)
    leaning = _as_exported(desired_world_z=[0.1, 0.1, 0.01])
    assert [f.code for f in found(leaning, "constant-input", "never-varied", "pose-input")] == ["pose-input"]
    straight = _as_exported(desired_world_z=[0.1, 0.1, 0.01], command=[0.4, 0.0, 0.9])
    (finding,) = found(straight, "constant-input", "never-varied")
    assert "command[1]" in finding.message


def test_policies_that_walkies_trained_raise_no_such_alarm():
    document = json.loads(TRAINED.read_text())
    assert not found(document, "constant-input", "never-varied")
    matrix = document["layers"][0]["weights"][0]
    for frame in range(document["observation_history"]):
        matrix[36 * frame + 7] = [100 * value for value in matrix[36 * frame + 7]]
    assert found(document, "constant-input"), "the control"
