"""What pages may ask for: one JSON object of sensible values; and what waits stays small, the latest first in line."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from walkies.show.viewer.request import LONGEST_MESSAGE, LONGEST_NAME, Inbox, Ray, Request, numbers, parse, request_of
from walkies.show.viewer.view import click

SENSIBLE: dict[str, Any] = {
    "stop": True, "reset": True, "command": [0.5, 0, -1.0], "id": 7, "push": [0.3, -0.3], "set": {"friction": 0.4},
    "paused": False, "speed": 0.25, "stage": 0, "clip": "wave", "reference": True, "hardware": False,
}  # fmt: skip


def test_a_message_is_read_field_by_field() -> None:
    asked = parse(json.dumps(SENSIBLE))
    assert asked == Request(
        stop=True, reset=True, command=(0.5, 0.0, -1.0), id=7, push=(0.3, -0.3), set={"friction": 0.4}, paused=False,
        speed=0.25, stage=0, clip="wave", reference=True, hardware=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "{", "null", "[1]", '"stop"', '{"stop": true} {}', '{"command": [NaN, 0, 0]}', '{"speed": Infinity}',
        '{"stop": true, "stop": false}', "[" * LONGEST_MESSAGE, "{" * LONGEST_MESSAGE, b"\xff", b'{"stop": true}',
        '{"stop": true}' + " " * LONGEST_MESSAGE, '{"id": ' + "9" * 4000 + "e9}{", "\ud800", '{"stop": tru\x00e}',
    ],
    ids=lambda text: repr(text)[:40],
)  # fmt: skip
def test_what_is_no_such_object_is_dropped(text: str | bytes) -> None:
    assert parse(text) is None


def test_deep_json_within_the_limit_is_dropped_or_read_as_nothing() -> None:
    for deep in ('{"set": ' * 400 + "1" + "}" * 400, '{"command": ' + "[" * 2000 + "]" * 2000 + "}"):
        assert len(deep) <= LONGEST_MESSAGE and parse(deep) in (None, Request())


@pytest.mark.parametrize("name", SENSIBLE)
@pytest.mark.parametrize("wrong", [None, "yes", [], {}, [[]], -1, 0.5j, 10**400, "<b>", [1, 2, 3, 4]], ids=repr)
def test_a_value_of_the_wrong_kind_is_left_out_and_spoils_no_other(name: str, wrong: Any) -> None:
    """-1 is a number, so that a speed of it is left to the program, which knows its speeds; any short text may be the
    name of a clip."""
    asked = request_of({**SENSIBLE, name: wrong})
    left = {("speed", -1): -1.0, ("clip", "yes"): "yes", ("clip", "<b>"): "<b>"}
    expected = {} if name == "set" else left.get((name, wrong)) if isinstance(wrong, str | int) else None
    assert getattr(asked, name) == expected
    assert all(getattr(asked, other) == getattr(request_of(SENSIBLE), other) for other in SENSIBLE if other != name)


def test_numbers_are_finite_and_of_a_sensible_size() -> None:
    assert numbers([1, -2.5], 2) == (1.0, -2.5) and numbers([1e6, -1e6], 2) == (1e6, -1e6)
    for wrong in ([1e7, 0], [float("nan"), 0], [0, float("inf")], [True, 0], [0, 0, 0], [10**400, 0], "ab", None):
        assert numbers(wrong, 2) is None


def test_a_clips_name_has_a_length() -> None:
    assert request_of({"clip": "x" * LONGEST_NAME}).clip == "x" * LONGEST_NAME
    assert request_of({"clip": "x" * (LONGEST_NAME + 1)}).clip is None and request_of({"clip": ""}).clip is None


def test_of_sliders_only_those_that_exist_are_kept() -> None:
    told = {"friction": 0.5, "payload": "heavy", "gravity": 3, "__class__": 1, "slope": float("nan")}
    assert request_of({"set": told}).set == {"friction": 0.5}


def test_the_latest_of_everything_counts() -> None:
    inbox = Inbox()
    for asked in ({"stage": 1, "paused": True}, {"set": {"friction": 0.2, "slope": 1}}, {"stop": True}, {"stage": 2}):
        inbox.put(request_of(asked))
    inbox.put(request_of({"paused": False, "set": {"friction": 0.9}}))
    assert inbox.take() == Request(stop=True, stage=2, paused=False, set={"friction": 0.9, "slope": 1.0})
    assert inbox.take() == Request(), "it was taken"


def test_a_flood_does_not_grow_what_waits() -> None:
    inbox = Inbox()
    inbox.put(Request(stop=True))
    for count in range(5000):
        inbox.put(request_of({"stage": count, "id": count, f"name{count}": count, "set": {f"slider{count}": count}}))
    assert inbox.take() == Request(stop=True, stage=4999, id=4999)


POINTER = {
    "type": "ScenePointerMessage", "event_type": "click", "ray_origin": [0, 1.5, 2], "ray_direction": [0.0, -1.0, 0.0],
    "screen_pos": [[0.5, 0.5]], "modifier": None,
}  # fmt: skip


def test_a_click_of_visers_page_is_read() -> None:
    """As viser 1.1.1 sends it, whole numbers included."""
    assert click(msgspec.msgpack.encode(POINTER)) == Request(click=Ray((0.0, 1.5, 2.0), (0.0, -1.0, 0.0)))


@pytest.mark.parametrize(
    "change",
    [
        {"type": "ShareUrlRequest"}, {"type": "GuiUpdateMessage"}, {"event_type": "rect-select"}, {"ray_origin": None},
        {"ray_origin": "abc"}, {"ray_direction": [0, 0, 0]}, {"ray_direction": [0, 1]}, {"ray_origin": [1e300, 0, 0]},
        {"ray_direction": [float("nan"), 0, 1]}, {"ray_origin": [float("inf"), 0, 1]}, {"type": 3},
    ],
    ids=str,
)  # fmt: skip
def test_nothing_else_of_visers_is(change: dict[str, Any]) -> None:
    assert click(msgspec.msgpack.encode({**POINTER, **change})) is None


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe", b"\xc1", b"\x91" * 5000, "text", b"x" * 10**6, b"\x80"])
def test_junk_is_no_click(junk: str | bytes) -> None:
    assert click(junk) is None
