"""Verdicts on made-up tables, and what fallen robots have in common."""

from dataclasses import replace

import numpy as np
import pytest

from walkies.judge.rehearsal import report
from walkies.judge.rehearsal.cells import Row
from walkies.judge.rehearsal.conditions import AXES, BASE, BOXES, Axis, Box

FRICTION = Axis("friction", "friction", ("friction",), (0.2, 0.35, 0.8, 1.2), "μ = {:g}")
DELAY = Axis("command-delay", "latency", ("command_delay",), (8 / 520, 0.045, 0.06), "{:g} ms", 1000.0)


def rows(fallen, n=20, error=0.05):
    return [Row(i, "tilt" if i < fallen else "", 3.0, error, 0.1, 12.0) for i in range(n)]


def cells(*fallen, errors=None):
    return [report.summarize(rows(f, error=e)) for f, e in zip(fallen, errors or [0.05] * len(fallen), strict=True)]


@pytest.mark.parametrize(
    ("axis", "fallen", "errors", "expected"),
    [
        (FRICTION, (9, 1, 0, 0), None, "friction: holds down to μ = 0.35, falls at μ = 0.2 (9 of 20)"),
        (DELAY, (0, 2, 15), None, "latency: holds up to 45 ms, falls at 60 ms (15 of 20)"),
        (FRICTION, (0, 0, 0, 0), None, "friction: holds from μ = 0.2 to μ = 1.2, all that was tried"),
        (FRICTION, (0, 0, 9, 0), None, "friction: falls already at μ = 0.8, the usual conditions"),
        (
            FRICTION,
            (9, 0, 0, 8),
            None,
            "friction: holds down to μ = 0.35, falls at μ = 0.2 (9 of 20); falls at μ = 1.2 (8 of 20)",
        ),
        (
            DELAY,
            (0, 0, 0),
            (0.05, 0.1, 0.2),
            "latency: holds from 15.4 ms to 60 ms, all that was tried; "
            "but misses commands by more than 0.15 m/s from 60 ms on",
        ),
        (
            DELAY,
            (0, 0, 9),
            (0.2, 0.1, 0.2),
            "latency: holds up to 45 ms, falls at 60 ms (9 of 20); "
            "but misses commands by more than 0.15 m/s even as usual",
        ),
    ],
)
def test_verdicts(axis, fallen, errors, expected):
    assert report.verdict(axis, cells(*fallen, errors=errors)) == expected


def test_a_hole_on_the_way_ends_what_holds():
    """Survival beyond a fall is luck: 0.2 stands, 0.35 does not, so 0.8 is as far down as one may go."""
    assert report.verdict(FRICTION, cells(0, 9, 0, 0)) == "friction: falls at μ = 0.35 (9 of 20)"


def test_fallen_robots_have_in_common_what_felled_them():
    box = Box("made up", "made up", 0.9, {"friction": (0.0, 1.0), "payload": (0.0, 1.0)})
    conditions = [box.draw(seed) for seed in range(300)]
    slippery = [Row(i, "tilt" if c.friction < 0.1 else "", 1.0, 0.1, 0.1, 9.0) for i, c in enumerate(conditions)]
    told = report.in_common(box, conditions, slippery)
    assert len(told) == 1 and told[0].startswith("friction 0.0")
    at_random = [Row(i, "tilt" if i % 10 == 0 else "", 1.0, 0.1, 0.1, 9.0) for i in range(300)]
    assert report.in_common(box, conditions, at_random) == []
    assert report.in_common(box, conditions, [row._replace(cause="") for row in slippery]) == []


@pytest.mark.parametrize(("fallen", "passed"), [(5, True), (6, False)])
def test_a_box_is_passed_at_what_it_asks_for(fallen, passed):
    box = BOXES["harsh"]
    conditions = [box.draw(i) for i in range(100)]
    data = {
        "robots": 100, "seconds": 20.0, "seeds": [0, 99],
        **report.box_report(box, conditions, rows(fallen, 100)),
    }  # fmt: skip
    assert data["passed"] is passed and len(data["falls"]) == fallen
    text = report.box_markdown(data)
    assert ("PASSED" in text) is passed and f"Survival {100 - fallen}% (" in text
    assert text.count("| tilt |") == fallen


def test_sweeps_in_words():
    data = {
        "robots": 20, "seconds": 10.0, "seeds": [0, 19],
        **report.sweeps({"friction": cells(9, 1, 0, 0), "command-delay": cells(0, 2, 15)}, [FRICTION, DELAY]),
    }  # fmt: skip
    text = report.sweeps_markdown(data)
    assert (
        "- friction: holds down to μ = 0.35" in text and "| **μ = 0.8** | 100% (84% … 100%) | 0.050 ± 0.000 |" in text
    )
    assert "| 60 ms | 25% (" in text and "| 60 ms | 100% (" not in text


def test_every_axis_passes_through_the_base():
    names = [axis.name for axis in AXES]
    assert len(set(names)) == len(names)
    for axis in AXES:
        assert list(axis.values) == sorted(axis.values) and axis.at(axis.values[axis.base]) == BASE
        assert len({axis.show(value) for value in axis.values}) == len(axis.values)
        for value in axis.values:
            changed = {f for f in BASE.__dataclass_fields__ if getattr(axis.at(value), f) != getattr(BASE, f)}
            assert changed <= set(axis.fields)
    with pytest.raises(ValueError, match="not in tuple"):
        _ = replace(FRICTION, values=(0.1, 0.2)).base


def test_boxes_are_drawn_uniformly_within_their_ranges():
    for box in BOXES.values():
        drawn = [box.draw(seed) for seed in range(400)]
        drawn_alike = all(low == high for low, high in box.ranges.values())
        assert box.draw(7) == box.draw(7) and (box.draw(7) == box.draw(8)) == drawn_alike
        for name, (low, high) in box.ranges.items():
            values = np.array([getattr(condition, name) for condition in drawn])
            assert np.all((values >= low) & (values <= high))
            assert values.mean() == pytest.approx((low + high) / 2, abs=0.1 * (high - low) + 1e-12)
        others = set(BASE.__dataclass_fields__) - set(box.ranges)
        assert all(getattr(condition, name) == getattr(BASE, name) for condition in drawn for name in others)
