"""When a robot counts as fallen."""

from __future__ import annotations

import numpy as np

from walkies.judge.loop import Loop, Motion
from walkies.quaternions import rotation_of

FALL_TILT = 0.9
"""rad"""


class Falls:
    """Watches a loop's robots: why each one fell, and who is still alive."""

    def __init__(self, loop: Loop, down: np.ndarray | None = None) -> None:
        """down: (n, 3) unit vectors of gravity where the ground is not level.

        Raises:
            ValueError: the robot's record and model do not agree about its torso.
        """
        model, robot = loop.simulation.model, loop.robot
        torso = [model.geom(name).id for name in robot.torso_geoms]
        if any(model.geom_bodyid[geom] != loop.where.trunk for geom in torso):
            raise ValueError("torso_geoms: expected spheres of the base body")
        self.loop, self.torso, self.radius = loop, model.geom_pos[torso], model.geom_size[torso, 0]
        self.down = np.tile([0.0, 0.0, -1.0], (len(loop.alive), 1)) if down is None else down
        self.cause = np.full(len(loop.alive), "", dtype="U32")

    def look(self, motion: Motion) -> np.ndarray:
        """After a motion: (n,) bool, who has fallen in it. They are not alive any more."""
        loop, qpos = self.loop, motion.qpos[:, -1]
        rotation = rotation_of(qpos[:, 3:7])
        upright = -np.einsum("ni,ni->n", rotation[:, :, 2], self.down)
        centres = qpos[:, 2:3] + np.einsum("nj,sj->ns", rotation[:, 2, :], self.torso)
        causes = {
            loop.controller.failure: loop.controller.failed,
            "physics diverged": ~motion.ok,
            "trunk touched the ground": np.any(centres <= self.radius, axis=-1),
            "tilt": np.arccos(np.clip(upright, -1, 1)) > FALL_TILT,
        }
        fallen = loop.alive & np.any(list(causes.values()), axis=0)
        for name, mask in causes.items():
            self.cause[fallen & mask & (self.cause == "")] = name
        loop.alive = loop.alive & ~fallen
        return fallen
