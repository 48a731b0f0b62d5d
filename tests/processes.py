"""What processes do, from Linux's /proc."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic, sleep

PROC = Path("/proc")
LISTENS, MAPPED = "0A", "0000000000000000FFFF0000"
"""A socket's state, and what an IPv4 address begins with as IPv6, in Linux's tables."""


def command(pid: int) -> str:
    """The command line of a process; empty where it has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def parent(pid: int) -> int:
    """Of a process; 0 where it has ended."""
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def below(pid: int) -> set[int]:
    """The descendants of a process."""
    parents = {one: parent(one) for one in (int(path.name) for path in PROC.glob("[0-9]*"))}
    found: set[int] = set()
    while more := {one for one, of in parents.items() if of in {pid, *found}} - found:
        found |= more
    return found


def running(pids: Iterable[int]) -> set[int]:
    """Those of the processes that have not ended; zombies have."""

    def runs(pid: int) -> bool:
        try:
            return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    return {pid for pid in pids if runs(pid)}


def listening(pids: Iterable[int]) -> set[str]:
    """Addresses at which these processes listen."""
    inodes = set()
    for pid in pids:
        try:
            links = [link.readlink() for link in (PROC / str(pid) / "fd").iterdir()]
        except OSError:
            continue
        inodes |= {found[1] for link in links if (found := re.fullmatch(r"socket:\[(\d+)\]", str(link)))}
    lines = [line.split() for name in ("tcp", "tcp6") for line in (PROC / "net" / name).read_text().splitlines()[1:]]
    return {
        _address(line[1].partition(":")[0].removeprefix(MAPPED))
        for line in lines
        if line[3] == LISTENS and line[9] in inodes
    }


def _address(words: str) -> str:
    """Little-endian words in hexadecimal → numbers and dots, or as they are where they are IPv6."""
    return ".".join(str(byte) for byte in bytes.fromhex(words)[::-1]) if len(words) == 8 else words


def awaited(condition: Callable[[], object], seconds: float = 60.0) -> object:
    """What `condition` gives once that is true.

    Raises:
        TimeoutError: it stayed false.
    """
    end = monotonic() + seconds
    while not (found := condition()):
        if monotonic() > end:
            raise TimeoutError("it did not happen")
        sleep(0.02)
    return found
