"""The ONNX export computes the policy file's actions and tells a controller everything else."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

import made_policies
from pupper_frame import SLICES
from walkies.cli import export
from walkies.deploy import onnx_file
from walkies.deploy.policy_file import PROBES, Layer, PolicyFile, PolicyFileError, write
from walkies.deploy.probes import extreme_observations, ordinary_observations
from walkies.errors import UserError
from walkies.robots import get_robot
from walkies.tasks.contract import Contract

PUPPER = get_robot("pupper")


def policy_of(*activations, prelu=False):
    rng = np.random.default_rng(0)
    sizes = [72, *([16] * (len(activations) - 1)), 12]
    layers = [
        Layer(rng.normal(size=sizes[i : i + 2]) / sizes[i] ** 0.5, rng.normal(size=sizes[i + 1]), name)
        for i, name in enumerate(activations)
    ]
    if prelu:
        layers.insert(1, Layer(None, np.full(16, 0.2)))
    pose = PUPPER.default_pose
    limits = PUPPER.lower_limits, PUPPER.upper_limits
    return PolicyFile(tuple(layers), 2, 5.0, 0.25, (0.75,) * 12, pose, *limits, walkies={"robot": "pupper", "steps": 7})


@pytest.mark.parametrize(
    ("activations", "prelu"),
    [(("elu", "tanh"), False), (("relu", "sigmoid", "tanh"), False), (("softmax", ""), False), (("", "tanh"), True)],
)
def test_same_actions_in_onnxruntime(tmp_path, activations, prelu):
    policy = policy_of(*activations, prelu=prelu)
    onnx_file.export_onnx(tmp_path / "policy.onnx", policy, PUPPER)
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    observations = np.random.default_rng(1).normal(size=(50, 72)).astype(np.float32)
    (got,) = session.run(["action"], {"observation": observations})
    np.testing.assert_allclose(got, policy.act(observations), atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contract.yaml", "policy.onnx"]


def test_agreement_is_said_as_measured_and_on_which_observations(tmp_path):
    """Steep networks at the clip are off by more than any fixed promise: there float32 itself is off by as much."""
    policy = policy_of("elu", "tanh")
    steep = replace(
        policy, layers=(Layer(2e3 * policy.layers[0].weights, policy.layers[0].bias, "elu"), policy.layers[1])
    )
    gentle, wild = (onnx_file.export_onnx(tmp_path / "policy.onnx", p, PUPPER) for p in (policy, steep))
    assert gentle.ordinary < 1e-6 < wild.ordinary
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    for told, observations in (
        (wild.ordinary, ordinary_observations(Contract(PUPPER, 2), PROBES)[0]),
        (wild.extreme, extreme_observations(72, PROBES)),
    ):
        (got,) = session.run(["action"], {"observation": observations.astype(np.float32)})
        assert told == pytest.approx(float(np.abs(got - steep.act(observations)).max()))
    assert f"at most {wild.ordinary:.1e} on {PROBES} ordinary observations" in str(wild)
    assert f"by {wild.extreme:.1e} on {PROBES} with inputs at ±100" in str(wild)


def test_metadata_says_what_onnx_cannot(tmp_path):
    policy = policy_of("elu", "tanh")
    onnx_file.export_onnx(tmp_path / "policy.onnx", policy, PUPPER)
    props = {prop.key: prop.value for prop in onnx.load(tmp_path / "policy.onnx").metadata_props}
    assert json.loads(props["default_joint_pos_rad"]) == list(PUPPER.default_pose)
    assert json.loads(props["action_scale_rad"]) == [0.75] * 12
    assert json.loads(props["kp_Nm_per_rad"]) == [5.0] * 12 and json.loads(props["kd_Nms_per_rad"]) == [0.25] * 12
    assert props["control_dt_s"] == "0.02"
    assert props["observation_history"] == "2" and props["robot"] == "pupper" and props["walkies.steps"] == "7"
    for field in json.loads(props["observation_frame"]):
        part = SLICES[field["name"]]
        assert (field["start"], field["size"]) == (part.start, part.stop - part.start) and field["unit"]


def test_metadata_has_what_other_stacks_read_with_a_split_at_commas(tmp_path):
    """As the programs do that run policies of mjlab and Isaac Lab; gains joint by joint."""
    robot = get_robot("biped")
    policy = made_policies.tiny(robot)
    onnx_file.export_onnx(tmp_path / "policy.onnx", policy, robot)
    props = {prop.key: prop.value for prop in onnx.load(tmp_path / "policy.onnx").metadata_props}
    numbers = {key: [float(word) for word in props[key].split(",")] for key in (
        "joint_stiffness", "joint_damping", "default_joint_pos", "action_scale",
    )}  # fmt: skip
    assert props["joint_names"].split(",") == list(robot.joint_names)
    assert len(set(robot.kp)) > 1 and numbers["joint_stiffness"] == list(robot.kp)
    assert numbers["joint_damping"] == list(robot.kd) and numbers["default_joint_pos"] == list(robot.default_pose)
    assert numbers["action_scale"] == list(policy.action_scale) and props["command_names"] == "twist"
    assert props["observation_names"].split(",")[:3] == ["base_ang_vel", "projected_gravity", "command"]
    odd = replace(robot, joint_names=("hip,left", *robot.joint_names[1:]))
    with pytest.raises(PolicyFileError, match="'hip,left': expected a name without a comma"):
        onnx_file.metadata(policy, odd)


def test_a_wrong_model_is_never_left_behind(tmp_path, monkeypatch):
    """Negative control of the verification: one bias off by 1e-3 is noticed, and the old file stays."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"old")
    policy = policy_of("elu", "tanh")
    wrong = policy_of("elu", "tanh")
    wrong.layers[1].bias[3] += 1e-3
    right_build = onnx_file.build
    monkeypatch.setattr(onnx_file, "build", lambda policy, robot: right_build(wrong, robot))
    with pytest.raises(PolicyFileError, match="ONNX actions differ"):
        onnx_file.export_onnx(path, policy, PUPPER)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_command_writes_beside_the_policy(tmp_path, capsys):
    write(tmp_path / "policy.json", policy_of("elu", "tanh"))
    export.command(tmp_path)
    assert (tmp_path / "policy.onnx").is_file() and "checked with onnxruntime" in capsys.readouterr().out
    spot = policy_of("elu", "tanh")
    write(tmp_path / "spot.json", PolicyFile(**{**vars(spot), "walkies": {"robot": "spot"}}))
    with pytest.raises(UserError, match="unknown robot 'spot'"):
        export.command(tmp_path / "spot.json")
    write(tmp_path / "odd.json", PolicyFile(**{**vars(spot), "walkies": {"robot": ["spot"]}}))
    with pytest.raises(UserError, match="unknown robot"):
        export.command(tmp_path / "odd.json")
