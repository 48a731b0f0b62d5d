"""A page that plays a reference gait: legs from the side and from above, footfalls, and joint angles over a cycle."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from walkies.robots.base import Robot
from walkies.show import page
from walkies.show.pictures import theme
from walkies.tasks.gait.generator import Gait, on_ground
from walkies.tasks.gait.kinematics import Legs
from walkies.tasks.gait.reference import GaitReference

SCRIPT = Path(__file__).with_name("gait.js")
TABLES = {"trot_table": "trot", "lift_table": "lift", "gallop_table": "gallop", "gallop_back_table": "gallop back"}
"""Names of tables in a policy file, and on the page."""


def document(title: str, robot: Robot, reference: GaitReference, gaits: dict[str, Gait], notes: list[str]) -> str:
    """The page, self-contained.

    Args:
        gaits: what the tables were made from, by their names on the page; empty where only the tables are known.
        notes: sentences below the title.
    """
    facts = [("Robot", robot.name), ("Frequency", f"{reference.frequency:.4g} Hz")]
    facts += [(name, describe(gait, reference.frequency)) for name, gait in gaits.items()]
    facts.append(("When which", rule(reference)))
    sections = [page.facts(facts), *(f"<p>{escape(note)}</p>" for note in notes), player(scene(robot, reference))]
    return page.document(title, sections, (SCRIPT,))


def describe(gait: Gait, frequency: float) -> str:
    """A gait in words; frequency: Hz."""
    speed = gait.stride * frequency / gait.duty
    carries = f"feet on the ground go back at {speed:.3g} m/s" if gait.stride else "the feet stay on the spot"
    touchdown = " ".join(f"{phase:g}" for phase in gait.touchdown)
    return (
        f"touchdown {touchdown}; stride {gait.stride:g} m, stance height {gait.stance_height:g} m, swing lift "
        f"{gait.swing_lift:g} m, on the ground for {gait.duty:.0%} of the cycle; {carries}"
    )


def rule(reference: GaitReference) -> str:
    """In words, when which table holds."""
    slow = "trot" if reference.lift_table is None else "lift"
    fast = reference.gallop_speed < 100.0
    gallop = f", gallop from {reference.gallop_speed:g} m/s at {reference.gallop_freq_mult:g} × the frequency"
    return (
        f"trot from {reference.dir_threshold:g} m/s of forward speed, {slow} below{gallop if fast else ''}; for "
        "backward commands and turns to the right the cycle runs backwards; commands of a norm below "
        f"{reference.blend_speed:g} shrink it"
    )


def scene(robot: Robot, reference: GaitReference) -> dict[str, Any]:
    """What the page's script draws: for each table points of the legs, footfalls and angles, row by row."""
    legs, shown = Legs(robot), []
    for key, name in TABLES.items():
        rows = getattr(reference, key)
        if rows is None or (key.startswith("gallop") and np.array_equal(rows, reference.trot_table)):
            continue
        points = np.array([legs.points(row) for row in rows])
        shown.append(
            {
                "name": name,
                "points": np.round(points, 4).tolist(),
                "ground": on_ground(rows, legs).astype(int).tolist(),
                "angles": np.round(rows, 4).tolist(),
            }
        )
    return {
        "legs": [name.replace("_", " ") for name in robot.leg_names],
        "joints": list(robot.joint_labels),
        "colours": [theme.COLOURS[i % len(theme.COLOURS)] for i in range(len(robot.leg_names))],
        "frequency": reference.frequency,
        "tables": shown,
    }


def player(content: dict[str, Any]) -> str:
    """The part of the page that moves."""
    data = page.embedded(content)
    choices = "".join(f'<option value="{i}">{escape(one["name"])}</option>' for i, one in enumerate(content["tables"]))
    return (
        '<section class="gait"><div class="controls"><button type="button" aria-label="play or pause">❚❚</button>'
        f'<select class="table" aria-label="table">{choices}</select>'
        '<input type="range" min="0" max="999" value="0" aria-label="phase"><output></output>'
        '<select class="speed" aria-label="speed"><option value="0.1">⅒ ×</option>'
        '<option value="0.25" selected>¼ ×</option><option value="1">1 ×</option></select>'
        '<label><input type="checkbox" class="back"> backwards</label></div>'
        '<div class="views"><figure><canvas class="side"></canvas><figcaption>From the right; '
        'forward is right</figcaption></figure><figure><canvas class="top"></canvas><figcaption>From above; forward is '
        'right, left is up</figcaption></figure></div><h2>Feet on the ground</h2><canvas class="falls"></canvas>'
        '<h2>Joint angles (rad)</h2><canvas class="angles"></canvas>'
        f'<script type="application/json" class="scene">{data}</script>'
        f"<script>{page.bundle(SCRIPT)}</script></section>"
    )
