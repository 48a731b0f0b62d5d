"""A walking robot's own parts: which touch one another, and how far joints that should rest move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from walkies.judge.loop import Loop, Motion
from walkies.judge.report_card import OwnContacts, Pair, Resting
from walkies.later import mujoco

EVERY = 5
"""Control steps between checks of contacts: the share of the time is as accurate, at a fifth of the cost."""
MOST_NAMED = 3
"""How many pairs of bodies a report card names."""


class Parts:
    """Watches a loop's robots: contacts of their own bodies, and angles of joints that should rest."""

    def __init__(self, loop: Loop, resting: Sequence[int], pose: np.ndarray) -> None:
        """resting: joints, by their place in the robot's record. pose: (nu,) rad, where they should be."""
        self.loop, self.resting, self.pose = loop, np.array(resting, int), pose[list(resting)]
        # Nominal masses move nothing of a body's shape, so one model serves robots of all conditions.
        self.model, self.data = loop.simulation.model, mujoco.MjData(loop.simulation.model)
        self.root = self.model.body_rootid[loop.where.trunk]
        self.pairs: Counter[tuple[int, int]] = Counter()
        """How often bodies touched, by their ids."""
        self.looks = self.touching = 0
        """How often a robot was looked at, and touched itself."""
        self.angles, self.away = 0, 0.0
        """How many angles of joints were read, and rad that they were away in all."""
        self.worst = np.zeros(len(self.resting))
        """rad, of each joint"""

    def look(self, step: int, motion: Motion) -> None:
        """Check the robots alive after the control step with this number."""
        live = np.flatnonzero(self.loop.alive)
        if len(live) and len(self.resting):
            away = np.abs(motion.qpos[live, -1][:, self.loop.where.qpos[self.resting]] - self.pose)
            self.angles, self.away = self.angles + away.size, self.away + float(away.sum())
            self.worst = np.maximum(self.worst, away.max(axis=0))
        if step % EVERY == 0:
            for qpos in motion.qpos[live, -1]:
                found = self._touching(qpos)
                self.pairs.update(found)
                self.looks, self.touching = self.looks + 1, self.touching + bool(found)

    def _touching(self, qpos: np.ndarray) -> set[tuple[int, int]]:
        """Pairs of the robot's bodies that touch in a position (nq,)."""
        model, data = self.model, self.data
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        if not data.ncon:
            return set()
        bodies = np.sort(model.geom_bodyid[data.contact.geom], axis=1)
        own = (model.body_rootid[bodies] == self.root).all(axis=1) & (data.contact.dist <= 0.0)
        return set(map(tuple, bodies[own].tolist()))

    def own_contacts(self) -> OwnContacts | None:
        """For the card; None where no robot was ever looked at."""
        if not self.looks:
            return None
        most = self.pairs.most_common(MOST_NAMED)
        pairs: list[Pair] = [{"bodies": list(map(self._name, pair)), "share": n / self.looks} for pair, n in most]
        return {"share": self.touching / self.looks, "pairs": pairs}

    def at_rest(self) -> Resting | None:
        """For the card; None where no joint should rest, or none was ever looked at."""
        if not self.angles:
            return None
        names, worst = [self.loop.robot.joint_names[joint] for joint in self.resting], int(self.worst.argmax())
        return {
            "joints": names,
            "mean": self.away / self.angles,
            "worst": float(self.worst[worst]),
            "worst_joint": names[worst],
        }

    def _name(self, body: int) -> str:
        return self.model.body(body).name or f"body {body}"
