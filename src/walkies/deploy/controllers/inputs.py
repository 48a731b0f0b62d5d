"""A policy's inputs besides sensor readings: the command after clipping and heading hold, and references.

One state for n robots under one policy, according to its file (`walkies.deploy.blocks`); both control protocols use it.
For a file without blocks the command is passed unchanged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.deploy.blocks.jump import Jumps, speed_cap
from walkies.deploy.policy_file import PolicyFile
from walkies.quaternions import yaw_of
from walkies.tasks.gait.heading import Heading
from walkies.tasks.motion.movement import Playback
from walkies.tasks.signal import Sensed


class Speeds(NamedTuple):
    """The node's own limits of commands."""

    forward: float = np.inf
    """m/s (`max_vx_forward`)"""
    backward: float = np.inf
    """m/s (`max_vx_backward`), above zero"""
    cap: float = 0.0
    """m/s of vx and vy either way, in place of the jump slot's; 0: the slot's (`speed_cap`)"""


UNLIMITED = Speeds()


class Inputs(NamedTuple):
    """State between two actions."""

    heading: Heading
    jumps: Jumps | None
    playback: Playback | None
    running: bool
    """whether the jump slot's run button is held"""
    command: np.ndarray
    """(n, 3): what the policy was told last"""


def begin(policy: PolicyFile, n: int) -> Inputs:
    """As after activation."""
    blocks = policy.blocks
    return Inputs(
        blocks.hold.begin(n),
        None if blocks.jump_slot is None else blocks.jump_slot.begin(n),
        None if blocks.trick is None else blocks.trick.begin(),
        running=False,
        command=np.zeros((n, 3)),
    )


def jump(policy: PolicyFile, inputs: Inputs, pressed: np.ndarray, seconds: float) -> Inputs:
    """After a rising edge of the jump button for robots `pressed` (n,), `seconds` after start-up; without a slot
    nothing."""
    slot = policy.blocks.jump_slot
    if slot is None or inputs.jumps is None:
        return inputs
    return inputs._replace(jumps=slot.trigger(inputs.jumps, pressed, seconds))


class Plays:
    """The part of a controller that plays a policy's recorded movement."""

    policy: PolicyFile
    inputs: Inputs

    @property
    def playback(self) -> Playback | None:
        """Where the movement is; None: the policy has none."""
        return self.inputs.playback

    def play(self, clip: str) -> None:
        """Ask for a clip of the movement.

        Raises:
            ValueError: there is no such clip, or no movement.
        """
        movement = self.policy.blocks.trick
        if movement is None or self.inputs.playback is None:
            raise ValueError(f"clip {clip!r}: the policy has no recorded movement")
        self.inputs = self.inputs._replace(playback=movement.request(self.inputs.playback, clip))


def told(
    policy: PolicyFile, inputs: Inputs, command: np.ndarray, orientation: np.ndarray, speeds: Speeds = UNLIMITED
) -> Inputs:
    """The command (n, 3) that the policy is told: clipped, capped, and its heading held. orientation: (n, 4)."""
    blocks = policy.blocks
    if blocks.command_clip is not None:
        command = blocks.command_clip(command)
    command = np.array(command, float)
    command[:, 0] = np.clip(command[:, 0], -speeds.backward, speeds.forward)
    cap = speed_cap(blocks.jump_slot, speeds.cap, inputs.running)
    command[:, :2] = np.clip(command[:, :2], -cap, cap)
    if policy.use_imu:
        heading, command = blocks.hold(inputs.heading, command, yaw_of(orientation))
        inputs = inputs._replace(heading=heading)
    return inputs._replace(command=command)


def refer(
    policy: PolicyFile, inputs: Inputs, sensed: Sensed, orientation: np.ndarray, seconds: float, fade_in: float
) -> tuple[Inputs, Sensed]:
    """What is sensed, with the references of this moment where the file has some.

    Args:
        seconds: since start-up ended.
        fade_in: s, before which a recorded movement waits.
    """
    blocks, pose = policy.blocks, np.asarray(policy.default_joint_pos)
    if blocks.gait_reference is not None:
        clock = np.full(len(inputs.command), seconds)
        offset = blocks.gait_reference.offset(clock, inputs.command, pose)
        if blocks.jump_slot is not None and inputs.jumps is not None:
            jumps, offset = blocks.jump_slot.blend(inputs.jumps, offset, seconds, inputs.command, pose)
            inputs = inputs._replace(jumps=jumps)
        sensed = sensed._replace(gait_reference=offset)
    if blocks.trick is not None and inputs.playback is not None:
        playback, frame = blocks.trick.at(inputs.playback, seconds - fade_in)
        if playback.turn is None:
            playback = playback._replace(turn=yaw_of(orientation) - yaw_of(blocks.trick.anchor_quat_wxyz[0]))
        assert playback.turn is not None
        frames = np.full(len(orientation), frame)
        sensed = sensed._replace(
            motion_command=blocks.trick.command(frames),
            motion_anchor=blocks.trick.anchor(frames, orientation, playback.turn),
        )
        inputs = inputs._replace(playback=playback._replace(frame=frame))
    return inputs, sensed
