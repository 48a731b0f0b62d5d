"""Pictures to files that people can play: mp4 and GIF, by ffmpeg."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np

GIF_COLOURS = 96
"""With GIF_FPS of `walkies.show.film`, a second of one robot takes about 0.25 MB."""


@contextmanager
def mp4(out: Path, size: tuple[int, int], fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that adds a picture (height, width, 3) uint8 to the mp4 file `out`."""
    pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-"]
    even = ["-vf", "scale=ceil(iw/2)*2:ceil(ih/2)*2"]  # half as many colours as pixels each way
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "23", "-preset", "veryfast", "-movflags", "+faststart"]
    with _ffmpeg(*pictures, *even, *coded, "-f", "mp4", str(out)) as write:
        yield lambda picture: write(np.ascontiguousarray(picture).data)


def gif(video: Path, out: Path, width: int, fps: float) -> None:
    """A small GIF of a video, with a palette made for it. It is not dithered: flickering dots make a GIF large."""
    palette = f"split[a][b];[a]palettegen=max_colors={GIF_COLOURS}[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
    filters = f"fps={fps},scale='min({width},iw)':-2:flags=lanczos,{palette}"
    with _ffmpeg("-i", str(video), "-vf", filters, "-f", "gif", str(out)):
        pass


@contextmanager
def _ffmpeg(*arguments: str) -> Iterator[Callable[[memoryview], Any]]:
    """Run ffmpeg; yield what writes to its stdin. The block's end waits for it; an error ends it at once.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments]
    with tempfile.TemporaryFile() as said:
        # In a group of its own: Ctrl-C in a terminal is for us, who end it.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said, process_group=0)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it has ended: its status tells why
                yield process.stdin.write
                process.stdin.close()
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
        if status:
            said.seek(0)
            raise RuntimeError(f"ffmpeg ended with status {status}: {said.read().decode(errors='replace').strip()}")
