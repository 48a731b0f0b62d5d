"""A page in a real browser, a program that serves it, and another pair of eyes on what its robot does."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

HERE = Path(__file__).parent
POLICY = HERE / "walker.json"
ROOT = HERE.parents[1]
NAME = "<img src=x onerror=alert(1)>"
"""Of the run that is played: whatever a person calls it is text."""
PICTURES = ROOT / "build" / "browser"
"""Screenshots are left here; a copy of some goes into docs/pictures with WALKIES_PICTURES=1."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    *("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--disable-gpu-rasterization", "--disable-accelerated-2d-canvas", "--disable-gpu-compositing"),
]
"""3-D is drawn in software, and the rest of the page not by way of it: that would be slower still."""
DRAWN = 180.0
"""s within which the 3-D view must have drawn its first picture."""


ROWS_PER_SECOND = 52
"""Of the robot's time: the controller acts every tenth tick of 520 a second."""


def browser_path() -> str:
    """Where Chromium is.

    Raises:
        RuntimeError: there is none; the message says how to get it.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError(
            f"none of {', '.join(BROWSERS)} is on the PATH. On Debian or Ubuntu: apt-get install chromium"
        )
    return found


class Page:
    """A page of the browser that remembers what went wrong on it."""

    def __init__(self, browser: Any, scheme: str = "light", size: tuple[int, int] = (1280, 800)) -> None:
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        self.page.set_default_timeout(1000 * DRAWN)
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"{request.url}: {request.failure}"))

    def _heard(self, message: Any) -> None:
        # Chromium itself remarks on drawing in software; that is none of the page's errors.
        if message.type == "error" and "GL Driver Message" not in message.text:
            self.complaints.append(message.text)

    def picture(self, name: str, docs: bool = False) -> None:
        """Leave a screenshot."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        for_docs = docs and os.environ.get("WALKIES_PICTURES")
        if for_docs:
            self.page.wait_for_timeout(12_000)  # a view drawn in software lights its ground late
        self.page.screenshot(path=PICTURES / f"{name}.png")
        if for_docs:
            shutil.copy(PICTURES / f"{name}.png", ROOT / "docs" / "pictures" / f"{name}.png")

    def view(self) -> tuple[int, str]:
        """What the 3-D view shows, made small: how many colours, and all its pixels as text."""
        script = """() => {
            const canvases = [...document.querySelectorAll("canvas")];
            const size = (canvas) => canvas.width * canvas.height;
            const source = canvases.sort((a, b) => size(b) - size(a))[0];
            if (!source || !size(source)) return [0, ""];
            const small = Object.assign(document.createElement("canvas"), { width: 96, height: 60 });
            const context = small.getContext("2d");
            context.drawImage(source, 0, 0, 96, 60);
            const pixels = new Uint32Array(context.getImageData(0, 0, 96, 60).data.buffer);
            return [new Set(pixels).size, pixels.join()];
        }"""
        self.page.wait_for_timeout(10)  # lets Playwright hear of new frames
        frame = next((frame for frame in self.page.frames if "/view/" in frame.url), None)
        if frame is None:
            return 0, ""
        count, pixels = frame.evaluate(script)
        return int(count), str(pixels)

    def colours(self, selector: str) -> int:
        """How many different colours a 2-D canvas shows: 1 where nothing is drawn."""
        script = """(canvas) => {
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return new Set(new Uint32Array(data.buffer)).size;
        }"""
        return int(self.page.eval_on_selector(selector, script))


def served(*arguments: str, folder: Path | None = None) -> tuple[subprocess.Popen[str], str]:
    """A walkies command that serves a page, called from a folder, and the page's address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "walkies", *arguments], stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    )
    assert process.stdout is not None
    address = ""
    for line in process.stdout:
        if "http://127.0.0.1:" in line:
            address = next(word for word in line.split() if word.startswith("http://"))
            break
    assert address, f"walkies {' '.join(arguments)} ended without a page"
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process, address


class Program:
    """A walkies command that serves a page, and another pair of eyes on what its robot does."""

    def __init__(self, *arguments: str) -> None:
        self.process, self.address = served(*arguments)
        self.rows: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.hello: dict[str, Any] = {}
        """What a new page is told."""
        self.records: list[dict[str, float]] = []
        self._socket = connect(self.address.replace("http", "ws") + "drive", max_size=None, proxy=None)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        try:
            for text in self._socket:
                message = json.loads(text)
                self.hello = message if "kind" in message else self.hello
                self.rows.extend(message.get("rows", []))
                self.state = message.get("state", self.state)
                if "record" in message:
                    self.records.append(message["record"])
        except ConnectionClosed:
            pass

    def say(self, **message: Any) -> None:
        """Do what a page does."""
        self._socket.send(json.dumps(message))

    def recent(self, seconds: float) -> list[dict[str, Any]]:
        """The rows of the last so many seconds of the robot's time."""
        newest = self.rows[-round(ROWS_PER_SECOND * seconds) :] or [{}]
        return [row for row in newest if row and row["t"] > newest[-1]["t"] - seconds]

    def stop(self) -> None:
        self._socket.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextmanager
def driven(browser: Any, program: Program) -> Iterator[Page]:
    """The page of `walkies play` without its 3-D view, which is too much for a test of every key where it is drawn in
    software; its robot lives."""
    opened = Page(browser)
    opened.page.goto(program.address + "?view=off")
    opened.page.wait_for_selector('body[data-kind="play"]')
    until(lambda: program.state.get("pace", 0) > 0, 20, "the robot lives")
    yield opened
    opened.page.close()


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for something to become true; its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
