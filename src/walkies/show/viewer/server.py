"""The page's server: our own files, viser's view beneath /view, and one socket for commands, on one loopback port.

One port and one origin, so that a single rule guards everything: a request must name this machine as its host (or the
address it was told to serve), and a socket must be opened by the page itself. A page from elsewhere, also one whose
name was made to resolve to 127.0.0.1, can neither read nor drive.
"""

from __future__ import annotations

import asyncio
import errno
import http
import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from walkies.errors import UserError

STATIC = Path(__file__).with_name("static")
PORT = 8012
"""The usual one."""
MIME = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")
ANY_ADDRESS = ("0.0.0.0", "::", "")
"""Hosts that bind all of a machine's addresses; a browser needs one of them."""
LONGEST_MESSAGE = 4096
"""Bytes of one message from the page."""
LAST_PORT = 65535
ATTEMPTS = 20
"""Ports tried, one after the other, where the usual one is taken."""
BEHIND = 32
"""Messages that may wait for a slow page; then the oldest is dropped."""


def refusal(host: str | None, origin: str | None, served: str, socket: bool) -> str | None:
    """Why a request is refused, or None.

    host, origin: its headers. served: the address that the server was told to bind. socket: whether it is a WebSocket,
    which browsers let any page open, so that its origin must be looked at.
    """
    name = (host or "").rpartition(":")[0] or (host or "")
    if served in ("127.0.0.1", "localhost", "::1") and name not in THIS_MACHINE:
        return f"host {host!r}: expected this machine by its own name, 127.0.0.1 or localhost"
    if socket and origin is not None and origin != f"http://{host}":
        return f"origin {origin!r}: only the page of http://{host} itself may open this socket"
    return None


class PageServer:
    """Serves one kind of page ("play" or "learn") in a thread of its own.

    Messages from pages come out of `inbox`, parsed; `hello` makes what a new page is told; `send` tells all pages.
    """

    def __init__(self, view_port: int, hello: Callable[[], dict[str, Any]], host: str, port: int | None) -> None:
        """port: None for the usual one, or where that is taken the next that is free; 0 for any that is free."""
        self.view_port, self.hello, self.host = view_port, hello, host
        self.port = PORT if port is None else port
        self._attempts = ATTEMPTS if port is None else 1
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._pages: dict[ServerConnection, asyncio.Queue[str]] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="walkies-view", daemon=True)

    def start(self) -> str:
        """Begin to serve; the page's address.

        Raises:
            UserError: the port is taken or not to be had, or the address is not this machine's.
        """
        if not 0 <= self.port <= LAST_PORT:
            raise UserError(f"--port: got {self.port}, expected 1024 to {LAST_PORT}, or 0 for any that is free")
        self._thread.start()
        failure = self._ready.get()
        if failure is not None:
            raise UserError(self._refused(failure)) from failure
        host = THIS_MACHINE[0] if self.host in ANY_ADDRESS else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/"

    def _refused(self, failure: OSError) -> str:
        """What to say where the operating system does not let this page be served."""
        last = self.port + self._attempts - 1
        if failure.errno == errno.EADDRINUSE:
            taken = f"--port {self.port} is" if last == self.port else f"ports {self.port} to {last} are"
            return (
                f"{taken} taken by another program, such as another page of walkies; choose another --port, or 0 for "
                "any that is free" + (". Without --port the next free one is taken" if last == self.port else "")
            )
        if failure.errno == errno.EACCES:
            return f"--port {self.port}: only an administrator may serve that; expected 1024 to {LAST_PORT}"
        return (
            f"--host {self.host}: no page can be served there ({failure}); expected an address of this machine. "
            f"Leave --host out for {THIS_MACHINE[0]}, or give 0.0.0.0 for all of its addresses"
        )

    def stop(self) -> None:
        """Close every connection and end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=5.0)

    @property
    def pages(self) -> int:
        """How many pages are open."""
        return len(self._pages)

    def send(self, message: dict[str, Any]) -> None:
        """Tell every open page; from any thread."""
        if self._pages and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._spread, json.dumps(message, separators=(",", ":")))

    def _spread(self, text: str) -> None:
        for waiting in self._pages.values():
            if waiting.full():
                waiting.get_nowait()
            waiting.put_nowait(text)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        quiet = logging.getLogger("walkies.view")
        quiet.setLevel(logging.CRITICAL)  # a browser that closes a tab in mid-sentence is no error
        failure: OSError | None = None
        for port in range(self.port, self.port + self._attempts):
            try:
                async with serve(
                    self._connected, self.host, port, process_request=self._request, compression=None, logger=quiet,
                    max_size=2**20, select_subprotocol=_first_subprotocol,
                ) as server:  # fmt: skip
                    self.port = next(iter(server.sockets)).getsockname()[1]
                    self._ready.put(None)
                    await self._stop.wait()
                return
            except OSError as error:
                failure = error
        self._ready.put(failure)

    async def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer an HTTP request; None lets a WebSocket open."""
        headers = request.headers
        socket = headers.get("Upgrade", "").lower() == "websocket"
        if reason := refusal(headers.get("Host"), headers.get("Origin"), self.host, socket):
            return _answer(http.HTTPStatus.FORBIDDEN, reason.encode())
        path = request.path.partition("?")[0]
        if socket:
            known = path in ("/drive", "/view")
            return None if known else _answer(http.HTTPStatus.NOT_FOUND, b"no such socket")
        if path == "/view" or path.startswith("/view/"):
            return await asyncio.to_thread(_fetch, self.view_port, path.removeprefix("/view"))
        name = "index.html" if path == "/" else path.removeprefix("/")
        if name not in {file.name for file in STATIC.iterdir()}:
            return _answer(http.HTTPStatus.NOT_FOUND, b"no such page")
        return _answer(http.HTTPStatus.OK, (STATIC / name).read_bytes(), MIME[Path(name).suffix])

    async def _connected(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None  # there is one once a connection is open
        if request.path.partition("?")[0] == "/view":
            await self._relay(connection)
        else:
            await self._talk(connection)

    async def _talk(self, page: ServerConnection) -> None:
        waiting: asyncio.Queue[str] = asyncio.Queue(BEHIND)
        self._pages[page] = waiting
        sender = asyncio.create_task(_forward(page, waiting))
        try:
            await page.send(json.dumps(self.hello()))
            async for text in page:
                if (message := parse(text)) is not None:
                    self.inbox.put(message)
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            del self._pages[page]

    async def _relay(self, page: ServerConnection) -> None:
        """Carry viser's messages to and fro."""
        wanted = [page.subprotocol] if page.subprotocol else None
        address = f"ws://127.0.0.1:{self.view_port}"
        async with connect(address, subprotocols=wanted, max_size=None, compression=None) as view:

            async def carry(source: Any, sink: Any) -> None:
                try:
                    async for message in source:
                        await sink.send(message)
                except ConnectionClosed:
                    pass

            both = [asyncio.create_task(carry(*ends)) for ends in ((page, view), (view, page))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()


def parse(text: str | bytes) -> dict[str, Any] | None:
    """A page's message, or None where it is none: one JSON object of at most LONGEST_MESSAGE bytes."""
    if len(text) > LONGEST_MESSAGE:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):  # the latter from thousands of brackets
        return None
    return message if isinstance(message, dict) else None


async def _forward(page: ServerConnection, waiting: asyncio.Queue[str]) -> None:
    try:
        while True:
            await page.send(await waiting.get())
    except ConnectionClosed:
        pass


def _first_subprotocol(connection: ServerConnection, offered: Any) -> Subprotocol | None:
    """viser's page and server check each other's version in the subprotocol: pass on what the page offers."""
    return next(iter(offered), None)


def _fetch(port: int, path: str) -> Response:
    """A file of viser's own server."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path or '/'}", timeout=10) as answer:
            return _answer(http.HTTPStatus.OK, answer.read(), answer.headers.get_content_type())
    except urllib.error.HTTPError as error:
        return _answer(http.HTTPStatus(error.code), b"no such page")


def _answer(status: http.HTTPStatus, body: bytes, kind: str = "text/plain") -> Response:
    headers = Headers(
        {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "frame-ancestors 'self'",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
