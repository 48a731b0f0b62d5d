"""Capture a gait: from the joint angles of a robot that walks steadily to one cycle of them.

The frequency is where the angles' autocorrelation peaks. The cycle is a Fourier series fitted to all recorded cycles at
once: their average, smooth, and closed, since its last row continues into its first. It is then averaged with its
mirror image half a cycle later, which removes what a policy does by chance with one side only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.errors import UserError
from walkies.robots.base import Robot
from walkies.tasks.gait.generator import SAMPLES

HARMONICS = 6
"""Of the Fourier series. At 50 actions per second a policy cannot make more than 8 of a gait of 3 Hz."""
FASTEST, SLOWEST = 10.0, 0.5
"""Hz, between which a gait's frequency is sought."""
AS_HIGH = 0.9
"""A peak of this share of the highest counts as high: after two cycles the angles recur as after one."""
STEADY = 0.8
"""Share of the angles' variance that the cycle must explain."""
MOVES = 0.02
"""rad, root mean square over joints and time, that a walking robot's joints move."""
LOPSIDED = 0.5
"""Distance between a gait and its mirror image, relative to the gait's size, from which their average is neither."""


class Cycle(NamedTuple):
    """One cycle of a gait."""

    table: np.ndarray
    """(N, nu) rad, absolute joint angles, forward in time"""
    frequency: float
    """Hz"""
    explained: float
    """Share of the variance of the recorded angles that the cycle explains, before mirroring"""
    lopsided: float | None
    """Root-mean-square distance between the cycle and its mirror image, relative to the cycle's size; None: not
    mirrored"""


def capture(angles: np.ndarray, dt: float, robot: Robot, mirrored: bool = True) -> Cycle:
    """The cycle that joint angles (T, nu), rad, go through, recorded every dt s.

    mirrored: average it with its mirror image half a cycle later, if the robot has one.

    Raises:
        UserError: the joints do not move, or not periodically; or left and right do not move alike.
    """
    found = frequency(angles, dt)
    table, explained = fitted(angles, dt * found)
    if explained < STEADY:
        raise UserError(
            _unsteady(f"a cycle of {found:.3g} Hz explains {explained:.0%} of the joints' movement", STEADY)
        )
    if not mirrored or robot.mirror_joints is None:
        return Cycle(table, found, explained, None)
    image = mirror_image(table, robot)
    size = np.sqrt(np.mean(np.square(table - table.mean(axis=0))))
    lopsided = float(np.sqrt(np.mean(np.square(table - image))) / size)
    if lopsided > LOPSIDED:
        raise UserError(
            f"the gait is not its own mirror image half a cycle later: they are {lopsided:.0%} of its size apart, "
            f"expected at most {LOPSIDED:.0%}; capture it as it is with --no-mirror, or from another seed's policy"
        )
    return Cycle(0.5 * (table + image), found, explained, lopsided)


def frequency(angles: np.ndarray, dt: float) -> float:
    """Hz of the cycle in joint angles (T, nu), rad, recorded every dt s.

    The shortest lag after which they recur, then the one near twice as long, and so on: each halves the error.

    Raises:
        UserError: the joints do not move, or not periodically.
    """
    shortest, longest = round(1.0 / (FASTEST * dt)), round(1.0 / (SLOWEST * dt))
    if len(angles) < 4 * longest:
        raise ValueError(f"{len(angles) * dt:g} s of joint angles; expected at least {4 * longest * dt:g} s")
    moved = float(np.sqrt(np.mean(np.square(angles - angles.mean(axis=0)))))
    if moved < MOVES:
        raise UserError(
            f"no steady gait: the joints move by {moved:.3f} rad, expected at least {MOVES}; command a speed at which "
            "the policy walks"
        )
    alike = autocorrelation(angles)[: len(angles) // 2]
    inner = alike[shortest : longest + 1]
    peak = (inner >= alike[shortest - 1 : longest]) & (inner >= alike[shortest + 1 : longest + 2])
    if not peak.any():
        raise UserError(_unsteady(f"the joints recur at no frequency between {SLOWEST:g} and {FASTEST:g} Hz"))
    high = peak & (inner >= AS_HIGH * inner[peak].max())
    lag, cycles = shortest + int(np.argmax(high)), 1
    while 2 * lag + lag // (2 * cycles) + 1 < len(alike):
        about, lag, cycles = 2 * lag, 2 * lag, 2 * cycles
        nearby = about // (4 * cycles)
        lag = about - nearby + int(np.argmax(alike[about - nearby : about + nearby + 1]))
    before, at, after = alike[lag - 1 : lag + 2]
    bend = before - 2.0 * at + after
    return float(cycles / (dt * (lag + (0.5 * (before - after) / bend if bend < 0 else 0.0))))


def autocorrelation(angles: np.ndarray) -> np.ndarray:
    """(T,) correlation of signals (T, k) with themselves so many samples later, over all signals; 1 at lag 0."""
    signals = angles - angles.mean(axis=0)
    count = len(signals)
    power = np.square(np.abs(np.fft.rfft(signals, 2 * count, axis=0))).sum(axis=1)  # padded: no wrapping around
    summed = np.fft.irfft(power)[:count] / np.arange(count, 0, -1)
    return summed / summed[0]


def fitted(angles: np.ndarray, cycles: float, samples: int = SAMPLES) -> tuple[np.ndarray, float]:
    """The Fourier series that fits signals (T, k) best, with `cycles` cycles from each sample to the next: (samples, k)
    over one cycle, and the share of the variance that it explains."""
    basis = _harmonics(np.arange(len(angles)) * cycles)
    weights = np.linalg.lstsq(basis, angles, rcond=None)[0]
    rest = np.square(angles - basis @ weights).sum()
    whole = np.square(angles - angles.mean(axis=0)).sum()
    return _harmonics(np.arange(samples) / samples) @ weights, float(1.0 - rest / whole)


def _harmonics(phase: np.ndarray) -> np.ndarray:
    """(n, 1 + 2 HARMONICS): 1, cosines and sines of the phases (n,) in cycles."""
    turns = 2.0 * np.pi * phase[:, None] * np.arange(1, HARMONICS + 1)
    return np.concatenate([np.ones((len(phase), 1)), np.cos(turns), np.sin(turns)], axis=1)


def mirror_image(table: np.ndarray, robot: Robot) -> np.ndarray:
    """The left-right mirror image of a cycle (N, nu), half a cycle later; N is even, and the robot has a mirror."""
    image = table[:, np.array(robot.mirror_joints)] * np.array(robot.mirror_signs)
    return np.roll(image, -(len(table) // 2), axis=0)


def for_backward_phase(table: np.ndarray) -> np.ndarray:
    """A table (N, nu) as a policy file stores it where the phase runs backward: row i is that of phase −i/N."""
    return np.roll(table[::-1], 1, axis=0)


def _unsteady(found: str, least: float | None = None) -> str:
    expected = "" if least is None else f", expected at least {least:.0%}"
    return f"no steady gait: {found}{expected}; capture at a speed that the policy reaches, or train it longer"
