"""Access control, and permissions of served pages: one rule for every file and every socket.

A request must name this machine as its host, and a socket must be opened by the page itself. A page from elsewhere,
also one whose name was made to resolve to this machine (DNS rebinding), can neither read nor drive.
"""

from __future__ import annotations

import ipaddress
import re
import socket

LOOPBACK = "127.0.0.1"
THIS_MACHINE = (LOOPBACK, "localhost", "[::1]")
"""Names of a machine for itself."""
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:\[\]]+)(?::\d+)?", re.IGNORECASE)
"""A Host header (RFC 9110, 7.2): a name or an address, and perhaps a port."""
SHARED_POLICY = "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    f"frame-src 'self'; {SHARED_POLICY}"
)
"""Content-Security-Policy of our own pages: they use what this server gives them, and run nothing written into them."""
VIEW_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'unsafe-eval'; style-src 'unsafe-inline'; "
    f"img-src data: blob:; font-src data:; connect-src 'self' data: blob:; worker-src blob:; {SHARED_POLICY}"
)
"""The same of viser's page, which carries all its parts in itself and unpacks them: scripts run that were served with
this answer's nonce, and it talks to this server only. Its WebAssembly makes functions out of text (Emscripten's
embind), hence `unsafe-eval`."""


def refusal(host: str | None, origin: str | None, served: str, opens_socket: bool) -> str | None:
    """Why a request is refused, or None.

    Args:
        host: its header of this name.
        origin: likewise; only browsers send one.
        served: the address that the server was told to serve.
        opens_socket: whether it is a WebSocket, which browsers let any page open, so that its origin must be looked at.
    """
    found = HOST.fullmatch(host or "")
    if found is None or not is_named(found[1].lower(), served):
        if is_loopback(served):
            return f"host {host!r}: expected this machine by its own name, {LOOPBACK} or localhost"
        return (
            f"host {host!r}: expected an address of this machine or its name, {socket.gethostname()}; another name of "
            "it is served by --host NAME"
        )
    if opens_socket and origin is not None and origin != f"http://{host}":
        return f"origin {origin!r}: only the page of http://{host} itself may open this socket"
    return None


def is_named(name: str, served: str) -> bool:
    """Whether `name`, in lower case, means this machine to one who opens a page that is served at `served`.

    A machine that serves others is known by any of its addresses: rebinding takes a name.
    """
    if name in THIS_MACHINE:
        return True
    return not is_loopback(served) and (_address(name) is not None or name in (served.lower(), *_own_names()))


def is_loopback(served: str) -> bool:
    """Whether only this machine reaches a server of this address."""
    address = _address(served)
    return served.lower() == "localhost" if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _own_names() -> tuple[str, str, str]:
    """What others in the network call this machine: its name, the short one, and that of multicast DNS (RFC 6762)."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return name, short, f"{short}.local"
