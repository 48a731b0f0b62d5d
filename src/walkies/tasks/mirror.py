"""The left–right mirror image of what a robot senses and does."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from walkies.deploy.contract import FRAME, Contract
from walkies.mdp import Observation
from walkies.sim.base import Simulator

Array = jax.Array


class Mirror(NamedTuple):
    """The left–right mirror image: what a robot would sense and do in the mirrored world."""

    policy: tuple[np.ndarray, np.ndarray]
    """Index and sign of each policy input."""
    critic: tuple[np.ndarray, np.ndarray]
    action: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, robot: Any, contract: Contract, simulator: Simulator, factors: int, vectors: int) -> Mirror:
        """Derive it from the robot's mirror map; feet and knees are paired by leg, torso spheres by their place.

        factors, vectors: how many numbers, and after them vectors in the body frame, the critic gets about the drawn
        robot and its world.
        """
        joints = (np.array(robot.mirror_joints), np.array(robot.mirror_signs))
        spin, vector, command = (
            (np.arange(3), np.array(sign, float)) for sign in ([-1, 1, -1], [1, -1, 1], [1, -1, -1])
        )
        parts = {
            "gyro": spin, "gravity": vector, "command": command, "desired_up": vector, "joint_position": joints,
            "last_action": joints,
        }  # fmt: skip
        frame = _join([parts[f.name] for f in FRAME])
        legs = (np.array(robot.mirror_legs), np.ones(len(robot.mirror_legs)))
        spheres, model = simulator.spheres, simulator.model
        order = {name: i for i, name in enumerate(spheres)}
        partner = np.arange(len(spheres))
        for group in (robot.foot_geoms, robot.knee_geoms):
            for name, other in zip(group, robot.mirror_legs, strict=True):
                partner[order[name]] = order[group[other]]
        place = np.array([model.geom(name).pos for name in robot.torso_geoms])
        image = np.linalg.norm(place[:, None] - place[None] * [1, -1, 1], axis=-1).argmin(axis=1)
        for name, other in zip(robot.torso_geoms, image, strict=True):
            partner[order[name]] = order[robot.torso_geoms[other]]
        plain = lambda size: (np.arange(size), np.ones(size))  # noqa: E731
        critic = [
            *(spin, vector, command, command, joints, joints, vector, plain(1), joints),
            *((partner, np.ones(len(spheres))), legs, plain(factors), plain(1), *[vector] * vectors),
        ]
        return cls(_join([frame] * contract.observation_history), _join(critic), joints)

    def mirror_observation(self, observation: Observation) -> Observation:
        """Observations (…, size) of the mirrored robots."""
        (i, s), (j, t) = self.policy, self.critic
        return Observation(
            observation.policy[..., i] * s.astype(np.float32), observation.critic[..., j] * t.astype(np.float32)
        )

    def mirror_action(self, action: Array) -> Array:
        """Actions (…, nu) of the mirrored robots."""
        index, sign = self.action
        return action[..., index] * sign.astype(np.float32)


def _join(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *(len(index) for index, _ in parts)])
    index = np.concatenate([part[0] + start for part, start in zip(parts, starts[:-1], strict=True)])
    return index, np.concatenate([part[1] for part in parts])
