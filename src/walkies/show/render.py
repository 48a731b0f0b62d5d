"""Recorded motions to a video, without a screen. Run as a program: `python -m walkies.show.render JOB.npz …`.

MuJoCo chooses its GL library once, when it is imported, and a broken driver can end the process; so rendering has a
process of its own (`walkies.show.film` starts it), whose environment names the library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import mujoco
import numpy as np
import tyro

from walkies.robots import get_robot, load_model
from walkies.show import replay

NO_GL = 3
"""Exit status where there is no GL library to render with."""
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


class View(NamedTuple):
    """Where the camera stands relative to the robot."""

    distance: float = 0.85
    azimuth: float = 140.0
    elevation: float = -18.0


def frames(
    trajectories: list[replay.Trajectory], titles: list[str], fps: float, size: tuple[int, int], columns: int = 1
) -> Iterator[np.ndarray]:
    """Pictures (height, width, 3) uint8 of the motions side by side, all of them as long as the shortest."""
    rows = -(-len(trajectories) // columns)
    tile = (size[0] // columns, size[1] // rows)
    stages = {name: _Stage(name, tile) for name in {trajectory.robot for trajectory in trajectories}}
    overlay = _Overlay(tile)
    cameras = [
        _Tile(stages[trajectory.robot], overlay, trajectory, title, fps)
        for trajectory, title in zip(trajectories, titles, strict=True)
    ]
    for index in range(min(len(camera.rows) for camera in cameras)):
        picture = np.zeros((tile[1] * rows, tile[0] * columns, 3), np.uint8)
        for place, camera in enumerate(cameras):
            top, left = place // columns * tile[1], place % columns * tile[0]
            picture[top : top + tile[1], left : left + tile[0]] = camera.picture(index)
        yield picture


class _Stage:
    """A robot to be posed, and its renderer; one serves every tile that shows this robot."""

    def __init__(self, robot: str, size: tuple[int, int]) -> None:
        model = load_model(get_robot(robot))
        quality = model.vis.quality
        quality.shadowsize, quality.offsamples = SHADOW_SIZE, SAMPLES
        quality.numslices, quality.numstacks = SLICES, SLICES // 2
        model.vis.map.shadowclip = SHADOW_REACH
        model.vis.global_.offwidth, model.vis.global_.offheight = size
        self.model, self.data = model, mujoco.MjData(model)
        self.renderer = mujoco.Renderer(model, size[1], size[0])
        self.camera = mujoco.MjvCamera()
        self.camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self.camera.distance, self.camera.azimuth, self.camera.elevation = View()

    def picture(self, qpos: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """The robot in configuration `qpos`, seen with `centre` (x, y) in the middle."""
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.camera.lookat[:] = [*centre, 0.1]
        self.renderer.update_scene(self.data, self.camera)
        self.renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return self.renderer.render()


class _Tile:
    """One motion, seen by a camera that follows it, with its words and gauges."""

    def __init__(self, stage: _Stage, overlay: _Overlay, trajectory: replay.Trajectory, title: str, fps: float) -> None:
        self.stage, self.overlay, self.trajectory, self.title = stage, overlay, trajectory, title
        self.rows = trajectory.at(fps)
        self.path = replay.smooth(trajectory.qpos[:, :2].astype(float), round(CAMERA_SMOOTHING / trajectory.timestep))
        self.measured = replay.smooth(trajectory.velocity.astype(float), round(GAUGE_SMOOTHING / trajectory.timestep))

    def picture(self, index: int) -> np.ndarray:
        row = self.rows[index]
        bare = self.stage.picture(self.trajectory.qpos[row], self.path[row])
        return self.overlay.draw(bare, self.title, self.trajectory.command[row], self.measured[row])


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

    def draw(self, picture: np.ndarray, title: str, command: np.ndarray, measured: np.ndarray) -> np.ndarray:
        from PIL import Image, ImageDraw

        image = Image.fromarray(picture)
        pen = ImageDraw.Draw(image, "RGBA")
        unit = self.unit
        self._label(pen, (unit, unit), replay.describe(command), self.large)
        if title:
            self._label(pen, (unit, round(2.7 * unit)), title, self.small)
        if self.gauges:
            self._gauges(pen, image.height, command, measured)
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


def main(
    jobs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path,
    titles: tuple[str, ...],
    fps: float = 25.0,
    size: tuple[int, int] = (960, 540),
    columns: int = 1,
) -> None:
    """Render the recorded motions `jobs` into the mp4 file `out`."""
    import imageio_ffmpeg

    pictures = frames([replay.load(job) for job in jobs], list(titles), fps, size, columns)
    try:
        first = next(pictures)
    except Exception as error:
        # What a missing or unusable GL library raises differs by library and version; the caller tries another one.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(NO_GL)
    writer = imageio_ffmpeg.write_frames(
        str(out),
        (first.shape[1], first.shape[0]),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        output_params=["-crf", "23", "-preset", "veryfast", "-movflags", "+faststart"],
        ffmpeg_log_level="error",
    )
    writer.send(None)
    writer.send(np.ascontiguousarray(first))
    for picture in pictures:
        writer.send(np.ascontiguousarray(picture))
    writer.close()


if __name__ == "__main__":
    tyro.cli(main)
