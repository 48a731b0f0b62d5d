"""One record per signal: everything that must know an element of the observation finds it there."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.cli.explain import observation_table
from walkies.deploy import onnx_file, policy_file
from walkies.deploy.checks import lint
from walkies.deploy.controllers.neural_controller import ControllerConfig as Config
from walkies.deploy.controllers.neural_controller import Sensors, activate, tick
from walkies.errors import UserError
from walkies.judge.exam import drive
from walkies.robots import get_robot
from walkies.sim import make_simulator, nominal_params
from walkies.tasks import signal
from walkies.tasks.contract import Contract
from walkies.tasks.signal import FRAME, SIGNALS, Errors, Image, Sensed, Signal
from walkies.tasks.walk import Walk, WalkConfig

ROBOT = get_robot("pupper")
NEW = Signal(
    "knee_speed", "rad/s", "speed of the first two joints", lambda robot: 2, lambda s: s.joint_velocity[..., :2],
    mirror=lambda robot: Image(np.array([1, 0]), np.array([-1.0, -1.0])), sensor="encoders", noise=0.25,
)  # fmt: skip


@pytest.fixture
def extended(monkeypatch):
    """The frame with one more signal, which nothing but its record says."""
    monkeypatch.setitem(SIGNALS, NEW.name, NEW)
    return (*FRAME, NEW.name)


def sensed(n: int, xp=np, seed: int = 0) -> Sensed:
    rng = np.random.default_rng(seed)
    gravity = rng.normal(size=(n, 3))
    gravity /= np.linalg.norm(gravity, axis=1, keepdims=True)
    parts = (rng.normal(size=(n, 3)), gravity, rng.normal(size=(n, 3)), *rng.normal(size=(3, n, 12)), None)
    parts += tuple(rng.normal(size=(n, size)) for size in (12, 24, 6))
    return Sensed(*(None if part is None else xp.asarray(part, dtype=np.float32) for part in parts))


def test_the_frame_is_what_it_was_when_it_was_written_by_hand():
    """Its order, numbers and places. Control: another pose is another frame."""
    contract, seen = Contract(ROBOT), sensed(5)
    up = np.tile(np.float32([0, 0, 1]), (5, 1))
    offset = seen.joint_position - np.float32(ROBOT.default_pose)
    by_hand = np.concatenate([seen.gyro, seen.gravity, seen.command, up, offset, seen.last_action], axis=1)
    np.testing.assert_array_equal(contract.frame(seen), by_hand)
    assert contract.frame_size == 36
    starts = {name: part.start for name, part in contract.slices.items()}
    assert starts == dict(zip(FRAME, (0, 3, 6, 9, 12, 24), strict=True))
    assert np.any(contract.frame(seen._replace(joint_position=seen.joint_position + 1)) != by_hand)


def test_numpy_and_jax_make_the_same_frame():
    contract = Contract(ROBOT, observation=tuple(SIGNALS))
    rng = np.random.default_rng(1)
    noise = {one.name: rng.normal(0, 0.1, (4, one.size(ROBOT))) for one in signal.noisy(contract.signals)}
    errors = Errors(*(rng.normal(0, 0.02, (4, n)) for n in (3, 3, 12)))
    ours = contract.frame(sensed(4), errors, noise, dtype=np.float32)
    theirs = contract.frame(sensed(4, jnp), errors, noise)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)
    assert np.abs(ours - contract.frame(sensed(4))).max() > 0.1


def test_errors_and_noise_go_where_they_belong():
    """Each alone changes its own signal and no other; gravity stays a unit vector."""
    contract, seen = Contract(ROBOT), sensed(6)
    still = {one.name: np.zeros((6, one.size(ROBOT))) for one in signal.noisy(contract.signals)}
    none = Errors(np.zeros((6, 3)), np.zeros((6, 3)), np.zeros((6, 12)))
    before = contract.frame(seen, none, still)

    def changed(frame: np.ndarray) -> set[str]:
        return {n for n, part in contract.slices.items() if not np.allclose(frame[:, part], before[:, part])}

    assert changed(before) == set()
    for name, which in (("gyro", {"gyro"}), ("mounting", {"gyro", "gravity"}), ("joint_position", {"joint_position"})):
        wrong = none._replace(**{name: getattr(none, name) + 0.01})
        frame = contract.frame(seen, wrong, still)
        assert changed(frame) == which
        assert changed(contract.frame(seen, wrong)) == which, "errors count where there is no noise, too"
    for name in still:
        frame = contract.frame(seen, none, still | {name: still[name] + 0.03})
        assert changed(frame) == {name}
        np.testing.assert_allclose(np.linalg.norm(frame[:, contract.slices["gravity"]], axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("names", [FRAME, tuple(SIGNALS), FRAME[::-1], ("joint_velocity", "command")])
def test_the_mirror_of_any_frame_is_its_own_inverse(names):
    image = signal.mirror(signal.chosen(names), ROBOT)
    size = signal.total(signal.chosen(names), ROBOT)
    np.testing.assert_array_equal(image.source[image.source], np.arange(size))
    np.testing.assert_array_equal(image.sign * image.sign[image.source], np.ones(size))


def test_a_frame_of_unknown_or_repeated_signals_is_refused():
    known = "unknown signal 'smell'; known signals: gyro"
    for names, message in ((("gyro", "smell"), known), (("gyro",) * 2, "twice")):
        with pytest.raises(UserError, match=message):
            signal.chosen(names)


def test_one_record_reaches_everything(extended, tmp_path, capsys):
    """Training's observation, noise, mirror and critic; explain; the policy file and its check; ONNX; twin; exam."""
    simulator = make_simulator("native", ROBOT, threads=1)
    walk = Walk(ROBOT, simulator, nominal_params(simulator.model, ROBOT), WalkConfig(observation=extended))
    assert walk.observation_size == 3 * 38 and walk.noise_size == 6 + 24 + 2
    state = walk.reset(jax.random.key(0), 4)
    state, _ = jax.jit(walk.step)(state, jnp.zeros((4, 12)), jax.random.key(1))
    told, true = state.history[:, 36:38], state.physics.qvel[:, 6:8]
    assert 0.0 < np.abs(told - true).max() <= 0.25
    np.testing.assert_array_equal(walk.mirror.policy.source[36:38], [37, 36])
    assert NEW.name in list(observation_table(walk.contract).columns[1].cells)

    rng, size = np.random.default_rng(0), walk.observation_size
    layers = [(rng.normal(size=(size, 8)) / 30, np.zeros(8)), (rng.normal(size=(8, 12)) / 30, np.zeros(12))]
    scale = walk.contract.informative()
    written = policy_file.export(tmp_path / "p.json", layers, "elu", np.zeros(size), scale, walk.contract)
    document = json.loads((tmp_path / "p.json").read_text())
    assert document["obs_spec"]["components"][-1] == {"name": NEW.name, "size": 2}
    policy = policy_file.read(tmp_path / "p.json")
    assert policy.observation == extended and policy.frame_size == 38
    assert not any(finding.severity == "error" for finding in lint.check(document))
    described = json.loads(onnx_file.metadata(policy, ROBOT)["observation_frame"])
    assert described[-1] == {"name": NEW.name, "start": 36, "size": 2, "unit": NEW.unit, "meaning": NEW.meaning}

    joints, speed = np.tile(ROBOT.default_pose, (1, 1)), np.arange(12.0)[None]
    sensors = Sensors(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]), joints, speed)
    memory, config = activate(policy, sensors), Config(init_duration=0.0)
    for _ in range(config.repeat_action):
        memory, _ = tick(config, policy, ROBOT, memory, sensors)
    np.testing.assert_array_equal(memory.seen[0, 36:38], [0.0, 1.0])
    record, _ = drive(written, ROBOT, 1, seed=5, threads=1)
    assert np.isfinite(record.action).all()


def test_without_its_record_such_a_policy_is_not_read(extended, monkeypatch, tmp_path):
    """Control of the test above."""
    contract = Contract(ROBOT, observation=extended)
    size = contract.observation_size
    layers = [(np.zeros((size, 4)), np.zeros(4)), (np.zeros((4, 12)), np.zeros(12))]
    policy_file.export(tmp_path / "p.json", layers, "elu", np.zeros(size), contract.informative(), contract)
    assert policy_file.read(tmp_path / "p.json").observation == extended
    monkeypatch.delitem(SIGNALS, NEW.name)
    with pytest.raises(policy_file.PolicyFileError, match="obs_spec: got another frame"):
        policy_file.read(tmp_path / "p.json")


def test_a_policy_is_driven_by_its_spec_and_not_by_position(tmp_path):
    """Components and rows of the first layer permuted alike: the same actions. Control: only the components."""
    rng, order = np.random.default_rng(3), FRAME[::-1]
    plain, permuted = Contract(ROBOT, 2), Contract(ROBOT, 2, observation=order)
    first = rng.normal(size=(2, 36, 8)) / 6 * plain.informative().reshape(2, 36, 1)
    moved = np.concatenate([first[:, plain.slices[name]] for name in order], axis=1)
    last = (rng.normal(size=(8, 12)) / 3, np.zeros(12))
    actions = []
    for name, contract, weights in (("a", plain, first), ("b", permuted, moved), ("c", permuted, first)):
        file = policy_file.PolicyFile(
            layers=(policy_file.Layer(weights.reshape(72, 8), np.zeros(8), "elu"), policy_file.Layer(*last, "tanh")),
            observation_history=2, kp=5.0, kd=0.25, action_scale=(0.75,) * 12, default_joint_pos=ROBOT.default_pose,
            joint_lower_limits=ROBOT.lower_limits, joint_upper_limits=ROBOT.upper_limits,
            observation=contract.observation,
        )  # fmt: skip
        policy_file.write(tmp_path / name, file)
        read = policy_file.read(tmp_path / name)
        frames = [contract.frame(sensed(5, seed=seed)) for seed in (0, 1)]
        actions.append(read.act(np.concatenate(frames, axis=1)))
    np.testing.assert_allclose(actions[1], actions[0], rtol=0, atol=1e-6)
    assert np.abs(actions[2] - actions[0]).max() > 0.05
