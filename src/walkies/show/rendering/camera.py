"""A camera: pictures of a MuJoCo model, drawn without a screen by a process of its own.

MuJoCo loads one GL library per process and keeps it, and a broken driver can end the process or hang in it. So a
`Camera` starts processes under one library after the other until one draws, and asks it for pictures through a pipe.
When the pipe closes, however the camera's owner came to its end, the drawing process ends too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

import numpy as np

from walkies import child
from walkies.errors import UserError
from walkies.later import mujoco
from walkies.show.rendering import gl

NO_GL = 3
"""Exit status of a drawing process that found no GL library to draw with."""
PATIENCE, END_TIMEOUT = 300.0, 5.0
"""s that a process may take to its first picture, and to its end. A driver that hangs counts as none."""
READY = b"r"
"""What a process says once it can draw."""
AHEAD = 1
"""Pictures asked for before the one before them is taken, so that drawing overlaps with what is done with pictures."""


class View(NamedTuple):
    """From where the camera looks at what."""

    lookat: tuple[float, float, float] = (0.0, 0.0, 0.1)
    """m, world frame."""
    distance: float = 0.85
    """m"""
    azimuth: float = 140.0
    """°"""
    elevation: float = -18.0
    """°"""


class Camera:
    """Draws one model in pictures of one size. Use it as a context, or `close` it."""

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int], patience: float = PATIENCE) -> None:
        """size: (width, height) in pixels. patience: s that the first picture under one library may take.

        Raises:
            UserError: no GL library draws here; the message says what to do.
            RuntimeError: drawing failed for another reason; the message has what the process said.
        """
        self.size = size
        failures = []
        for library in gl.gl_libraries():
            process = _Process(library)
            if process.begin(_scene(model, size), patience):
                self.library, self._process = library, process
                return
            status, said = process.end()
            if status >= 0 and status != NO_GL:
                raise RuntimeError(f"the drawing process failed:\n{said}")
            # Where there is no library, what is raised differs by library and version; a driver that crashes is silent.
            failures.append(f"{library}: {said.splitlines()[-1] if said else signal.Signals(-status).name}")
        raise UserError(
            "no GL library draws here without a screen, so there is no picture:\n"
            + "".join(f"  {failure}\n" for failure in failures)
            + f"What to do: {gl.advice()}"
        )

    def pictures(self, poses: Iterable[tuple[np.ndarray, View]]) -> Iterator[np.ndarray]:
        """A picture (height, width, 3) uint8 of each configuration (nq,), seen as its view says.

        Take all of them before asking for others.

        Raises:
            RuntimeError: the drawing process has ended.
        """
        waiting = 0
        for qpos, view in poses:
            self._process.write(np.concatenate([qpos, view.lookat, view[1:]]).astype("<f8").tobytes())
            waiting += 1
            if waiting > AHEAD:
                yield self._take()
                waiting -= 1
        for _ in range(waiting):
            yield self._take()

    def _take(self) -> np.ndarray:
        width, height = self.size
        pixels = self._process.read(height * width * 3)
        if len(pixels) < height * width * 3:
            status, said = self._process.end()
            raise RuntimeError(f"the drawing process ended in the midst of it, with status {status}:\n{said}")
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    def close(self) -> None:
        """End the drawing process."""
        self._process.end()

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Process:
    """A drawing process, from the outside. What it says on stderr goes into a file that has no name."""

    def __init__(self, library: str) -> None:
        environment = child.environment(MUJOCO_GL=library)
        environment.pop("PYOPENGL_PLATFORM", None)  # must agree with MUJOCO_GL, or be left out
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        self._process = subprocess.Popen(
            child.python("-m", "walkies.show.rendering.camera"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
        )

    def begin(self, scene: bytes, patience: float) -> bool:
        """Whether the process draws `scene` in time."""
        watch = threading.Timer(patience, self._process.kill)
        watch.start()
        self.write(scene)
        ready = self.read(len(READY)) == READY
        watch.cancel()
        return ready

    def write(self, content: bytes) -> None:
        """Send `content`. That the process has ended is seen when it is read from."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(content)
            self._process.stdin.flush()

    def read(self, count: int) -> bytes:
        """So many bytes; fewer where the process has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.read(count)

    def end(self) -> tuple[int, str]:
        """End the process, and give its exit status and what it said. To end it again changes nothing."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        try:
            status = self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if self._said.closed:
            return status, ""
        with self._said as said:
            said.seek(0)
            return status, said.read().decode(errors="replace").strip()


def _scene(model: mujoco.MjModel, size: tuple[int, int]) -> bytes:
    """What a drawing process is told first: sizes, then the model as MuJoCo writes it."""
    content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    return np.array([*size, content.size], "<i8").tobytes() + content.tobytes()


def serve() -> None:
    """Be the drawing process: a scene and then poses come in by stdin, pictures go out by stdout, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the owner decides
    orders, pictures = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a driver prints is no picture
    width, height, count = np.frombuffer(orders.read(3 * 8), "<i8").tolist()
    model = mujoco.MjModel.from_binary_path("scene.mjb", {"scene.mjb": orders.read(count)})
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    try:
        renderer = mujoco.Renderer(model, height, width)
        renderer.update_scene(data)
        renderer.render()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(NO_GL)
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    with suppress(BrokenPipeError):
        pictures.write(READY)
        pictures.flush()
        length = (model.nq + len(View().lookat) + len(View()) - 1) * 8
        while len(order := orders.read(length)) == length:
            data.qpos[:], camera.lookat[:], view = np.split(np.frombuffer(order, "<f8"), [model.nq, model.nq + 3])
            camera.distance, camera.azimuth, camera.elevation = view
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_camlight(model, data)
            renderer.update_scene(data, camera)
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            pictures.write(renderer.render())
            pictures.flush()


if __name__ == "__main__":
    serve()
