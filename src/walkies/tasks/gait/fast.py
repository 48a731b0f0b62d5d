"""A fast gait that was captured from a trained policy: the file of its tables, which a training reads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from walkies import records
from walkies.errors import UserError
from walkies.robots.base import Robot

EXPECTED = "a file of `walkies motion capture`"


class FastGait(NamedTuple):
    """A file's content. Tables are (N, nu) absolute joint angles, rad, over one cycle, as in a policy file."""

    robot: str
    joint_names: list[str]
    frequency: float
    """Hz, cycles of the forward gait."""
    speed: float
    """m/s that the captured policy reached forward."""
    back_frequency: float
    """Hz, likewise of the backward gait; a policy file has only one frequency, the forward gait's."""
    back_speed: float
    """m/s, negative."""
    gallop_table: list[list[float]]
    gallop_back_table: list[list[float]]
    """Stored for a phase that runs backward."""


def read(path: Path, robot: Robot, samples: int) -> FastGait:
    """The fast gait in a file.

    Raises:
        UserError: it cannot be read, or was captured from another robot or with other than `samples` rows.
    """
    fast = records.read(path, FastGait, EXPECTED)
    if (fast.robot, fast.joint_names) != (robot.name, list(robot.joint_names)):
        raise UserError(
            f"{path}: got a gait of {fast.robot} with {len(fast.joint_names)} joints, expected one of {robot.name} and "
            f"its {robot.num_joints} joints; capture it from a policy of this robot: `walkies motion capture RUN`"
        )
    for name in ("gallop_table", "gallop_back_table"):
        rows = getattr(fast, name)
        if len(rows) != samples or {len(row) for row in rows} != {robot.num_joints}:
            widths = " or ".join(map(str, sorted({len(row) for row in rows}))) or "0"
            raise UserError(
                f"{path}: {name} has {len(rows)} rows of {widths} angles, expected {samples} of {robot.num_joints}"
            )
    if not 0 < fast.frequency < np.inf:
        raise UserError(f"{path}: frequency: got {fast.frequency:g}, expected Hz above 0")
    return fast
