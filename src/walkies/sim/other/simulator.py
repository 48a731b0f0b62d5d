"""A simulator on another engine: robots one after another, motors computed here, the rest by the engine.

The engine is stepped from what it is given in every call: its own memory of earlier contacts is cleared first. It may
have rules of its own within a call; so five physics steps in one call are nearly, and not to the last bit, the same as
five calls of one.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax
import mujoco
import numpy as np

from walkies.sim.base import Params, torque_range
from walkies.sim.callback import CallbackSimulator, Given, Rollout
from walkies.sim.mujoco_batch import Kinematics
from walkies.sim.other import urdf
from walkies.sim.other.urdf import Bodies
from walkies.sim.params import actuated_dofs, read_params

ENGINES = ("bullet", "dart")
"""The engines there are."""


class Engine(Protocol):
    """One robot on the plane z = 0 in some engine."""

    def start(self, params: Params, bodies: Bodies, frictionloss: np.ndarray) -> None:
        """Make the robot this one: `params` are one robot's, rows without the leading axis.

        Args:
            bodies: its inertias, rotors included.
            frictionloss: (hinges,) N m, in the order of the model's hinges; as is everything else here.
        """

    def place(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Put it into a state, MuJoCo's conventions, and forget all contacts."""

    def step(self, torque: np.ndarray, force: np.ndarray) -> None:
        """One physics step under torques (hinges,), N m, and a force (3,), N, world frame, at the base's centre of
        mass."""

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """qpos and qvel, MuJoCo's conventions."""

    def contact_force(self) -> np.ndarray:
        """(spheres, 3) N, of the ground on each sphere, world frame, in the last step."""

    def discard(self) -> None:
        """Forget a robot whose numbers are broken."""


class OtherSimulator(CallbackSimulator):
    """An engine behind the protocol `walkies.sim.base.Simulator`.

    What of `Params` it takes, and what it leaves to the engine: `walkies.sim.other.contacts`. Robots do not touch
    themselves. Where spheres are and how they move is MuJoCo's kinematics of the engine's state; `base_acceleration`
    is the change of velocity in the last step; `qacc_warmstart` passes through.
    """

    def __init__(self, name: str, model: mujoco.MjModel, substeps: int = 5, threads: int | None = None) -> None:
        """Simulate `model`, as `walkies.robots.load_model(…, own_contacts=False)` makes it.

        Args:
            substeps: physics steps in a control step.
            threads: of the kinematics; the engine has one.

        Raises:
            ValueError: no such engine.
            UserError: it is not installed, or does not support the model; the message says what to do.
        """
        if name not in ENGINES:
            raise ValueError(f"unknown engine {name!r}; choose one of: {', '.join(ENGINES)}")
        self.name = name
        urdf.check(model, name)
        super().__init__(model, substeps, threads)
        self._hinge = actuated_dofs(model) - 6
        self._engine = _engine(name)(model, self._spheres)
        self._own = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64)[0], read_params(model))

    def _make_workspace(self, num_envs: int) -> Kinematics:
        return Kinematics(self.model, self._spheres, num_envs, 1 if self.threads is None else self.threads)

    def _rollout(
        self, work: Any, params: Any, qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray,
        control: np.ndarray, force: np.ndarray,
    ) -> Rollout:  # fmt: skip
        return self.rollout(params, qpos, qvel, control, force)._replace(warmstart=np.array(warmstart, np.float64))

    def rollout(
        self, given: Given, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray, force: np.ndarray
    ) -> Rollout:
        """What `step` does, on NumPy arrays of sound numbers and without readings.

        Args:
            given: leaves (n, …).
            qpos: (n, nq); qvel: (n, nv); control: (n, steps, nu) rad; force: (n, 3) N.
        """
        n, steps, nu = control.shape
        out = Rollout(
            qpos=np.zeros((n, steps, self.model.nq)),
            qvel=np.zeros((n, steps, self.model.nv)),
            acceleration=np.zeros((n, self.model.nv)),
            warmstart=np.zeros((n, self.model.nv)),
            torque=np.zeros((n, nu)),
            contact_force=np.zeros((n, len(self._spheres), 3)),
            failed=np.zeros(n, bool),
        )
        if not steps:
            return out
        for i in range(n):
            row = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i], np.float64), given.params)
            self._advance_one(out, i, row if given.usable[i] else self._own, qpos[i], qvel[i], control[i], force[i])
        return out

    def _advance_one(
        self, out: Rollout, i: int, params: Params, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray,
        force: np.ndarray,
    ) -> None:  # fmt: skip
        """Step robot i and write into `out`."""
        engine, hinge = self._engine, self._hinge
        qpos, qvel = np.asarray(qpos, np.float64), np.asarray(qvel, np.float64)
        armature, loss, torque = (np.zeros(len(hinge)) for _ in range(3))
        armature[hinge], loss[hinge] = params.dof_armature, params.dof_frictionloss
        bodies = Bodies(params.body_mass, params.body_ipos, params.body_inertia)  # type: ignore[arg-type]
        engine.start(params, urdf.with_rotors(self.model, bodies, armature), loss)
        engine.place(qpos, qvel)
        for step, target in enumerate(control):
            motor = motor_torque(params, qpos[7 + hinge], qvel[6 + hinge], target)
            torque[hinge] = motor + passive_torque(self.model, params, hinge, qpos[7 + hinge], qvel[6 + hinge])
            before = qvel
            engine.step(torque, np.asarray(force, np.float64))
            qpos, qvel = engine.state()
            out.qpos[i, step], out.qvel[i, step] = qpos, qvel
            if not (np.isfinite(qpos).all() and np.isfinite(qvel).all()):
                out.failed[i] = True
                engine.discard()
                return
        out.acceleration[i], out.torque[i] = (qvel - before) / self.timestep, motor
        out.contact_force[i] = engine.contact_force()


def motor_torque(params: Params, angle: np.ndarray, speed: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Torque (nu,) N m of position servos, limited as a motor's at that speed: MuJoCo's law, explicit in the state."""
    low, high = torque_range(params.torque_limit, params.torque_speed, speed)
    return np.clip(params.kp * (target - angle) - params.kd * speed, low, high)


def passive_torque(
    model: mujoco.MjModel, params: Params, hinge: np.ndarray, angle: np.ndarray, speed: np.ndarray
) -> np.ndarray:
    """Torque (nu,) N m of damping and springs on the hinges numbered `hinge`; explicit, as the motors'."""
    spring = model.jnt_stiffness[1 + hinge] * (angle - model.qpos_spring[7 + hinge])
    return -params.dof_damping * speed - spring


def _engine(name: str) -> Any:
    """The class of an engine: each imports a package that the others do not need."""
    if name == "bullet":
        from walkies.sim.other.bullet import Bullet

        return Bullet
    from walkies.sim.other.dart import Dart

    return Dart
