"""A drawing process: what it draws, how it fails, and that it never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mujoco
import numpy as np
import pytest

from walkies.errors import UserError
from walkies.show.rendering import camera, gl
from walkies.show.rendering.camera import Camera, View

MODEL = """
<mujoco><visual><global offwidth="48" offheight="32"/></visual>
<worldbody><light pos="0 0 3"/><body><joint type="slide" axis="0 1 0"/><geom size="0.1"/></body></worldbody></mujoco>
"""
SIZE = (48, 32)
FROM_FRONT = View(distance=1.0, azimuth=180.0, elevation=0.0)


@pytest.fixture(scope="module")
def ball() -> mujoco.MjModel:
    """A ball that slides to and fro before the camera."""
    return mujoco.MjModel.from_xml_string(MODEL)


def test_pictures_come_in_the_order_of_their_poses_or_the_error_says_what_to_do(ball):
    try:
        camera = Camera(ball, SIZE)
    except UserError as error:
        assert gl.advice() in str(error)
        return
    places = np.array([-0.3, 0.3, 0.0, 0.3])
    with camera:
        pictures = np.stack(list(camera.pictures((place[None], FROM_FRONT) for place in places)))
        assert pictures.shape == (4, 32, 48, 3) and pictures.dtype == np.uint8
        columns = np.arange(48) @ pictures.sum(axis=(1, 3), dtype=float).T / pictures.sum(axis=(1, 2, 3))
        # Seen against its x axis, the world's y axis points to the right.
        assert columns == pytest.approx(23.5 + places * (columns[1] - columns[0]) / 0.6, abs=1.0)
        assert columns[1] - columns[0] > 10
        [near], [far] = (list(camera.pictures([(places[:1] * 0, FROM_FRONT._replace(distance=d))])) for d in (0.5, 2.0))
        assert (near > 0).sum() > 4 * (far > 0).sum() > 0


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch):
    """Starts another program in the place of the drawing process, under two libraries."""
    monkeypatch.setattr(gl, "gl_libraries", lambda: ["one", "other"])

    def install(program: str) -> None:
        monkeypatch.setattr(camera.child, "python", lambda *arguments: [sys.executable, "-c", program])

    return install


FAILURES = {
    "missing": (
        f"import sys; print('ImportError: no library', file=sys.stderr); sys.exit({camera.NO_GL})",
        "ImportError",
    ),
    "crashing": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "hanging": ("import time; time.sleep(60)", "SIGKILL"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_every_library_is_tried_before_the_error_says_what_to_do(how, instead, ball):
    program, reason = FAILURES[how]
    instead(program)
    with pytest.raises(UserError) as told:
        Camera(ball, SIZE, patience=0.5 if how == "hanging" else 60.0)
    assert f"one: {reason}" in str(told.value) and f"other: {reason}" in str(told.value)
    assert gl.GL_PACKAGES in str(told.value)


def test_any_other_failure_is_told_as_what_it_is(instead, ball):
    instead("1 / 0")
    with pytest.raises(RuntimeError, match="ZeroDivisionError") as told:
        Camera(ball, SIZE)
    assert gl.GL_PACKAGES not in str(told.value)


def test_the_end_of_the_process_in_the_midst_of_a_film_is_told(instead, ball):
    instead("import sys; sys.stdout.write('r'); sys.stdout.flush(); sys.stdin.read(100); sys.exit('out of memory')")
    with Camera(ball, SIZE) as drawing, pytest.raises(RuntimeError, match=r"status 1:\nout of memory"):
        list(drawing.pictures([(np.zeros(1), View())] * 3))


OWNER = """
import subprocess, sys, time
from walkies.show.rendering import camera
drawing = camera._Process("egl")._process
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(drawing.pid, other.pid, flush=True)
time.sleep(60)
"""


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_killed_owner_leaves_no_drawing_process():
    """Beside it a process of another kind, which does outlive its parent."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        drawing, other = map(int, owner.stdout.readline().split())
        assert running(drawing) and running(other)
        owner.kill()
    deadline = time.monotonic() + 30.0
    while running(drawing) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = running(drawing), running(other)
    os.kill(other, signal.SIGKILL)
    assert left == (False, True)
