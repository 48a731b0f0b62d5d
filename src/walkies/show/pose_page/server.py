"""The page's server: its files and one socket, on loopback alone, guarded as the viewer's pages are.

A page cannot be made to save from elsewhere: a request must name this machine as its host, and only the page itself may
open the socket (`access.refusal`), which is the one way in.
"""

from __future__ import annotations

import asyncio
import http
import logging
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from walkies.show.viewer.answers import MIME, admitted, answer, encode, path_of
from walkies.show.viewer.listener import Listener

STATIC = Path(__file__).with_name("static")
ICON = Path(__file__).parents[1] / "viewer" / "static" / "icon.svg"
FILES = {f"/{path.name}": path for path in (*STATIC.iterdir(), ICON)} | {"/": STATIC / "index.html"}
"""What is served, by its path; nothing else is."""
SOCKET = "/pose"
LARGEST_FRAME = 2**17
"""Bytes of a message; a socket that sends more is closed."""
MOST_SOCKETS = 16
"""That may be open at once."""
CLOSING = 1.0
"""s that a page has to say goodbye in."""


class PoseServer:
    """Tells every page `hello`, and answers each of its messages by `reply`, in one thread."""

    def __init__(
        self, hello: Callable[[], dict[str, Any]], reply: Callable[[str | bytes], dict[str, Any]], listener: Listener
    ) -> None:
        self.hello, self.reply, self.listener = hello, reply, listener
        self.ready = threading.Event()
        self._open = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    def run(self) -> None:
        """Serve until `stop` or Ctrl-C."""
        try:
            with suppress(KeyboardInterrupt):
                asyncio.run(self._serve())
        finally:
            self.listener.close()

    def stop(self) -> None:
        """End `run`, from another thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        quiet = logging.getLogger("walkies.pose")
        quiet.setLevel(logging.CRITICAL)  # what a stranger sends is no error
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            for one in self.listener.sockets:
                await stack.enter_async_context(
                    serve(
                        self._connected, sock=one, process_request=self._request, compression=None, logger=quiet,
                        max_size=LARGEST_FRAME, close_timeout=CLOSING,
                    )
                )  # fmt: skip
            self.ready.set()
            await self._stop.wait()

    async def _request(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Answer an HTTP request; None lets a WebSocket open."""
        opens_socket, refused = admitted(request, self.listener.host)
        if refused is not None:
            return refused
        path = path_of(request)
        if opens_socket and path == SOCKET:
            full = self._open >= MOST_SOCKETS
            return answer(http.HTTPStatus.SERVICE_UNAVAILABLE, b"too many pages are open") if full else None
        if opens_socket or path not in FILES:
            return answer(http.HTTPStatus.NOT_FOUND, b"no such page")
        return answer(http.HTTPStatus.OK, FILES[path].read_bytes(), MIME[FILES[path].suffix])

    async def _connected(self, page: ServerConnection) -> None:
        self._open += 1
        try:
            with suppress(ConnectionClosed):
                await page.send(encode(self.hello()))
                async for message in page:
                    await page.send(encode(self.reply(message)))
        finally:
            self._open -= 1
