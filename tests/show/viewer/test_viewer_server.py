"""Who may look and drive: the page of this machine, and nobody who only pretends to be it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import viser
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from walkies.errors import UserError
from walkies.show.viewer import access, listener, server, view
from walkies.show.viewer.access import LOOPBACK, is_loopback, refusal
from walkies.show.viewer.listener import Listener, listen
from walkies.show.viewer.request import LONGEST_MESSAGE, Inbox, Ray, Request
from walkies.show.viewer.server import PageServer
from walkies.show.viewer.view import View

VISER = f"viser-v{viser.__version__}"
CLICK = {"type": "ScenePointerMessage", "event_type": "click", "ray_origin": [0, 1, 2], "ray_direction": [1, 0, 0]}


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
        ("127.0.0.1:8012 evil.example", None, LOOPBACK, False, False),
        ("127.0.0.1, 127.0.0.1", None, LOOPBACK, False, False),  # two headers
        ("127.0.0.1:8012", "http://127.0.0.1:8012, http://evil.example", LOOPBACK, True, False),
        ("[::1]", "http://[::1]", "::1", True, True),
        ("10.0.0.5:8012", None, LOOPBACK, False, False),  # nobody was asked to serve that address
        ("mine.example:8012", None, "127.0.0.2", False, False),
        # Other machines were invited: they know this one by its addresses and its name, and rebinding takes a name.
        ("10.0.0.5:8012", "http://10.0.0.5:8012", "0.0.0.0", True, True),
        ("10.0.0.5:8012", "http://evil.example", "0.0.0.0", True, False),
        ("[fd00::5]:8012", "http://[fd00::5]:8012", "::", True, True),
        ("localhost:8012", "http://localhost:8012", "0.0.0.0", True, True),
        ("mine:8012", "http://mine:8012", "0.0.0.0", True, True),
        ("mine.example:8012", "http://mine.example:8012", "", True, True),
        ("MINE.local", "http://MINE.local", "10.0.0.5", True, True),
        ("evil.example:8012", "http://evil.example:8012", "0.0.0.0", True, False),
        ("evil.example:8012", None, "10.0.0.5", False, False),
        ("10.0.0.5.evil.example", None, "10.0.0.5", False, False),
        ("mine.example.evil.example", None, "0.0.0.0", False, False),
        ("other.example:8012", "http://other.example:8012", "other.example", True, True),  # a name that was given
        ("other.example:8012", None, "0.0.0.0", False, False),
    ],
)
def test_who_is_refused(
    host: str | None, origin: str | None, served: str, socket: bool, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access.socket, "gethostname", lambda: "mine.example")
    assert (refusal(host, origin, served, socket) is None) == allowed


def test_a_refusal_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.socket, "gethostname", lambda: "mine.example")
    assert "'other.example'" in (said := str(refusal("other.example", None, "0.0.0.0", False)))
    assert "mine.example" in said and "--host NAME" in said


@pytest.mark.parametrize("served", ["127.0.0.1", "127.0.0.9", "::1", "localhost", "LOCALHOST"])
def test_loopback_by_any_name(served: str) -> None:
    assert is_loopback(served) and not any(map(is_loopback, ("0.0.0.0", "::", "", "10.0.0.5", "mine.example")))


@pytest.fixture(scope="module")
def served() -> Iterator[PageServer]:
    scene = View()
    page = PageServer(scene, lambda: {"kind": "play", "n": 1}, listen(port=0))
    page.start()
    yield page
    page.stop()
    scene.stop()


def get(place: Listener | PageServer, path: str, host: str | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an answer."""
    connection = http.client.HTTPConnection(LOOPBACK, place.port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"{LOOPBACK}:{place.port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, dict(answer.getheaders())


def test_it_serves_its_page_and_nothing_beside_it(served: PageServer) -> None:
    status, body, _ = get(served, "/")
    assert status == 200 and b"<title>walkies</title>" in body
    assert get(served, "/viewer.js?x=1")[0] == 200
    for path in (
        "/server.py", "/../server.py", "/%2e%2e/server.py", "/static/index.html", "/etc/passwd", "/view/../x",
        "/view/%2e%2e/index.html", "//viewer.js", "/..%5cserver.py", "http://evil.example/", "/viewer.js/", "/drive",
    ):  # fmt: skip
        assert get(served, path)[0] == 404, path
    assert get(served, "/", host="evil.example")[0] == 403


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE"])
def test_only_get_is_answered(served: PageServer, method: str, capfd: pytest.CaptureFixture[str]) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, served.port, timeout=10)
    connection.request(method, "/", body=b"x=1" if method in ("POST", "PUT") else None)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    assert get(served, "/")[0] == 200 and capfd.readouterr().err == ""


def test_two_hosts_in_one_request_are_none(served: PageServer) -> None:
    with socket.create_connection((LOOPBACK, served.port), timeout=10) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: {LOOPBACK}\r\nHost: evil.example\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("path", ["/", "/viewer.js", "/link.js", "/icon.svg", "/nowhere"])
def test_our_pages_run_nothing_that_is_written_into_them(served: PageServer, path: str) -> None:
    """A worker has the policy that it was served with itself."""
    headers = get(served, path)[2]
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'self'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_page_needs_no_more_than_its_policy_lets_it() -> None:
    """No script or style stands in the page itself."""
    page = (server.STATIC / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>([^<]*)", page) == [""]
    assert "<style" not in page and not re.search(r"\s(style|on\w+)=", page)


def test_the_view_is_visers_own_page_and_runs_only_its_own_scripts(served: PageServer) -> None:
    status, body, headers = get(served, "/view/?hideViserLogo")
    assert status == 200 and b"viser" in body.lower()
    policy = headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]{16,})' 'unsafe-eval';", policy)
    assert nonce, "no script that is written into it, and none of another server"
    assert body.count(nonce[1].encode()) == 2, "its loader has it, and the script which that unpacks"
    assert "connect-src 'self' data: blob:;" in policy, "it talks to nobody else"
    assert nonce[1] not in get(served, "/view/")[2]["Content-Security-Policy"], "another answer, another nonce"


def test_a_page_of_viser_that_is_built_otherwise_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "_built_page", lambda: "<script data-p=''>e.type='module';</script>")
    with pytest.raises(RuntimeError, match="in its page"):
        view.front_page("nonce")


def test_nothing_but_the_page_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """viser's own server would, which is the negative control."""
    listening: list[int] = []
    listen_at = socket.socket.listen

    def noted(one: socket.socket, *backlog: int) -> None:
        listen_at(one, *backlog)
        listening.append(one.getsockname()[1])

    monkeypatch.setattr(socket.socket, "listen", noted)
    scene = View()
    assert listening == []
    page = PageServer(scene, dict, listen(port=0))
    page.start()
    assert get(page, "/view/")[0] == 200
    page.stop()
    scene.stop()
    assert set(listening) == {page.port}
    control = viser.ViserServer(LOOPBACK, 0, verbose=False)
    control.stop()
    assert set(listening) == {page.port, control.get_port()}


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "SOCKS_PROXY", "socks_proxy")


def test_proxies_of_the_environment_do_not_come_between(served: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of this test says that it wants none, as a browser does for its own machine."""
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    assert get(served, "/view/")[0] == 200
    with drive(served, "/view", subprotocols=[VISER], max_size=None) as page:
        assert isinstance(page.recv(timeout=10), bytes)


def drive(served: PageServer, path: str = "/drive", **options: Any) -> ClientConnection:
    return connect(f"ws://{LOOPBACK}:{served.port}{path}", proxy=None, **options)


def asked(inbox: Inbox) -> Request:
    """What a page asked for, when it has come."""
    return until(inbox.take, Request())


def until(value: Callable[[], Any], unless: Any, seconds: float = 5.0) -> Any:
    """The first value that is another one than `unless`."""
    deadline = time.monotonic() + seconds
    while (found := value()) == unless and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_a_page_is_told_what_there_is_and_is_listened_to(served: PageServer) -> None:
    with drive(served, origin=f"http://{LOOPBACK}:{served.port}") as page:
        assert json.loads(page.recv(timeout=5)) == {"kind": "play", "n": 1}
        assert served.pages == 1
        for text in ("no JSON", "[1]", "x" * (LONGEST_MESSAGE + 1), b"\xff\xfe", '{"command": [0, 0, 1]}'):
            page.send(text)
        assert asked(served.inbox) == Request(command=(0.0, 0.0, 1.0))
        assert served.inbox.take() == Request()
        served.send({"heard": 3})
        assert json.loads(page.recv(timeout=5)) == {"heard": 3}
    until(lambda: served.pages == 0, False)
    assert served.pages == 0
    served.send({"nobody": "listens"})


def test_what_json_has_no_word_for_is_not_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        server.encode({"record": {"steps": float("nan")}})


def test_a_click_comes_from_the_view(served: PageServer) -> None:
    with drive(served, "/view", subprotocols=[VISER], max_size=None) as page:
        page.send(msgspec.msgpack.encode({**CLICK, "ray_direction": "up"}))
        page.send(msgspec.msgpack.encode(CLICK))
        assert asked(served.inbox) == Request(click=Ray((0.0, 1.0, 2.0), (1.0, 0.0, 0.0)))


JUNK = {
    "bytes": b"\xff\xfe",
    "text": "no JSON",
    "deep JSON": "[" * LONGEST_MESSAGE,
    "deep msgpack": b"\x91" * 100_000,
    "no message": msgspec.msgpack.encode([1]),
    "no such message": msgspec.msgpack.encode({"type": "Nonsense"}),
    "half a message": msgspec.msgpack.encode({"type": "ScenePointerMessage"}),
    "viser's camera": msgspec.msgpack.encode({"type": "ViewerCameraMessage", "wxyz": 1}),
    "a way outside": msgspec.msgpack.encode({"type": "ShareUrlRequest"}),
    "too large": b"x" * (server.LARGEST_FRAME + 1),
}


@pytest.mark.parametrize("path", ["/drive", "/view"])
def test_junk_asks_for_nothing_and_prints_nothing(
    served: PageServer, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, junk in JUNK.items():
        with drive(served, path, subprotocols=[VISER], max_size=None) as page, suppress(ConnectionClosed):
            page.recv(timeout=10)
            page.send(junk)
            if name != "too large":
                page.ping().wait(timeout=10)
    with drive(served) as page:
        page.recv(timeout=10)
        page.send('{"stop": true}')
        assert asked(served.inbox) == Request(stop=True), "it goes on listening"
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_stop_comes_through_a_flood(served: PageServer) -> None:
    """Also on the same socket; and what waits is one request."""
    with drive(served) as page, drive(served) as calm:
        calm.recv(timeout=5)
        page.recv(timeout=5)
        for count in range(2000):
            page.send(f'{{"stage": {count}}}')
        page.send('{"stop": true}')
        calm.send('{"paused": true}')
        waiting = Request()
        deadline = time.monotonic() + 10
        while not (waiting.stop and waiting.paused) and time.monotonic() < deadline:
            waiting = waiting.then(served.inbox.take())
            time.sleep(0.01)
        assert waiting == Request(stop=True, paused=True, stage=1999)


def test_too_many_pages_are_refused_and_may_come_when_others_have_gone(
    served: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: served._open, 1)
    monkeypatch.setattr(server, "MOST_SOCKETS", 2)
    with drive(served) as first, drive(served, "/view") as second:
        first.recv(timeout=5), second.recv(timeout=5)
        with pytest.raises(InvalidStatus) as refused:
            drive(served)
        assert refused.value.response.status_code == 503
        assert get(served, "/")[0] == 200
    until(lambda: served._open == 0, False)
    with drive(served) as third:
        assert third.recv(timeout=5)


@pytest.mark.parametrize("path", ["/drive", "/view"])
def test_a_page_from_elsewhere_opens_no_socket(served: PageServer, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused, drive(served, path, origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403


def test_other_sockets_do_not_exist(served: PageServer) -> None:
    for path in ("/other", "/view/", "/"):
        with pytest.raises(InvalidStatus) as refused, drive(served, path):
            pass
        assert refused.value.response.status_code == 404


def test_the_scene_is_sent_in_visers_way(served: PageServer) -> None:
    with drive(served, "/view", subprotocols=["viser-v0", VISER], max_size=None) as page:
        assert page.subprotocol == VISER
        assert isinstance(page.recv(timeout=10), bytes)


def test_a_slow_page_misses_messages_and_stops_nobody(served: PageServer) -> None:
    with drive(served) as page:
        page.recv(timeout=5)
        for index in range(2000):
            served.send({"number": index})
        last = -1
        while last != 1999:
            last = json.loads(page.recv(timeout=5))["number"]


def test_where_the_usual_port_is_taken_the_next_one_serves(served: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PORT", served.port)
    second = listen()
    second.close()
    assert second.address == f"http://{LOOPBACK}:{second.port}/" and second.port > served.port


def test_a_port_that_was_asked_for_is_served_or_said_to_be_taken(served: PageServer) -> None:
    with pytest.raises(UserError, match=f"--port {served.port} is taken by another program"):
        listen(port=served.port)


def test_where_all_usual_ports_are_taken_it_is_said(served: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PORT", served.port)
    monkeypatch.setattr(listener, "ATTEMPTS", 1)
    with pytest.raises(UserError, match=r"taken by another program.*another --port"):
        listen()


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_that_does_not_exist_is_told(port: int) -> None:
    expected = rf"--port: got {port}, expected a whole number from 0 to 65535; 0 for any that is free"
    with pytest.raises(UserError, match=expected):
        listen(port=port)


def test_the_last_port_is_served() -> None:
    last = listen(port=65535)
    last.close()
    assert last.address == f"http://{LOOPBACK}:65535/"


def test_all_addresses_of_a_name_are_served_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those that this machine has not got, as many have no ::1."""
    stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    found = [(*stream, ("127.0.0.1", 0)), (*stream, ("192.0.2.1", 0)), (*stream, ("127.0.0.2", 0))]
    monkeypatch.setattr(listener.socket, "getaddrinfo", lambda *_, **__: found)
    both = listen("mine.example", 0)
    both.close()
    assert len(both.sockets) == 2 and both.address == f"http://mine.example:{both.port}/"


def test_a_server_of_all_addresses_names_one_that_a_browser_can_open(served: PageServer) -> None:
    page = PageServer(served.view, dict, listen("0.0.0.0", 0))
    try:
        assert page.start() == f"http://{LOOPBACK}:{page.port}/"
        assert get(page, "/icon.svg")[0] == 200
        assert get(page, "/icon.svg", host="evil.example")[0] == 403
    finally:
        page.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.invalid", "a..b", "x" * 70, "127.0.0.1:8012", " "])
def test_an_address_that_is_not_this_machines_is_the_users_to_mend(host: str) -> None:
    with pytest.raises(UserError, match=f"--host {re.escape(host)}: .*an address of this machine"):
        listen(host, 0)
