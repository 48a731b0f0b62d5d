"""Each check of the course's validator by itself: silent on a sound file, and it names the key where one is broken."""

import copy
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import synthetic
from walkies.deploy import json_values
from walkies.deploy.checks.course_rules import problems
from walkies.robots import get_robot

PUPPER = get_robot("pupper")
PLAIN = synthetic.plain(history=2, hidden=(4,))
GAITS = synthetic.gaits(history=2, hidden=(4,))
TRICK = synthetic.trick(hidden=(4,))
SOUND = {"plain": PLAIN, "gaits": GAITS, "trick": TRICK}


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_pass(name):
    assert problems(SOUND[name], PUPPER) == []


def test_what_walkies_writes_passes(sound):
    assert problems(sound, PUPPER) == []


def test_whole_numbers_may_be_written_as_decimals():
    """As nlohmann's and Python's comparisons take them."""
    text = json.dumps(GAITS).replace('"size": 12', '"size": 12.0').replace('"n_samples": 100', '"n_samples": 100.0')
    assert problems(json.loads(text), PUPPER) == []


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(document):
        for key in keys:
            document = document[key]
        document[last] = value

    return change


def _pop(*keys):
    *keys, last = keys

    def change(document):
        for key in keys:
            document = document[key]
        document.pop(last)

    return change


def _each(*changes):
    return lambda document: [change(document) for change in changes]


def _components(document):
    return document["obs_spec"]["components"]


FIRST = 0
CHECKS = {
    "in_shape": (PLAIN, _pop("in_shape"), ["in_shape"]),
    "layers": (PLAIN, _pop("layers"), ["layers"]),
    "both, and nothing else": (
        PLAIN,
        _each(_pop("layers"), _pop("in_shape"), _pop("obs_spec")),
        ["in_shape", "layers"],
    ),
    "no obs_spec": (PLAIN, _pop("obs_spec"), ["obs_spec"]),
    "obs_spec null": (PLAIN, _set("obs_spec", None), ["obs_spec"]),
    "frame_order": (PLAIN, _set("obs_spec", "frame_order", "oldest_first"), ["obs_spec.frame_order"]),
    "no frame_order": (PLAIN, _pop("obs_spec", "frame_order"), ["obs_spec.frame_order"]),
    "component unknown": (
        PLAIN,
        _set("obs_spec", "components", FIRST, "name", "camera"),
        ["obs_spec.components[0]"],
    ),
    "component size": (
        PLAIN,
        _each(_set("obs_spec", "components", FIRST, "size", 4), _set("obs_spec", "components", 1, "size", 2)),
        ["obs_spec.components[0].size", "obs_spec.components[1].size"],
    ),
    "component twice": (
        PLAIN,
        lambda d: _components(d).__setitem__(FIRST, {"name": "projected_gravity", "size": 3}),
        ["obs_spec.components[1].name"],
    ),
    "sum": (
        PLAIN,
        _each(_set("single_observation_size", 48), _set("in_shape", [None, 96])),
        ["single_observation_size"],
    ),
    "sum, with 36 where nothing is said": (
        GAITS,
        _pop("single_observation_size"),
        ["single_observation_size", "in_shape[1]"],
    ),
    "history differs": (PLAIN, _set("obs_spec", "history", 4), ["obs_spec.history"]),
    "history missing": (
        PLAIN,
        _each(_pop("observation_history"), _pop("obs_spec", "history")),
        ["observation_history"],
    ),
    "history × frame": (PLAIN, _set("in_shape", [None, 36]), ["in_shape[1]"]),
    "no pose": (PLAIN, _pop("default_joint_pos"), ["default_joint_pos"]),
    "pose of 11": (PLAIN, lambda d: d["default_joint_pos"].pop(), ["default_joint_pos"]),
    "no lower limits": (PLAIN, _pop("joint_lower_limits"), ["joint_lower_limits"]),
    "lower limits empty": (PLAIN, _set("joint_lower_limits", []), ["joint_lower_limits"]),
    "no upper limits": (PLAIN, _pop("joint_upper_limits"), ["joint_upper_limits"]),
    "upper limits of 13": (PLAIN, lambda d: d["joint_upper_limits"].append(1.0), ["joint_upper_limits"]),
    "last layer": (PLAIN, lambda d: d["layers"].pop(), ["layers[0].shape"]),
    "gait without component": (
        GAITS,
        _each(
            lambda d: _components(d).pop(),
            _set("single_observation_size", 36),
            _set("in_shape", [None, 72]),
            _pop("jump_slot"),
        ),
        ["gait_reference"],
    ),
    "component without gait": (GAITS, _each(_pop("gait_reference"), _pop("jump_slot")), ["gait_reference"]),
    "motion without component": (
        TRICK,
        _each(
            lambda d: _components(d).__delitem__(slice(0, 2)),
            _set("single_observation_size", 39),
            _set("in_shape", [None, 39]),
        ),
        ["motion"],
    ),
    "component without motion": (TRICK, _pop("motion"), ["motion"]),
    **{
        f"{name}, rows": (
            GAITS,
            lambda d, name=name: d["gait_reference"][name].pop(),
            [f"gait_reference.{name}"],
        )
        for name in ("trot_table", "gallop_table", "lift_table", "gallop_back_table")
    },
    "table's columns": (
        GAITS,
        lambda d: d["gait_reference"]["trot_table"][7].pop(),
        ["gait_reference.trot_table"],
    ),
    "no table": (GAITS, _pop("gait_reference", "gallop_table"), ["gait_reference.gallop_table"]),
    "joint_names": (
        GAITS,
        lambda d: d["gait_reference"]["joint_names"].reverse(),
        ["gait_reference.joint_names"],
    ),
    "jump without gait": (PLAIN, lambda d: d.update(jump_slot=copy.deepcopy(GAITS["jump_slot"])), ["jump_slot"]),
    "jump's table": (GAITS, lambda d: d["jump_slot"]["jump_table"].pop(), ["jump_slot.jump_table"]),
    **{
        f"jump without {name}": (GAITS, _pop("jump_slot", name), [f"jump_slot.{name}"])
        for name in ("playback_s", "active_s", "cross_fade_s", "grid_s", "busy_s")
    },
    "no trick": (TRICK, _pop("trick"), ["trick.fps"]),
    "no fps": (TRICK, _pop("trick", "fps"), ["trick.fps"]),
    "motion's rows": (TRICK, lambda d: d["motion"]["joint_vel"].pop(), ["motion.joint_vel"]),
    **{
        f"width of {name}": (
            TRICK,
            lambda d, name=name: d["motion"][name][3].pop(),
            [f"motion.{name}"],
        )
        for name in ("joint_pos", "joint_vel", "anchor_quat_wxyz")
    },
    "clip behind the end": (TRICK, _set("trick", "clips", 1, "end", 101), ["trick.clips[1]"]),
    "clip before the start": (TRICK, _set("trick", "clips", 0, "start", -1), ["trick.clips[0]"]),
    "clip of one frame": (TRICK, _set("trick", "clips", 0, "start", 39), ["trick.clips[0]"]),
    "clip without a range": (TRICK, _pop("trick", "clips", 0, "start"), ["trick.clips[0]"]),
    "next": (TRICK, _set("trick", "clips", 0, "next", "jump"), ["trick.clips[0].next"]),
    "names": (
        TRICK,
        _each(_set("trick", "clips", 0, "name", "wave"), _set("trick", "clips", 0, "next", None)),
        ["trick.clips[1].name"],
    ),
    "command_clip's axis": (PLAIN, _set("command_clip", "yaw_rate", [-1.0, 1.0]), ["command_clip.yaw_rate"]),
    "command_clip's order": (PLAIN, _set("command_clip", "vx", [1.0, -1.0]), ["command_clip.vx"]),
    "command_clip's pair": (PLAIN, _set("command_clip", "vy", [0.5]), ["command_clip.vy"]),
}


@pytest.mark.parametrize("check", CHECKS)
def test_each_check(check):
    base, change, keys = CHECKS[check]
    document = copy.deepcopy(base)
    change(document)
    found = problems(document, PUPPER)
    assert [problem.key for problem in found] == keys
    assert all(problem.got and problem.expected for problem in found)
    assert problems(base, PUPPER) == [], "the control"


NOT_LOOKED_AT = {
    "gains": _each(_pop("kp"), _set("kd", "much")),
    "action scale": _pop("action_scale"),
    "weights": _set("layers", 0, "weights", [[], []]),
    "optional tables": _each(_pop("gait_reference", "lift_table"), _pop("gait_reference", "gallop_back_table")),
    "joint names": _pop("gait_reference", "joint_names"),
    "obs_spec's history": _pop("obs_spec", "history"),
    "an axis that is not bounded": _pop("command_clip", "wz"),
    "no clip": _set("command_clip", None),
    "an instant": _set("command_clip", "vy", [0.0, 0.0]),
}


@pytest.mark.parametrize("what", NOT_LOOKED_AT)
def test_what_the_validator_lets_through(what):
    document = copy.deepcopy(GAITS)
    NOT_LOOKED_AT[what](document)
    assert problems(document, PUPPER) == []


def test_clips_at_the_edges_of_their_ranges_pass():
    document = copy.deepcopy(TRICK)
    document["trick"]["clips"] = [{"name": "all", "start": 0, "end": 100}, {"name": "two", "start": 98, "end": 100}]
    assert problems(document, PUPPER) == []
    del document["trick"]["clips"]
    assert problems(document, PUPPER) == []


def test_sizes_are_the_robots(sound):
    """A robot of another size has another menu, another plain frame and other joints."""

    class Other:
        num_joints, joint_names = 8, tuple("abcdefgh")

    keys = {problem.key for problem in problems({**sound, "single_observation_size": 28}, Other())}
    assert {"obs_spec.components[4].size", "default_joint_pos", "layers[1].shape"} <= keys


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(SOUND)), value=VALUES, choice=st.randoms(use_true_random=False))
def test_never_raises_whatever_stands_anywhere(name, value, choice: random.Random):
    document = copy.deepcopy(SOUND[name])
    spot = document
    while True:
        key = choice.choice(list(spot) if isinstance(spot, dict) else range(len(spot)))
        if not isinstance(spot[key], dict | list) or not spot[key] or choice.random() < 0.4:
            spot[key] = value
            break
        spot = spot[key]
    for problem in problems(document, PUPPER):
        assert str(problem).isprintable()


@given(document=st.dictionaries(st.sampled_from([*GAITS, *TRICK]), VALUES))
def test_never_raises_on_what_is_no_policy(document):
    problems(document, PUPPER)


def test_many_faults_take_no_longer_than_few():
    """Thousands of components, clips and axes: told to some number, at once."""
    document = copy.deepcopy(TRICK)
    document["obs_spec"]["components"] = [{"name": f"camera{i}", "size": 1} for i in range(50_000)]
    document["trick"]["clips"] = [{"name": f"clip{i}", "start": 0, "end": 1, "next": "none"} for i in range(50_000)]
    document["command_clip"] = {f"axis{i}": 1 for i in range(50_000)}
    started = time.process_time()
    assert len(problems(document, PUPPER)) == json_values.MAX_PROBLEMS
    document["obs_spec"] = TRICK["obs_spec"]
    assert len(problems(document, PUPPER)) == json_values.MAX_PROBLEMS
    assert time.process_time() - started < 1.0
