"""`trick` and `motion`: a recorded movement, cut into clips, that a policy observes frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from walkies.deploy.json_values import Problem, describe, is_finite, require_numbers, require_table, whole
from walkies.tasks.motion.movement import Clip, Movement

TRICK, MOTION = "trick", "motion"


def parse(trick: Mapping[str, Any], motion: Mapping[str, Any]) -> Movement:
    """The movement in two blocks in which `check` finds nothing."""
    frames = len(motion["joint_pos"])
    clips = tuple(
        Clip(clip["name"], int(clip["start"]), int(clip["end"]), bool(clip.get("loop", False)), clip.get("next"))
        for clip in trick.get("clips") or ()
    )
    name = str(trick.get("name", "trick"))
    return Movement(
        name,
        float(trick["fps"]),
        np.array(motion["joint_pos"], float),
        np.array(motion["joint_vel"], float),
        np.array(motion["anchor_quat_wxyz"], float),
        clips=clips or (Clip(name, 0, frames),),
        duration_s=float(trick["duration_s"]) if is_finite(trick.get("duration_s")) else None,
    )


def documents(movement: Movement) -> dict[str, Any]:
    """Both blocks."""
    clips = [
        {"name": clip.name, "start": clip.start, "end": clip.end, "loop": clip.loop, "next": clip.next}
        for clip in movement.clips
    ]
    frames = len(movement.joint_pos)
    seconds = frames / movement.fps if movement.duration_s is None else movement.duration_s
    trick = {"name": movement.name, "fps": movement.fps, "frames": frames, "duration_s": seconds, "clips": clips}
    tables = {name: getattr(movement, name).tolist() for name in ("joint_pos", "joint_vel", "anchor_quat_wxyz")}
    return {TRICK: trick, MOTION: tables}


def check(trick: Any, motion: Any, joints: int, found: list[Problem]) -> None:
    """Everything wrong with the two blocks."""
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
