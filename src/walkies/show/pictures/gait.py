"""The gait diagram: when each foot is on the ground (Hildebrand 1965), with commanded and measured velocities below."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from walkies.robots import get_robot
from walkies.show import replay
from walkies.show.pictures import theme

SMOOTHING = 0.3
"""s over which the measured velocity is averaged."""


def draw(trajectory: replay.Trajectory, out: Path) -> Path:
    """Draw the gait of a recorded motion as a PNG; the picture's path."""
    time = np.arange(len(trajectory.qpos)) * trajectory.timestep
    measured = replay.smooth(trajectory.velocity.astype(float), round(SMOOTHING / trajectory.timestep))
    legs = [name.replace("_", " ") for name in get_robot(trajectory.robot).leg_names]
    with theme.figure(3, 1, width=11.0, height=1.7, sharex=True) as (made, axes):
        feet, linear, turn = axes[:, 0]
        for place, leg in enumerate(legs):
            spans = [(start * trajectory.timestep, (end - start) * trajectory.timestep)
                     for start, end in stances(trajectory.contact[:, place])]  # fmt: skip
            colour = theme.BLUE if leg.endswith("r") else theme.VERMILLION
            feet.broken_barh(spans, (place - 0.4, 0.8), facecolors=colour, linewidth=0)
        feet.set_yticks(range(len(legs)), legs)
        feet.invert_yaxis()
        feet.grid(False)
        feet.set_title("Feet on the ground")
        for place, name in enumerate(("forward", "left")):
            linear.plot(time, measured[:, place], color=theme.COLOURS[place], label=name)
            linear.step(time, trajectory.command[:, place], color=theme.COLOURS[place], linestyle=":", where="post")
        linear.set_title("Velocity (m/s); dotted: commanded")
        linear.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.0)  # beside the title
        turn.plot(time, measured[:, 2], color=theme.TEAL)
        turn.step(time, trajectory.command[:, 2], color=theme.TEAL, linestyle=":", where="post")
        turn.set_title("Turn rate (rad/s)")
        turn.set_xlabel("seconds")
        turn.set_xlim(0, time[-1])
        return theme.save(made, out)


def stances(contact: np.ndarray) -> list[tuple[int, int]]:
    """Runs of True in (T,) bool as (start, end) indices, end exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], contact, [False]]).astype(int)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
