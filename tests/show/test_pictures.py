"""Text in every picture has a contrast of 4.5:1 to what lies behind it, on light and dark pages alike."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image
from run_folders import a_run
from test_curves import contrast

from walkies.lab import ablation_report
from walkies.robots import get_robot
from walkies.show import replay
from walkies.show.pictures import curves, gait, rehearsal, robot, theme

TEXT = 4.5
"""Least contrast of text (WCAG 2.1, 1.4.3)."""
MARGIN = 0.02
"""Pictures are of 8 bits per colour."""
DOCS = Path(__file__).parents[2] / "docs"


def contrasts(made):
    """text → contrast to the middle colour of its box, for every text in a figure that can be seen."""
    made.canvas.draw()
    renderer = made.canvas.get_renderer()
    seen = [one for one in made.findobj(Text) if one.get_text().strip() and one.get_visible()]
    boxes = [one.get_window_extent(renderer) for one in seen]
    for one in seen:
        one.set_alpha(0.0)
    made.canvas.draw()
    pixels = np.asarray(made.canvas.buffer_rgba())
    height, width = pixels.shape[:2]
    found = {}
    for one, box in zip(seen, boxes, strict=True):
        x, y = (
            slice(max(0, int(box.x0)), int(box.x1) + 1),
            slice(max(0, int(height - box.y1)), int(height - box.y0) + 1),
        )
        behind = pixels[y, x].reshape(-1, 4)
        if box.x1 < width and box.y1 < height and len(behind):
            red, green, blue, alpha = np.median(behind, axis=0) / 255
            # A transparent picture lies on the page of whoever reads it: the worse of a light and a dark one.
            pages = [alpha * np.array([red, green, blue]) + (1 - alpha) * np.array(to_rgb(page))
                     for page in (theme.LIGHT_PAGE, theme.DARK_PAGE)]  # fmt: skip
            found[one.get_text()] = min(contrast(to_rgb(one.get_color()), page) for page in pages)
    return found


def cell(survival, error):
    return {"survival": {"value": survival}, "lin_vel_error": {"value": error}}


def sweeps():
    cells = [cell(share, 0.3 * (1 - share)) for share in np.linspace(0.4, 1.0, 7)]
    return {"axes": [{"label": "slope", "shown": [f"{i}°" for i in range(7)], "cells": cells, "base": 3}]}


def grid():
    axes = [{"label": name, "shown": ["a", "b"]} for name in ("friction", "latency", "payload", "pushes")]
    return {"axes": axes, "cells": [cell(share, 0.1) for share in np.linspace(0.5, 1.0, 16)]}


def ablation():
    rows = [
        {"setting": f"set {i}", "survival": {"slope": {"mean": share}}, "all": {"mean": share}}
        for i, share in enumerate(np.linspace(0.5, 1.0, 8))
    ]
    return {"rows": rows, "labels": {"slope": "slope"}}


def motion():
    steps = np.linspace(0.0, 1.0, 50)
    return replay.Trajectory(
        robot="pupper", timestep=0.02, qpos=np.zeros((50, 19)), command=np.tile(steps[:, None], 3),
        velocity=np.tile(steps[:, None], 3), contact=np.tile(steps[:, None] > 0.5, 4), torque=np.zeros((50, 12)),
    )  # fmt: skip


PICTURES = {
    "curves": lambda folder: curves.draw_runs(
        {"a": [a_run(folder / "a")], "b": [a_run(folder / "b")]}, folder / "x.png"
    ),
    "gait": lambda folder: gait.draw(motion(), folder / "x.png"),
    "sweeps": lambda folder: rehearsal.draw_sweeps(sweeps(), folder / "x.png"),
    "grid": lambda folder: rehearsal.draw_grid(grid(), folder / "x.png"),
    "robot": lambda folder: robot.draw(get_robot("go"), folder / "x.png"),
    "ablation": lambda folder: ablation_report.draw(ablation(), folder / "x.png"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_text_is_readable_on_light_and_dark_pages(name, tmp_path, monkeypatch):
    figures = []
    save = theme.save
    monkeypatch.setattr(theme, "save", lambda made, path: (save(made, path), figures.append(contrasts(made)))[0])
    PICTURES[name](tmp_path)
    [found] = figures
    assert len(found) > 5
    assert {text: ratio for text, ratio in found.items() if ratio < TEXT - MARGIN} == {}
    assert np.asarray(Image.open(tmp_path / "x.png").convert("RGBA"))[..., 3].min() == 255


def test_the_measure_finds_what_is_hard_to_read():
    """The control: grey text, text on a transparent page, white on vermillion; and the ink that goes with that."""
    with theme.figure() as (made, axes):
        axes[0, 0].set_title("grey", color=theme.GREY)
        axes[0, 0].text(0.5, 0.5, "cell", color="white", bbox={"facecolor": theme.VERMILLION, "pad": 9})
        axes[0, 0].set_xlabel("label")
        found = contrasts(made)
        assert found["grey"] < TEXT and found["cell"] < TEXT < 15 < found["label"]
    with theme.figure() as (made, axes):
        made.patch.set_alpha(0.0)
        axes[0, 0].set_xlabel("label")
        assert contrasts(made)["label"] < TEXT
    for shade in (*theme.COLOURS, "white", "black"):
        assert contrast(to_rgb(theme.ink(shade)), to_rgb(shade)) >= TEXT
