"""The page's server: our own files, viser's view beneath /view, and one socket for commands, on one port.

Everything is on one port and of one origin, and `access.refusal` guards it all; nothing else listens. It lives in the
view's thread and event loop, and connects to nobody, so that no proxy can come between.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import http
import itertools
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.typing import Subprotocol

from walkies.show.viewer.access import VIEW_POLICY
from walkies.show.viewer.answers import MIME, admitted, answer, encode, path_of
from walkies.show.viewer.listener import Listener
from walkies.show.viewer.request import Inbox, parse
from walkies.show.viewer.view import PROTOCOL, View, click, front_page

STATIC = Path(__file__).with_name("static")
DRIVE, VIEW = "/drive", "/view"
"""The two sockets; the page of the second is beneath it."""
LARGEST_FRAME = 2**20
"""Bytes of a message; a socket that sends more is closed."""
MOST_SOCKETS = 64
"""That may be open at once: a page has two, and a flood of them must not use up the process's files."""
BEHIND = 32
"""Messages that may wait for a slow page; then the oldest is dropped."""
BREATH, PAUSE = 100, 0.01
"""After so many messages a socket waits for so many seconds: a flood must leave time for the robot."""
CLOSING = 2.0
"""s that a page has to say goodbye in."""


class PageServer:
    """Serves one kind of page ("play" or "learn").

    What pages ask for waits in `inbox`; `hello` makes what a new page is told; `send` tells all pages.
    """

    def __init__(self, view: View, hello: Callable[[], dict[str, Any]], listener: Listener) -> None:
        self.view, self.hello, self.listener = view, hello, listener
        self.inbox = Inbox()
        self._open = 0
        self._pages: dict[ServerConnection, asyncio.Queue[str]] = {}
        self._loop = view.get_event_loop()
        self._stop = asyncio.Event()
        self._served: concurrent.futures.Future[None] | None = None

    @property
    def port(self) -> int:
        return self.listener.port

    def start(self) -> str:
        """Begin to serve; the page's address."""
        self._served = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        return self.listener.address

    def stop(self) -> None:
        """Close every connection and end."""
        if self._served is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            concurrent.futures.wait([self._served], timeout=2.0 * CLOSING)
        self.listener.close()

    @property
    def pages(self) -> int:
        """How many pages are open."""
        return len(self._pages)

    def send(self, message: dict[str, Any]) -> None:
        """Tell every open page; from any thread."""
        if self._pages and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._spread, encode(message))

    def _spread(self, text: str) -> None:
        for waiting in self._pages.values():
            if waiting.full():
                waiting.get_nowait()
            waiting.put_nowait(text)

    async def _serve(self) -> None:
        quiet = logging.getLogger("walkies.view")
        quiet.setLevel(logging.CRITICAL)  # what a stranger sends, or a tab that is closed in mid-sentence, is no error
        async with contextlib.AsyncExitStack() as stack:
            for one in self.listener.sockets:
                await stack.enter_async_context(
                    serve(
                        self._connected, sock=one, process_request=self._request, compression=None, logger=quiet,
                        max_size=LARGEST_FRAME, select_subprotocol=_visers, close_timeout=CLOSING,
                    )
                )  # fmt: skip
            await self._stop.wait()

    async def _request(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Answer an HTTP request; None lets a WebSocket open."""
        opens_socket, refused = admitted(request, self.listener.host)
        if refused is not None:
            return refused
        path = path_of(request)
        if opens_socket:
            if path not in (DRIVE, VIEW):
                return answer(http.HTTPStatus.NOT_FOUND, b"no such socket")
            if self._open >= MOST_SOCKETS:
                return answer(http.HTTPStatus.SERVICE_UNAVAILABLE, b"too many pages are open; close some")
            return None
        if path in (VIEW, f"{VIEW}/"):
            nonce = secrets.token_urlsafe(16)
            return answer(http.HTTPStatus.OK, front_page(nonce), MIME[".html"], VIEW_POLICY.format(nonce=nonce))
        name = "index.html" if path == "/" else path.removeprefix("/")
        if name not in {file.name for file in STATIC.iterdir()}:
            return answer(http.HTTPStatus.NOT_FOUND, b"no such page")
        return answer(http.HTTPStatus.OK, (STATIC / name).read_bytes(), MIME[Path(name).suffix])

    async def _connected(self, page: ServerConnection) -> None:
        """Send one socket what belongs there, and take what it asks for, until it is closed."""
        assert page.request is not None  # there is one once a connection is open
        viewing = path_of(page.request) == VIEW
        read = click if viewing else parse
        sending = asyncio.create_task(self.view.send_scene(page) if viewing else self._talk(page))
        self._open += 1
        try:
            for count in itertools.count(1):
                if (request := read(await page.recv())) is not None:
                    self.inbox.put(request)
                if count % BREATH == 0:
                    await asyncio.sleep(PAUSE)
        except ConnectionClosed:
            pass
        finally:
            self._open -= 1
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _talk(self, page: ServerConnection) -> None:
        """Send a page its initial data, and then everything that `send` sends to all."""
        waiting: asyncio.Queue[str] = asyncio.Queue(BEHIND)
        self._pages[page] = waiting
        try:
            await page.send(encode(self.hello()))
            while True:
                await page.send(await waiting.get())
        except ConnectionClosed:
            pass
        finally:
            del self._pages[page]


def _visers(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """viser's page asks for its own version; ours asks for nothing."""
    return next((one for one in offered if one == PROTOCOL), None)
