"""`walkies excite`: a policy file that only shakes the legs, to measure servos with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from walkies.deploy.excite import excitation
from walkies.deploy.policy_file import write
from walkies.robots import DEFAULT, get_robot
from walkies.tasks.contract import Damping, Stiffness


def command(
    out: Path = Path("excite.json"),
    robot: str = DEFAULT,
    kp: Stiffness | None = None,
    kd: Damping | None = None,
    contract: Literal[2025, 2026] = 2026,
) -> None:
    """Write a policy that shakes the legs of a robot held in the air, so that `walkies replay` can measure its servos.

    Args:
        out: the file to write; the robot loads it as any policy. Hold the robot in the air, its legs free.
        robot: whose.
        kp: N m/rad, servo stiffness to measure with; default: the one that policies are trained with.
        kd: N m s/rad, servo damping, likewise.
        contract: edition of the file's format. Robots of either age load that of 2026.
    """
    write(out, excitation(get_robot(robot), kp, kd, contract))
    print(f"{out}: shakes the legs; only for a robot that is held in the air, its legs free")
