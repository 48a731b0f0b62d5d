"""A batch of robots in MuJoCo (`mujoco.batch.Batch`): parameters and states in, states and readings out."""

from __future__ import annotations

import contextlib
import copy
from typing import Any, NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.sim.base import Params, torque_range
from walkies.sim.params import full_contact, sphere_geoms

Array = Any
"""numpy.ndarray or jax.Array"""


class Prepared(NamedTuple):
    """`Params` with one value per robot, and each body's inertia in MuJoCo's form."""

    params: Params
    """Every leaf (n, …)."""
    body_principal: Array
    """(n, num_bodies, 3) kg m²: principal moments of inertia."""
    body_iquat: Array
    """(n, num_bodies, 4): orientation of the principal axes in the body frame, w x y z."""
    usable: Array
    """(n,) bool: false for robots whose parameters `walkies.sim.params.usable` refuses."""


PARAMETERS = (
    "body_mass",
    "body_subtreemass",
    "body_ipos",
    "body_iquat",
    "body_inertia",
    "body_invweight0",
    "geom_friction",
    "geom_solref",
    "geom_solimp",
    "actuator_gainprm",
    "actuator_biasprm",
    "actuator_forcerange",
    "dof_damping",
    "dof_frictionloss",
    "dof_armature",
    "dof_invweight0",
    "opt.gravity",
)
"""Model fields of which every robot has its own."""

RECORDS = ("qpos", "qvel", "qacc", "qacc_warmstart", "actuator_force", "sensordata")
"""Quantities recorded after each physics step."""


def engine_model(model: mujoco.MjModel, ground: int) -> mujoco.MjModel:
    """A copy of `model` that stays correct when a robot's inertias and contact parameters change.

    - The compiler marks bodies, geoms and sites whose frame is the inertial one, and MuJoCo then skips work; that is
      wrong once a centre of mass moves. The same holds for bounding volumes, which are stored in the inertial frame:
      without the midphase they are not used.
    - The ground gets priority, so that its solref, solimp and friction are those of its contacts and need no mixing,
      and contacts between the robot's own parts keep theirs. It then decides alone in which directions there is
      friction too, so it gets what the sphere with most of them has; the other spheres get that too.
    """
    model = copy.copy(model)
    model.body_sameframe[:] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
    for sameframe in (model.geom_sameframe, model.site_sameframe):
        inertial = np.isin(
            sameframe, [mujoco.mjtSameFrame.mjSAMEFRAME_INERTIA, mujoco.mjtSameFrame.mjSAMEFRAME_INERTIAROT]
        )
        sameframe[inertial] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
    model.body_simple[1:] = 0
    model.dof_simplenum[:] = 0
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    contacts = [full_contact(model, ground, sphere) for sphere in sphere_geoms(model)]
    contact = max(contacts, key=lambda one: one.condim)
    model.geom_condim[ground], model.geom_friction[ground] = contact.condim, contact.friction
    model.geom_priority[ground] = model.geom_priority.max() + 1
    return model


class Kinematics:
    """Where the spheres of `num_envs` robots are, and how they move."""

    def __init__(self, model: mujoco.MjModel, spheres: list[int], num_envs: int, threads: int) -> None:
        """threads: 0 for all."""
        self._model, self._spheres = model, spheres
        self._batch = mujoco.batch.Batch(model, num_envs, threads)
        self._position, self._twist, self._centre = (self._batch.bind(f) for f in ("geom_xpos", "cvel", "subtree_com"))
        self._bodies = model.geom_bodyid[spheres]

    def sphere_motion(self, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World position (m) and velocity (m/s) of the spheres' centres in given states, each (n, spheres, 3)."""
        self._batch.qpos, self._batch.qvel = qpos, qvel
        self._batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL.value)
        position = self._position[:, self._spheres]
        # cvel is a body's angular velocity and the linear velocity of the point of it at the robot's centre of mass.
        twist = self._twist[:, self._bodies]
        lever = position - self._centre[:, self._model.body_rootid[self._bodies]]
        return position, twist[..., 3:] + np.cross(twist[..., :3], lever)


class Workspace(Kinematics):
    """`num_envs` robots, and the arrays through which their parameters and states go in and out."""

    def __init__(
        self, model: mujoco.MjModel, ground: int, spheres: list[int], dofs: np.ndarray, num_envs: int, threads: int
    ) -> None:
        """model: from `engine_model`. dofs: (nu,) velocity address of each actuator's hinge. threads: 0 for all."""
        super().__init__(model, spheres, num_envs, threads)
        self._ground, self._dofs = ground, dofs
        self._fields = {name: self._batch.expand(name) for name in PARAMETERS}
        self._own = {name: values[0].copy() for name, values in self._fields.items()}
        self._base = int(model.jnt_bodyid[0])
        sizes = (model.nq, model.nv, model.nv, model.nv, model.nu, model.nsensordata)
        self._sizes = dict(zip(RECORDS, sizes, strict=True))
        self._torque_limit = self._torque_speed = np.full((num_envs, model.nu), np.inf)
        self._warnings = np.zeros(num_envs, np.int64)

    def write_params(self, prepared: Prepared) -> None:
        """Write every robot's parameters into its model; unusable ones are replaced by the model's own."""
        field, params, ground, dofs = self._fields, prepared.params, self._ground, self._dofs
        field["body_mass"][:, 1:] = params.body_mass
        subtree = field["body_subtreemass"]
        subtree[:] = field["body_mass"]
        for body in range(self._model.nbody - 1, 0, -1):
            subtree[:, self._model.body_parentid[body]] += subtree[:, body]
        field["body_ipos"][:, 1:] = params.body_ipos
        field["body_iquat"][:, 1:] = prepared.body_iquat
        field["body_inertia"][:, 1:] = prepared.body_principal
        field["body_invweight0"][:, 1:, 0] = params.body_invweight0
        field["geom_friction"][:, [ground, *self._spheres], 0] = np.asarray(params.friction)[:, None]
        torsion = self._own["geom_friction"][ground, 1] * np.asarray(params.torsion)
        field["geom_friction"][:, ground, 1] = np.maximum(torsion, mujoco.mjMINMU)
        field["geom_solref"][:, ground] = params.contact_solref
        field["geom_solimp"][:, ground] = params.contact_solimp
        field["actuator_gainprm"][:, :, 0] = params.kp
        field["actuator_biasprm"][:, :, 1] = -params.kp
        field["actuator_biasprm"][:, :, 2] = -params.kd
        self._torque_limit, self._torque_speed = self._motors(prepared)
        self._limit_torque(np.zeros_like(self._torque_speed))
        field["dof_damping"][:, dofs] = params.dof_damping
        field["dof_frictionloss"][:, dofs] = params.dof_frictionloss
        field["dof_armature"][:, dofs] = params.dof_armature
        field["dof_invweight0"][:, dofs] = params.dof_invweight0
        field["opt.gravity"][:] = params.gravity
        if not prepared.usable.all():
            for name, own in self._own.items():
                field[name][~prepared.usable] = own

    def _motors(self, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Torque at rest and speed without torque, each (n, nu); the model's own where parameters are unusable."""
        given, fine = prepared.params, np.asarray(prepared.usable)[:, None]
        limit = np.where(fine, given.torque_limit, self._model.actuator_forcerange[:, 1])
        return limit.astype(np.float64), np.where(fine, given.torque_speed, np.inf).astype(np.float64)

    def _limit_torque(self, speed: np.ndarray) -> None:
        """Set the motors' torque limits at joint speeds (n, nu), rad/s."""
        limits = torque_range(self._torque_limit, self._torque_speed, speed)
        self._fields["actuator_forcerange"][:] = np.stack(limits, axis=-1)

    def rollout(
        self, qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray, control: np.ndarray, force: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Physics steps from given states under `control` (n, steps, nu) and a force (n, 3) on the base, N, world.

        Returns:
            What `RECORDS` names at the start (torques and sensors: zero) and after each step, each (n, 1 + steps, …);
            and a mask (n,) of the robots for which MuJoCo raised an error or a warning.
        """
        self._batch.time = 0.0
        self._batch.qpos, self._batch.qvel, self._batch.qacc_warmstart = qpos, qvel, warmstart
        self._batch.xfrc_applied[:, self._base, :3] = force
        n, steps = control.shape[:2]
        start = {"qpos": qpos, "qvel": qvel, "qacc": warmstart, "qacc_warmstart": warmstart}
        nothing = {name: np.zeros((n, self._sizes[name])) for name in ("actuator_force", "sensordata")}
        parts = [{name: values[:, None] for name, values in (start | nothing).items()}]
        failed = np.zeros(n, bool)
        # A torque limit that falls with speed is another one in each physics step.
        slowing = np.isfinite(self._torque_speed).any()
        stride = 1 if slowing else max(steps, 1)
        for step in range(0, steps, stride):
            if slowing:
                self._limit_torque(parts[-1]["qvel"][:, -1, self._dofs])
            records, broke = self._run(np.ascontiguousarray(control[:, step : step + stride], np.float64))
            parts.append(records)
            failed |= broke
        return {name: np.concatenate([part[name] for part in parts], axis=1) for name in RECORDS}, failed

    def _run(self, control: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Physics steps from where the batch is: records, each (n, steps, …), and who raised an error or a warning."""
        n, steps = control.shape[:2]
        out = {name: np.zeros((n, steps, size)) for name, size in self._sizes.items()}
        # After an error the other robots ran to the end, and `status` tells which did not.
        with contextlib.suppress(mujoco.batch.SimulationError):
            self._batch.rollout(steps, control, record=RECORDS, out=out)
        # A warning counter is (information, count): MuJoCo counts bad states, which it resets, and full buffers.
        warnings = self._batch.warning[:, :, 1].sum(axis=1, dtype=np.int64)
        failed = (warnings != self._warnings) | (self._batch.status != 0)
        self._warnings = warnings
        return out, failed
