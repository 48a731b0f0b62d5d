"""Requests from pages: checked on arrival, and merged while they wait, so that a flood cannot grow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from walkies.errors import UserError
from walkies.files import parse_json
from walkies.show.viewer.settings import SLIDERS, finite

LONGEST_MESSAGE = 4096
"""Characters of one message from a page."""
LONGEST_NAME = 200
"""Characters of a name in a request."""
LARGEST_NUMBER = 1e6
"""Of any velocity or length that a page may name: nothing sensible is larger, and the square of a larger one may
overflow."""
LARGEST_WHOLE = 2**53 - 1
"""A page's own largest exact whole number (ECMAScript's MAX_SAFE_INTEGER)."""

Vector = tuple[float, ...]


class Ray(NamedTuple):
    """A line of sight through the 3-D view, in the view's own axes."""

    origin: Vector
    """(3,) m"""
    direction: Vector
    """(3,) of any length but 0"""


@dataclass(frozen=True)
class Request:
    """The requests of one page, or of several together; None: not requested."""

    stop: bool | None = None
    """Press the controller's emergency stop."""
    reset: bool | None = None
    """Stand the robot up again."""
    command: Vector | None = None
    """(3,) velocity: forward and leftward m/s, rad/s."""
    id: int | None = None
    """The number of the command, to be said back when it is heard."""
    push: Vector | None = None
    """(2,) m/s, forward and leftward of the robot."""
    click: Ray | None = None
    """A click into the 3-D view."""
    set: Mapping[str, float] = field(default_factory=dict)
    """New values of sliders, by their names."""
    paused: bool | None = None
    speed: float | None = None
    """Simulated time over real time."""
    stage: int | None = None
    """The policy to walk with, by its place in the list of stages."""
    clip: str | None = None
    """The clip of the policy's movement to play next, by its name."""
    reference: bool | None = None
    """Whether to show what the policy follows."""
    hardware: bool | None = None
    """Whether the page draws with a graphics card."""

    def then(self, later: Request) -> Request:
        """Both as one: of everything the latest that was said."""
        said = {name: value for name in _NAMES if (value := getattr(later, name)) is not None}
        return replace(self, **{**said, "set": {**self.set, **later.set}})


_NAMES = tuple(one.name for one in fields(Request))


class Inbox:
    """Requests that wait for the program, as one; it cannot grow, and any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = Request()

    def put(self, request: Request) -> None:
        """Add a request."""
        with self._lock:
            self._waiting = self._waiting.then(request)

    def take(self) -> Request:
        """All that was asked for since the last time."""
        with self._lock:
            waiting, self._waiting = self._waiting, Request()
        return waiting


def parse(text: str | bytes) -> Request | None:
    """A page's message, or None where it is none: one JSON object of at most LONGEST_MESSAGE characters of text."""
    if isinstance(text, bytes) or len(text) > LONGEST_MESSAGE:
        return None
    try:
        message = parse_json(text, "message", "a request")
    except UserError:
        return None
    return request_of(message) if isinstance(message, dict) else None


def request_of(message: Mapping[str, Any]) -> Request:
    """The request in a message; what is of the wrong kind or makes no sense is left out."""
    return Request(**{name: read(message[name]) for name, read in _READERS.items() if name in message})


def numbers(value: Any, count: int) -> Vector | None:
    """`value` as `count` sensible numbers, or None."""
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    found = tuple(number for one in value if (number := finite(one)) is not None and abs(number) <= LARGEST_NUMBER)
    return found if len(found) == count else None


def _press(value: Any) -> bool | None:
    """Of a button, which can only be pressed."""
    return True if value is True else None


def _switch(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= LARGEST_WHOLE else None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME else None


def _sliders(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    found = {slider.name: finite(value.get(slider.name)) for slider in SLIDERS}
    return {name: number for name, number in found.items() if number is not None}


_READERS: dict[str, Callable[[Any], Any]] = {
    "stop": _press,
    "reset": _press,
    "command": lambda value: numbers(value, 3),
    "id": _whole,
    "push": lambda value: numbers(value, 2),
    "set": _sliders,
    "paused": _switch,
    "speed": finite,
    "stage": _whole,
    "clip": _name,
    "reference": _switch,
    "hardware": _switch,
}
"""How each field of a page's message is read; a click comes by another way, from the 3-D view."""
