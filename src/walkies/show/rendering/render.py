"""Recorded motions as pictures: each robot followed by a camera, with the command in words and velocities as gauges."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from walkies.later import mujoco
from walkies.robots import get_robot, load_model
from walkies.show import replay
from walkies.show.rendering.camera import Camera, View

SHADOW_REACH = 2.0
"""Half width of the shadow map in model extents; at 1 its edge lies within the picture and speckles the floor."""
CAMERA_SMOOTHING = 0.8
"""s over which the camera follows the robot."""
GAUGE_SMOOTHING = 0.4
"""s over which measured velocities are averaged: about one gait cycle."""
GAUGES = (("forward", 0.75), ("left", 0.5), ("turn", 2.0))
"""Name and full scale (m/s, m/s, rad/s) of the three gauges."""
PANEL, WORDS, RULE = (13, 17, 23, 190), (255, 255, 255, 255), (120, 130, 140, 255)
MEASURED, COMMANDED = (0, 158, 115, 255), (255, 190, 80, 255)
"""Colours of the overlay, red green blue alpha."""
SHADOW_SIZE, SAMPLES, SLICES = 2048, 4, 16
"""Coarser than a model's own, and no reflections: where there is no GPU this halves the time of a picture. With shadows
half as fine their edges are seen as teeth on the robot's front."""


class Pictures:
    """Pictures (height, width, 3) uint8 of motions side by side, all of them as long as the shortest.

    Iterating over it draws them; its length is known before.
    """

    def __init__(
        self,
        trajectories: list[replay.Trajectory],
        titles: list[str],
        fps: float,
        size: tuple[int, int],
        columns: int = 1,
    ) -> None:
        """size: (width, height) of the whole. Raises UserError for a motion of a robot that is unknown."""
        self._columns, self._rows = columns, -(-len(trajectories) // columns)
        self._tile = (size[0] // self._columns, size[1] // self._rows)
        self._models = {name: filmed_model(name, self._tile) for name in {one.robot for one in trajectories}}
        self._motions = [_Motion(one, title, fps) for one, title in zip(trajectories, titles, strict=True)]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of a whole picture, a multiple of a tile's."""
        return self._tile[0] * self._columns, self._tile[1] * self._rows

    def __len__(self) -> int:
        return min(len(motion.rows) for motion in self._motions)

    def __iter__(self) -> Generator[np.ndarray]:
        overlay = _Overlay(self._tile)
        (width, height), (whole_width, whole_height) = self._tile, self.size
        with ExitStack() as stack:
            drawn = {
                name: stack.enter_context(Camera(model, self._tile)).pictures(self._poses(name))
                for name, model in self._models.items()
            }
            for index in range(len(self)):
                picture = np.zeros((whole_height, whole_width, 3), np.uint8)
                for place, motion in enumerate(self._motions):
                    top, left = place // self._columns * height, place % self._columns * width
                    bare = next(drawn[motion.robot])
                    picture[top : top + height, left : left + width] = motion.labelled(overlay, bare, index)
                yield picture

    def _poses(self, robot: str) -> Iterator[tuple[np.ndarray, View]]:
        """What the camera of one robot is asked for, in the order in which pictures are put together."""
        shown = [motion for motion in self._motions if motion.robot == robot]
        return (motion.pose(index) for index in range(len(self)) for motion in shown)


def filmed_model(robot: str, size: tuple[int, int]) -> mujoco.MjModel:
    """The model of a robot by name, prepared to be drawn in pictures of `size`.

    Raises:
        UserError: no robot has that name.
    """
    model = load_model(get_robot(robot))
    quality = model.vis.quality
    quality.shadowsize, quality.offsamples = SHADOW_SIZE, SAMPLES
    quality.numslices, quality.numstacks = SLICES, SLICES // 2
    model.vis.map.shadowclip = SHADOW_REACH
    model.vis.global_.offwidth, model.vis.global_.offheight = size
    return model


class _Motion:
    """One motion: where it stands at each picture, seen by a camera that follows it, and its words and gauges."""

    def __init__(self, trajectory: replay.Trajectory, title: str, fps: float) -> None:
        self.trajectory, self.title, self.robot = trajectory, title, trajectory.robot
        self.rows = trajectory.at(fps)
        self.path = replay.smooth(trajectory.qpos[:, :2].astype(float), round(CAMERA_SMOOTHING / trajectory.timestep))
        self.measured = replay.smooth(trajectory.velocity.astype(float), round(GAUGE_SMOOTHING / trajectory.timestep))

    def pose(self, index: int) -> tuple[np.ndarray, View]:
        row = self.rows[index]
        return self.trajectory.qpos[row], following(self.path[row])

    def labelled(self, overlay: _Overlay, picture: np.ndarray, index: int) -> np.ndarray:
        row = self.rows[index]
        moving = self.trajectory
        speeds = (moving.command[row], self.measured[row]) if moving.clips is None else None
        return overlay.draw(picture, self.title, moving.words(row), speeds)


def following(centre: np.ndarray) -> View:
    """The usual view, with `centre` (x, y) in the middle."""
    return View((float(centre[0]), float(centre[1]), View().lookat[2]))


class _Overlay:
    """Words and gauges on a picture: the command in words, and each velocity as a bar with a mark at its command."""

    def __init__(self, size: tuple[int, int]) -> None:
        import matplotlib
        from PIL import ImageFont

        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self.unit = max(10, min(size[1] // 22, size[0] // 34))
        self.gauges = size[0] >= 480
        self.large = ImageFont.truetype(str(fonts / "DejaVuSans-Bold.ttf"), self.unit)
        self.small = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), max(9, round(self.unit * 0.65)))

    def draw(
        self, picture: np.ndarray, title: str, words: str, speeds: tuple[np.ndarray, np.ndarray] | None
    ) -> np.ndarray:
        """speeds: (3,) each, commanded and measured; None: no commands are followed."""
        from PIL import Image, ImageDraw

        image = Image.fromarray(picture)
        pen = ImageDraw.Draw(image, "RGBA")
        unit = self.unit
        self._label(pen, (unit, unit), words, self.large)
        if title:
            self._label(pen, (unit, round(2.7 * unit)), title, self.small)
        if self.gauges and speeds is not None:
            self._gauges(pen, image.height, *speeds)
        return np.asarray(image)

    def _label(self, pen: Any, corner: tuple[int, int], text: str, font: Any) -> None:
        left, top, right, bottom = pen.textbbox(corner, text, font=font)
        pad = self.unit // 3
        pen.rounded_rectangle((left - pad, top - pad, right + pad, bottom + pad), pad, fill=PANEL)
        pen.text(corner, text, font=font, fill=WORDS)

    def _gauges(self, pen: Any, height: int, command: np.ndarray, measured: np.ndarray) -> None:
        unit, width = self.unit, 8 * self.unit
        left, top = 4.2 * unit, height - 4.6 * unit
        box = (unit * 0.6, top - unit * 0.5, left + width + unit * 0.6, height - unit * 0.6)
        pen.rounded_rectangle(box, unit // 3, fill=PANEL)
        middle = left + width / 2
        for place, (name, scale) in enumerate(GAUGES):
            y = top + unit * (0.1 + 1.25 * place)
            pen.text((unit, y), name, font=self.small, fill=WORDS)
            centre = y + unit * 0.45
            pen.line((left, centre, left + width, centre), fill=RULE, width=1)
            # Leftward and anticlockwise are positive; both are drawn to the left, as seen from behind the robot.
            sign = 1.0 if name == "forward" else -1.0
            reach = [middle + sign * np.clip(value[place] / scale, -1, 1) * width / 2 for value in (measured, command)]
            start, end = sorted((middle, reach[0]))
            pen.rectangle((start, centre - unit * 0.22, end, centre + unit * 0.22), fill=MEASURED)
            pen.rectangle((reach[1] - 2, centre - unit * 0.5, reach[1] + 2, centre + unit * 0.5), fill=COMMANDED)
