"""A batch of robots in MuJoCo (`mujoco.batch.Batch`): parameters and states in, states and measurements out."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from mujoco import batch

if TYPE_CHECKING:
    from walkies.sim.mujoco import Prepared

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
"""What is recorded after each physics step."""


def engine_model(model: mujoco.MjModel, ground: int) -> mujoco.MjModel:
    """A copy of `model` that stays right when a robot's inertias and contact parameters change.

    - The compiler marks bodies, geoms and sites whose frame is the inertial one, and MuJoCo then skips work; that is
      wrong once a centre of mass moves. The same holds for bounding volumes, which are stored in the inertial frame:
      without the midphase they are not used.
    - The ground gets priority, so that its solref, solimp and friction are those of its contacts and need no mixing,
      and contacts between the robot's own parts keep theirs.
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
    model.geom_priority[ground] = model.geom_priority.max() + 1
    return model


class Workspace:
    """`num_envs` robots, and the arrays through which their parameters and states go in and out."""

    def __init__(
        self, model: mujoco.MjModel, ground: int, spheres: list[int], dofs: np.ndarray, num_envs: int, threads: int
    ) -> None:
        """model: from `engine_model`. dofs: (nu,) velocity address of each actuator's hinge. threads: 0 for all."""
        self._model, self._ground, self._spheres, self._dofs = model, ground, spheres, dofs
        self._batch = batch.Batch(model, num_envs, threads)
        self._fields = {name: self._batch.expand(name) for name in PARAMETERS}
        self._own = {name: values[0].copy() for name, values in self._fields.items()}
        self._position, self._twist, self._centre = (self._batch.bind(f) for f in ("geom_xpos", "cvel", "subtree_com"))
        self._bodies = model.geom_bodyid[spheres]
        self._base = int(model.jnt_bodyid[0])
        self._records: dict[str, np.ndarray] = {}
        self._warnings = np.zeros(num_envs, np.int64)

    def write_params(self, prepared: Prepared) -> None:
        """Bring every robot's parameters into its model; where they are unusable it gets the model's own."""
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
        field["geom_solref"][:, ground] = params.contact_solref
        field["geom_solimp"][:, ground] = params.contact_solimp
        field["actuator_gainprm"][:, :, 0] = params.kp
        field["actuator_biasprm"][:, :, 1] = -params.kp
        field["actuator_biasprm"][:, :, 2] = -params.kd
        field["actuator_forcerange"][:, :, 0] = -params.torque_limit
        field["actuator_forcerange"][:, :, 1] = params.torque_limit
        field["dof_damping"][:, dofs] = params.dof_damping
        field["dof_frictionloss"][:, dofs] = params.dof_frictionloss
        field["dof_armature"][:, dofs] = params.dof_armature
        field["dof_invweight0"][:, dofs] = params.dof_invweight0
        field["opt.gravity"][:] = params.gravity
        if not prepared.usable.all():
            for name, own in self._own.items():
                field[name][~prepared.usable] = own

    def rollout(
        self, qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray, control: np.ndarray, force: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Physics steps from given states under `control` (n, steps, nu) and a force (n, 3) on the base, N, world.

        Returns:
            What `RECORDS` names after each step, each (n, steps, …), in arrays that the next call overwrites; and a
            mask (n,) of the robots for which MuJoCo raised an error or a warning.
        """
        self._batch.time = 0.0
        self._batch.qpos, self._batch.qvel, self._batch.qacc_warmstart = qpos, qvel, warmstart
        self._batch.xfrc_applied[:, self._base, :3] = force
        steps = control.shape[1]
        given = self._records if self._records and self._records["qpos"].shape[1] == steps else None
        try:
            self._records = self._batch.rollout(steps, control, record=RECORDS, out=given)
        except batch.SimulationError as error:
            if given is None:
                raise RuntimeError("MuJoCo failed in its first control step of this batch") from error
            # The other robots ran to the end, and `status` tells which did not.
        # A warning counter is (information, count): MuJoCo counts bad states, which it resets, and full buffers.
        warnings = self._batch.warning[:, :, 1].sum(axis=1, dtype=np.int64)
        failed = (warnings != self._warnings) | (self._batch.status != 0)
        self._warnings = warnings
        return self._records, failed

    def sphere_motion(self, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World position (m) and velocity (m/s) of the spheres' centres in given states, each (n, spheres, 3)."""
        self._batch.qpos, self._batch.qvel = qpos, qvel
        self._batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL.value)
        position = self._position[:, self._spheres]
        # cvel is a body's angular velocity and the linear velocity of the point of it at the robot's centre of mass.
        twist = self._twist[:, self._bodies]
        lever = position - self._centre[:, self._model.body_rootid[self._bodies]]
        return position, twist[..., 3:] + np.cross(twist[..., :3], lever)
