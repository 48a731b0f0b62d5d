"""A recorded movement, cut into clips, that a policy observes frame by frame.

Training and the twin of the robot's controller show it with the same formulas, those of the controller of 2026
(`pupper_gait_deploy`). Functions accept numpy and JAX arrays alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from walkies.arrays import namespace
from walkies.quaternions import about_z, conjugate, product, rotation_of

Array = Any
"""numpy.ndarray or jax.Array"""
MAX_QUEUE = 4
"""Clips that may wait to be played."""
INSTANT = 1e-6
"""By which the controller keeps its comparisons of times (s) and of frames apart."""

JOINED = 0.1
"""rad between the joint angles of poses that are about the same."""


@dataclass(frozen=True)
class Clip:
    """Frames start … end - 1 of a movement."""

    name: str
    start: int
    end: int
    loop: bool = False
    next: str | None = None
    """The clip that follows where it does not loop; None: its last frame is held."""


class Playback(NamedTuple):
    """Where the movement is. All robots of a batch began together."""

    clip: int
    since: float
    """s of the movement at which the clip began"""
    queue: tuple[int, ...]
    """clips asked for"""
    held: bool = False
    """the clip has ended, and its last frame stays"""
    turn: np.ndarray | None = None
    """(n,) rad from the recording's heading to the robot's; None before the first frame"""
    frame: int = 0
    """shown last"""


@dataclass(frozen=True, eq=False)
class Movement:
    """A recorded movement of T frames."""

    name: str
    fps: float
    joint_pos: np.ndarray
    """(T, nu) rad, absolute"""
    joint_vel: np.ndarray
    """(T, nu) rad/s"""
    anchor_quat_wxyz: np.ndarray
    """(T, 4) orientation of the base"""
    clips: tuple[Clip, ...]
    """at least one"""
    duration_s: float | None = None
    """Stored in a policy file, but unused."""

    @property
    def names(self) -> list[str]:
        """Of the clips."""
        return [clip.name for clip in self.clips]

    def begin(self) -> Playback:
        """As after activation."""
        return Playback(0, 0.0, ())

    def request(self, playback: Playback, name: str) -> Playback:
        """Ask for the clip of that name, which is played when the present one has ended; more than MAX_QUEUE are
        dropped.

        Raises:
            ValueError: there is no such clip.
        """
        if name not in self.names:
            raise ValueError(f"clip {name!r}: expected one of {', '.join(self.names)}")
        return playback._replace(queue=(*playback.queue, self.names.index(name))[:MAX_QUEUE])

    def at(self, playback: Playback, seconds: float) -> tuple[Playback, int]:
        """The next state, and the frame shown `seconds` after the end of the fade-in (negative: before it)."""
        if seconds < 0:
            return playback, self.clips[playback.clip].start
        while True:
            clip = self.clips[playback.clip]
            length, played = (clip.end - clip.start - 1) / self.fps, seconds - playback.since
            if played < length - INSTANT:
                return playback, clip.start + int(np.floor(played * self.fps + INSTANT))
            following = playback.queue[0] if playback.queue else self.following(playback.clip)
            if following is None:
                return playback._replace(held=True), clip.end - 1
            begins = seconds if playback.held else playback.since + length
            playback = playback._replace(clip=following, since=begins, queue=playback.queue[1:], held=False)

    def following(self, clip: int) -> int | None:
        """The clip that follows this one unasked: itself where it loops; None where its last frame is held."""
        this = self.clips[clip]
        return clip if this.loop else None if this.next is None else self.names.index(this.next)

    @cached_property
    def successor(self) -> np.ndarray:
        """(T,) the frame that follows each one, where nothing is asked for.

        The last frame of a clip is at the same time the first of the next one, so it is shown only where it is held.
        """
        after = np.arange(len(self.joint_pos))
        for index, clip in enumerate(self.clips):
            following = self.following(index)
            after[clip.start : clip.end - 1] += 1
            if following is not None:
                after[clip.end - 2 : clip.end] = self.clips[following].start
        return after

    @cached_property
    def joins(self) -> np.ndarray:
        """(T, clips) bool: whether each clip begins about where each frame is, so that it may follow."""
        first = self.joint_pos[[clip.start for clip in self.clips]]
        return np.abs(self.joint_pos[:, None] - first[None]).max(axis=-1) < JOINED

    def command(self, frame: Array) -> Array:
        """`motion_command` (n, 2 nu): angles and speeds of frames (n,)."""
        return namespace(frame).asarray(np.concatenate([self.joint_pos, self.joint_vel], axis=-1))[frame]

    def orientation(self, frame: Array, turn: Array) -> Array:
        """(n, 4) of the base in frames (n,), for robots that face `turn` (n,) rad from the recording."""
        recorded = namespace(turn).asarray(self.anchor_quat_wxyz, dtype=turn.dtype)[frame]
        return product(about_z(turn), recorded)

    def anchor(self, frame: Array, orientation: Array, turn: Array) -> Array:
        """`motion_anchor_ori_b` (n, 6): two columns of the frames' orientation as robots (n, 4) see it, row by row."""
        return seen_from(orientation, self.orientation(frame, turn))


def seen_from(orientation: Array, wanted: Array) -> Array:
    """(n, 6): two columns of the rotation matrix of one orientation (n, 4) as seen from another, row by row."""
    return rotation_of(product(conjugate(orientation), wanted))[:, :, :2].reshape(len(wanted), 6)
