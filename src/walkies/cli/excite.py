"""`walkies excite`: move the joints of a held robot, to check them by eye or to measure its servos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.table import Table

from walkies.cli.robots.named import ENDINGS, added
from walkies.cli.tables import show, titled
from walkies.deploy.excite import excitation
from walkies.deploy.policy_file import write
from walkies.deploy.wiggle import Wiggle, sequence, wiggles, write_csv
from walkies.errors import UserError
from walkies.robots import DEFAULT, get_robot
from walkies.robots.base import Robot
from walkies.tasks.contract import Damping, Stiffness
from walkies.terminal import say


def command(
    robot: Annotated[str, tyro.conf.Positional] = DEFAULT,
    /,
    wiggle: bool = False,
    out: Path | None = None,
    kp: Stiffness | None = None,
    kd: Damping | None = None,
    contract: Literal[2025, 2026] = 2026,
    json: bool = False,
) -> None:
    """Write a policy that shakes the legs of a robot held in the air, so that `walkies replay` can measure its servos.

    With --wiggle, write a table of joint targets instead. It moves each joint alone, slowly and by a few degrees, and
    the command prints what you should see: a check that joint names, order, signs and zeros match the model.

    Args:
        robot: a name, or the path of an MJCF or URDF file.
        wiggle: write the wiggle test, the first thing to run on a robot.
        out: the file to write; default: excite.json, which the robot loads like any policy, or wiggle.csv. Hold the
            robot in the air with its legs free.
        kp: N m/rad, servo stiffness to measure with; default: the one that policies are trained with.
        kd: N m s/rad, servo damping to measure with; default: the one that policies are trained with.
        contract: edition of the policy file format. Robots with the software of 2025 load that of 2026 too.
        json: with --wiggle, print what you should see as JSON.
    """
    one = added(Path(robot)) if robot.lower().endswith(ENDINGS) and Path(robot).is_file() else get_robot(robot)
    if json and not wiggle:
        raise UserError("--json: only --wiggle prints a table; give both, or leave --json out")
    if not wiggle:
        out = out or Path("excite.json")
        write(out, excitation(one, kp, kd, contract))
        say(f"{out}: shakes the legs; run it only on a robot held in the air with its legs free")
        return
    if kp is not None or kd is not None:
        raise UserError("--kp and --kd: the table of --wiggle holds only joint targets; leave them out")
    out, moves = out or Path("wiggle.csv"), wiggles(one)
    write_csv(out, one, moves)
    show([table(one, moves)], json)
    if json:
        return
    seconds = sequence(one, moves)[-1][0]
    say(f"{out}: {seconds:.0f} s of joint targets (rad), one column per joint. Hold the robot in the air, legs free.")
    say("If another joint moves, or it moves the other way, fix it in the robot's own program: docs/your-robot.md")


def table(robot: Robot, moves: list[Wiggle]) -> Table:
    """What you should see."""
    made = titled(
        "What you should see, the trunk held", "index", "joint", "default", "moves by", "from", "what you see", names=2
    )
    rows = sequence(robot, moves)
    begins = {move.joint: time for time, move, _ in reversed(rows) if move is not None}
    for move in moves:
        name, pose = robot.joint_names[move.joint], robot.default_pose[move.joint]
        numbers = f"{pose:.3f} rad", f"{np.rad2deg(move.by):+.0f}°", f"{begins[move.joint]:.1f} s"
        made.add_row(str(move.joint), name, *numbers, move.see)
    return made
