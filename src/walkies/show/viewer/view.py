"""viser without its own server: its page, the scene as it changes, and clicks into it.

viser accepts any connection and executes its messages. Here it does not listen: it only keeps the scene, and our own
server, which checks requests, passes it on in viser's own thread. Of the messages from a page only clicks are read, and
none of viser's handlers is ever called.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import threading
from pathlib import Path
from typing import Literal

import msgspec
import viser
from viser.infra._infra import _message_producer
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from walkies.show.viewer.request import Ray, Request, numbers

PROTOCOL = f"viser-v{viser.__version__}"
"""The WebSocket subprotocol by which viser's page knows its own version."""
THREAD = "walkies-view"


class View(viser.ViserServer):
    """viser's scene, that listens nowhere, never opens a tunnel to the outside, and prints nothing."""

    def __init__(self) -> None:
        before = set(threading.enumerate())
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(host=(), port=0, verbose=False)  # type: ignore[arg-type]  # no address at all
        for thread in set(threading.enumerate()) - before:
            thread.name = THREAD
        self._numbers = itertools.count()

    def stop(self) -> None:
        """End."""
        with contextlib.redirect_stdout(io.StringIO()):
            super().stop()

    def request_share_url(self, verbose: bool = True) -> None:
        """A public address; there is none."""
        return None

    def ask_for_clicks(self) -> None:
        """Have pages send the clicks into the scene, which `click` reads."""
        self.scene.on_click()(lambda event: None)

    async def send_scene(self, page: ServerConnection) -> None:
        """Send a page the scene and whatever changes in it, until it is closed; in this server's event loop.

        A page that is slow gets the latest of everything, not all of it.
        """
        server = self._websock_server
        with contextlib.suppress(ConnectionClosed):
            await _message_producer(
                page, server.get_message_buffer(), next(self._numbers), server._backlog_done_message
            )


class _Click(msgspec.Struct, tag_field="type", tag="ScenePointerMessage"):
    """viser's message of this name, as far as it is read."""

    event_type: Literal["click"]
    ray_origin: tuple[float, float, float]
    ray_direction: tuple[float, float, float]


def click(message: str | bytes) -> Request | None:
    """What viser's page asks for: a click, or None for any other message, well-formed or not."""
    if isinstance(message, str):
        return None
    try:
        found = msgspec.msgpack.decode(message, type=_Click)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    origin, direction = numbers(found.ray_origin, 3), numbers(found.ray_direction, 3)
    return Request(click=Ray(origin, direction)) if origin and direction and any(direction) else None


def front_page(nonce: str) -> bytes:
    """viser's page, which runs under a Content-Security-Policy that lets scripts with this nonce run.

    Raises:
        RuntimeError: the installed viser's page is put together in another way.
    """
    page = _built_page()
    for old, new in ((LOADER, f'<script nonce="{nonce}" data-p='), (UNPACKED, f'e.nonce="{nonce}";{UNPACKED}')):
        if page.count(old) != 1:
            raise RuntimeError(f"viser {viser.__version__}: expected {old!r} once in its page, got {page.count(old)}")
        page = page.replace(old, new)
    return page.encode()


LOADER, UNPACKED = "<script data-p=", 'e.type="module";'
"""Where viser's page begins its script, and where that adds the one which it has unpacked
(viser/client/vite-plugin-compress-html.mts)."""


@functools.cache
def _built_page() -> str:
    return (Path(viser.__file__).parent / "client" / "build" / "index.html").read_text(encoding="utf-8")
