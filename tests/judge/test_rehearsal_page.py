"""The page on rehearsals says what the code does: sweeps, boxes, and what training has of them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from walkies.judge.rehearsal.conditions import AXES, BASE, BOXES, GRID
from walkies.judge.rehearsal.rehearse import BOX, FULL_GRID, SWEEP
from walkies.judge.rehearsal.report import HOLDS
from walkies.tasks.randomization import COURSE, WALKIES, Randomization

PAGE = (Path(__file__).parents[2] / "docs" / "rehearsal.md").read_text(encoding="utf-8")


def sweeps(page):
    """Rows of the first table: names of sweeps, and what training has of them."""
    rows = re.findall(r"^\| (`[^|]+) \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    return {tuple(re.findall(r"`([\w-]+)`", names)): told.strip() for names, told in rows}


def told(trained: Randomization) -> dict[tuple[str, ...], str]:
    """What training has, in the page's words."""

    def span(bounds, factor=1.0):
        return "–".join(f"{round(factor * end, 2):g}".replace("-", "−") for end in (bounds.low, bounds.high))

    body, contact, motor, latency, sensing = (
        trained.body, trained.contact, trained.motor, trained.latency, trained.sensing,
    )  # fmt: skip
    degrees = 180 / np.pi
    noise = sensing.gyro_noise.high / COURSE.sensing.gyro_noise.high
    return {
        ("friction",): f"μ {span(contact.friction)}",
        ("command-delay", "imu-delay"): f"{span(latency.command_delay, 1e3)} and {span(latency.imu_delay, 1e3)} ms",
        ("payload", "com"): f"{span(body.payload)} kg; {span(body.com_x, 1e3)} mm",
        ("push", "force"): f"kicks of {span(trained.pushes.kick_speed)} m/s",
        ("slope",): f"{contact.slope.low:g}–{degrees * contact.slope.high:.1f}°",
        ("servo", "leg"): f"×{span(motor.kp)}; each motor ×{span(motor.strength)}",
        ("noise", "imu-tilt", "encoder"): f"noise ×{noise:g}; ±{degrees * sensing.imu_tilt.high:.2g}°; "
        f"±{sensing.encoder_bias.high:g} rad, in the reading",
        ("rate",): "50 actions a second",
    }


def test_every_sweep_is_in_the_table_and_no_other():
    assert [name for names in sweeps(PAGE) for name in names] == [axis.name for axis in AXES]


def test_what_training_has_is_what_the_default_set_has():
    found = {names: text for names, text in sweeps(PAGE).items() if text}
    assert found == told(WALKIES)
    assert WALKIES.pushes.force.off and WALKIES.contact.softness.fixed, "and what is empty is not trained"
    steeper = replace(WALKIES, contact=replace(WALKIES.contact, slope=replace(WALKIES.contact.slope, high=0.2)))
    assert found != told(steeper), "another set would be noticed"


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_as_the_page_has_them(name):
    """Every range of a box stands in its column, and what the page calls usual is."""
    box = BOXES[name]
    table = re.search(r"^\| \| course.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)[0]
    place = 2 + list(BOXES).index(name)
    column = " ".join(row.split("|")[place] for row in table.strip().splitlines())
    scale = {"command_delay": 1e3, "imu_delay": 1e3, "com_x": 1e3, "com_y": 1e3, "slope": 180 / np.pi}
    words = {"com_x": "−20 … +30 mm", "com_y": "±5 mm", "push_rate": "two a second"}
    for field, ends in box.ranges.items():
        low, high = (round(scale.get(field, 1.0) * end, 6) for end in ends)
        expected = words.get(field, f"{low:g}" if low == high else f"{low:g}–{high:g}")
        expected = f"`{field}` 1" if field in ("elliptic", "twisting") else expected
        assert expected in column, (field, expected)
    assert f"{box.required:.0%} must survive" in table or f"≥ {box.required:.0%}" in table
    assert ("one a second" in column) == (BASE.push_rate == box.ranges.get("push_rate", (BASE.push_rate,))[0])


def test_numbers_of_the_page():
    text = " ".join(PAGE.split())
    assert f"the same {SWEEP.robots} robots" in text and HOLDS == 0.9 and "nine robots of ten" in text
    assert f"survive {SWEEP.seconds:g} s" in text and f"walks {BOX.seconds:g} s" in text
    assert f"{BOX.robots} robots drawn from a box" in text
    assert f"{1e3 * BASE.command_delay:.1f} ms in a queue" in text and f"{1e3 * BASE.imu_delay:.1f} ms late" in text
    cells = np.prod([len(axis.values) for axis in GRID])
    assert f"{cells} cells of {FULL_GRID.robots} robots" in text
