"""Damaged copies of files, the same ones for the same seed: as disks, networks and editors damage them."""

import random
import re
from collections.abc import Iterator

BYTES = (
    b"\x00",
    b"\xff",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"-",
    b"e",
    b"9",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\xc3",
    b"[/red]",
    b"nan",
)


def _flip(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(BYTES) * rng.choice((1, 1, 2, 100)) + content[at:]


def _delete(content: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:a] + content[max(b - rng.choice((0, 1, 1000)), a) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:b] + content[a : min(a + 1000, b)] + content[b:]


def _swap(content: bytes, rng: random.Random) -> bytes:
    """Two fields between commas and line ends trade places, or one becomes empty."""
    fields = [m.span() for m in re.finditer(rb"[^,\n]+", content)]
    if len(fields) < 2:
        return content[::-1]
    (a, b), (c, d) = sorted(rng.sample(fields, 2))
    other = rng.choice((content[c:d], content[c:d], b"", b"1e999", b"-1e30"))
    return content[:a] + other + content[b:c] + content[a:b] + content[d:]


KINDS = (_flip, _truncate, _insert, _delete, _repeat, _swap)


def damaged(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` damaged copies of `content`, kinds of damage in turn."""
    rng = random.Random(seed)
    for i in range(count):
        yield KINDS[i % len(KINDS)](content, rng)
