"""The file a robot loads: `policy.json`, its reader and its writer, and the export from a trained network.

The robot's `neural_controller` reads its own keys and RTNeural's `layers` and ignores the rest; further metadata
(versions, timing) is in one object named `walkies`. There are two editions of the format: that of 2025, with one fixed
frame that is not described, and that of 2026 ("contract v2"), which lists its frame and whose blocks
(`walkies.deploy.blocks`) say how commands and references reach the policy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import walkies
from walkies.deploy import blocks as file_blocks
from walkies.deploy.blocks import NO_HOLD, Blocks, CommandClip
from walkies.deploy.blocks.command import AXES
from walkies.deploy.json_values import PolicyFileError, is_span
from walkies.deploy.layers import Layer, activate, forward, layer_document, read_layer
from walkies.deploy.policy_json import COMMANDS, frame, frame_document, history, load_document, problems, robot_of
from walkies.deploy.probes import extreme_observations
from walkies.files import write_bytes, writing
from walkies.robots import DEFAULT
from walkies.robots.base import PerJoint, Robot
from walkies.tasks import signal
from walkies.tasks.contract import CONTROL_DT, OBSERVATION_CLIP, Contract
from walkies.tasks.signal import FRAME

__all__ = ["Layer", "PolicyFile", "PolicyFileError", "export", "fold_normalizer", "in_edition", "read", "write"]

EDITIONS = (2025, 2026)
"""Years since which the robot's software has read a file of this format."""
EXPORT_TOLERANCE = 1e-5
"""Largest allowed difference in any action between the trained network and the written file, both in float64."""
FLOAT32_TOLERANCE = 1e-4
"""The same between float32, as the robot computes, and float64, on observations such as training saw."""

PROBES = 256
"""Observations of either kind on which they are compared."""


@dataclass(frozen=True, eq=False)
class PolicyFile:
    """Everything in a `policy.json`. Joints in the robot's order, SI units, radians."""

    layers: tuple[Layer, ...]
    observation_history: int
    kp: PerJoint
    """N m/rad"""
    kd: PerJoint
    """N m s/rad"""
    action_scale: tuple[float, ...]
    """rad per unit of action, one per joint."""
    default_joint_pos: tuple[float, ...]
    joint_lower_limits: tuple[float, ...]
    joint_upper_limits: tuple[float, ...]
    use_imu: bool = True
    observation: tuple[str, ...] = FRAME
    """Names of the signals in a frame, in order."""
    walkies: Mapping[str, Any] = field(default_factory=dict)
    """Ours, ignored by the robot."""
    blocks: Blocks = field(default_factory=Blocks)
    """How commands and references reach the policy."""
    edition: int = EDITIONS[-1]
    """Of the format."""

    @property
    def num_joints(self) -> int:
        return len(self.default_joint_pos)

    @property
    def default_pose(self) -> tuple[float, ...]:
        return self.default_joint_pos

    @cached_property
    def signals(self) -> tuple[signal.FrameSignal, ...]:
        """The signals in a frame, in order."""
        return signal.chosen(self.observation)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each signal lies within a frame."""
        return signal.slices(self.signals, self)

    @cached_property
    def frame_size(self) -> int:
        return signal.total(self.signals, self)

    @property
    def observation_size(self) -> int:
        return self.frame_size * self.observation_history

    @property
    def held(self) -> tuple[int, ...]:
        """Joints that stay at the default pose: their actions have no effect. If it would be all of them: none."""
        still = tuple(joint for joint, scale in enumerate(self.action_scale) if scale == 0.0)
        return still if len(still) < self.num_joints else ()

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return sum(layer.bias.size + (0 if layer.weights is None else layer.weights.size) for layer in self.layers)

    @property
    def robot_name(self) -> str:
        """Name of the robot that the file is for: as stated, else `robots.DEFAULT`; it may be unknown."""
        return str(self.walkies.get("robot", DEFAULT))

    @property
    def command_range(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest of each command (m/s, m/s, rad/s by the names COMMANDS) that the policy was trained for,
        as far as its file says."""
        clip, own = self.blocks.command_clip, self.walkies.get("command_range")
        ranges = {}
        for axis, name in zip(AXES, COMMANDS, strict=True):
            pair = getattr(clip, axis, None) or (own.get(name) if isinstance(own, dict) else None)
            if is_span(pair):
                ranges[name] = (float(pair[0]), float(pair[1]))
        return ranges

    @property
    def control_dt(self) -> float:
        """s between actions: as the file says, else the controller's nominal one."""
        value = self.walkies.get("control_dt", CONTROL_DT)
        return float(value) if type(value) in (int, float) and 0.001 <= value <= 1.0 else CONTROL_DT

    @cached_property
    def _layers32(self) -> list[tuple[np.ndarray | None, np.ndarray, str]]:
        return [
            (
                None if layer.weights is None else layer.weights.astype(np.float32),
                layer.bias.astype(np.float32),
                layer.activation,
            )
            for layer in self.layers
        ]

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Actions (…, nu) float32 for observations (…, observation_size), in float32 as the robot computes them.

        Each row is its own product, so that its bits do not depend on how many others are computed with it.

        Raises:
            ValueError: wrong size of observation.
        """
        if observation.shape[-1] != self.observation_size:
            raise ValueError(
                f"observation: got {observation.shape[-1]} numbers, expected {self.observation_size} "
                f"({self.observation_history} frames of {self.frame_size})"
            )
        return forward(self._layers32, observation.astype(np.float32))

    def act_exactly(self, observation: np.ndarray) -> np.ndarray:
        """As `act`, in float64."""
        layers = [(layer.weights, layer.bias, layer.activation) for layer in self.layers]
        return forward(layers, observation.astype(np.float64))

    def contract(self, robot: Robot) -> Contract:
        """How this file connects to `robot`: its own pose, limits and gains, followed by the motor board's clamp.

        The controller clamps to the file's limits, then the board to the robot's limits inset by `limit_inset`; two
        clamps in a row are one clamp to the intersection, which is what the returned contract's `target` does.

        Raises:
            PolicyFileError: the file's limits and the board's have no angle in common.
        """
        inset = robot.limit_inset
        lower = np.maximum(np.array(self.joint_lower_limits) - inset, robot.lower_limits)
        upper = np.minimum(np.array(self.joint_upper_limits) + inset, robot.upper_limits)
        if (bad := np.flatnonzero(lower + inset >= upper - inset)).size:
            name = robot.joint_names[bad[0]]
            got = f"{self.joint_lower_limits[bad[0]]} … {self.joint_upper_limits[bad[0]]}"
            raise PolicyFileError(f"joint limits of {name}: got {got}, expected overlap with the robot's own limits")
        own = replace(
            robot,
            default_pose=self.default_joint_pos,
            lower_limits=tuple(lower.tolist()),
            upper_limits=tuple(upper.tolist()),
            kp=self.kp,
            kd=self.kd,
        )
        uniform = per_joint(self.action_scale)
        return Contract(
            own, self.observation_history, uniform, self.kp, self.kd, self.control_dt,
            self.observation,
        )  # fmt: skip

    def document(self) -> dict[str, Any]:
        """The content as plain JSON data, keys as the robot reads them.

        Raises:
            PolicyFileError: the edition's format does not hold the policy.
        """
        scale, about = list(self.action_scale), dict(self.walkies)
        spec: dict[str, Any] = {}
        if self.edition == EDITIONS[0]:
            about = dict(in_edition(self, self.edition).walkies)
        else:
            spec["obs_spec"] = frame_document(self.observation, self, self.observation_history)
            spec["single_observation_size"] = self.frame_size
            spec |= self.blocks.document(robot_of({"walkies": about}).joint_names)
        document: dict[str, Any] = {
            "in_shape": [None, self.observation_size],
            **spec,
            "observation_history": self.observation_history,
            "use_imu": self.use_imu,
            "kp": _plain(self.kp),
            "kd": _plain(self.kd),
            "action_scale": scale[0] if len(set(scale)) == 1 else scale,
            "default_joint_pos": list(self.default_joint_pos),
            "joint_lower_limits": list(self.joint_lower_limits),
            "joint_upper_limits": list(self.joint_upper_limits),
        }
        if about:
            document["walkies"] = about
        document["layers"] = [layer_document(layer) for layer in self.layers]
        return document


def read(path: Path | str) -> PolicyFile:
    """The policy in `path`, checked strictly: sizes, finite numbers, known activations, limits with lower < upper.

    Raises:
        PolicyFileError: says the key, what was found and what was expected.
    """
    path = Path(path)
    document = load_document(path)
    if found := problems(document):
        more = f" (and {len(found) - 1} more; `walkies lint {path}` lists them)" if len(found) > 1 else ""
        raise PolicyFileError(f"{path}: {found[0]}{more}")
    return from_document(document)


def from_document(document: Mapping[str, Any]) -> PolicyFile:
    """The policy in a parsed document that has no `problems`."""
    scale = document["action_scale"]
    return PolicyFile(
        layers=tuple(read_layer(layer) for layer in document["layers"]),
        observation_history=history(document) or 1,
        kp=per_joint(document["kp"]),
        kd=per_joint(document["kd"]),
        action_scale=tuple(map(float, scale if isinstance(scale, list) else [scale] * robot_of(document).num_joints)),
        default_joint_pos=tuple(map(float, document["default_joint_pos"])),
        joint_lower_limits=tuple(map(float, document["joint_lower_limits"])),
        joint_upper_limits=tuple(map(float, document["joint_upper_limits"])),
        use_imu=document.get("use_imu", True),
        observation=frame(document) or FRAME,
        walkies=document["walkies"] if isinstance(document.get("walkies"), dict) else {},
        # The software that a file without obs_spec is written for reads no block.
        blocks=file_blocks.parse(document) if "obs_spec" in document else Blocks(),
        edition=EDITIONS[-1 if "obs_spec" in document else 0],
    )


def per_joint(numbers: Any) -> PerJoint:
    """One number where all are the same, else one for each joint."""
    values = np.asarray(numbers, float).ravel().tolist()
    return values[0] if len(set(values)) == 1 else tuple(values)


def _plain(numbers: PerJoint) -> float | list[float]:
    """For a JSON file."""
    return list(numbers) if isinstance(numbers, tuple) else numbers


def write(path: Path | str, policy: PolicyFile) -> None:
    """Write `policy` as JSON, atomically: a reader of `path` finds the old file or the whole new one.

    Raises:
        PolicyFileError: the policy is one that `read` would refuse; nothing is written.
    """
    path = Path(path)
    document = policy.document()
    if found := problems(document):
        raise PolicyFileError(f"{path} not written: {found[0]}")
    write_bytes(path, (json.dumps(document, allow_nan=False) + "\n").encode(), sync=True)


def in_edition(policy: PolicyFile, edition: int) -> PolicyFile:
    """The same policy for the other format.

    That of 2025 has no blocks. The trained command range becomes a note there (`walkies.command_range`), to which the
    robot does not clip commands; a policy that needs other blocks is refused.

    Raises:
        PolicyFileError: on the 2025 software the policy would get other inputs than in training.
    """
    blocks, about, ranges = policy.blocks, dict(policy.walkies), policy.command_range
    if edition != EDITIONS[0]:
        about.pop("command_range", None)
        blocks = blocks if blocks.command_clip is not None else _clipping(blocks, ranges or None)
        return replace(policy, edition=edition, blocks=blocks, walkies=about)
    if policy.observation != FRAME:
        raise PolicyFileError(
            f"the format of 2025 has one frame, {', '.join(FRAME)}; got {', '.join(policy.observation)}; "
            "write the format of 2026, or train with that frame"
        )
    if lost := file_blocks.beyond_2025(blocks.document(())):
        raise PolicyFileError(f"the format of 2025 does not hold {', '.join(lost)}; write the format of 2026")
    if ranges:
        about["command_range"] = {name: list(pair) for name, pair in ranges.items()}
    return replace(policy, edition=edition, blocks=Blocks(), walkies=about)


def fold_normalizer(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], mean: np.ndarray, scale: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Layers [(weights (in, out), bias (out,))] in float64 that take raw inputs where `layers` take (x − mean) · scale.

    W ↦ diag(scale) W, b ↦ b − (mean · scale) W. An input of scale 0 gets weights of exactly zero, whatever was trained.
    """
    (first, bias), *rest = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in layers]
    mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
    folded = np.where(scale[:, None] == 0.0, 0.0, scale[:, None] * first)
    return [(folded, bias - mean @ folded), *rest]


def export(
    path: Path | str,
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    hidden_activation: str,
    mean: np.ndarray,
    scale: np.ndarray,
    contract: Contract,
    *,
    final_activation: str = "tanh",
    command_range: Mapping[str, Sequence[float]] | None = None,
    blocks: Blocks | None = None,
    extra: Mapping[str, Any] | None = None,
) -> PolicyFile:
    """Write a trained network as the robot's `policy.json` and prove that the file computes the same actions.

    Args:
        path: where to write.
        layers: [(weights (in, out), bias (out,))], the policy's mean network; held joints' actions are added as zeros.
        hidden_activation: between layers, one RTNeural knows.
        mean, scale: (in,) the observation normalizer, x ↦ (x − mean) · scale; scale 0 drops an input.
        contract: robot, history, gains and action scale the policy was trained with.
        final_activation: on the last layer; it bounds the action on the robot too.
        command_range: what the policy was trained to follow, {"vx": (low, high), "vy": …, "yaw_rate": …}; the robot
            clips commands to it.
        blocks: how else commands and references reach the policy; default: no heading hold, said so.
        extra: further entries of the file's `walkies` object.

    Raises:
        PolicyFileError: a size or activation does not fit, an input the contract holds constant has weight, or the
            written file differs from the network by more than 1e-5 on random and extreme observations.
    """
    path = Path(path)
    mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
    size = contract.observation_size
    got = (np.shape(layers[0][0])[0], *mean.shape, *scale.shape)
    if got != (size, size, size):
        raise PolicyFileError(f"{path} not written: inputs of network, mean, scale: got {got}, expected {size} each")
    layers = [*layers[:-1], tuple(contract.spread(np.asarray(part, np.float64)) for part in layers[-1])]
    activations = [hidden_activation] * (len(layers) - 1) + [final_activation]
    folded = fold_normalizer(layers, mean, scale)
    _refuse_constant_inputs(path, folded[0][0], contract)
    robot, (kp, kd) = contract.robot, contract.gains
    about: dict[str, Any] = {"version": walkies.__version__, "robot": robot.name, "control_dt": contract.control_dt}
    policy = PolicyFile(
        layers=tuple(Layer(w, b, name) for (w, b), name in zip(folded, activations, strict=True)),
        observation_history=contract.observation_history,
        kp=per_joint(kp),
        kd=per_joint(kd),
        action_scale=tuple(np.broadcast_to(np.asarray(contract.scale, float), robot.num_joints).tolist()),
        default_joint_pos=tuple(map(float, robot.default_pose)),
        joint_lower_limits=tuple(map(float, robot.lower_limits)),
        joint_upper_limits=tuple(map(float, robot.upper_limits)),
        observation=contract.observation,
        walkies={**about, **(extra or {})},
        blocks=_clipping(Blocks(heading_hold=NO_HOLD) if blocks is None else blocks, command_range),
    )
    with writing(path) as candidate:
        write(candidate, policy)
        _verify(candidate, layers, activations, mean, scale)
    return policy


def _clipping(blocks: Blocks, command_range: Mapping[str, Sequence[float]] | None) -> Blocks:
    """The blocks with commands clipped to what the policy was trained to follow, where that is known."""
    if command_range is None:
        return blocks
    pairs = {axis: command_range[name] for axis, name in zip(AXES, COMMANDS, strict=True) if name in command_range}
    return replace(blocks, command_clip=CommandClip.parse(pairs))


def _verify(path: Path, layers: Any, activations: list[str], mean: np.ndarray, scale: np.ndarray) -> None:
    """Compare the written file with the network it came from; the file is read here from its text, not by `read`."""
    rng, deviation = np.random.default_rng(0), np.divide(1.0, scale, out=np.ones_like(scale), where=scale != 0)
    plausible = mean + deviation * rng.uniform(-3, 3, (PROBES, mean.size))  # such as training saw
    plausible = np.clip(plausible, -OBSERVATION_CLIP, OBSERVATION_CLIP)
    extreme = extreme_observations(mean.size, PROBES)
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, observation in (("plausible", plausible), ("extreme", extreme)):
        expected = (observation - mean) * scale
        for (weights, bias), activation in zip(layers, activations, strict=True):
            expected = activate(activation, expected @ np.asarray(weights, np.float64) + np.asarray(bias, np.float64))
        got = observation
        for layer in content["layers"]:
            matrix, bias = np.array(layer["weights"][0], np.float64), np.array(layer["weights"][1], np.float64)
            got = activate(layer["activation"], np.einsum("ni,io->no", got, matrix) + bias)
        _require_close(path, f"{name} observations", got, expected, EXPORT_TOLERANCE)
        if name == "plausible":
            _require_close(path, "float32", read(path).act(observation), expected, FLOAT32_TOLERANCE)


def _require_close(path: Path, what: str, got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    error = float(np.max(np.abs(got - expected))) if np.all(np.isfinite(got)) else float("inf")
    if not error <= tolerance:
        raise PolicyFileError(f"{path}: {what}: actions differ from the network's by {error:.2g} > {tolerance:g}")


def _refuse_constant_inputs(path: Path, weights: np.ndarray, contract: Contract) -> None:
    """A constant never varies in training, so any weight on it is untrained and acts at random on the robot."""
    frames = weights.reshape(contract.observation_history, contract.frame_size, -1)
    for one in contract.signals:
        used = frames[:, contract.slices[one.name]]
        if one.constant is not None and np.any(used != 0.0):
            frame, entry = np.argwhere(np.any(used != 0.0, axis=-1))[0]
            raise PolicyFileError(
                f"{path} not written: input {one.name}[{entry}] of history frame {frame} is constant on the robot but "
                "has non-zero weights; expected a normalizer with scale 0 there, in every frame"
            )
