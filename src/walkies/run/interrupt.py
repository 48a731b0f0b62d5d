"""Stop requests: Ctrl-C, a closed terminal or a request to end the process, turned into a flag that loops check."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; `kill`, or a batch system before it kills; a closed terminal. Only those that the system has."""
KILLED_BY = 128
"""A process ended by a signal exits with this plus the signal's number, as shells expect."""


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], str | None]]:
    """Within this block the first of SIGNALS only sets a flag: yields a function that returns its name, None before.

    A second one acts as it usually does. A signal that was ignored stays so (`nohup` ignores SIGHUP).
    """
    asked: list[str] = []
    before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def handler(number: int, frame: FrameType | None) -> None:
        asked.append(signal.Signals(number).name)
        for one, previous in before.items():
            signal.signal(one, previous)

    # Outside the main thread no handler may be set: nobody can press Ctrl-C there.
    with suppress(ValueError):
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def exit_status(name: str) -> int:
    """The exit status of a process ended by the signal `name`."""
    return KILLED_BY + int(signal.Signals[name])
