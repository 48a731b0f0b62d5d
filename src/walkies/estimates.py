"""Numbers with 95% intervals: shares of robots that survived, and means over robots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Z = 1.96
"""Standard deviations to either side of a 95% interval."""


class Share(NamedTuple):
    """A share of all robots and its 95% interval."""

    value: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A mean and its 95% interval; all None where nothing could be measured."""

    value: float | None
    low: float | None
    high: float | None


def wilson(successes: int, n: int, z: float = Z) -> Share:
    """A share and its score interval (Wilson 1927): the shares p with |p̂ − p| ≤ z √(p (1 − p) / n)."""
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Share(share, min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half))))


def mean(values: Sequence[float | None], z: float = Z) -> Estimate:
    """A mean over robots and its normal interval, ± z s / √n; robots without a number do not count."""
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return Estimate(None, None, None)
    middle = float(known.mean())
    half = z * float(known.std(ddof=1)) / np.sqrt(known.size) if known.size > 1 else float("inf")
    return Estimate(middle, middle - half, middle + half) if np.isfinite(half) else Estimate(middle, None, None)
