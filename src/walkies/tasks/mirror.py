"""The left–right mirror image of a robot's observations and actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from walkies.later import Array
from walkies.mdp import Observation
from walkies.robots.base import Robot
from walkies.tasks import signal
from walkies.tasks.contract import Contract
from walkies.tasks.privileged import Privileged, Task
from walkies.tasks.signal import Image


class Mirror(NamedTuple):
    """The left–right mirror image: what a robot would observe and do in the mirrored world."""

    policy: Image
    critic: Image
    action: Image

    @classmethod
    def of(cls, contract: Contract, privileged: Sequence[Privileged], task: Task) -> Mirror:
        """Derive it from the signals of the policy and of the critic, and from the robot's mirror map."""
        history = contract.signals * contract.observation_history
        return cls(
            signal.mirror(history, contract.robot),
            signal.mirror(privileged, task),
            _actions(contract),
        )

    def mirror_observation(self, observation: Observation) -> Observation:
        """Observations (…, size) of the mirrored robots."""
        return Observation(_mirrored(self.policy, observation.policy), _mirrored(self.critic, observation.critic))

    def mirror_action(self, action: Array) -> Array:
        """Actions (…, nu − held joints) of the mirrored robots."""
        return _mirrored(self.action, action)


def exists(robot: Robot, hold: Sequence[int]) -> bool:
    """Whether the robot is mirror symmetric: its sides are mirror images, with the same joints held (indices)."""
    joints = robot.mirror_joints
    return joints is not None and {joints[place] for place in hold} == set(hold)


def _actions(contract: Contract) -> Image:
    """Of actions, which held joints have none of."""
    whole = signal.mirrored_joints(contract.robot)
    return Image(np.searchsorted(contract.free, whole.source[contract.free]), whole.sign[contract.free])


def _mirrored(image: Image, values: Array) -> Array:
    return values[..., image.source] * image.sign.astype(np.float32)
