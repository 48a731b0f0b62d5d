"""From received messages to control steps: which step each message belongs to, and what is known of every step.

Receive times jitter by milliseconds, and messages get lost, so they only give the length of a step. What tells steps
apart is the content: an observation carries its predecessors' frames and the last action, so that consecutive
messages overlap, and a lost message's frame is found in the next one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.contract import FRAME_SIZE, SLICES
from walkies.deploy.logs import Messages, Recording
from walkies.deploy.policy_file import PolicyFile
from walkies.errors import UserError
from walkies.robots.base import Robot

PERIODS = (0.012, 0.03)
"""s: a control step outside this is no recording of this controller (0.02 nominally, 0.0192 at 520 Hz)."""
FEWEST = 50
"""observations, one second"""
SAME = 1e-5
"""Two float32 numbers that were printed and read again differ by less, relative to 1."""
RESTART = 45
"""Control steps of silence after which the controller may have been activated anew, with another life's history."""
NEIGHBOURS = 8
"""Control steps by which a receive time may be wrong."""


class Log(NamedTuple):
    """What is known of K control steps."""

    period: float
    """s, mean time between actions"""
    frame: np.ndarray
    """(K, 36) sensors of each step and the action before it; NaN where lost"""
    seen: np.ndarray
    """(K, H·36) what the policy saw; NaN where that message was lost"""
    target: np.ndarray
    """(K, 12) rad, the target each step sent to the motors, after all clamps; NaN where unknown"""
    applied: np.ndarray
    """(K, 12) the action after fade-in; NaN where unknown"""
    output: np.ndarray
    """(K, 12) what the policy was logged to have answered; NaN where lost"""
    commanded: np.ndarray
    """(K, 12) rad, the logged position command; NaN where lost"""
    jitter: float
    """s, robust spread of the receive times around equal steps"""
    received: int
    """observations in the recording"""
    recovered: int
    """steps whose message was lost but whose frame another one carried"""
    gaps: int
    """places at which steps are missing altogether"""

    def runs(self, fewest: int = 1) -> list[slice]:
        """Stretches of at least `fewest` steps in which frame and target are known without a gap."""
        known = np.isfinite(self.frame).all(axis=1) & np.isfinite(self.target).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
        return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= fewest]


def align(recording: Recording, policy: PolicyFile, robot: Robot) -> Log:
    """Put every message of `recording` at its control step.

    Raises:
        UserError: sizes do not fit the policy, or there is too little to go by.
    """
    _check_sizes(recording, policy)
    observation = _without_duplicates(recording.observation)
    history = policy.observation_history
    frames = observation.values.reshape(-1, history, FRAME_SIZE)
    period = float(np.median(np.diff(observation.time)))
    step = _steps(observation.time, frames, period)
    period, start, jitter = _clock(observation.time, step)
    if not PERIODS[0] <= period <= PERIODS[1]:
        raise UserError(
            f"observations arrive every {period * 1e3:.1f} ms, expected about 19 to 20; "
            "is this the controller's ~/observation, recorded with its times in seconds?"
        )
    count = int(step[-1]) + 1
    frame, seen = _unknown(count, FRAME_SIZE), _unknown(count, FRAME_SIZE * history)
    alive_since = np.maximum.accumulate(np.where(np.diff(step, prepend=-RESTART) >= RESTART, step, 0))
    for back in reversed(range(history)):  # the newest word on a frame is its own message
        at = step - back
        carried = at >= alive_since
        frame[at[carried]] = frames[carried, back]
    seen[step] = observation.values
    own = np.zeros(count, bool)
    own[step] = True
    known = np.isfinite(frame).all(axis=1)
    applied = _unknown(count, 12)
    applied[:-1] = frame[1:, SLICES["last_action"]]
    target = targets(applied, policy, robot)
    clamped = np.clip(target_offset(applied, policy), policy.joint_lower_limits, policy.joint_upper_limits)
    return Log(
        period=period,
        frame=frame,
        seen=seen,
        target=target,
        applied=applied,
        output=_pair(recording.policy_output, applied, period, start, _fit_scaled),
        commanded=_pair(recording.position_command, clamped, period, start, _fit_equal),
        jitter=jitter,
        received=len(step),
        recovered=int(np.sum(known & ~own)),
        gaps=int(np.sum(np.diff(known.astype(int)) == -1)),
    )


def target_offset(applied: np.ndarray, policy: PolicyFile) -> np.ndarray:
    """Joint targets (…, 12), rad, before any clamp."""
    return applied * np.array(policy.action_scale) + np.array(policy.default_joint_pos)


def targets(applied: np.ndarray, policy: PolicyFile, robot: Robot) -> np.ndarray:
    """Joint targets (…, 12), rad, that reach the motors: clamped by the controller, then by the motor board."""
    clamped = np.clip(target_offset(applied, policy), policy.joint_lower_limits, policy.joint_upper_limits)
    return np.clip(clamped, *robot.target_limits())


def _check_sizes(recording: Recording, policy: PolicyFile) -> None:
    got = recording.observation.values.shape[1]
    if got != policy.observation_size:
        raise UserError(
            f"the log's observations have {got} numbers, the policy takes {policy.observation_size} "
            f"({policy.observation_history} frames of {FRAME_SIZE}); was the log made with another policy?"
        )
    for name, messages in (
        ("policy_output", recording.policy_output),
        ("position_command", recording.position_command),
    ):
        if messages.values.shape[1] != 12:
            raise UserError(f"{name}: got messages of {messages.values.shape[1]} numbers, expected 12")
    if len(recording.observation.time) < FEWEST:
        raise UserError(
            f"got {len(recording.observation.time)} observations, expected at least {FEWEST}; "
            "record the policy for 30 s or more"
        )


def _without_duplicates(messages: Messages) -> Messages:
    """Without messages that came twice: the same content as the one before, much sooner than the next is due."""
    soon = np.diff(messages.time) < 0.5 * np.median(np.diff(messages.time))
    same = np.all(messages.values[1:] == messages.values[:-1], axis=1)
    keep = np.concatenate([[True], ~(soon & same)])
    return Messages(messages.time[keep], messages.values[keep])


def _steps(time: np.ndarray, frames: np.ndarray, period: float) -> np.ndarray:
    """Step number of each observation (M,) int, from 0: by overlap with its predecessor, else by time."""
    history = frames.shape[1]
    step = np.zeros(len(time), int)
    for i in range(1, len(time)):
        elapsed = (time[i] - time[i - 1]) / period
        overlap = [s for s in range(1, history) if _same(frames[i, s:], frames[i - 1, : history - s])]
        if overlap:
            advance = min(overlap, key=lambda s: abs(s - elapsed))
        else:
            # Without overlap the history has been passed by; with a history of one frame there is none to look at.
            advance = max(round(elapsed), history if history > 1 else 1)
        step[i] = step[i - 1] + advance
    return step


def _clock(time: np.ndarray, step: np.ndarray) -> tuple[float, float, float]:
    """Length of a step, time of step 0 and spread of the receive times, in s; outliers count little."""
    weight = np.ones(len(time))
    for _ in range(20):
        slope, start = np.polyfit(step, time, 1, w=weight)
        error = time - (start + slope * step)
        spread = 1.4826 * float(np.median(np.abs(error - np.median(error)))) + 1e-6
        weight = 1.0 / np.sqrt(1.0 + (error / spread) ** 2)
    return float(slope), float(start), spread


def _pair(messages: Messages, expected: np.ndarray, period: float, start: float, misfit: object) -> np.ndarray:
    """The messages (K, 12) at the steps whose `expected` values they fit best, near their receive times."""
    count = len(expected)
    result = _unknown(count, 12)
    best = np.full(count, np.inf)
    near = np.rint((messages.time - start) / period).astype(int)
    for guess, values in zip(near, messages.values, strict=True):
        candidates = np.arange(max(guess - NEIGHBOURS, 0), min(guess + NEIGHBOURS + 1, count))
        candidates = candidates[np.isfinite(expected[candidates]).all(axis=1)]
        if not len(candidates):
            continue
        errors = misfit(values, expected[candidates])  # type: ignore[operator]
        nearest = errors <= errors.min() + SAME
        chosen = candidates[nearest][np.argmin(np.abs(candidates[nearest] - guess))]
        error = errors[candidates == chosen][0]
        if error < best[chosen]:
            best[chosen], result[chosen] = error, values
    return result


def _fit_scaled(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Distance of each expected row from `values` times its best factor in [0, 1]: the fade-in is not logged."""
    factor = np.clip(expected @ values / max(values @ values, 1e-12), 0.0, 1.0)
    return np.abs(expected - factor[:, None] * values).max(axis=1)


def _fit_equal(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.abs(expected - values).max(axis=1)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.all(np.abs(a - b) <= SAME * np.maximum(1.0, np.abs(b))))


def _unknown(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan)
