"""The interface between a control protocol and the control loop around a simulator (`walkies.judge.loop`)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from walkies.quaternions import up_in_body


class Sensors(NamedTuple):
    """A controller's readings of n robots."""

    gyro: np.ndarray
    """(n, 3) rad/s, body frame"""
    orientation: np.ndarray
    """(n, 4) unit quaternion w x y z, body to world"""
    joint_position: np.ndarray
    """(n, nu) rad"""
    joint_velocity: np.ndarray | None = None
    """(n, nu) rad/s; None is zeros: the frame of 2025 does not have them"""
    gravity: np.ndarray | None = None
    """(n, 3) its direction in the body frame; None: what the orientation says"""
    noise: dict[str, np.ndarray] | None = None
    """(n, size) by name of signal, which the idealized protocol adds to its frame; None: there is none"""


class MotorCommand(NamedTuple):
    """Motor commands of the controller, or of the board after its clamps: τ = kp (position - q) - kd q̇."""

    position: np.ndarray
    """(n, nu) rad"""
    kp: np.ndarray
    """(n, nu) N m/rad"""
    kd: np.ndarray
    """(n, nu) N m s/rad"""


class Controller(Protocol):
    """One policy under one control protocol, for n robots at once; it keeps its state between ticks."""

    tick_rate: float
    """Hz"""
    action_ticks: int
    """Ticks per action of the policy."""
    fade_in: float
    """s after start-up over which actions grow to full size."""
    failure: str
    """Cause of a fall due to a failed controller."""

    @property
    def start_up(self) -> int:
        """Ticks until the policy acts for the first time."""

    @property
    def ahead(self) -> int:
        """Ticks, the next one included, whose commands follow from the sensors of the next one: at least 1."""

    @property
    def failed(self) -> np.ndarray:
        """(n,) bool: gave up on this robot"""

    @property
    def action(self) -> np.ndarray:
        """(n, nu) float32, the policy's last output"""

    @property
    def applied(self) -> np.ndarray:
        """(n, nu) float32, the same times its fade-in: what the policy is told that it did"""

    def activate(self, sensors: Sensors) -> None:
        """Restart."""

    def tick(
        self, sensors: Sensors, velocity_command: np.ndarray | None, emergency_stop: bool | np.ndarray = False
    ) -> MotorCommand:
        """One tick: the motor commands. velocity_command: (n, 3) m/s, m/s, rad/s; None if there never was one."""


def gravity_in_body(orientation: np.ndarray) -> np.ndarray:
    """Unit gravity (n, 3) in the body frame for quaternions (n, 4) w x y z: Rᵀ (0, 0, -1)."""
    return -up_in_body(orientation)
