"""How episodes of the walking task begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from walkies import renamed
from walkies.bounds import Between, Share
from walkies.tasks.randomization import Range

FADE_IN = Range(1.0, 2.0)
"""s: the robot's software takes one second in 2025 and two in 2026."""


@renamed.added(fade_in=Range(1.0, 1.0))
@dataclass(frozen=True)
class Start:
    """How episodes begin."""

    fade_probability: Share = 0.15
    """Share of episodes that begin as on the robot: standing, with an action fade-in."""
    fade_in: Annotated[Range, Between(0.0, 100.0, "(]")] = FADE_IN
    """s, length of the fade-in."""
    stale_history: Share = 0.1
    """Share of episodes that begin with a stale observation history."""
    tilt: Annotated[float, Between(0.0, np.pi)] = 0.15
    """Initial roll and pitch, ± rad."""
    joint_position: Annotated[float, Between(0.0, np.pi)] = 0.2
    """Initial joint angles, default ± rad."""
    joint_velocity: Annotated[float, Between(0.0, 1000.0)] = 1.0
    """± rad/s"""
    velocity: Annotated[float, Between(0.0, 100.0)] = 0.4
    """Initial base velocity, ± m/s, and roll, pitch and yaw rate, ± rad/s."""
