"""`gait_reference`, a policy file's gait tables, as used by `walkies.tasks.gait.reference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from walkies.deploy.json_values import Problem, describe, require_numbers, require_table, size
from walkies.tasks.gait.reference import OPTIONAL_TABLES, TABLES, GaitReference
from walkies.tasks.signal import GAIT

KEY = GAIT
NUMBERS = ("frequency", "blend_speed", "gallop_speed", "gallop_freq_mult", "dir_threshold")


def check(block: Any, joints: int, found: list[Problem]) -> None:
    """Everything that would make the robot refuse or misread the block."""
    if not isinstance(block, dict):
        found.append(Problem("bad-block", KEY, describe(block), "an object with tables of a gait"))
        return
    require_numbers(block, KEY, NUMBERS, found, positive=("frequency", "blend_speed"))
    rows = size([block.get("n_samples")])
    if rows is None:
        found.append(Problem("bad-block", f"{KEY}.n_samples", describe(block.get("n_samples")), "the rows of a table"))
    for name in (*TABLES, *(name for name in OPTIONAL_TABLES if name in block)):
        require_table(block, KEY, name, joints, rows, found)


def parse(block: Mapping[str, Any]) -> GaitReference:
    tables: dict[str, Any] = {
        name: np.array(block[name], float) for name in (*TABLES, *OPTIONAL_TABLES) if name in block
    }
    numbers: dict[str, Any] = {name: float(block[name]) for name in NUMBERS}
    return GaitReference(**numbers, **tables)


def document(gait: GaitReference, joint_names: Sequence[str]) -> dict[str, Any]:
    return {
        "n_samples": gait.n_samples,
        "joint_names": list(joint_names),
        **{name: getattr(gait, name) for name in NUMBERS},
        **{name: table.tolist() for name, table in gait.tables.items()},
    }
