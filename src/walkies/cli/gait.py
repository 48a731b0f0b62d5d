"""`walkies gait`: a page that plays the reference gait of a policy or a task, to inspect or design it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from walkies.cli.arguments.flags import starting_from
from walkies.deploy import policy_file
from walkies.deploy.blocks import gait as gait_block
from walkies.errors import UserError
from walkies.files import write_json, write_text
from walkies.robots import DEFAULT, get_robot
from walkies.run.config import settings
from walkies.run.folders import find_policy, refuse_unwritable, to_dict
from walkies.show import gait_page
from walkies.tasks.gait.presets import PRESETS, Preset
from walkies.tasks.gait.task import GaitConfig, reference
from walkies.terminal import say

SOURCE: Preset = "stable-gait"
PLAIN = GaitConfig()
"""Where no command line gives another."""


def _start(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Gaits start from the named preset's; policies have their own, and ignore this."""
    named = next((one for one in PRESETS if one in arguments), SOURCE)
    return {"gait": PRESETS[named].gait}, list(arguments)


@starting_from(_start)
def command(
    source: str = SOURCE,
    /,
    robot: str = DEFAULT,
    out: Path = Path("gait.html"),
    save: Path | None = None,
    gait: Annotated[GaitConfig, tyro.conf.arg(name="")] = PLAIN,
) -> None:
    """Write a page that plays a reference gait: legs from the side and from above, footfalls, joint angles.

    To design a gait, change its numbers here (--lift.touchdown, --lift.stride, --lift.stance-height, --lift.swing-lift)
    and look at the page, which says how to train with it.

    Args:
        source: a preset task (velocity-fs, stable-gait, mixed-gaits), a run folder, or any policy.json with a gait.
        robot: The robot that a preset's gait is for; a policy file names its own robot.
        out: the page, HTML.
        save: also write the tables to this file, in the JSON form of a policy file.
        gait: numbers of the gait; default: those of the preset.
    """
    for path in (out, *([save] if save is not None else [])):
        refuse_unwritable(path.parent, "--out" if path is out else "--save")
    if source in PRESETS:
        machine = get_robot(robot)
        shown = reference(gait, machine)
        made = {"zero": {}, "trot": {"trot": gait.trot}}.get(gait.tables, {"trot": gait.trot, "lift": gait.lift})
        text = [notes(machine.name, source, gait)]
    else:
        path, made = find_policy(Path(source)), {}
        if gait not in (PLAIN, PRESETS[SOURCE].gait):
            raise UserError(f"{source}: a policy's gait is in its file; numbers of a gait go with a preset task")
        policy = policy_file.read(path)
        if policy.blocks.gait_reference is None:
            raise UserError(f"{path} has no gait_reference; expected a policy that observes a gait, or a preset task")
        machine, shown, text = get_robot(policy.robot_name), policy.blocks.gait_reference, []
    write_text(out, gait_page.document(f"Gait: {source}", machine, shown, made, text))
    if save is not None:
        write_json(save, gait_block.document(shown, machine.joint_names), indent=None)
    for path in (out, *([save] if save is not None else [])):
        say(str(path))


def notes(robot: str, preset: Preset, gait: GaitConfig) -> str:
    """How to train a robot with this gait."""
    given, ready = (settings({"task": {"gait": to_dict(one)}}) for one in (gait, PRESETS[preset].gait))
    changed = [f"{flag} {_words(value)}" for flag, value in given.items() if value != ready[flag]]
    return " ".join([f"To train with it: walkies train {shlex.quote(robot)} --preset {preset}", *changed])


def _words(value: Any) -> str:
    return " ".join(f"{one:g}" for one in value) if isinstance(value, list) else str(value)
