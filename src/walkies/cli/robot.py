"""`walkies robot check`: what a robot's file says about it, and what would make its training fail."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from walkies.cli.tables import titled
from walkies.robots.anatomy import Anatomy, anatomy, limits
from walkies.robots.check import check, torque_limits, torques
from walkies.robots.source import Source, read
from walkies.robots.stand import Stand, stand
from walkies.terminal import console


def check_command(file: Path, /, json: bool = False) -> int:
    """Read a legged robot off its MJCF or URDF: base, legs, feet, mirror image, a pose to stand in, torques for it.

    Nothing is written, and names mean nothing: limbs, feet, left and right are found by geometry. What would make
    training fail is listed with what to do; the exit status is 1 if there is anything.

    Args:
        file: The robot's file.
        json: Print one JSON object instead of tables.
    """
    source = read(file)
    model = source.spec.compile()
    parts = anatomy(model)
    stance = stand(model, parts)
    problems = check(model, parts, stance)
    if json:
        found = facts(source, model, parts, stance) | {"problems": [one._asdict() for one in problems]}
        print(json_module.dumps(found, indent=2))
        return 1 if problems else 0
    out = console()
    out.print(summary(source, model, parts, stance))
    out.print()
    out.print(joints_table(model, parts, stance))
    for note in source.notes:
        out.print(f"Note: {note}.", markup=False)
    for one in problems:
        out.print(f"- {one.what}: {one.mend}.", markup=False)
    out.print(f"{len(problems)} to look at." if problems else "Nothing to look at.")
    return 1 if problems else 0


def facts(source: Source, model: Any, parts: Anatomy, stance: Stand) -> dict[str, Any]:
    """What was read, as JSON values; SI."""

    def named(ids: tuple[int, ...]) -> list[str]:
        return [model.joint(joint).name for joint in ids]

    return {
        "file": str(source.path),
        "kind": parts.kind,
        "base": model.body(parts.base).name,
        "mass": source.mass,
        "legs": [named(leg.joints) for leg in parts.legs],
        "arms": [named(arm.joints) for arm in parts.arms],
        "feet": feet(model, parts),
        "mirrored": parts.partner is not None,
        "pose": dict(zip(named(parts.joints), stance.angles.round(4).tolist(), strict=True)),
        "pose_from": stance.origin,
        "base_height": stance.height,
        "hip_height": stance.hips,
        "notes": list(source.notes),
    }


def feet(model: Any, parts: Anatomy) -> list[list[str]]:
    """Of each leg the bodies that touch the ground."""
    return [sorted({model.body(int(model.geom_bodyid[geom])).name for geom in leg.feet}) for leg in parts.legs]


def summary(source: Source, model: Any, parts: Anatomy, stance: Stand) -> Table:
    """The robot as a whole."""
    table = titled(f"{source.path.name}: {parts.kind}", "fact", "value")
    rows = {
        "base": model.body(parts.base).name,
        "mass": f"{source.mass:.4g} kg",
        "joints": str(len(parts.joints)),
        "legs": ", ".join(str(len(leg.joints)) for leg in parts.legs) + " joints",
        "other limbs": ", ".join(str(len(arm.joints)) for arm in parts.arms) + " joints" if parts.arms else "none",
        "feet": ", ".join(" + ".join(names) for names in feet(model, parts)),
        "mirror image": "left and right" if parts.partner is not None else "none",
        "pose": stance.origin,
        "base above the ground": f"{stance.height:.3g} m",
        "hips above the ground": f"{stance.hips:.3g} m",
    }
    for row in rows.items():
        table.add_row(*row)
    return table


def joints_table(model: Any, parts: Anatomy, stance: Stand) -> Table:
    """A row for each joint."""
    table = titled("Joints", "joint", "mirrored by", "lowest", "highest", "stands at", "N m to stand", "N m at most")
    low, high = limits(model, parts.joints)
    needed, most = torques(model, parts, stance), torque_limits(model, parts)
    for place, joint in enumerate(parts.joints):
        other = "–" if parts.partner is None else model.joint(parts.joints[parts.partner[place]]).name
        numbers = (low[place], high[place], stance.angles[place], needed[place], most[place])
        table.add_row(model.joint(joint).name, other, *("–" if np.isinf(x) else f"{round(x, 4):.3g}" for x in numbers))
    return table
