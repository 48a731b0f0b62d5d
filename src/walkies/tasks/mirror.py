"""The left–right mirror image of what a robot senses and does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from walkies.mdp import Observation
from walkies.tasks import signal
from walkies.tasks.signal import Image

if TYPE_CHECKING:
    from walkies.tasks.walk import Walk

Array = jax.Array


class Mirror(NamedTuple):
    """The left–right mirror image: what a robot would sense and do in the mirrored world."""

    policy: Image
    critic: Image
    action: Image

    @classmethod
    def of(cls, task: Walk) -> Mirror:
        """Derive it from the signals and the robot's mirror map."""
        contract = task.contract
        history = contract.signals * contract.observation_history
        return cls(
            signal.mirror(history, task.robot),
            signal.mirror(task.privileged, task),
            signal.mirrored_joints(task.robot),
        )

    def mirror_observation(self, observation: Observation) -> Observation:
        """Observations (…, size) of the mirrored robots."""
        return Observation(_mirrored(self.policy, observation.policy), _mirrored(self.critic, observation.critic))

    def mirror_action(self, action: Array) -> Array:
        """Actions (…, nu) of the mirrored robots."""
        return _mirrored(self.action, action)


def _mirrored(image: Image, values: Array) -> Array:
    return values[..., image.source] * image.sign.astype(np.float32)
