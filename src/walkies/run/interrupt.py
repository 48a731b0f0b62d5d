"""Asked to stop: Ctrl-C, a closed terminal or a request to end the process, turned into a flag that work looks at."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; `kill` and what a batch system sends before it kills; the terminal was closed. Where the system has them."""
KILLED_BY = 128
"""A process that a signal ended exits with this plus the signal's number, as shells expect."""


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], str | None]]:
    """Within this block the first of SIGNALS only sets a flag: yields a function that names it, None before.

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
    """The status with which a process exits that the signal `name` ended."""
    return KILLED_BY + int(signal.Signals[name])
