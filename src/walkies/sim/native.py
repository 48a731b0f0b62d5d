"""The native simulator: MuJoCo's physics for legged robots, several robots per vector instruction, on the CPU.

A call of `step` is one XLA custom call on XLA's own threads. It solves MuJoCo's convex constraint problem with the
sparsity of a floating base with a tree of joints; contacts between the robot's own parts are left out, except for
requested pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from walkies.accel.library import TARGETS, constants_attribute, library
from walkies.accel.threads import most_threads
from walkies.later import Array, jax, jnp, mujoco
from walkies.sim.base import Params, Readings, State
from walkies.sim.engine.model import pack, read_model
from walkies.sim.params import usable


@dataclass(frozen=True)
class Solver:
    """How far the constraint solver goes. It starts from the last acceleration and stops once it has converged."""

    iterations: int
    """Newton steps at most."""
    line_search: int
    """Points per line search at most, after the full step."""
    line_tolerance: float
    """A line search ends at a slope this small, relative to the slope at its start."""
    tolerance: float
    """Newton ends at a squared decrement this small, relative to the energy aᵀMa of the acceleration."""


SOLVERS = {
    "train": Solver(iterations=2, line_search=3, line_tolerance=0.1, tolerance=1e-9),
    "exact": Solver(iterations=20, line_search=12, line_tolerance=1e-3, tolerance=1e-12),
}
"""`exact` is converged. `train` is not: over states of walking robots the 90th and 99th percentile of its error are no
larger than those of two warm-started iterations of MuJoCo's own solver; the median is larger."""

EXACT_FLOAT64 = Solver(iterations=100, line_search=50, line_tolerance=1e-10, tolerance=1e-26)
"""`exact` in double precision."""


class NativeSimulator:
    """The native engine behind the protocol `walkies.sim.base.Simulator`.

    Its "spheres" are all colliders of the robot, whatever their shape: the distance is that of the lowest point, the
    force the sum over all points. With static boxes or height fields, a sphere's distance is that to the nearest of the
    plane, the boxes below or near it, and the prisms below it; 1 km if there is nothing. For other shapes it remains
    the distance to the plane.
    """

    name = "native"

    def __init__(
        self,
        model: mujoco.MjModel,
        substeps: int = 5,
        solver: str | Solver = "train",
        threads: int | None = None,
        dtype: str = "float32",
        self_contacts: str | Sequence[tuple[str, str]] = "none",
    ) -> None:
        """Check that the engine supports the robot.

        Args:
            model: the nominal model; parameters that `Params` holds are not read from it.
            substeps: physics steps in a control step.
            solver: `train`, `exact`, or custom settings.
            threads: threads of XLA's pool to use at most; None for all, 1 for only the caller's.
            dtype: float32, or float64 for proofs (one robot at a time; needs JAX's 64-bit mode).
            self_contacts: which parts of the robot touch one another: `none`, `all` that would in MuJoCo, or pairs of
                names of spheres and capsules, such as [("left_shin", "right_shin")]. They cost time, most of it in
                vectors of robots of which some touch themselves.

        Raises:
            ValueError: the robot is not supported (the message names the element), or an argument is out of range.
            UserError: the engine's library was not found or cannot run here.
        """
        if substeps < 1:
            raise ValueError(f"substeps must be at least 1, not {substeps}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1 or None, not {threads}")
        if dtype not in TARGETS:
            raise ValueError(f"unknown dtype {dtype!r}; choose one of: {', '.join(TARGETS)}")
        if isinstance(solver, str) and solver not in SOLVERS:
            raise ValueError(f"unknown solver setting {solver!r}; choose one of: {', '.join(SOLVERS)}")
        self.legged = read_model(model, self_contacts)
        self.model = model
        self.substeps = substeps
        self.timestep = self.legged.timestep
        self.spheres = self.legged.spheres
        self.dtype = np.dtype(dtype)
        if solver == "exact" and dtype == "float64":
            solver = EXACT_FLOAT64
        self.solver = SOLVERS[solver] if isinstance(solver, str) else solver
        self._threads = threads or 0
        library()

    def prepare(self, params: Params, num_envs: int) -> Array:
        """`params` packed for the engine: (num_envs, P). Pure, jittable."""
        packed = pack(self.legged, params, num_envs, jnp, self.dtype)
        # Some broken numbers would vanish on the way (1/∞ is 0). So one spoils the whole row, and the engine, which
        # then needs to look at a single number of it, reports the robot.
        sound = usable(params) & jnp.isfinite(packed).all(axis=1)
        return jnp.where(sound[:, None], packed, jnp.nan)

    def prepare_shared(self, params: Params) -> Array:
        """Parameters that all robots share: (1, P), which `step` also takes. Leaves lead with 1."""
        return self.prepare(params, 1)

    def step(self, params: Array, state: State, targets: Array, force: Array | None = None) -> tuple[State, Readings]:
        """Advance every robot by the physics steps of `targets` (n, steps, nu), rad. Pure, jittable."""
        n, steps, nu, spheres = *targets.shape, len(self.spheres)
        if self.dtype == np.float64 and not jax.config.read("jax_enable_x64"):
            raise ValueError("dtype 'float64' needs JAX's 64-bit mode: jax.config.update('jax_enable_x64', True)")

        def array(*shape: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((n, *shape), self.dtype)

        state_shapes = array(7 + nu), array(6 + nu), array(6 + nu)
        reading_shapes = (
            array(spheres),
            *(array(spheres, 3),) * 3,
            array(nu),
            array(3),
            array(steps, 6),
            jax.ShapeDtypeStruct((n,), np.bool_),
        )
        call = jax.ffi.ffi_call(TARGETS[self.dtype.name], (*state_shapes, *reading_shapes), vmap_method="sequential")
        # An array without elements says that there is none.
        push = jnp.zeros((0,)) if force is None else force
        numbers = (params, *state, targets, push, self.legged.terrain)
        cells = jnp.asarray(self.legged.cells, jnp.int32)
        out = call(*(jnp.asarray(x, self.dtype) for x in numbers), cells, **self._attributes())
        return State(*out[:3]), Readings(*out[3:])

    def _attributes(self) -> dict[str, Any]:
        """Attributes of the custom call."""
        return {
            "constants": constants_attribute(self.legged.constants),
            "threads": most_threads(self._threads),
            "iterations": np.int64(self.solver.iterations),
            "line_search": np.int64(self.solver.line_search),
            "line_tolerance": np.float64(self.solver.line_tolerance),
            "tolerance": np.float64(self.solver.tolerance),
        }
