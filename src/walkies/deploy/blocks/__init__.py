"""Blocks of a 2026 policy file beyond its network: how commands reach it, and which references it observes.

One module per block: its record, its effect, its form in the file and every check on it. A block that belongs to a
signal is present if and only if the signal is in the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from walkies.deploy.blocks import gait, trick
from walkies.deploy.blocks.command import CommandClip, check_hold, parse_hold
from walkies.deploy.blocks.jump import JumpSlot
from walkies.deploy.json_values import Problem, is_finite
from walkies.tasks.gait.heading import NO_HOLD, HeadingHold
from walkies.tasks.gait.reference import GaitReference
from walkies.tasks.motion.movement import Movement

__all__ = ["BLOCKS", "NO_HOLD", "Blocks", "CommandClip", "GaitReference", "HeadingHold", "JumpSlot", "Movement"]

BLOCKS = ("command_clip", "heading_hold", gait.KEY, "jump_slot", trick.TRICK, trick.MOTION)
"""Keys of a policy file."""
MOTION_SIGNALS = ("motion_command", "motion_anchor")
"""What only a recorded movement tells."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of one file; None where it has none."""

    command_clip: CommandClip | None = None
    heading_hold: HeadingHold | None = None
    gait_reference: GaitReference | None = None
    jump_slot: JumpSlot | None = None
    trick: Movement | None = None

    @property
    def hold(self) -> HeadingHold:
        """The effective heading hold: by default on with a gait reference and off without."""
        if self.heading_hold is not None:
            return self.heading_hold
        return HeadingHold() if self.gait_reference is not None else NO_HOLD

    def document(self, joint_names: Sequence[str]) -> dict[str, Any]:
        """As in a file."""
        blocks: dict[str, Any] = {}
        if self.command_clip is not None:
            blocks["command_clip"] = self.command_clip.document()
        if self.heading_hold is not None:
            blocks["heading_hold"] = asdict(self.heading_hold)
        if self.gait_reference is not None:
            blocks[gait.KEY] = gait.document(self.gait_reference, joint_names)
        if self.jump_slot is not None:
            blocks["jump_slot"] = self.jump_slot.document()
        if self.trick is not None:
            blocks |= trick.documents(self.trick)
        return blocks


def check(document: Mapping[str, Any], joints: int, frame: Sequence[str] | None, found: list[Problem]) -> None:
    """Everything wrong with a file's blocks, alone and together with the signals of its frame (None: unknown)."""
    if "command_clip" in document:
        CommandClip.check(document["command_clip"], found)
    if "heading_hold" in document:
        check_hold(document["heading_hold"], found)
    if gait.KEY in document:
        gait.check(document[gait.KEY], joints, found)
    if "jump_slot" in document:
        JumpSlot.check(document["jump_slot"], joints, found)
        if gait.KEY not in document:
            found.append(Problem("bad-block", "jump_slot", "no gait_reference", "the gait that a jump interrupts"))
    tricks = "trick" in document or "motion" in document
    if tricks:
        trick.check(document.get("trick"), document.get("motion"), joints, found)
    if frame is None:
        return
    for key, there, signals in (
        (gait.KEY, gait.KEY in document, (gait.KEY,)),
        ("motion", "motion" in document, MOTION_SIGNALS),
    ):
        shown = [name for name in signals if name in frame]
        if there and not shown:
            found.append(Problem("bad-block", key, "no such component in obs_spec", f"one of {', '.join(signals)}"))
        elif shown and not there:
            found.append(Problem("bad-block", key, "nothing", f"this block, since obs_spec has {shown[0]}"))


def beyond_2025(document: Mapping[str, Any]) -> list[str]:
    """Blocks of a document that its policy needs as in training, so that it should not run on the 2025 software, which
    ignores them all."""
    hold = document.get("heading_hold")
    holds = isinstance(hold, dict) and is_finite(hold.get("kp")) and hold["kp"] > 0
    references = [key for key in (gait.KEY, "jump_slot", "trick", "motion") if document.get(key) is not None]
    return [*(["heading_hold"] if holds else []), *references]


def parse(document: Mapping[str, Any]) -> Blocks:
    """The blocks of a document in which `check` finds nothing."""
    return Blocks(
        CommandClip.parse(document["command_clip"]) if "command_clip" in document else None,
        parse_hold(document["heading_hold"]) if "heading_hold" in document else None,
        gait.parse(document[gait.KEY]) if gait.KEY in document else None,
        JumpSlot.parse(document["jump_slot"]) if "jump_slot" in document else None,
        trick.parse(document["trick"], document["motion"]) if "trick" in document and "motion" in document else None,
    )
