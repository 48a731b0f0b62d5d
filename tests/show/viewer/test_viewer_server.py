"""Who may look and drive: the page of this machine, and nobody who only pretends to be it."""

from __future__ import annotations

import http.client
import json
import queue
import time
from collections.abc import Iterator

import pytest
import viser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from walkies.errors import UserError
from walkies.show.viewer import server as module
from walkies.show.viewer.scene import Server
from walkies.show.viewer.server import LONGEST_MESSAGE, PageServer, parse, refusal

LOOPBACK = "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "origin", "served", "socket", "allowed"),
    [
        ("127.0.0.1:8012", "http://127.0.0.1:8012", LOOPBACK, True, True),
        ("localhost:8012", "http://localhost:8012", LOOPBACK, True, True),
        ("localhost:9000", "http://localhost:9000", LOOPBACK, True, True),  # a forwarded port
        ("[::1]:8012", "http://[::1]:8012", "::1", True, True),
        ("127.0.0.1:8012", None, LOOPBACK, True, True),  # a program of this machine, no browser
        ("127.0.0.1:8012", None, LOOPBACK, False, True),
        ("127.0.0.1:8012", "http://evil.example", LOOPBACK, True, False),
        ("127.0.0.1:8012", "http://localhost:8012", LOOPBACK, True, False),
        ("127.0.0.1:8012", "http://127.0.0.1:8080", LOOPBACK, True, False),
        ("127.0.0.1:8012", "null", LOOPBACK, True, False),  # a file, a sandboxed frame
        ("evil.example:8012", "http://evil.example:8012", LOOPBACK, True, False),  # a name made to resolve to 127.0.0.1
        ("evil.example", None, LOOPBACK, False, False),
        (None, None, LOOPBACK, False, False),
        ("127.0.0.1.evil.example:80", None, LOOPBACK, False, False),
        ("10.0.0.5:8012", "http://10.0.0.5:8012", "0.0.0.0", True, True),  # asked for
        ("10.0.0.5:8012", "http://evil.example", "0.0.0.0", True, False),
    ],
)
def test_who_is_refused(host: str | None, origin: str | None, served: str, socket: bool, allowed: bool) -> None:
    assert (refusal(host, origin, served, socket) is None) == allowed


@pytest.fixture(scope="module")
def served() -> Iterator[PageServer]:
    view = Server()
    server = PageServer(view.get_port(), lambda: {"kind": "play", "n": 1}, LOOPBACK, 0)
    server.start()
    yield server
    server.stop()
    view.stop()


def get(server: PageServer, path: str, host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, server.port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"{LOOPBACK}:{server.port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_it_serves_its_page_and_nothing_beside_it(served: PageServer) -> None:
    status, body = get(served, "/")
    assert status == 200 and b"<title>walkies</title>" in body
    assert get(served, "/viewer.js?x=1")[0] == 200
    for path in ("/server.py", "/../server.py", "/%2e%2e/server.py", "/static/index.html", "/etc/passwd", "/view/../x"):
        assert get(served, path)[0] == 404
    assert get(served, "/", host="evil.example")[0] == 403


def test_the_view_is_visers_own_page(served: PageServer) -> None:
    status, body = get(served, "/view/?hideViserLogo")
    assert status == 200 and b"viser" in body.lower()


def drive(server: PageServer, path: str = "/drive", **options: object) -> object:
    return connect(f"ws://{LOOPBACK}:{server.port}{path}", **options)


def test_a_page_is_told_what_there_is_and_is_listened_to(served: PageServer) -> None:
    with drive(served, origin=f"http://{LOOPBACK}:{served.port}") as page:
        assert json.loads(page.recv(timeout=5)) == {"kind": "play", "n": 1}
        assert served.pages == 1
        for text in ("no JSON", "[1]", "x" * (LONGEST_MESSAGE + 1), b"\xff\xfe", '{"command": [0, 0, 1]}'):
            page.send(text)
        assert served.inbox.get(timeout=5) == {"command": [0, 0, 1]}
        with pytest.raises(queue.Empty):
            served.inbox.get_nowait()
        served.send({"heard": 3})
        assert json.loads(page.recv(timeout=5)) == {"heard": 3}
    deadline = time.monotonic() + 5
    while served.pages and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served.pages == 0
    served.send({"nobody": "listens"})


@pytest.mark.parametrize("path", ["/drive", "/view"])
def test_a_page_from_elsewhere_opens_no_socket(served: PageServer, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused, drive(served, path, origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403


def test_other_sockets_do_not_exist(served: PageServer) -> None:
    with pytest.raises(InvalidStatus) as refused, drive(served, "/other"):
        pass
    assert refused.value.response.status_code == 404


def test_the_views_socket_is_carried_through(served: PageServer) -> None:
    with drive(served, "/view", subprotocols=[f"viser-v{viser.__version__}"], max_size=None) as view:
        assert view.subprotocol == f"viser-v{viser.__version__}"
        assert isinstance(view.recv(timeout=10), bytes)


def test_a_slow_page_misses_messages_and_stops_nobody(served: PageServer) -> None:
    with drive(served) as page:
        page.recv(timeout=5)
        for index in range(2000):
            served.send({"number": index})
        last = -1
        while last != 1999:
            last = json.loads(page.recv(timeout=5))["number"]


def test_where_the_usual_port_is_taken_the_next_one_serves(served: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PORT", served.port)
    second = PageServer(0, dict, LOOPBACK, None)
    address = second.start()
    try:
        assert address == f"http://{LOOPBACK}:{second.port}/" and second.port > served.port
    finally:
        second.stop()


def test_a_port_that_was_asked_for_is_served_or_said_to_be_taken(served: PageServer) -> None:
    with pytest.raises(UserError, match=f"--port {served.port} is taken by another program"):
        PageServer(0, dict, LOOPBACK, served.port).start()


def test_where_all_usual_ports_are_taken_it_is_said(served: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PORT", served.port)
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    with pytest.raises(UserError, match=r"taken by another program.*another --port"):
        PageServer(0, dict, LOOPBACK, None).start()


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_that_does_not_exist_is_told(port: int) -> None:
    with pytest.raises(UserError, match=f"--port: got {port}, expected 1024 to 65535"):
        PageServer(0, dict, LOOPBACK, port).start()


def test_the_last_port_is_served() -> None:
    server = PageServer(0, dict, LOOPBACK, 65535)
    try:
        assert server.start() == f"http://{LOOPBACK}:65535/"
    finally:
        server.stop()


def test_a_server_of_all_addresses_names_one_that_a_browser_can_open() -> None:
    server = PageServer(0, dict, "0.0.0.0", 0)
    try:
        assert server.start() == f"http://{LOOPBACK}:{server.port}/"
        assert get(server, "/icon.svg")[0] == 200
    finally:
        server.stop()


def test_an_address_that_is_not_this_machines_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match=r"--host 192\.0\.2\.1.*an address of this machine"):
        PageServer(0, dict, "192.0.2.1", 0).start()
    with pytest.raises(UserError, match=r"--host no\.such\.invalid.*an address of this machine"):
        PageServer(0, dict, "no.such.invalid", 0).start()


def test_parse_takes_one_object() -> None:
    assert parse('{"a": 1}') == {"a": 1}
    assert parse("1") is parse("{") is parse(b"\xff") is parse("[" * LONGEST_MESSAGE) is None
