"""Simulators of a legged robot behind one protocol (`walkies.sim.base.Simulator`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from walkies.accel.cpu import refuse_foreign_jax
from walkies.robots import load_model
from walkies.robots.base import Robot
from walkies.sim.base import Simulator
from walkies.sim.params import nominal_params

__all__ = ["SIMULATORS", "SimulatorName", "make_simulator", "nominal_params"]

SimulatorName: TypeAlias = Literal["native", "mujoco", "mjx", "bullet", "dart", "newton"]
"""Names that `make_simulator` accepts."""

SIMULATORS: tuple[SimulatorName, ...] = get_args(SimulatorName)

SOLVERS = ("train", "exact")

EXACT_ITERATIONS = 50
"""Iterations of MuJoCo's Newton solver in the setting `exact`; it stops earlier once it has converged."""


def make_simulator(
    name: str,
    robot: Robot,
    *,
    substeps: int = 5,
    threads: int | None = None,
    solver: str = "train",
    self_contacts: str | Sequence[tuple[str, str]] = "none",
    torsion: bool = False,
) -> Simulator:
    """A simulator of `robot` on flat ground.

    Args:
        name: `native` (fast, on CPUs), `mujoco` (the reference), `mjx` (MuJoCo's equations in JAX, on any device),
            `bullet`, `dart` or `newton` (other engines).
        substeps: physics steps per control step.
        threads: how many threads step robots; None for one per available core.
        solver: `train` (few iterations from a warm start: for `mujoco` and `mjx` the model's own number) or `exact`
            (converged); the other engines have their own.
        self_contacts: which of the robot's own parts touch one another in `native`, as `NativeSimulator` takes it, with
            `all` in rounded shapes (`walkies.sim.rounded`); `mujoco` has them all in any case, the other engines none.
        torsion: whether the ground resists feet that turn on the spot (`walkies.robots.load_spec`); `bullet`, `dart`
            and `newton` do not have it.

    Raises:
        ValueError: no such simulator or solver setting; or such contacts do not fit (`NativeSimulator`).
        UserError: JAX is configured for a device on which only `mjx` runs; or the engine is not installed, or does not
            support the robot.
    """
    if name != "mjx":
        refuse_foreign_jax()
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver setting {solver!r}; choose one of: {', '.join(SOLVERS)}")
    # Imported here: each simulator brings a library that the others do not need.
    if name == "native":
        from walkies.sim.native import NativeSimulator
        from walkies.sim.rounded import touching

        model = touching(robot, self_contacts, torsion)
        return NativeSimulator(model, substeps, solver, threads, self_contacts=self_contacts)
    iterations = None if solver == "train" else EXACT_ITERATIONS
    if name == "mujoco":
        from walkies.sim.mujoco import MujocoSimulator

        model = load_model(robot, visuals=False, ground_sensors=True, solver_iterations=iterations, torsion=torsion)
        return MujocoSimulator(model, substeps=substeps, threads=threads)
    if name == "mjx":
        from walkies.sim.other.mjx import MjxSimulator

        model = load_model(robot, own_contacts=False, visuals=False, solver_iterations=iterations, torsion=torsion)
        return MjxSimulator(model, substeps)
    if name == "newton":
        from walkies.sim.other.newton import NewtonSimulator

        return NewtonSimulator(load_model(robot, own_contacts=False, visuals=False), substeps, threads)
    if name in SIMULATORS:
        from walkies.sim.other.simulator import OtherSimulator

        return OtherSimulator(name, load_model(robot, own_contacts=False, visuals=False), substeps, threads)
    raise ValueError(f"unknown simulator {name!r}; choose one of: {', '.join(SIMULATORS)}")
