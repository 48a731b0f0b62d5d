"""The policy as ONNX, with everything a robot needs to use it in its metadata (extra `onnx`).

For controllers that run ONNX instead of RTNeural. The network is the policy file's, normalizer folded in; observation,
action, gains and limits are described in `metadata_props`, since ONNX itself only has tensors, and in full in
`contract.yaml` beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import walkies
from walkies.deploy.contract_file import NAME, contract_of, each, write_contract
from walkies.deploy.policy_file import PROBES, PolicyFile, PolicyFileError
from walkies.deploy.probes import extreme_observations, ordinary_observations
from walkies.files import writing
from walkies.robots.base import Robot
from walkies.tasks.contract import OBSERVATION_CLIP

OPSET = 17
IR_VERSION = 8
TOLERANCE = 1e-5
"""Largest allowed difference of any action from the policy file's, beyond what float32 itself is off."""
ROUNDING_FACTOR = 20.0
"""Two float32 evaluations may add up in different orders, so they may differ by some multiples of either's error."""
OPERATORS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "softmax": "Softmax", "elu": "Elu"}


class Agreement(NamedTuple):
    """How far an ONNX model is off its policy file, whose actions are computed in float32 too."""

    ordinary: float
    """largest difference of any action over PROBES observations such as the policy meets"""
    extreme: float
    """the same over PROBES observations whose inputs stand at 0 or at the controller's clip of ±100"""
    extreme_rounding: float
    """largest difference there of the policy file's own actions from exact arithmetic"""

    def __str__(self) -> str:
        return (
            f"actions differ from the policy file's by at most {self.ordinary:.1e} on {PROBES} ordinary observations, "
            f"and by {self.extreme:.1e} on {PROBES} with inputs at ±{OBSERVATION_CLIP:g}, where float32 is "
            f"{self.extreme_rounding:.1e} off exact arithmetic"
        )


def others(policy: PolicyFile, robot: Robot) -> dict[str, str]:
    """Metadata as written by the exporters of mjlab and Isaac Lab, with their keys and form: lists with commas.

    Their `observation_history_lengths` is left out: it describes a history per signal, while here whole frames follow
    one another, as `observation_history` and `observation_order` say.

    Raises:
        PolicyFileError: a joint's name has a comma in it.
    """
    if odd := [name for name in robot.joint_names if "," in name]:
        raise PolicyFileError(
            f"joint {odd[0]!r}: expected a name without a comma, which separates names in ONNX metadata; rename it in "
            "the robot's file"
        )
    lists: dict[str, Any] = {
        "joint_names": robot.joint_names,
        "joint_stiffness": each(policy.kp, robot),
        "joint_damping": each(policy.kd, robot),
        "default_joint_pos": policy.default_joint_pos,
        "action_scale": policy.action_scale,
        "observation_names": [one.in_files for one in policy.signals],
        "command_names": ["twist"] if "command" in policy.observation else [],
    }
    return {key: ",".join(map(str, values)) for key, values in lists.items()}


def metadata(policy: PolicyFile, robot: Robot) -> dict[str, str]:
    """What a controller needs besides the network, as text: names, units, gains, limits, rate.

    Keys with a unit in them hold numbers or JSON lists; those of `others`, lists with commas.
    """
    fields = [
        {"name": one.name, "start": place.start, "size": one.size(policy), "unit": one.unit, "meaning": one.meaning}
        for one, place in zip(policy.signals, policy.slices.values(), strict=True)
    ]
    lists: dict[str, Any] = {
        "observation_frame": fields,
        "kp_Nm_per_rad": each(policy.kp, robot),
        "kd_Nms_per_rad": each(policy.kd, robot),
        "default_joint_pos_rad": policy.default_joint_pos,
        "joint_lower_limits_rad": policy.joint_lower_limits,
        "joint_upper_limits_rad": policy.joint_upper_limits,
        "action_scale_rad": policy.action_scale,
    }
    return {
        "producer": f"walkies {walkies.__version__}",
        "robot": robot.name,
        "observation_history": str(policy.observation_history),
        "observation_order": "newest frame first; before the first frame zeros with gravity z = -1",
        "action_map": "joint target (rad) = default_joint_pos + action_scale * action, clamped to the limits",
        "control_dt_s": repr(policy.control_dt),
        **others(policy, robot),
        **{key: json.dumps(value) for key, value in lists.items()},
        **{f"walkies.{key}": json.dumps(value) for key, value in policy.walkies.items()},
    }


def build(policy: PolicyFile, robot: Robot) -> Any:
    """The `onnx.ModelProto`: input `observation` (batch, H·frame), output `action` (batch, nu), float32."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, weights, x = [], [], "observation"
    for index, layer in enumerate(policy.layers):
        bias = numpy_helper.from_array(layer.bias.astype(np.float32), f"bias_{index}")
        weights.append(bias)
        if layer.weights is None:
            nodes.append(helper.make_node("PRelu", [x, bias.name], [f"layer_{index}"]))
        else:
            weights.append(numpy_helper.from_array(layer.weights.astype(np.float32), f"weights_{index}"))
            nodes.append(helper.make_node("Gemm", [x, f"weights_{index}", bias.name], [f"layer_{index}"]))
        x = f"layer_{index}"
        if layer.activation:
            nodes.append(helper.make_node(OPERATORS[layer.activation], [x], [f"{x}_{layer.activation}"]))
            x = f"{x}_{layer.activation}"
    nodes.append(helper.make_node("Identity", [x], ["action"]))
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", policy.observation_size])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", policy.num_joints])],
        weights,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="walkies", ir_version=IR_VERSION)
    helper.set_model_props(model, metadata(policy, robot))
    checker.check_model(model, full_check=True)
    return model


def export_onnx(path: Path | str, policy: PolicyFile, robot: Robot) -> Agreement:
    """Write `policy` as ONNX, its contract.yaml beside it, and measure with onnxruntime that it computes the policy
    file's actions.

    Raises:
        PolicyFileError: an action differs by more than TOLERANCE and what float32 may be off; an existing file at
            `path` stays as it was.
    """
    path = Path(path)
    with writing(path) as candidate:
        candidate.write_bytes(build(policy, robot).SerializeToString())
        agreement = _compare(candidate, policy, robot)
    write_contract(path.with_name(NAME), contract_of(policy, robot, path.name))
    return agreement


def _compare(path: Path, policy: PolicyFile, robot: Robot) -> Agreement:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

    def compare(observations: np.ndarray) -> tuple[float, float]:
        expected, exact = policy.act(observations), policy.act_exactly(observations)
        (got,) = session.run(["action"], {"observation": observations.astype(np.float32)})
        error, rounding = float(np.abs(got - expected).max()), float(np.abs(expected - exact).max())
        allowed = TOLERANCE + ROUNDING_FACTOR * rounding
        if not error <= allowed:
            raise PolicyFileError(f"{path}: ONNX actions differ from the policy file's by {error:.2g} > {allowed:.2g}")
        return error, rounding

    ordinary, _ = compare(ordinary_observations(policy.contract(robot), PROBES)[0])
    extreme, rounding = compare(extreme_observations(policy.observation_size, PROBES))
    return Agreement(ordinary, extreme, rounding)
