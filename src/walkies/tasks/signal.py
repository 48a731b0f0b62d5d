"""Signals: one record per element of an observation, from which everything else about it is derived.

The training frame and its history, the critic's observation, the mirror image, `walkies explain`, lint, the metadata of
exported files, the frame of the examination and of the controller twin: all of them iterate over a list of these
records, and no offset within a frame is written by hand. To add an element that policies can observe, add its record to
`SIGNALS` and its name to `WalkConfig.observation`.

The functions here are pure and accept numpy and JAX arrays alike, so training and examination run the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from walkies.arrays import namespace
from walkies.errors import UserError

Array = Any
"""numpy.ndarray or jax.Array"""
Owner = TypeVar("Owner", contravariant=True)
Source = TypeVar("Source", contravariant=True)


class Jointed(Protocol):
    """What an element of a frame needs to know of a robot."""

    @property
    def num_joints(self) -> int: ...


class Sensed(NamedTuple):
    """What the robot's sensors and its controller know when a frame is made, (n, …)."""

    gyro: Array
    """(n, 3) rad/s, body frame."""
    gravity: Array
    """(n, 3) unit vector, body frame."""
    command: Array
    """(n, 3) m/s, m/s, rad/s."""
    joint_position: Array
    """(n, nu) rad."""
    joint_velocity: Array
    """(n, nu) rad/s."""
    last_action: Array
    """(n, nu) the action last executed, fade-in applied."""
    desired_up: Array | None = None
    """(n, 3) unit vector, body frame: the world's up as a pose command wants it; None: no pose command yet."""
    gait_reference: Array | None = None
    """(n, nu) rad from the default pose (`walkies.tasks.gait.reference`); this and the following are optional."""
    motion_command: Array | None = None
    """(n, 2 nu) rad and rad/s: a frame of a recorded movement."""
    motion_anchor: Array | None = None
    """(n, 6) that frame's orientation as seen from the robot: two columns of its rotation matrix, row by row."""


class Errors(NamedTuple):
    """Constant errors of the sensors of n robots."""

    gyro: Array
    """(n, 3) rad/s, added."""
    mounting: Array
    """(n, 3) rad: rotation vector of the IMU against the body."""
    joint_position: Array
    """(n, nu) rad, added."""


class Image(NamedTuple):
    """The left–right mirror image of a signal: element i is `sign[i]` times element `source[i]` of the original."""

    source: np.ndarray
    """Indices."""
    sign: np.ndarray


@dataclass(frozen=True)
class Signal(Generic[Owner, Source]):
    """One element of an observation. Owner: provides sizes; Source: what it is read from."""

    name: str
    unit: str
    meaning: str
    size: Callable[[Owner], int]
    """Its number of components."""
    read: Callable[[Source], Array]
    """The reading of a perfect sensor, (n, size)."""
    mirror: Callable[[Owner], Image]
    sensor: str = ""
    """The part of the robot that provides it; empty if only a simulator knows it."""
    noise: float = 0.0
    """Default noise of the sensor: uniform, ± this, in the signal's unit. 0: none, and no random numbers are drawn."""
    distort: Callable[[Array, Errors | None, Any], Array] | None = None
    """(true reading, constant errors if any, noise (n, size) or 0.0) → the sensor's reading; None: noise is added."""
    express: Callable[[Array, Owner], Array] | None = None
    """The value in the observation, if it differs from the sensor's reading."""
    constant: tuple[float, ...] | None = None
    """Its value if it is constant on today's robots: nothing can be learned from it, and policies never receive it."""
    initial: tuple[float, ...] | None = None
    """The content of the robot's buffer before the first frame; None: zeros."""
    file_name: str = ""
    """Its name in policy files (`obs_spec` of pupper_gait_deploy); empty: `name`."""
    ordinary: Callable[[np.random.Generator, int, int], np.ndarray] | None = None
    """(generator, count, size) → typical values (count, size), to probe policies with; None: within ±1."""

    @property
    def in_files(self) -> str:
        """Its name in policy files."""
        return self.file_name or self.name


GAIT = "gait_reference"
"""The signal that carries a reference gait, and the block of a policy file with its tables."""
FrameSignal = Signal[Jointed, Sensed]
"""An element of the frame that a robot's controller assembles."""

SPIN = np.array([-1.0, 1.0, -1.0])
"""Signs under which an axial vector in the body frame (angular velocity) is mirrored."""
VECTOR = np.array([1.0, -1.0, 1.0])
"""… and an ordinary one."""
COMMAND = np.array([1.0, -1.0, -1.0])
"""… and forward velocity, leftward velocity, yaw rate."""


def three(owner: Any) -> int:
    return 3


def signed(signs: np.ndarray) -> Callable[[Any], Image]:
    """The mirror image of components that keep their positions."""
    return lambda owner: Image(np.arange(len(signs)), signs)


def per_joint(robot: Jointed) -> int:
    return robot.num_joints


def mirrored_joints(robot: Any) -> Image:
    return Image(np.array(robot.mirror_joints), np.array(robot.mirror_signs))


def misaligned(vector: Array, mounting: Array) -> Array:
    """Vectors (n, 3) as reported by an IMU misaligned by small rotation vectors (n, 3), rad: v + δ × v."""
    return vector + namespace(vector).cross(mounting, vector)


def _gyro(value: Array, errors: Errors | None, noise: Any) -> Array:
    if errors is not None:
        value = misaligned(value, errors.mounting) + errors.gyro
    return value + noise


def _gravity(value: Array, errors: Errors | None, noise: Any) -> Array:
    """Normalize a direction to a unit vector, as the robot's filter does."""
    if errors is not None:
        value = misaligned(value, errors.mounting)
    value = value + noise
    return value / namespace(value).linalg.norm(value, axis=-1, keepdims=True)


def _anchor(value: Array, errors: Errors | None, noise: Any) -> Array:
    """Both columns are vectors in the frame of the IMU."""
    if errors is not None:
        columns = [misaligned(value[:, i::2], errors.mounting) for i in range(2)]
        value = namespace(value).stack(columns, axis=-1).reshape(value.shape)
    return value + noise


def _joint_position(value: Array, errors: Errors | None, noise: Any) -> Array:
    if errors is not None:
        value = value + errors.joint_position
    return value + noise


def _offset(value: Array, robot: Any) -> Array:
    return value - namespace(value).asarray(robot.default_pose, dtype=value.dtype)


def _up(sensed: Sensed) -> Array:
    if sensed.desired_up is not None:
        return sensed.desired_up
    xp = namespace(sensed.gyro)
    return xp.broadcast_to(xp.asarray([0.0, 0.0, 1.0], dtype=sensed.gyro.dtype), sensed.gyro.shape)


def _reference(name: str) -> Callable[[Sensed], Array]:
    def read(sensed: Sensed) -> Array:
        value = getattr(sensed, name)
        if value is None:
            raise ValueError(f"{name} is in the frame, but is not provided here")
        return value

    return read


def _twice_the_joints(robot: Any) -> Image:
    """Angles, then speeds."""
    one = mirrored_joints(robot)
    return Image(np.concatenate([one.source, one.source + len(one.source)]), np.tile(one.sign, 2))


def _level(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Two columns of the unit matrix, row by row, within 0.15."""
    return np.array([1.0, 0, 0, 1, 0, 0]) + rng.uniform(-0.15, 0.15, (count, size))


def _lean(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Gravity of a trunk that leans by up to 0.15."""
    lean = rng.uniform(-0.15, 0.15, (count, 2))
    return np.concatenate([lean, -np.sqrt(1 - (lean**2).sum(axis=1, keepdims=True))], axis=1)


def _within(width: float) -> Callable[[np.random.Generator, int, int], np.ndarray]:
    return lambda rng, count, size: rng.uniform(-width, width, (count, size))


_SIGNALS: tuple[FrameSignal, ...] = (
    Signal(
        "gyro", "rad/s", "angular velocity of the base, body frame, as the IMU reports it", three,
        read=lambda s: s.gyro, mirror=signed(SPIN), sensor="IMU", noise=0.1, distort=_gyro,
        file_name="base_ang_vel", ordinary=_within(0.7),
    ),
    Signal(
        "gravity", "1", "unit vector of gravity in the body frame, (0, 0, -1) when upright", three,
        read=lambda s: s.gravity, mirror=signed(VECTOR), sensor="IMU", noise=0.05, distort=_gravity,
        initial=(0.0, 0.0, -1.0), file_name="projected_gravity", ordinary=_lean,
    ),
    Signal(
        "command", "m/s, m/s, rad/s", "commanded forward, leftward and yaw velocity", three,
        read=lambda s: s.command, mirror=signed(COMMAND), sensor="gamepad",
    ),
    Signal(
        "desired_up", "1", "desired world-up in the body frame; constant (0, 0, 1)", three,
        read=_up, mirror=signed(VECTOR), sensor="gamepad", constant=(0.0, 0.0, 1.0),
        file_name="desired_world_z",
    ),
    Signal(
        "joint_position", "rad", "joint angles minus the default pose", per_joint,
        read=lambda s: s.joint_position, mirror=mirrored_joints, sensor="encoders", noise=0.05,
        distort=_joint_position, express=_offset, file_name="joint_pos_rel", ordinary=_within(0.3),
    ),
    Signal(
        "last_action", "1", "the action the robot last executed, times its fade-in factor", per_joint,
        read=lambda s: s.last_action, mirror=mirrored_joints, sensor="controller", noise=0.01,
        ordinary=_within(0.5),
    ),
    Signal(
        "joint_velocity", "rad/s", "joint velocities", per_joint,
        read=lambda s: s.joint_velocity, mirror=mirrored_joints, sensor="encoders", noise=0.5,
        file_name="joint_vel_rel",
    ),
    Signal(
        GAIT, "rad", "joint angles of a reference gait minus the default pose", per_joint,
        read=_reference(GAIT), mirror=mirrored_joints, sensor="controller", ordinary=_within(0.3),
    ),
    Signal(
        "motion_command", "rad, rad/s", "joint angles and speeds of a frame of a recorded movement",
        lambda robot: 2 * robot.num_joints, read=_reference("motion_command"), mirror=_twice_the_joints,
        sensor="controller",
    ),
    Signal(
        "motion_anchor", "1", "that frame's orientation seen from the robot: two columns of a rotation matrix",
        lambda robot: 6, read=_reference("motion_anchor"), mirror=signed(np.array([1.0, -1, -1, 1, 1, -1])),
        sensor="controller", noise=0.05, distort=_anchor, file_name="motion_anchor_ori_b", ordinary=_level,
    ),
)  # fmt: skip

SIGNALS: dict[str, FrameSignal] = {signal.name: signal for signal in _SIGNALS}
"""What a policy can observe. Noise: from the Stanford CS 123 course (pupperv3-mjx); of joint velocities, from mjlab."""

FRAME = ("gyro", "gravity", "command", "desired_up", "joint_position", "last_action")
"""The frame of the robot's controller of 2025 (`neural_controller`, pupperv3-monorepo), in order: 36 numbers of a robot
with 12 joints."""


def chosen(names: Sequence[str]) -> tuple[FrameSignal, ...]:
    """The signals of a frame.

    Raises:
        UserError: one is unknown, or comes twice.
    """
    for i, name in enumerate(names):
        if name not in SIGNALS:
            raise UserError(f"unknown signal {name!r}; known signals: {', '.join(SIGNALS)}")
        if name in names[:i]:
            raise UserError(f"signal {name!r} comes twice; a frame holds each once")
    return tuple(SIGNALS[name] for name in names)


def slices(signals: Sequence[Signal[Owner, Any]], owner: Owner) -> dict[str, slice]:
    """Where each signal lies within a frame."""
    ends = np.cumsum([0, *(signal.size(owner) for signal in signals)]).tolist()
    return {signal.name: slice(*ends[i : i + 2]) for i, signal in enumerate(signals)}


def total(signals: Sequence[Signal[Owner, Any]], owner: Owner) -> int:
    """Numbers of a frame."""
    return sum(signal.size(owner) for signal in signals)


def noisy(signals: Sequence[Signal[Owner, Any]]) -> tuple[Signal[Owner, Any], ...]:
    """The signals that have noise. One draw of random numbers is split among them, in this order."""
    return tuple(signal for signal in signals if signal.noise)


def frame(
    signals: Sequence[Signal[Owner, Source]],
    owner: Owner,
    source: Source,
    errors: Errors | None = None,
    noise: dict[str, Array] | None = None,
    dtype: Any = None,
) -> Array:
    """The concatenated signals of `source` (n, size), as sensors with these errors and this noise report them.

    errors, noise: None for perfect sensors; noise (n, size) by name of signal, in its unit. dtype: what sensors report
    in; None leaves it as it is.
    """
    parts = []
    for signal in signals:
        value = signal.read(source)
        if errors is not None or noise is not None:
            drawn = noise[signal.name] if noise is not None and signal.noise else 0.0
            if signal.distort is not None:
                value = signal.distort(value, errors, drawn)
            elif signal.noise:
                value = value + drawn
        value = value if dtype is None else value.astype(dtype)
        parts.append(value if signal.express is None else signal.express(value, owner))
    return namespace(parts[0]).concatenate(parts, axis=-1)


def mirror(signals: Sequence[Signal[Owner, Any]], owner: Owner) -> Image:
    """The mirror image of the concatenated signals."""
    parts = [signal.mirror(owner) for signal in signals]
    starts = np.cumsum([0, *(len(part.source) for part in parts)])
    source = np.concatenate([part.source + start for part, start in zip(parts, starts, strict=False)])
    return Image(source, np.concatenate([part.sign for part in parts]).astype(float))


def spread(signals: Sequence[Signal[Owner, Any]], owner: Owner, of: Callable[[Any], tuple[float, ...] | None]) -> Array:
    """(size,) float32 of the values that `of` returns for each signal; 0 where it returns none."""
    parts = [np.zeros(signal.size(owner)) if (v := of(signal)) is None else np.array(v) for signal in signals]
    return np.concatenate(parts).astype(np.float32)
