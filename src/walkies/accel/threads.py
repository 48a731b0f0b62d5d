"""How many threads of XLA's pool the custom calls of a program use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

_threads: ContextVar[int] = ContextVar("threads", default=0)


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """What is traced within the block uses at most so many threads of XLA's pool in each custom call."""
    before = _threads.set(most)
    try:
        yield
    finally:
        _threads.reset(before)


def most_threads(asked: int = 0) -> np.int64:
    """Of a custom call that is traced now, as its attribute `threads`; 0: all of the pool. asked: by its caller."""
    limits = [limit for limit in (asked, _threads.get()) if limit]
    return np.int64(min(limits, default=0))
