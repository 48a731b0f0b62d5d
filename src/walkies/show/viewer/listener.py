"""Listening sockets for a page, or a message that says why there are none; and announcing the address."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Annotated, NamedTuple

from walkies.bounds import Between, refuse
from walkies.errors import UserError
from walkies.show.viewer.access import LOOPBACK, is_loopback

PORT = 8012
"""The usual one."""
ATTEMPTS = 20
"""Ports tried, one after the other, where the usual one is taken."""
LAST_PORT = 65535
Port = Annotated[int, Between(0, LAST_PORT, note="0 for any that is free")]
ANY_ADDRESS = ("0.0.0.0", "::", "")
"""Hosts that stand for all of a machine's addresses; a browser needs one of them."""


class Listener(NamedTuple):
    """A place to serve a page at."""

    host: str
    """As it was asked for."""
    port: int
    sockets: tuple[socket.socket, ...]
    """One for each address of the host; they listen already."""

    @property
    def address(self) -> str:
        """What to open in a browser of this machine."""
        host = LOOPBACK if self.host in ANY_ADDRESS else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def close(self) -> None:
        """Give the port back."""
        for one in self.sockets:
            one.close()


def listen(host: str = LOOPBACK, port: int | None = None) -> Listener:
    """Listen at `host`.

    Args:
        host: a name or an address of this machine.
        port: None for the usual one, or where that is taken the next that is free; 0 for any that is free.

    Raises:
        UserError: the port is taken or not permitted, or the address is not this machine's.
    """
    refuse(port, Port | None, "port")
    ports = range(PORT, PORT + ATTEMPTS) if port is None else range(port, port + 1)
    for candidate in ports:
        try:
            sockets = _bound(host, candidate)
        except (OSError, UnicodeError) as error:  # the latter from what cannot be a name at all
            failure = error
        else:
            return Listener(host, sockets[0].getsockname()[1], sockets)
    raise UserError(_reason(host, ports, failure)) from failure


def has_screen() -> bool:
    """Whether a browser would have where to open; on a bare terminal Python might start one in the terminal itself."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def announce(address: str, host: str) -> None:
    """Say where the page is, and warn where others can reach it."""
    print(f"{address}   (Ctrl-C ends it)", flush=True)
    if not is_loopback(host):
        print(
            f"Warning: --host {host} lets everyone who reaches this machine over the network watch and drive. "
            "There is no password.",
            flush=True,
        )
    if host in ANY_ADDRESS:
        print(f"From another machine: {address.replace(LOOPBACK, socket.gethostname())}", flush=True)


def _bound(host: str, port: int) -> tuple[socket.socket, ...]:
    """A socket for every address of `host`, on one port; an address that this machine has not got is left out."""
    found: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            found.append(socket.create_server((address[0], port, *address[2:]), family=family))
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                for one in found:
                    one.close()
                raise
            missing = error
        else:
            port = found[-1].getsockname()[1]
    if not found:
        raise missing or OSError(errno.EADDRNOTAVAIL, "no address")
    return tuple(found)


def _reason(host: str, ports: range, failure: Exception) -> str:
    """What to say where the operating system does not let a page be served."""
    code = failure.errno if isinstance(failure, OSError) else None
    if code == errno.EADDRINUSE:
        several = len(ports) > 1
        taken = f"ports {ports[0]} to {ports[-1]} are" if several else f"--port {ports[0]} is"
        return (
            f"{taken} taken by another program, such as another page of walkies; choose another --port, or 0 for any "
            "that is free" + ("" if several else ". Without --port the next free one is taken")
        )
    if code == errno.EACCES:
        return f"--port {ports[0]}: only an administrator may serve that; expected 1024 to {LAST_PORT}"
    return (
        f"--host {host}: no page can be served there ({failure}); expected an address of this machine. "
        f"Leave --host out for {LOOPBACK}, or give 0.0.0.0 for all of its addresses"
    )
