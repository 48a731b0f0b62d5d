"""`contract.yaml` says exactly what the twin does, reads alike with and without a YAML library, and is checked."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from ruamel.yaml import YAML
from ruamel.yaml.error import MantissaNoDotYAML1_1Warning

import made_policies
from deploy import synthetic
from walkies.deploy import contract_file
from walkies.deploy.contract_file import ContractFile, contract_of, read_contract, text, write_contract
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.policy_file import PolicyFileError, from_document
from walkies.errors import UserError
from walkies.robots import get_robot


@pytest.fixture(params=["pupper", "biped"])
def robot(request):
    return get_robot(request.param)


@pytest.fixture
def contract(robot):
    return contract_of(made_policies.tiny(robot), robot, "policy.onnx")


def plain(contract: ContractFile) -> dict:
    """As a YAML library gives it."""
    found = contract._asdict()
    return {**found, "observation": [part._asdict() for part in contract.observation]}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
def test_every_yaml_library_reads_what_was_written(contract, version):
    """In YAML 1.1 a number such as 2e-05 is text, of which this reader warns."""
    odd = contract._replace(control_dt=2e-5, robot="no", kp=[1e-7, *contract.kp[1:]], joint_names=["on", 'a: "b"', "~"])
    reader = YAML(typ="safe", pure=True)
    reader.version = version
    assert reader.load(text(odd)) == plain(odd)
    naive = text(odd).replace("2.0e-05", "2e-05")
    assert naive != text(odd)
    with nullcontext() if version == (1, 2) else pytest.raises(MantissaNoDotYAML1_1Warning):
        reader.load(naive)


def test_it_reads_back_as_it_was_written(contract, tmp_path):
    write_contract(tmp_path / "contract.yaml", contract)
    assert read_contract(tmp_path / "contract.yaml") == contract
    assert set(contract_file.COMMENTS) == set(ContractFile._fields)


def test_it_says_what_the_twin_does(robot, contract):
    """Gains within the board's caps, limits within the board's clamp, commands within the trained range."""
    policy = replace(made_policies.tiny(robot), kp=2e6, joint_upper_limits=tuple(
        pose + 0.05 + robot.limit_inset for pose in robot.default_pose
    ))  # fmt: skip
    strong, twin = contract_of(policy, robot, "policy.onnx"), GenericController(policy, robot)
    assert set(strong.kp) == {robot.kp_cap}
    far = np.full((1, robot.num_joints), 1e3)
    for ends, sign in ((strong.lower, -1.0), (strong.upper, 1.0)):
        np.testing.assert_array_equal(twin.contract.target(sign * far)[0], ends)
    assert contract.command_low == [-0.6, -0.3, -1.0] and contract.command_high == [0.6, 0.3, 1.0]
    history = np.tile(np.concatenate([part.initial for part in contract.observation]), contract.observation_history)
    np.testing.assert_array_equal(history, twin.contract.initial_history())


def test_what_the_runner_does_not_do_is_listed():
    assert contract_of(made_policies.tiny(get_robot("pupper")), get_robot("pupper"), "x").requires == []
    gaits, trick = (from_document(make(history=1) if make is synthetic.gaits else make())
                    for make in (synthetic.gaits, synthetic.trick))  # fmt: skip
    assert contract_of(gaits, get_robot("pupper"), "x").requires == ["heading_hold", "gait_reference", "jump_slot"]
    needs = contract_of(trick, get_robot("pupper"), "x").requires
    assert needs == ["trick", "motion", "motion_command", "motion_anchor_ori_b"]
    silent = replace(gaits, blocks=replace(gaits.blocks, heading_hold=None, jump_slot=None))
    assert contract_of(silent, get_robot("pupper"), "x").requires == ["gait_reference", "heading_hold"]
    with pytest.raises(PolicyFileError, match="needs gait_reference, heading_hold, which the runner does not do"):
        contract_file.require_runnable(contract_of(silent, get_robot("pupper"), "x"))


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("control_dt: 0.02", "control_dt: fast", "control_dt of .* is damaged"),
        ("control_dt: 0.02", 'control_dt: "0.02"', "control_dt: got 0.02 where a finite number belongs"),
        ("control_dt: 0.02", "control_dt: 0.02\ncontrol_dt: 0.02", "'control_dt' twice"),
        ("control_dt: 0.02", "control_td: 0.02", "the key 'control_td'"),
        ("control_dt: 0.02\n", "", "control_dt is missing"),
        ("format: 1", "format: 2", "got format 2, expected 1"),
        ("lower: [", "lower: [0.0, ", "lower has 13 numbers; expected 12"),
        ("command_low: [", "command_low: [0.0, ", "command_low has 4 numbers; expected 3"),
        ('"size": 3', '"size": 4', "initial of base_ang_vel has 3 numbers; expected 4"),
    ],
)
def test_a_damaged_one_is_refused_by_its_key(tmp_path, line, instead, said):
    robot = get_robot("pupper")
    written = text(contract_of(made_policies.tiny(robot), robot, "policy.onnx"))
    assert line in written
    (tmp_path / "contract.yaml").write_text(written.replace(line, instead, 1))
    with pytest.raises(UserError, match=said):
        read_contract(tmp_path / "contract.yaml")
