"""Joints with a fixed target on their way into files and out of them: whoever runs the file keeps them."""

from dataclasses import replace

import numpy as np
import pytest

import made_policies
from walkies import cli
from walkies.deploy import runner
from walkies.deploy.checks.findings import ERROR, NOTE
from walkies.deploy.checks.lint import check
from walkies.deploy.contract_file import read_contract
from walkies.deploy.controllers import CONTROLLERS, Sensors
from walkies.deploy.policy_file import PolicyFileError, export, in_edition, read, write
from walkies.judge.exam import drive
from walkies.judge.loop import Loop
from walkies.robots import get_robot
from walkies.tasks.contract import Contract
from walkies.tasks.hold import held

STEPS = 80
UP = np.array([0.0, 0.0, -1.0])
CASES = {"small-humanoid": ("arms",), "pupper": ("front_r", "leg_back_l_3")}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A robot, some joints, a policy that moves all, and one that says the same in a file that holds these."""
    robot = get_robot(request.param)
    joints, policy = held(robot, CASES[robot.name]), made_policies.tiny(robot)
    scale = np.array(policy.action_scale)
    scale[list(joints)] = 0.0
    return robot, list(joints), policy, replace(policy, action_scale=tuple(scale.tolist()))


def asked(policy, robot, protocol):
    """Targets (ticks, nu) and gains of a controller in a moving robot, minus the default pose."""
    controller, rng, pose = CONTROLLERS[protocol](policy, robot, None), np.random.default_rng(4), robot.default_pose
    found, n = [], robot.num_joints

    def sensors(spread):
        angles = np.array(pose) + spread * rng.normal(size=(1, n))
        return Sensors(rng.normal(size=(1, 3)), np.array([[1.0, 0, 0, 0]]), angles, rng.normal(size=(1, n)))

    controller.activate(sensors(0.0))
    waits = controller.start_up
    for tick in range(waits + STEPS * controller.action_ticks):
        found.append(controller.tick(sensors(0.3 * (tick >= waits)), rng.normal(size=(1, 3))))
    position, kp, _ = (np.concatenate(part)[waits:] for part in zip(*found, strict=True))
    return position - pose, kp


@pytest.mark.parametrize("protocol", CONTROLLERS)
def test_every_control_protocol_keeps_them(case, protocol):
    """Control: where they are not held they move, and so do the others."""
    robot, joints, free, fixed = case
    moved, kp = asked(fixed, robot, protocol)
    assert np.abs(moved[:, joints]).max() < 1e-6, "float32 as on the robot"
    assert np.ptp(np.delete(moved, joints, axis=1), axis=0).min() > 0.02
    assert np.ptp(asked(free, robot, protocol)[0][:, joints], axis=0).min() > 0.02
    np.testing.assert_allclose(kp[-1], np.broadcast_to(fixed.kp, robot.num_joints))


def test_the_runner_keeps_them(case, tmp_path):
    """Of the exported ONNX file with its contract, which says the gains of held joints too. Control as above."""
    robot, joints, free, fixed = case
    found = {}
    for name, policy in (("free", free), ("fixed", fixed)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "policy.json", policy)
        assert cli.run(["export", str(tmp_path / name), "--runner", "--out", str(tmp_path / name)]) == 0
        one = runner.Runner(str(tmp_path / name / "contract.yaml"))
        rng, pose, n = np.random.default_rng(4), np.array(robot.default_pose), robot.num_joints
        targets = [one.step(np.zeros(3), UP, np.zeros(3), pose, np.zeros(n)) for _ in range(round(2.0 / one.dt))]
        targets += [
            one.step(rng.normal(size=3), UP, rng.normal(size=3), pose + 0.3 * rng.normal(size=n), np.zeros(n))
            for _ in range(STEPS)
        ]
        assert not one.stopped
        found[name] = np.array(targets)[-STEPS:] - pose
        np.testing.assert_allclose(one.kp, np.minimum(np.broadcast_to(policy.kp, n), robot.kp_cap))
    assert not found["fixed"][:, joints].any()
    assert np.ptp(found["fixed"], axis=0)[[i for i in range(robot.num_joints) if i not in joints]].min() > 0.02
    assert np.ptp(found["free"][:, joints], axis=0).min() > 0.02
    contract = read_contract(tmp_path / "fixed" / "contract.yaml")
    assert [i for i, scale in enumerate(contract.action_scale) if scale == 0.0] == joints
    import onnx

    props = {one.key: one.value for one in onnx.load(tmp_path / "fixed" / "policy.onnx").metadata_props}
    assert [i for i, scale in enumerate(props["action_scale"].split(",")) if float(scale) == 0.0] == joints


def test_the_examination_keeps_them(case, monkeypatch):
    """In what reaches the motors, also of robots that fall. Control: they move where they are not held."""
    robot, joints, free, fixed = case
    sent, physics = [], Loop._physics
    monkeypatch.setattr(Loop, "_physics", lambda self, command: sent.append(command) or physics(self, command))
    moved = {}
    for name, policy in (("free", free), ("fixed", fixed)):
        sent.clear()
        drive(policy, robot, 2, 0)
        position = np.concatenate([one.position for one in sent], axis=1) - np.array(robot.default_pose)
        moved[name] = np.abs(position).max(axis=(0, 1))
    assert not moved["fixed"][joints].any() and np.delete(moved["fixed"], joints).min() > 0.01
    assert moved["free"][joints].min() > 0.01


def exported(robot, joints, path, outputs):
    contract = Contract(robot, 2, None, hold=tuple(joints))
    rng, size = np.random.default_rng(0), contract.observation_size
    layers = [
        (rng.normal(size=(size, 8)) / size, rng.normal(size=8)),
        (rng.normal(size=(8, outputs)) / 4, np.ones(outputs)),
    ]
    return export(path, layers, "elu", np.zeros(size), contract.informative(), contract), layers


def test_a_network_without_their_actions_is_written_with_zeros_for_them(case, tmp_path):
    robot, joints, free, _ = case
    path, others = tmp_path / "policy.json", [i for i in range(robot.num_joints) if i not in joints]
    policy, layers = exported(robot, joints, path, len(others))
    assert read(path).held == policy.held == tuple(joints) and free.held == ()
    seen = np.random.default_rng(1).normal(size=(9, policy.observation_size))
    action = policy.act(seen)
    assert not action[:, joints].any()
    hidden = np.where(
        (x := seen * Contract(robot, 2, None, hold=tuple(joints)).informative() @ layers[0][0] + layers[0][1]) > 0,
        x,
        np.expm1(x),
    )
    np.testing.assert_allclose(action[:, others], np.tanh(hidden @ layers[1][0] + 1.0), atol=1e-5)
    with pytest.raises((PolicyFileError, IndexError)):
        exported(robot, joints, tmp_path / "wrong.json", len(others) - 1)
    assert not (tmp_path / "wrong.json").exists()


def test_the_file_is_sound_and_says_what_is_held(case, tmp_path, capsys, monkeypatch):
    """In both editions of the format, of which neither has one scale alone."""
    robot, joints, free, _ = case
    monkeypatch.setenv("COLUMNS", "200")  # no word of a table is cut
    path = tmp_path / "policy.json"
    policy, _ = exported(robot, joints, path, robot.num_joints - len(joints))
    for edition in (2025, 2026):
        write(path, in_edition(policy, edition))
        found = [
            one for one in check(in_edition(policy, edition).document()) if one.severity == ERROR or "held" in one.code
        ]
        assert [(one.code, one.severity) for one in found] == [("held-joint", NOTE)] * len(joints)
        assert cli.run(["explain", str(path)]) == 0
        assert capsys.readouterr().out.count("held at the default") == len(joints)
    assert "held-joint" not in {one.code for one in check(free.document())}
