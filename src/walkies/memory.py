"""Memory checks: compare an estimate with the machine's memory before anything is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from walkies.errors import UserError

CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says what a container may have, version 2 and 1; a word or an absurd number where it is not limited."""
GIB = 1024**3


def of_machine() -> float:
    """Bytes available to this process: the machine's, or fewer in a container; infinite if unknown."""
    limits = [int(text) for path in CGROUPS if path.is_file() and (text := path.read_text().strip()).isdigit()]
    if hasattr(os, "sysconf"):  # not on Windows
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=math.inf)


def refuse(needed: float, what: str, remedy: str) -> None:
    """Refuse what cannot fit into memory.

    Args:
        needed: bytes, a lower bound.
        what: what needs them; the subject of the error message.
        remedy: what to do about it.

    Raises:
        UserError: the machine has less; the message gives both numbers.
    """
    if needed > (there := of_machine()):
        raise UserError(f"{what} would take at least {needed / GIB:,.1f} GiB of memory, of which this machine has "
                        f"{there / GIB:,.1f} GiB; {remedy}")  # fmt: skip


def size_of(arrays: Iterable[Any]) -> int:
    """Bytes of some arrays."""
    return sum(array.nbytes for array in arrays)
