"""Answers to a browser's requests, each under a Content-Security-Policy, and messages for a page."""

from __future__ import annotations

import http
import json
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from walkies.show.viewer.access import PAGE_POLICY, refusal

MIME = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def encode(message: dict[str, Any]) -> str:
    """A message for a page.

    Raises:
        ValueError: a number is not finite, which JSON cannot express: the page could not read the message.
    """
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


def header(request: HttpRequest, name: str) -> str | None:
    """A header's value; where it was sent more than once, all of them, which is no value that is ever expected."""
    return ", ".join(request.headers.get_all(name)) or None


def path_of(request: HttpRequest) -> str:
    """What is asked for, without the query."""
    return request.path.partition("?")[0]


def admitted(request: HttpRequest, served: str) -> tuple[bool, Response | None]:
    """Whether a request would open a socket, and the answer to one who is not let in (`access.refusal`)."""
    host, origin, upgrade = (header(request, name) for name in ("Host", "Origin", "Upgrade"))
    opens_socket = (upgrade or "").lower() == "websocket"
    reason = refusal(host, origin, served, opens_socket)
    return opens_socket, answer(http.HTTPStatus.FORBIDDEN, reason.encode()) if reason else None


def answer(status: http.HTTPStatus, body: bytes, kind: str = "text/plain", policy: str = PAGE_POLICY) -> Response:
    """A whole answer, after which the connection is closed."""
    headers = Headers(
        {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Content-Security-Policy": policy,
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
