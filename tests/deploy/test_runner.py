"""The runner that goes onto robots: its targets are the twin's, and what must stop it does, for good."""

from __future__ import annotations

import ast
import importlib.util
import sys

import numpy as np
import pytest

import made_policies
from deploy import synthetic
from walkies import cli
from walkies.deploy import contract_file, runner
from walkies.deploy import log as log_file
from walkies.deploy.controllers.base import Sensors
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.identification.replay import reproduce
from walkies.deploy.policy_file import from_document, write
from walkies.deploy.recordings.align import align
from walkies.deploy.recordings.logs import read
from walkies.quaternions import up_in_body
from walkies.robots import get_robot
from walkies.tasks.signal import FRAME

STEPS = 120
AGREE = 1e-5
"""rad: two float32 evaluations of a network."""
UP = np.array([0.0, 0.0, -1.0])


@pytest.fixture(scope="module", params=[("pupper", FRAME), ("biped", (*FRAME, "joint_velocity"))], ids=lambda p: p[0])
def made(request, tmp_path_factory):
    """A robot, a policy, and the folder that `walkies export --runner` writes of it."""
    robot = get_robot(request.param[0])
    policy = made_policies.tiny(robot, observation=request.param[1])
    folder = tmp_path_factory.mktemp("run")
    write(folder / "policy.json", policy)
    assert cli.run(["export", str(folder), "--runner", "--out", str(folder / "robot")]) == 0
    return robot, policy, folder / "robot"


def drive(made, change=lambda runner: None, permute=None, log=None, **options):
    """Targets (STEPS, nu) of runner and twin on the same random readings; the slow start comes first."""
    robot, policy, folder = made
    one, twin = runner.Runner(str(folder / "contract.yaml"), **options), GenericController(policy, robot)
    change(one)
    rng, n, pose = np.random.default_rng(1), robot.num_joints, np.array(robot.default_pose)
    order = np.arange(n) if permute is None else permute
    for _ in range(round(contract_file.START_SECONDS / one.dt)):
        start = one.step(np.zeros(3), UP, np.zeros(3), pose[order], np.zeros(n))
        if log is not None:
            log.write(one)
    np.testing.assert_allclose(start, pose[order], atol=1e-12)
    found = []
    for _ in range(STEPS):
        gyro, command = rng.normal(size=3), 2 * rng.normal(size=3)
        quaternion = np.array([1.0, 0, 0, 0]) + rng.uniform(-0.15, 0.15, 4)
        quaternion /= np.linalg.norm(quaternion)
        angles, speeds = pose + 0.3 * rng.normal(size=n), rng.normal(size=n)
        sensors = Sensors(gyro[None], quaternion[None], angles[None], speeds[None])
        if not found:
            twin.activate(sensors)
        targets = one.step(gyro, quaternion, command, angles[order], speeds[order])
        if log is not None:
            log.write(one)
        found.append((targets, twin.tick(sensors, command[None]).position[0][order]))
        assert not one.stopped
    np.testing.assert_allclose(one.kp, np.broadcast_to(twin.policy.kp, n)[order])
    np.testing.assert_allclose(one.kd, np.broadcast_to(twin.policy.kd, n)[order])
    mine, twins = np.moveaxis(found, 1, 0)
    return mine, twins


def test_its_targets_are_the_twins(made):
    mine, twins = drive(made)
    np.testing.assert_allclose(mine, twins, atol=AGREE)
    assert np.ptp(twins, axis=0).min() > 0.02, "every joint is asked to move"


def test_joints_in_the_robots_own_order_make_no_difference(made):
    robot, _, _ = made
    order = np.random.default_rng(2).permutation(robot.num_joints)
    mine, twins = drive(made, permute=order, joint_names=[robot.joint_names[i] for i in order])
    np.testing.assert_allclose(mine, twins, atol=AGREE)


FAULTS = {
    "history reversed": lambda one: setattr(one, "network", Backwards(one.network, one.contract)),
    "two joints swapped": lambda one: setattr(one, "order", one.order[[1, 0, *range(2, len(one.order))]]),
    "no fade-in": lambda one: one.contract.update(fade_in_seconds=1e-6),
    "commands not clamped": lambda one: one.contract.update(command_low=[-9.0] * 3, command_high=[9.0] * 3),
    "another sign": lambda one: one.contract.update(action_scale=[-one.contract["action_scale"][0],
                                                                  *one.contract["action_scale"][1:]]),
    "another first frame": lambda one: setattr(one, "history", 0.0 * one.history),
    "other limits": lambda one: one.contract.update(upper=one.pose + 0.01),
}  # fmt: skip


class Backwards:
    """A network that is shown the oldest frame first."""

    def __init__(self, network, contract):
        self.network, self.frames = network, contract["observation_history"]

    def run(self, names, inputs):
        frames = inputs["observation"].reshape(self.frames, -1)[::-1]
        return self.network.run(names, {"observation": frames.reshape(1, -1)})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_it_is_noticed(made, fault):
    """Controls of the tests above."""
    mine, twins = drive(made, FAULTS[fault])
    assert np.abs(mine - twins).max() > 1e-3


def test_joints_told_in_another_order_than_said_are_noticed(made):
    robot, _, _ = made
    with pytest.raises(AssertionError, match="Mismatched elements"):
        drive(made, permute=np.roll(np.arange(robot.num_joints), 1))


# What stops it


@pytest.fixture
def one(made):
    return runner.Runner(str(made[2] / "contract.yaml"))


def step(one, down=UP, angles=None, gyro=(0.0, 0.0, 0.0)):
    return one.step(np.array(gyro), down, np.zeros(3), one.pose if angles is None else angles, np.zeros(len(one.pose)))


def lean(angle):
    return np.array([np.sin(angle), 0.0, -np.cos(angle)])


STOPS = {
    "emergency": (lambda one: one.stop(), "emergency stop"),
    "tilt": (lambda one: step(one, lean(1.05)), "tilted by more than 1.0 rad"),
    "upside down, as a quaternion": (lambda one: step(one, np.array([0.0, 1.0, 0.0, 0.0])), "tilted by more than"),
    "gravity in m/s²": (lambda one: step(one, 9.81 * UP), "orientation has length 9.81"),
    "NaN": (lambda one: step(one, gyro=(0.0, np.nan, 0.0)), "a reading is not a finite number"),
}


@pytest.mark.parametrize("steps", [1, 150], ids=["slow start", "walking"])
@pytest.mark.parametrize("why", STOPS)
def test_a_stop_lasts_until_it_is_reset(one, why, steps):
    cause, said = STOPS[why]
    for _ in range(steps):
        last = step(one, angles=one.pose + 0.1)
    assert not one.stopped and one.kp.min() > 0
    cause(one)
    for _ in range(50):
        np.testing.assert_array_equal(step(one, angles=one.pose - 0.2), last)
    assert one.stopped.startswith(said) and not one.kp.any() and one.kd.min() > 0
    one.stop("later")
    assert one.stopped.startswith(said), "the first reason is kept"
    one.reset()
    begun = step(one, angles=one.pose - 0.2)
    assert not one.stopped and one.kp.min() > 0
    assert np.abs(begun - (one.pose - 0.2)).max() < 0.01, "it begins slowly where the joints are"


def test_what_is_no_reason_does_not_stop_it(one):
    """Control of the test above."""
    for _ in range(150):
        step(one, 1.02 * lean(0.95))
    assert not one.stopped


def test_an_action_that_is_no_number_stops_it(one):
    class Broken:
        def run(self, names, inputs):
            return [np.full((1, len(one.pose)), np.nan, np.float32)]

    one.network = Broken()
    for _ in range(150):
        targets = step(one)
    assert one.stopped == "the policy's action is not a finite number" and np.isfinite(targets).all()


def test_the_slow_start_is_slow_and_ends_in_the_pose(one):
    begun, before = one.pose + 0.5, one.pose + 0.5
    for i in range(round(2.0 / one.dt)):
        targets = step(one, angles=begun)
        assert np.abs(targets - before).max() <= 0.5 * one.dt / 2.0 + 1e-9, i
        before = targets
    np.testing.assert_allclose(before, one.pose, atol=1e-9)


def test_what_does_not_fit_is_said(one, made):
    with pytest.raises(
        ValueError, match=r"shapes of the readings: got \[\(2,\), \(3,\), .* expected \[\(3,\), \(3,\), "
    ):
        step(one, gyro=(0.0, 0.0))
    with pytest.raises(ValueError, match="finite numbers, before the first step: got 0, expected"):
        step(one, angles=np.nan * one.pose)
    with pytest.raises(ValueError, match=r"joint_names, sorted: got \['knee'\], expected \["):
        runner.Runner(str(made[2] / "contract.yaml"), joint_names=["knee"])
    path = made[2] / "other.yaml"
    path.write_text((made[2] / "contract.yaml").read_text().replace("requires: []", 'requires: ["trick"]'))
    with pytest.raises(ValueError, match=r"other.yaml: got \[1, \['trick'\], 'newest_first'\], expected \[1, \[\], "):
        runner.Runner(str(path))


def test_it_reads_a_contract_as_walkies_does(made):
    path = made[2] / "contract.yaml"
    theirs = contract_file.read_contract(path)
    mine = runner.read_contract(str(path))
    assert mine == {**theirs._asdict(), "observation": [part._asdict() for part in theirs.observation]}


def test_quaternions_mean_what_they_mean_in_walkies(one):
    quaternion = np.array([0.9, 0.2, -0.1, 0.3]) / np.linalg.norm([0.9, 0.2, -0.1, 0.3])
    for _ in range(150):
        step(one, quaternion)
    parts = one.contract["observation"]
    start = sum(part["size"] for part in parts[: [part["name"] for part in parts].index("projected_gravity")])
    np.testing.assert_allclose(one.history[start : start + 3], -up_in_body(quaternion[None])[0], atol=1e-12)


def test_its_log_is_one_that_replay_reads(made, tmp_path, monkeypatch):
    robot, policy, _ = made
    clock = iter(np.arange(10_000) * 0.02)
    monkeypatch.setattr(log_file.time, "monotonic", lambda: next(clock))
    drive(made, log=log_file.Log(str(tmp_path / "log.csv")))
    log = align(read(tmp_path / "log.csv"), policy, robot)
    found = reproduce(log, policy)
    assert log.received == STEPS and log.gaps == 0
    assert found.reproduced and found.compared >= STEPS - 2 and found.error < AGREE


def test_only_steps_of_the_policy_are_in_the_log(one, tmp_path):
    """Not the slow start, nor what follows a stop: 50 steps of three lines, and the heading."""
    log = log_file.Log(str(tmp_path / "log.csv"))
    for i in range(round(2.0 / one.dt) + 60):
        if i == round(2.0 / one.dt) + 50:
            one.stop()
        step(one)
        log.write(one)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + 3 * 50


@pytest.mark.parametrize(("seconds", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_first_action_counts_whole_without_a_fade_in(one, seconds, share):
    """Control: with one it begins at nothing."""
    one.contract.update(fade_in_seconds=seconds)
    for _ in range(round(2.0 / one.dt) + 1):
        step(one)
    assert np.abs(one.action).max() > 1e-3
    np.testing.assert_allclose(one.applied, share * one.action, atol=1e-8)


# What goes onto the robot


def imported(source):
    tree = list(ast.walk(ast.parse(source)))
    names = {one.name.split(".")[0] for node in tree if isinstance(node, ast.Import) for one in node.names}
    return names | {node.module.split(".")[0] for node in tree if isinstance(node, ast.ImportFrom)}


def lines_of_code(source):
    """Without blank lines, comments and docstrings."""
    tree, quiet = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            quiet |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(number not in quiet and line.strip()[:1] not in ("", "#") for number, line in lines)


def test_a_person_can_read_it_in_a_minute(made):
    """Control: one line more counts, whatever is said about it does not."""
    source = (made[2] / "runner.py").read_text()
    assert lines_of_code(source) <= 60
    assert lines_of_code(source + "x = 1\n") == lines_of_code(source + "\n# one\nx = 1\n") == lines_of_code(source) + 1


def test_it_needs_nothing_but_numpy_and_onnxruntime(made, tmp_path):
    needed = {name: imported((made[2] / name).read_text()) for name in ("runner.py", "log.py")}
    theirs = {name: found - set(sys.stdlib_module_names) for name, found in needed.items()}
    assert theirs == {"runner.py": {"numpy", "onnxruntime"}, "log.py": {"numpy"}}
    spec = importlib.util.spec_from_file_location("copied", made[2] / "runner.py")
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    one = copied.Runner(str(made[2] / "contract.yaml"))
    assert np.isfinite(step(one)).all()


def test_what_it_would_run_wrongly_is_refused(tmp_path, capsys):
    write(tmp_path / "policy.json", from_document(synthetic.trick()))
    assert cli.run(["export", str(tmp_path), "--runner"]) == 2
    assert "--runner: the policy needs trick, motion" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.json"]
    assert cli.run(["export", str(tmp_path), "--runner", "--to-robot"]) == 2
    assert "does not combine with" in capsys.readouterr().err
