"""Control protocols: from sensor readings through a policy file to motor commands."""

from __future__ import annotations

from collections.abc import Callable

from walkies.deploy.controllers.base import Controller, MotorCommand, Sensors, gravity_in_body
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.controllers.neural_controller import NeuralController
from walkies.deploy.policy_file import PolicyFile
from walkies.robots.base import Robot

__all__ = ["CONTROLLERS", "Controller", "MotorCommand", "Sensors", "gravity_in_body"]

CONTROLLERS: dict[str, Callable[[PolicyFile, Robot, float | None], Controller]] = {
    "generic": GenericController,
    "neural_controller": NeuralController,
}
"""By the protocol's name, as robots' records have it: from a policy, its robot and a tick rate, Hz (None: its own)."""
