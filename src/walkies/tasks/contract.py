"""The deployment contract: what a policy observes and commands, when, and within which limits.

The training observation, the exported file, its checks and the examination are all derived from this one description.
The functions are pure and work on numpy and JAX arrays alike, so that training and the judge run the same lines.
Facts: the robot's `neural_controller` (pupperv3-monorepo).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from walkies.arrays import namespace
from walkies.bounds import Between
from walkies.robots.base import PerJoint, Robot
from walkies.tasks import signal
from walkies.tasks.signal import FRAME, Errors, FrameSignal, Sensed

Array = Any
"""numpy.ndarray or jax.Array"""
Stiffness = Annotated[float, Between(0.0, 1e4, "(]")]
"""Of a servo, N m/rad."""
Damping = Annotated[float, Between(0.0, 1000.0)]
"""Of a servo, N m s/rad."""

ACTION_SCALE = 0.75
"""rad of joint target per unit of action, unless a task says otherwise."""
CONTROL_DT = 0.02
"""s between actions of the controller, nominally."""
OBSERVATION_CLIP = 100.0
"""The controller clamps every observation to ± this."""
LAST_ACTION = "last_action"
"""The signal that shows the policy what it did."""
FADE_IN = 1.0
"""Seconds over which the controller fades the action in after start-up."""


@dataclass(frozen=True)
class Contract:
    """How one policy is connected to one robot."""

    robot: Robot
    observation_history: int = 1
    """Frames in an observation, newest first."""
    action_scale: PerJoint | None = ACTION_SCALE
    """rad of joint target per unit of action; None: the robot's own."""
    kp: PerJoint | None = None
    """N m/rad, servo stiffness while the policy acts; None: the robot's own."""
    kd: PerJoint | None = None
    """N m s/rad, servo damping while the policy acts; None: the robot's own."""
    control_dt: float = CONTROL_DT
    """s between actions."""
    observation: tuple[str, ...] = FRAME
    """Names of the signals in a frame, in order."""
    hold: tuple[int, ...] = ()
    """Joints, by their index in the robot's record, that stay at the default pose whatever the action."""

    @cached_property
    def signals(self) -> tuple[FrameSignal, ...]:
        """The signals in a frame, in order."""
        return signal.chosen(self.observation)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each signal lies within a frame."""
        return signal.slices(self.signals, self.robot)

    @cached_property
    def frame_size(self) -> int:
        return signal.total(self.signals, self.robot)

    @property
    def observation_size(self) -> int:
        return self.frame_size * self.observation_history

    @property
    def scale(self) -> PerJoint:
        """rad of joint target per unit of action; 0 of held joints, which is how a policy file says that they are."""
        scale = self.robot.action_scale if self.action_scale is None else self.action_scale
        if not self.hold:
            return scale
        each = np.array(np.broadcast_to(np.asarray(scale, float), self.robot.num_joints))
        each[list(self.hold)] = 0.0
        return tuple(each.tolist())

    @cached_property
    def free(self) -> np.ndarray:
        """Joints that the policy has an action for, in order: all except the held ones."""
        return np.setdiff1d(np.arange(self.robot.num_joints), np.array(self.hold, int))

    @property
    def gains(self) -> tuple[PerJoint, PerJoint]:
        """Servo stiffness (N m/rad) and damping (N m s/rad) while the policy acts."""
        return (
            self.robot.kp if self.kp is None else self.kp,
            self.robot.kd if self.kd is None else self.kd,
        )

    def frame(
        self, sensed: Sensed, errors: Errors | None = None, noise: dict[str, Array] | None = None, dtype: Any = None
    ) -> Array:
        """One observation frame (n, frame_size) of what is sensed; the rest as in `walkies.tasks.signal.frame`."""
        frame = signal.frame(self.signals, self.robot, sensed, errors, noise, dtype)
        return namespace(frame).clip(frame, -OBSERVATION_CLIP, OBSERVATION_CLIP)

    def initial_history(self) -> np.ndarray:
        """What the robot's buffer holds before the first frame, in every frame: zeros, but gravity points down."""
        frame = signal.spread(self.signals, self.robot, lambda one: one.initial)
        return np.tile(frame, self.observation_history)

    def informative(self) -> np.ndarray:
        """(observation_size,) 1 for what can vary, 0 for what is constant and is kept from policies."""
        constant = signal.spread(
            self.signals, self.robot, lambda one: None if one.constant is None else (1.0,) * len(one.constant)
        )
        varies = 1.0 - constant
        if LAST_ACTION in self.slices:
            varies[self.slices[LAST_ACTION]][list(self.hold)] = 0.0  # their action is zero, its noise told nothing
        return np.tile(varies, self.observation_history)

    def push(self, history: Array, frame: Array) -> Array:
        """History (…, observation_size) with `frame` (…, frame_size) put in front and the oldest dropped."""
        xp = namespace(frame)
        return xp.concatenate([frame, history[..., : self.observation_size - self.frame_size]], axis=-1)

    def spread(self, values: Array) -> Array:
        """Values (…, free joints) such as actions as values (…, nu) of all joints, zero of the held ones."""
        if not self.hold:
            return values
        xp = namespace(values)
        places = np.full(self.robot.num_joints, len(self.free))
        places[self.free] = np.arange(len(self.free))
        padded = xp.concatenate([values, xp.zeros((*values.shape[:-1], 1), values.dtype)], axis=-1)
        return padded[..., places]

    def target(self, action: Array) -> Array:
        """Joint targets (…, nu), rad, for actions (…, nu), clamped by the controller and then by the motor board."""
        xp = namespace(action)
        lower, upper = self.robot.target_limits()
        default = xp.asarray(self.robot.default_pose, dtype=action.dtype)
        target = (
            default + (self.scale if isinstance(self.scale, float) else xp.asarray(self.scale, action.dtype)) * action
        )
        return xp.clip(target, xp.asarray(lower, dtype=action.dtype), xp.asarray(upper, dtype=action.dtype))
