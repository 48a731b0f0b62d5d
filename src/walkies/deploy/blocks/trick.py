"""`trick` and `motion`: a recorded movement, cut into clips, that a policy observes frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from walkies.deploy.json_values import Problem, describe, is_finite, require_numbers, require_table, whole
from walkies.quaternions import about_z, conjugate, product, rotation_of

TRICK, MOTION = "trick", "motion"
MAX_QUEUE = 4
"""Clips that may wait to be played."""
INSTANT = 1e-6
"""By which the controller keeps its comparisons of times (s) and of frames apart."""


@dataclass(frozen=True)
class Clip:
    """Frames start … end - 1 of a motion."""

    name: str
    start: int
    end: int
    loop: bool = False
    next: str | None = None
    """The clip that follows where it does not loop; None: its last frame is held."""


class Playback(NamedTuple):
    """Where the motion is. All robots of a batch began together."""

    clip: int
    since: float
    """s of the motion at which the clip began"""
    queue: tuple[int, ...]
    """clips asked for"""
    held: bool = False
    """the clip has ended, and its last frame stays"""
    turn: np.ndarray | None = None
    """(n,) rad from the recording's heading to the robot's; None before the first frame"""


@dataclass(frozen=True, eq=False)
class Trick:
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
    """Stored in the file, but unused."""

    def begin(self) -> Playback:
        """As after activation."""
        return Playback(0, 0.0, ())

    def request(self, playback: Playback, name: str) -> Playback:
        """Ask for the clip of that name, which is played when the present one has ended; more than MAX_QUEUE are
        dropped.

        Raises:
            ValueError: there is no such clip.
        """
        names = [clip.name for clip in self.clips]
        if name not in names:
            raise ValueError(f"clip {name!r}: expected one of {', '.join(names)}")
        return playback._replace(queue=(*playback.queue, names.index(name))[:MAX_QUEUE])

    def at(self, playback: Playback, seconds: float) -> tuple[Playback, int]:
        """The next state, and the frame shown `seconds` after the end of the fade-in (negative: before it)."""
        if seconds < 0:
            return playback, self.clips[playback.clip].start
        while True:
            clip = self.clips[playback.clip]
            length, played = (clip.end - clip.start - 1) / self.fps, seconds - playback.since
            if played < length - INSTANT:
                return playback, clip.start + int(np.floor(played * self.fps + INSTANT))
            names = [one.name for one in self.clips]
            if playback.queue:
                following: int | None = playback.queue[0]
            else:
                following = playback.clip if clip.loop else names.index(clip.next) if clip.next is not None else None
            if following is None:
                return playback._replace(held=True), clip.end - 1
            begins = seconds if playback.held else playback.since + length
            playback = playback._replace(clip=following, since=begins, queue=playback.queue[1:], held=False)

    def command(self, frame: int, n: int) -> np.ndarray:
        """`motion_command` (n, 2 nu): angles and speeds of a frame."""
        return np.tile(np.concatenate([self.joint_pos[frame], self.joint_vel[frame]]), (n, 1))

    def anchor(self, frame: int, orientation: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """`motion_anchor_ori_b` (n, 6): two columns of the frame's orientation as robots (n, 4) see it, row by row."""
        recorded = product(about_z(turn), np.broadcast_to(self.anchor_quat_wxyz[frame], orientation.shape))
        return rotation_of(product(conjugate(orientation), recorded))[:, :, :2].reshape(len(turn), 6)

    @classmethod
    def parse(cls, trick: Mapping[str, Any], motion: Mapping[str, Any]) -> Trick:
        frames = len(motion["joint_pos"])
        clips = tuple(
            Clip(clip["name"], int(clip["start"]), int(clip["end"]), bool(clip.get("loop", False)), clip.get("next"))
            for clip in trick.get("clips") or ()
        )
        name = str(trick.get("name", "trick"))
        return cls(
            name,
            float(trick["fps"]),
            np.array(motion["joint_pos"], float),
            np.array(motion["joint_vel"], float),
            np.array(motion["anchor_quat_wxyz"], float),
            clips=clips or (Clip(name, 0, frames),),
            duration_s=float(trick["duration_s"]) if is_finite(trick.get("duration_s")) else None,
        )

    def documents(self) -> dict[str, Any]:
        """Both blocks."""
        clips = [
            {"name": clip.name, "start": clip.start, "end": clip.end, "loop": clip.loop, "next": clip.next}
            for clip in self.clips
        ]
        frames = len(self.joint_pos)
        seconds = frames / self.fps if self.duration_s is None else self.duration_s
        trick = {"name": self.name, "fps": self.fps, "frames": frames, "duration_s": seconds, "clips": clips}
        tables = {name: getattr(self, name).tolist() for name in ("joint_pos", "joint_vel", "anchor_quat_wxyz")}
        return {TRICK: trick, MOTION: tables}

    @staticmethod
    def check(trick: Any, motion: Any, joints: int, found: list[Problem]) -> None:
        for key, block in ((TRICK, trick), (MOTION, motion)):
            if not isinstance(block, dict):
                got = "nothing" if block is None else describe(block)
                found.append(Problem("bad-block", key, got, "an object: `trick` and `motion` come together"))
                return
        require_numbers(trick, TRICK, ("fps",), found, positive=("fps",))
        rows = motion.get("joint_pos")
        frames = len(rows) if isinstance(rows, list) else None
        for name, width in (("joint_pos", joints), ("joint_vel", joints), ("anchor_quat_wxyz", 4)):
            require_table(motion, MOTION, name, width, frames, found)
        if frames is not None and whole(trick.get("frames", frames)) != frames:
            found.append(Problem("bad-block", "trick.frames", describe(trick["frames"]), f"{frames}, as in `motion`"))
        _check_clips(trick.get("clips"), frames or 0, found)


def _check_clips(clips: Any, frames: int, found: list[Problem]) -> None:
    if clips is None or clips == []:
        return
    if not isinstance(clips, list) or not all(isinstance(clip, dict) for clip in clips):
        found.append(Problem("bad-block", "trick.clips", describe(clips), "a list of objects"))
        return
    names = {name for clip in clips if isinstance(name := clip.get("name"), str)}
    seen: set[str] = set()
    for index, clip in enumerate(clips):
        key, name, following = f"trick.clips[{index}]", clip.get("name"), clip.get("next")
        if not isinstance(name, str) or name in seen:
            found.append(Problem("bad-block", f"{key}.name", describe(name), "a name of its own"))
        else:
            seen.add(name)
        start, end = whole(clip.get("start")), whole(clip.get("end"))
        if start is None or end is None or not 0 <= start <= end - 2 or end > frames:
            got = f"{describe(clip.get('start'))} … {describe(clip.get('end'))}"
            found.append(Problem("bad-block", key, got, f"start and end within {frames} frames, two apart at least"))
        if following is not None and not (isinstance(following, str) and following in names):
            found.append(Problem("bad-block", f"{key}.next", describe(following), "the name of a clip"))
        if not isinstance(clip.get("loop", False), bool):
            found.append(Problem("bad-block", f"{key}.loop", describe(clip["loop"]), "true or false"))
