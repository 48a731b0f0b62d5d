"""What a policy follows, where its frame shows it a gait or a recorded movement: a pose to draw, and stance feet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.deploy.controllers.neural_controller import NeuralController
from walkies.deploy.policy_file import PolicyFile
from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.tasks.gait.task import stances
from walkies.tasks.motion.heights import heights
from walkies.tasks.signal import GAIT


class Frame(NamedTuple):
    """Of a movement, as it was shown to one robot."""

    command: np.ndarray
    """(1, 2 nu) rad and rad/s: joint angles and speeds"""
    orientation: np.ndarray
    """(1, 4) of the trunk, w x y z, facing as the robot did when the movement began"""
    height: np.ndarray
    """(1,) m of the trunk above the ground"""


class Reference:
    """Of one policy; at most one kind, a movement before a gait."""

    def __init__(self, policy: PolicyFile, robot: Robot, model: mujoco.MjModel, joints: np.ndarray) -> None:
        """model: of this robot. joints: (nu,) where its joint angles are in a configuration (nq,) of `model`."""
        self.default_pose, self.joints = np.array(policy.default_joint_pos), joints
        self.movement, gait = policy.blocks.trick, policy.blocks.gait_reference
        # A gait that always is the default pose only has the place of one, and asks nothing of the feet.
        follows = self.movement is None and gait is not None and not gait.stands_still(self.default_pose)
        self.gait = gait if follows else None
        self._shown = policy.slices.get(GAIT)
        self._heights = None if self.movement is None else heights(self.movement, robot, model)
        self._stances = None if self.gait is None else stances(self.gait, robot)

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self.movement is not None or self.gait is not None

    def offset(self, controller: NeuralController) -> np.ndarray | None:
        """(nu,) rad from the default pose: the gait as the policy saw it last; None where its frame has none."""
        return None if self._shown is None else controller.memory.seen[0, self._shown].astype(float)

    def stance(self, controller: NeuralController) -> np.ndarray | None:
        """(legs,) bool: the feet on which the gait stood when the policy saw it last; None: it follows no gait.

        All of them while the gait is the default pose: before it starts, and where nothing is commanded.
        """
        if self.gait is None or self._stances is None:
            return None
        if not np.any(self.offset(controller)):
            return np.ones(self._stances.shape[-1], bool)
        since = (controller.memory.counter + 1) / controller.config.tick_rate  # `seconds` is of the next tick
        seconds, command = np.array([controller.seconds - since]), controller.memory.inputs.command
        return np.asarray(self.gait.stance(seconds, command, self._stances)[0])

    def frame(self, controller: NeuralController) -> Frame | None:
        """Of the movement, as the policy saw it last; None: it follows none, or the controller is starting up."""
        playback = controller.playback
        if self.movement is None or self._heights is None or playback is None or playback.turn is None:
            return None
        index = np.array([playback.frame])
        return Frame(
            self.movement.command(index), self.movement.orientation(index, playback.turn), self._heights[index]
        )

    def configuration(self, controller: NeuralController, qpos: np.ndarray, ground: float) -> np.ndarray | None:
        """(nq,) of a robot that does exactly as it is shown, at the place of one with `qpos` (nq,).

        A movement has a height and an orientation of its own, a gait those of the robot. ground: m, its height there.
        None: there is nothing to follow, or not yet.
        """
        frame, offset, out = self.frame(controller), self.offset(controller), qpos.copy()
        if frame is not None:
            out[2], out[3:7] = ground + frame.height[0], frame.orientation[0]
            out[self.joints] = frame.command[0, : len(self.joints)]
        elif self.gait is not None and offset is not None:
            out[self.joints] = self.default_pose + offset
        else:
            return None
        return out
