"""The examination's robots in another simulator than MuJoCo, which keeps their conditions."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import mujoco
import mujoco.batch
import numpy as np

from walkies.robots.base import Robot
from walkies.sim.callback import Given, Rollout
from walkies.sim.params import read_params, sphere_geoms


class Engine(Protocol):
    """A simulator that takes and returns NumPy arrays: `walkies.sim.other.simulator.OtherSimulator`, for one."""

    def rollout(
        self, given: Given, qpos: np.ndarray, qvel: np.ndarray, control: np.ndarray, force: np.ndarray
    ) -> Rollout:
        """Physics steps of robots qpos (n, nq), qvel (n, nv) under control (n, steps, nu), rad, and force (n, 3), N."""


class Elsewhere:
    """A `walkies.judge.loop.Simulation` whose physics is another engine's.

    Conditions are written into the batch as for MuJoCo, and read from it: inertias, friction and servos. All else is
    the model's, and the record's where motors weaken with speed. The engine's robots do not touch themselves.
    """

    def __init__(self, batch: mujoco.batch.Batch, robot: Robot, simulator: Engine) -> None:
        self.model, self.physics, self.simulator = batch.model, batch, simulator
        self.qpos, self.qvel = batch.bind("qpos"), batch.bind("qvel")
        self._data, self._bodies = mujoco.MjData(batch.model), _body_inertias(batch)
        own = jax.tree.map(lambda leaf: np.asarray(leaf, float), read_params(batch.model))
        self._own = own._replace(torque_speed=np.asarray(robot.torque_speed) * np.ones_like(own.kp))

    def rollout(
        self, control: np.ndarray, ids: np.ndarray, fields: tuple[str, ...]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """As the function `walkies.judge.loop.rollout`; torques are those of the last step in all of them."""
        params = self._params(ids)
        given = Given(params, np.ones(len(ids), bool))  # type: ignore[arg-type]
        before = self.qpos[ids].copy()
        made = self.simulator.rollout(given, before, self.qvel[ids], control, np.zeros((len(ids), 3)))
        fine = ~made.failed
        self.qpos[ids[fine]], self.qvel[ids[fine]] = made.qpos[fine, -1], made.qvel[fine, -1]
        torque = np.repeat(made.torque[:, None], control.shape[1], axis=1)
        out = {"qpos": made.qpos, "qvel": made.qvel, "actuator_force": torque}
        if "site_xpos" in fields:
            out["site_xpos"] = self._sites(np.concatenate([before[:, None], made.qpos[:, :-1]], axis=1))
        return {name: out[name] for name in fields}, fine

    def _params(self, ids: np.ndarray) -> Any:
        batch, n = self.physics, len(ids)
        own = jax.tree.map(lambda leaf: np.repeat(leaf, n, axis=0), self._own)
        sphere = sphere_geoms(self.model)[0]
        return own._replace(
            body_mass=batch.expand("body_mass")[ids, 1:],
            body_ipos=batch.expand("body_ipos")[ids, 1:],
            body_inertia=self._bodies[ids],
            friction=batch.expand("geom_friction")[ids, sphere, 0],
            kp=-batch.expand("actuator_biasprm")[ids, :, 1],
            kd=-batch.expand("actuator_biasprm")[ids, :, 2],
            torque_limit=np.abs(batch.expand("actuator_forcerange")[ids]).max(axis=-1),  # in the direction that is full
        )

    def _sites(self, qpos: np.ndarray) -> np.ndarray:
        """Positions (k, steps, sites, 3) m of the sites in states (k, steps, nq)."""
        found = np.zeros((*qpos.shape[:2], self.model.nsite, 3))
        for place in np.ndindex(*qpos.shape[:2]):
            self._data.qpos[:] = qpos[place]
            mujoco.mj_kinematics(self.model, self._data)
            found[place] = self._data.site_xpos
        return found


def _body_inertias(batch: mujoco.batch.Batch) -> np.ndarray:
    """(n, bodies, 6) kg m²: of the robots' bodies, in body-frame axes."""
    principal, iquat = batch.expand("body_inertia"), batch.expand("body_iquat")
    found = np.zeros((*principal.shape[:2], 6))
    for place in np.ndindex(*principal.shape[:2]):
        flat = np.zeros(9)
        mujoco.mju_quat2Mat(flat, iquat[place])
        axes = flat.reshape(3, 3)
        full = axes @ np.diag(principal[place]) @ axes.T
        found[place] = full[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    return found[:, 1:]
