"""`walkies robot`: read robots from their files, check them, and list them."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from walkies.cli.robots.named import added
from walkies.cli.tables import titled
from walkies.robots import get_robot, known, load_spec, names, trained
from walkies.robots.reading.anatomy import Anatomy, anatomy, limits
from walkies.robots.reading.check import check, torque_limits, torques
from walkies.robots.reading.source import Source, read
from walkies.robots.reading.stand import Stand, stand
from walkies.show.pictures import robot as robot_picture
from walkies.terminal import console, print_tables, say


def add_command(file: Path, /, name: str | None = None) -> None:
    """Read a legged robot from its MJCF or URDF, and store it as robots/NAME/robot.xml and robot.toml.

    Afterwards every command called from this folder knows the robot NAME. robot.toml lists every fact with its origin;
    you can change any of them, and adding the file again keeps your changes.

    Args:
        file: The robot's MJCF or URDF file.
        name: Name of the robot. Default: that of the file.
    """
    robot = added(file, name)
    picture = robot.mjcf.with_name(robot_picture.PICTURE)
    robot_picture.draw(robot, picture)
    say(f"A picture of what was found: {picture}")
    say(f"Train it: walkies train {robot.name}")


def list_command(json: bool = False) -> None:
    """List the available robots: those in the folder robots here, and those that come with walkies.

    For the latter it shows how many minutes training took on two cores, and how many trainings passed the examination.

    Args:
        json: Print one JSON object instead of a table.
    """
    robots, tried = [get_robot(name) for name in names()], trained.passes()
    if json:
        rows = {one.name: {"kind": one.kind, "mass": one.mass, "hip_height": one.hip_height, "joints": one.num_joints,
                           "commands": list(one.gamepad), "trained": tried.get(one.name),
                           "model": str(one.mjcf)} for one in robots}  # fmt: skip
        print(json_module.dumps(rows, indent=2))
        return
    own = any(not one.mjcf.is_absolute() for one in robots)
    columns = "name", "kind", "kg", "hips, m", "joints", "m/s", "rad/s", "minutes", "passed"
    table = titled("Robots", *columns, *(("model",) if own else ()))
    for one in robots:
        speeds = f"{one.gamepad[0]:g}", f"{one.gamepad[2]:g}"
        sizes = f"{one.mass:.3g}", f"{one.hip_height:.3g}", str(one.num_joints)
        minutes, passed, seeds = tried.get(one.name, (0.0, 0, 0))
        learned = (f"{minutes:.1f}", f"{passed} of {seeds}") if seeds else ("", "")
        table.add_row(one.name, one.kind, *sizes, *speeds, *learned, *((place(one.mjcf),) if own else ()))
    print_tables(table)


def place(path: Path) -> str:
    """Where a robot comes from, in short."""
    return str(path) if not path.is_absolute() else "comes with walkies"


def check_command(target: str, /, json: bool = False) -> int:
    """Read a legged robot from its MJCF or URDF: base, legs, feet, mirror image, standing pose and its torques.

    Limbs, feet, left and right are found by geometry; names do not matter. Lists what would make training fail, and how
    to fix it; the exit status is 1 if there is anything. Nothing is written, except that the picture beside a
    robot.toml that has changed since is drawn again.

    Args:
        target: The robot's file, or the name of a known robot.
        json: Print one JSON object instead of tables.
    """
    source = _source(target)
    model = source.spec.compile()
    parts = anatomy(model)
    stance = stand(model, parts)
    problems = check(model, parts, stance)
    drawn = None if Path(target).exists() else robot_picture.refresh(target)
    if json:
        found = facts(source, model, parts, stance) | {"problems": [one._asdict() for one in problems]}
        print(json_module.dumps(found, indent=2))
        return 1 if problems else 0
    print_tables(summary(source, model, parts, stance), joints_table(model, parts, stance))
    out = console()
    for note in source.notes:
        out.print(f"Note: {note}.", markup=False)
    for one in problems:
        out.print(f"- {one.what}: {one.mend}.", markup=False)
    if drawn is not None:
        out.print(drawn, markup=False)
    out.print(f"{len(problems)} to look at." if problems else "No problems found.")
    return 1 if problems else 0


def _source(target: str) -> Source:
    """The contents of a file, or a known robot with the numbers of its record."""
    if Path(target).exists() or not known(target):
        return read(Path(target))
    robot = get_robot(target)
    return Source(robot.mjcf, load_spec(robot), robot.mass, ())


def facts(source: Source, model: Any, parts: Anatomy, stance: Stand) -> dict[str, Any]:
    """What was read, as JSON values in SI units."""

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
    """The bodies of each leg that touch the ground."""
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
