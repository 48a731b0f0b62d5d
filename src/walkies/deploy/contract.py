"""The deployment contract: what a policy senses and commands, when, and within which limits.

One typed description from which the training observation, the exported file, its checks and the examination come.
The functions are pure and work on numpy and JAX arrays alike, so that training and the judge run the same lines.
Facts: the robot's `neural_controller` (pupperv3-monorepo).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from walkies.bounds import Between
from walkies.robots.base import Robot

Array = Any
"""numpy.ndarray or jax.Array"""
Stiffness = Annotated[float, Between(0.0, 1e4, "(]")]
"""Of a servo, N m/rad."""
Damping = Annotated[float, Between(0.0, 1000.0)]
"""Of a servo, N m s/rad."""


@dataclass(frozen=True)
class Field:
    """One contiguous part of an observation frame."""

    name: str
    size: int
    unit: str
    meaning: str


FRAME = (
    Field("gyro", 3, "rad/s", "angular velocity of the base, body frame, as the IMU reports it"),
    Field("gravity", 3, "1", "unit vector of gravity in the body frame, (0, 0, -1) when upright"),
    Field("command", 3, "m/s, m/s, rad/s", "commanded forward, leftward and yaw velocity"),
    Field("desired_up", 3, "1", "desired world-up in the body frame; constant (0, 0, 1)"),
    Field("joint_position", 12, "rad", "joint angles minus the default pose"),
    Field("last_action", 12, "1", "the action the robot last executed, times its fade-in factor"),
)
"""One observation frame of the on-robot controller, in order: 36 numbers."""

FRAME_SIZE = sum(field.size for field in FRAME)
SLICES = {
    field.name: slice(start, start + field.size)
    for field, start in zip(FRAME, np.cumsum([0, *(field.size for field in FRAME)])[:-1].tolist(), strict=True)
}
"""Where each field lies within a frame."""

ACTION_SCALE = 0.75
"""rad of joint target per unit of action, unless a task says otherwise."""
CONTROL_DT = 0.02
"""s between actions of the controller, nominally."""
OBSERVATION_CLIP = 100.0
"""The controller clamps every observation to ± this."""
FADE_IN = 1.0
"""Seconds over which the controller fades the action in after start-up."""


@dataclass(frozen=True)
class Contract:
    """How one policy is connected to one robot."""

    robot: Robot
    observation_history: int = 1
    """Frames in an observation, newest first."""
    action_scale: float = ACTION_SCALE
    """rad of joint target per unit of action."""
    kp: float | None = None
    """N m/rad, servo stiffness while the policy acts; None for the robot's own."""
    kd: float | None = None
    """N m s/rad, servo damping while the policy acts; None for the robot's own."""
    control_dt: float = CONTROL_DT
    """s between actions."""

    @property
    def gains(self) -> tuple[float, float]:
        """Servo stiffness (N m/rad) and damping (N m s/rad) while the policy acts."""
        return (
            self.robot.kp if self.kp is None else self.kp,
            self.robot.kd if self.kd is None else self.kd,
        )

    @property
    def observation_size(self) -> int:
        return FRAME_SIZE * self.observation_history

    def frame(self, gyro: Array, gravity: Array, command: Array, joint_position: Array, last_action: Array) -> Array:
        """One observation frame (…, 36) from its parts; joint_position is absolute, the frame holds the offset."""
        xp = _namespace(gyro)
        up = xp.broadcast_to(xp.asarray([0.0, 0.0, 1.0], dtype=gyro.dtype), gyro.shape)
        offset = joint_position - xp.asarray(self.robot.default_pose, dtype=gyro.dtype)
        frame = xp.concatenate([gyro, gravity, command, up, offset, last_action], axis=-1)
        return xp.clip(frame, -OBSERVATION_CLIP, OBSERVATION_CLIP)

    def initial_history(self) -> np.ndarray:
        """What the robot's buffer holds before the first frame: zeros, but gravity z = −1, in every frame. (H·36,)"""
        frame = np.zeros(FRAME_SIZE, np.float32)
        frame[SLICES["gravity"].start + 2] = -1.0
        return np.tile(frame, self.observation_history)

    def push(self, history: Array, frame: Array) -> Array:
        """History (…, H·36) with `frame` (…, 36) put in front and the oldest dropped."""
        xp = _namespace(frame)
        return xp.concatenate([frame, history[..., : self.observation_size - FRAME_SIZE]], axis=-1)

    def target(self, action: Array) -> Array:
        """Joint targets (…, 12), rad, for actions (…, 12), clamped by the controller and then by the motor board."""
        xp = _namespace(action)
        lower, upper = self.robot.target_limits()
        default = xp.asarray(self.robot.default_pose, dtype=action.dtype)
        target = default + self.action_scale * action
        return xp.clip(target, xp.asarray(lower, dtype=action.dtype), xp.asarray(upper, dtype=action.dtype))


def _namespace(array: Array) -> Any:
    """The array library of `array`: numpy for numpy arrays, jax.numpy for everything JAX traces."""
    if isinstance(array, np.ndarray):
        return np
    import jax.numpy

    return jax.numpy
