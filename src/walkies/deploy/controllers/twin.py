"""The model for the controller twin, with the time step at which `neural_controller` is rehearsed.

Physics takes steps of half a tick, since 520 Hz does not divide the usual 4 ms.
"""

from __future__ import annotations

from walkies.deploy.controllers.neural_controller import ControllerConfig
from walkies.later import mujoco
from walkies.robots import load_model
from walkies.robots.base import Robot

PHYSICS_PER_TICK = 2
"""1/1040 s each at 520 Hz"""
SOLVER_ITERATIONS = 20
"""of MuJoCo's Newton solver: converged in practice."""


def model_for(robot: Robot, config: ControllerConfig | None = None) -> mujoco.MjModel:
    """The robot's model at the twin's time step, its parts able to touch each other."""
    model = load_model(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    model.opt.timestep = 1.0 / ((config or ControllerConfig()).tick_rate * PHYSICS_PER_TICK)
    return model
