"""policy.json: what is written is what was trained, and a broken file is refused with a message that helps."""

import itertools
import json
import random

import numpy as np
import pytest
import rtneural_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from pupper_frame import FRAME_SIZE, SLICES
from walkies.deploy.policy_file import Layer, PolicyFile, PolicyFileError, export, fold_normalizer, read, write
from walkies.deploy.rtneural import ACTIVATIONS
from walkies.robots import get_robot
from walkies.tasks.contract import Contract

PUPPER = get_robot("pupper")


def network(history=1, hidden=(16, 8), seed=0, gain=1.0):
    """Layers, normalizer mean and scale of a random network whose constant inputs are dropped."""
    rng = np.random.default_rng(seed)
    sizes = [FRAME_SIZE * history, *hidden, 12]
    layers = [
        (gain * rng.normal(size=(a, b)).astype(np.float32) / a**0.5, rng.normal(size=b).astype(np.float32))
        for a, b in itertools.pairwise(sizes)
    ]
    mean, scale = rng.normal(size=sizes[0]), rng.uniform(0.2, 20.0, sizes[0])
    for frame in range(history):
        scale[frame * FRAME_SIZE :][SLICES["desired_up"]] = 0.0
    return layers, mean, scale


def reference(layers, hidden, mean, scale, observation):
    """The trained network itself, in float64, from its definition."""
    x = [(o - m) * s for o, m, s in zip(observation, mean, scale, strict=True)]
    for index, (weights, bias) in enumerate(layers):
        y = [float(b) + sum(x[i] * float(weights[i, j]) for i in range(len(x))) for j, b in enumerate(bias)]
        x = rtneural_reader.ACTIVATIONS["tanh" if index == len(layers) - 1 else hidden](y)
    return np.array(x)


@pytest.fixture
def written(tmp_path):
    layers, mean, scale = network(history=2)
    path = tmp_path / "policy.json"
    export(path, layers, "elu", mean, scale, Contract(PUPPER, observation_history=2))
    return path


@pytest.mark.parametrize("hidden", ["elu", "tanh", "relu", "sigmoid", "softmax"])
def test_file_equals_network_in_an_independent_reader(tmp_path, hidden):
    layers, mean, scale = network(history=2)
    path = tmp_path / "policy.json"
    policy = export(path, layers, hidden, mean, scale, Contract(PUPPER, observation_history=2))
    document = rtneural_reader.load(path)
    rng = np.random.default_rng(1)
    observations = [*rng.normal(size=(4, 72)), *rng.uniform(-100, 100, (4, 72)), np.full(72, 100.0), np.zeros(72)]
    for observation in observations:
        expected = reference(layers, hidden, mean, scale, observation)
        got = rtneural_reader.run(document, observation)
        np.testing.assert_allclose(got, expected, atol=1e-5)
    plausible = mean + np.where(scale > 0, rng.normal(size=(5, 72)) / np.maximum(scale, 1e-9), 0)
    expected = [reference(layers, hidden, mean, scale, o) for o in plausible]
    np.testing.assert_allclose(policy.act(plausible), expected, atol=2e-5)
    assert policy.act(plausible).dtype == np.float32


def test_wrong_fold_is_noticed_by_the_independent_reader(written):
    """Negative control: forgetting the mean, or reversing the history, is far beyond the tolerance."""
    layers, mean, scale = network(history=2)
    document = rtneural_reader.load(written)
    observation = np.random.default_rng(2).normal(size=72)
    expected = reference(layers, "elu", mean, scale, observation)
    unfolded = reference(layers, "elu", 0 * mean, scale, observation)
    reversed_history = rtneural_reader.run(document, np.concatenate([observation[36:], observation[:36]]))
    assert np.max(np.abs(unfolded - expected)) > 1e-3
    assert np.max(np.abs(reversed_history - expected)) > 1e-3


def test_constant_inputs_have_exactly_zero_weights(written):
    first = json.loads(written.read_text())["layers"][0]["weights"][0]
    for frame in range(2):
        for entry in range(9, 12):
            assert set(first[frame * FRAME_SIZE + entry]) == {0.0}
    assert any(v != 0.0 for v in first[8])


def test_constant_input_with_weights_is_refused(tmp_path):
    layers, mean, scale = network(history=2)
    scale[FRAME_SIZE + 11] = 1.0
    with pytest.raises(PolicyFileError, match=r"desired_up\[2\] of history frame 1"):
        export(tmp_path / "policy.json", layers, "elu", mean, scale, Contract(PUPPER, observation_history=2))
    assert list(tmp_path.iterdir()) == []


def test_fold_ignores_even_absurd_weights_of_dropped_inputs():
    weights = np.array([[np.nan], [2.0]])
    folded = fold_normalizer([(weights, np.array([1.0]))], np.array([3.0, 0.5]), np.array([0.0, 4.0]))
    np.testing.assert_array_equal(folded[0][0], [[0.0], [8.0]])
    np.testing.assert_array_equal(folded[0][1], [1.0 - 0.5 * 8.0])


def test_reading_gives_back_what_was_written(written):
    policy = read(written)
    again = written.with_name("again.json")
    write(again, policy)
    assert again.read_text() == written.read_text()
    assert policy.kp == 5.0 and policy.kd == 0.25 and policy.observation_history == 2
    assert policy.action_scale == (0.75,) * 12 and policy.default_joint_pos == PUPPER.default_pose
    assert policy.walkies["robot"] == "pupper"


def test_prelu_layer_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    layers = (Layer(rng.normal(size=(36, 5)), np.zeros(5)), Layer(None, np.full(5, 0.1)))
    layers += (Layer(rng.normal(size=(5, 12)), np.zeros(12), "tanh"),)
    pose = PUPPER.default_pose
    policy = PolicyFile(layers, 1, 5.0, 0.25, (0.5,) * 12, pose, PUPPER.lower_limits, PUPPER.upper_limits)
    write(tmp_path / "p.json", policy)
    observation = rng.normal(size=36)
    expected = rtneural_reader.run(rtneural_reader.load(tmp_path / "p.json"), observation)
    np.testing.assert_allclose(read(tmp_path / "p.json").act(observation), expected, atol=1e-5)


def test_contract_is_the_double_clamp(written):
    """The controller clamps to the file's limits, then the board to the robot's inset by 0.1 rad."""
    document = json.loads(written.read_text())
    document["joint_lower_limits"][0] = -0.3  # tighter than the board
    document["joint_upper_limits"][0] = 9.0  # wider than the board
    written.write_text(json.dumps(document))
    contract = read(written).contract(PUPPER)
    actions = np.array([[-9.0] * 12, [9.0] * 12])
    wanted = np.array(PUPPER.default_pose) + 0.75 * actions
    file_clamp = np.clip(wanted, document["joint_lower_limits"], document["joint_upper_limits"])
    board = np.clip(file_clamp, np.array(PUPPER.lower_limits) + 0.1, np.array(PUPPER.upper_limits) - 0.1)
    np.testing.assert_allclose(contract.target(actions), board, atol=1e-12)
    assert contract.target(actions)[0, 0] == pytest.approx(-0.3)


def test_limits_apart_from_the_robots_are_refused(written):
    policy = read(written)
    shifted = PolicyFile(**{**vars(policy), "joint_lower_limits": (5.0,) * 12, "joint_upper_limits": (6.0,) * 12})
    with pytest.raises(PolicyFileError, match="joint limits of leg_front_r_1"):
        shifted.contract(PUPPER)


def _without(key):
    return lambda d: d.pop(key)


def _set(key, value):
    return lambda d: d.__setitem__(key, value)


def _layer(index, key, value):
    return lambda d: d["layers"][index].__setitem__(key, value)


def _weight(value):
    return lambda d: d["layers"][0]["weights"][0][3].__setitem__(2, value)


FAULTS = {
    "missing layers": (_without("layers"), "layers: got nothing"),
    "missing gain": (_without("kp"), "kp: got nothing"),
    "gain per joint": (_set("kp", [5.0] * 12), "kp: got a list of 12, expected one number"),
    "gain text": (_set("kd", "0.25"), 'kd: got "0.25"'),
    "gain true": (_set("kd", True), "kd: got True"),
    "empty limits": (_set("joint_upper_limits", []), "joint_upper_limits: got a list of 0, expected 12"),
    "inverted limits": (_set("joint_lower_limits", [3.0] * 12), r"joint_lower_limits\[0\]: got 3.0 … 2.51"),
    "history": (
        _set("observation_history", 4),
        r"in_shape\[1\]: got 72, expected 36 × observation_history \(4\) = 144",
    ),
    "history text": (_set("observation_history", "two"), 'observation_history: got "two"'),
    "in_shape": (_set("in_shape", 72), "in_shape: got 72"),
    "activation": (_layer(1, "activation", "swish"), r'layers\[1\].activation: got "swish", expected one of'),
    "activation type": (_layer(1, "activation", ["tanh"]), r"layers\[1\].activation: got a list of 1"),
    "layer type": (_layer(1, "type", "gru"), r"layers\[1\]: got a gru layer, expected dense or prelu"),
    "unknown layer type": (_layer(1, "type", "gruu"), r'layers\[1\]: got "gruu"'),
    "layer size": (_layer(0, "shape", [None, 17]), r"layers\[0\].weights\[0\]\[0\]: got a list of 16, expected 17"),
    "overflow": (_weight(1e300), r"layers\[0\].weights\[0\]\[3\]\[2\]: got 1e\+300"),
    "weight text": (_weight("1.0"), r"layers\[0\].weights\[0\]\[3\]\[2\]"),
    "weight null": (_weight(None), r"layers\[0\].weights\[0\]\[3\]\[2\]: got None"),
    "no layers": (_set("layers", []), "layers: got a list of 0"),
    "scale": (_set("action_scale", [0.5] * 11), "action_scale: got a list of 11"),
    "outputs": (lambda d: d["layers"].pop(), r"layers\[1\].shape: got 8, expected 12 actions"),
    "imu": (_set("use_imu", "yes"), 'use_imu: got "yes"'),
}


@pytest.mark.parametrize("fault", FAULTS, ids=list(FAULTS))
def test_faults_are_named(written, fault):
    change, message = FAULTS[fault]
    document = json.loads(written.read_text())
    change(document)
    written.write_text(json.dumps(document))
    with pytest.raises(PolicyFileError, match=message):
        read(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("[1, 2]", "got a list of 2 at the top"),
        ("{", "is damaged"),
        ('{"kp": NaN}', "NaN is not JSON"),
        ('{"kp": -Infinity}', "-Infinity is not JSON"),
        ('{"kp": 5, "kp": 6}', "'kp' occurs twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"kp": ' + "9" * 10_000 + "}", "is damaged"),
        ("null", "at the top"),
    ],
)
def test_hostile_text_is_refused(tmp_path, text, message):
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(PolicyFileError, match=message):
        read(path)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(PolicyFileError, match="no such file"):
        read(tmp_path / "none.json")
    with pytest.raises(PolicyFileError, match="is a directory"):
        read(tmp_path)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(100 * 2**20)  # takes no room on the disk
    with pytest.raises(PolicyFileError, match="more than 64 MiB"):
        read(tmp_path / "huge")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyFileError, match="not UTF-8"):
        read(tmp_path / "binary")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(value=JSON_VALUES, choice=st.randoms(use_true_random=False))
def test_any_value_anywhere_is_read_or_refused_cleanly(tmp_path_factory, value, choice: random.Random):
    """No document, however strange, gives anything but a policy or a PolicyFileError."""
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    layers, mean, scale = network(hidden=(3,))
    pose = PUPPER.default_pose
    policy = PolicyFile(
        tuple(Layer(w, b, "tanh") for w, b in fold_normalizer(layers, mean, scale)),
        1, 5.0, 0.25, (0.5,) * 12, pose, PUPPER.lower_limits, PUPPER.upper_limits,
    )  # fmt: skip
    document = policy.document()
    spot = document
    while True:
        key = choice.choice(list(spot) if isinstance(spot, dict) else range(len(spot)))
        if not isinstance(spot[key], dict | list) or not spot[key] or choice.random() < 0.4:
            spot[key] = value
            break
        spot = spot[key]
    path.write_text(json.dumps(document))
    try:
        assert np.all(np.isfinite(read(path).act(np.zeros((1, 36)))))
    except PolicyFileError as error:
        assert "expected" in str(error) or "JSON" in str(error)


def test_export_refuses_what_it_cannot_prove(tmp_path, monkeypatch):
    """Negative control of the verification: a file that differs from the network never appears, the old one stays."""
    import walkies.deploy.policy_file as module

    layers, mean, scale = network()
    path = tmp_path / "policy.json"
    path.write_text("old")
    broken = module.layer_document

    def perturbed(layer):
        document = broken(layer)
        document["weights"][1][0] += 1e-3
        return document

    monkeypatch.setattr(module, "layer_document", perturbed)
    with pytest.raises(PolicyFileError, match="differ from the network's by"):
        export(path, layers, "elu", mean, scale, Contract(PUPPER))
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_export_refuses_wrong_sizes_and_activations(tmp_path):
    layers, mean, scale = network()
    with pytest.raises(PolicyFileError, match="got \\(36, 36, 36\\), expected 72 each"):
        export(tmp_path / "p.json", layers, "elu", mean, scale, Contract(PUPPER, observation_history=2))
    with pytest.raises(PolicyFileError, match="activation"):
        export(tmp_path / "p.json", layers, "swish", mean, scale, Contract(PUPPER))
    assert "swish" not in ACTIVATIONS and list(tmp_path.iterdir()) == []


def test_observation_of_wrong_size_is_refused(written):
    with pytest.raises(ValueError, match="got 36 numbers, expected 72"):
        read(written).act(np.zeros(36))
