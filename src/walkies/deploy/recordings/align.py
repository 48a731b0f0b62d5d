"""From received messages to control steps: which step each message belongs to, and what is known of every step.

Receive times jitter by milliseconds, and messages get lost, so they only give the length of a step. Steps are
identified by their content: an observation carries its predecessors' frames and the last action, so consecutive
messages overlap, and a lost message's frame is found in the next one. The policy's file says where a signal is within a
frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.recordings.logs import Messages, Recording
from walkies.errors import UserError
from walkies.robots.base import Robot
from walkies.tasks.contract import OBSERVATION_CLIP
from walkies.tasks.signal import SIGNALS

PERIODS = (0.012, 0.03)
"""s: a control step outside this is no recording of this controller (0.02 nominally, 0.0192 at 520 Hz)."""
ANCHORS = 30
"""messages on either side of a gap that tell its length"""
FEWEST = 50
"""observations, one second"""
LONGEST = 1e7
"""s, a third of a year: no recording lasts so long, so that its times are in another unit."""
SPARSEST = 0.1
"""Share of the control steps between the first and the last observation that must have been received."""
SAME = 1e-5
"""Two float32 numbers that were printed and read again differ by less, relative to 1."""
RESTART = 45
"""Control steps of silence after which the controller may have been re-activated, with another history."""
PAIRED = 2e-5
"""Largest difference between a message and what the following observation says of it: float32, printed and read."""
ANSWERED = 1e-4
"""Largest difference between the policy's answer computed here and on the robot."""
FADED_OUT = 1e-3
"""Fade-in factor below which an applied action carries no information."""
NEIGHBOURS = 8
"""Control steps by which a receive time may be wrong."""


Misfit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Distances (m,) of values (12,) from expected rows (m, 12)."""


class Log(NamedTuple):
    """What is known of K control steps."""

    period: float
    """s, mean time between actions"""
    frame: np.ndarray
    """(K, frame) sensors of each step and the action before it; NaN where lost"""
    seen: np.ndarray
    """(K, H·frame) what the policy saw; NaN where that message was lost"""
    target: np.ndarray
    """(K, nu) rad, the target each step sent to the motors, after all clamps; NaN where unknown"""
    applied: np.ndarray
    """(K, nu) the action after fade-in; NaN where unknown"""
    output: np.ndarray
    """(K, nu) what the policy was logged to have answered; NaN where lost"""
    commanded: np.ndarray
    """(K, nu) rad, the logged position command; NaN where lost"""
    jitter: float
    """s, robust spread of the receive times around equal steps"""
    received: int
    """observations in the recording"""
    recovered: int
    """steps whose message was lost but whose frame another one carried"""
    gaps: int
    """places at which steps are missing altogether"""
    slices: dict[str, slice]
    """where each signal lies within a frame"""

    def part(self, name: str) -> np.ndarray:
        """One signal of each frame, (K, size)."""
        return self.frame[:, self.slices[name]]

    def runs(self, fewest: int = 1) -> list[slice]:
        """Stretches of at least `fewest` steps in which frame and target are known without a gap."""
        known = np.isfinite(self.frame).all(axis=1) & np.isfinite(self.target).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
        return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= fewest]


def align(recording: Recording, policy: PolicyFile, robot: Robot) -> Log:
    """Put every message of `recording` at its control step.

    Raises:
        UserError: the messages cannot be this policy's, their frames do not hold the last action, or there is too
            little to go by.
    """
    require_signals(policy, ("last_action",), "what was sent to the motors is told by it")
    _check_messages(recording, policy)
    first = recording.observation.time[0]  # far from zero, times have few digits left for milliseconds
    recording = Recording(*(Messages(messages.time - first, messages.values) for messages in recording))
    observation = _without_duplicates(recording.observation)
    history = policy.observation_history
    size = policy.frame_size
    frames = observation.values.reshape(-1, history, size)
    step = _steps(observation.time, frames, policy)
    period, start, jitter = _clock(observation.time, step)
    _check_period(period)
    count = int(step[-1]) + 1
    frame, seen = _unknown(count, size), _unknown(count, size * history)
    alive_since = np.maximum.accumulate(np.where(np.diff(step, prepend=-RESTART) >= RESTART, step, 0))
    for back in reversed(range(history)):  # the newest word on a frame is its own message
        at = step - back
        carried = at >= alive_since
        frame[at[carried]] = frames[carried, back]
    seen[step] = observation.values
    own = np.zeros(count, bool)
    own[step] = True
    known = np.isfinite(frame).all(axis=1)
    applied = _unknown(count, policy.num_joints)
    applied[:-1] = frame[1:, policy.slices["last_action"]]
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
        slices=policy.slices,
    )


def require_signals(policy: PolicyFile, names: tuple[str, ...], why: str) -> None:
    """Refuse a policy whose frames lack some of the signals `names`.

    Raises:
        UserError: which, by the names of walkies and of the file, and what to do.
    """
    if missing := [name for name in names if name not in policy.slices]:
        listed = ", ".join(f"{name} ({SIGNALS[name].in_files} in obs_spec)" for name in missing)
        raise UserError(
            f"the observations of this policy hold no {listed}: {why}; got {', '.join(policy.observation)}. Record a "
            "policy that observes it: `walkies excite` writes one that shakes the legs of a robot held in the air"
        )


def target_offset(applied: np.ndarray, policy: PolicyFile) -> np.ndarray:
    """Joint targets (…, nu), rad, before any clamp."""
    return applied * np.array(policy.action_scale) + np.array(policy.default_joint_pos)


def targets(applied: np.ndarray, policy: PolicyFile, robot: Robot) -> np.ndarray:
    """Joint targets (…, nu), rad, that reach the motors: clamped by the controller, then by the motor board."""
    clamped = np.clip(target_offset(applied, policy), policy.joint_lower_limits, policy.joint_upper_limits)
    return np.clip(clamped, *robot.target_limits())


def _check_messages(recording: Recording, policy: PolicyFile) -> None:
    got = recording.observation.values.shape[1]
    if got != policy.observation_size:
        raise UserError(
            f"the log's observations have {got} numbers, the policy takes {policy.observation_size} "
            f"({policy.observation_history} frames of {policy.frame_size}); was the log made with another policy?"
        )
    for name, messages in (
        ("policy_output", recording.policy_output),
        ("position_command", recording.position_command),
    ):
        if messages.values.shape[1] != policy.num_joints:
            got = messages.values.shape[1]
            raise UserError(f"{name}: got messages of {got} numbers, expected {policy.num_joints}")
    if len(recording.observation.time) < FEWEST:
        raise UserError(
            f"got {len(recording.observation.time)} observations, expected at least {FEWEST}; "
            "record the policy for 30 s or more"
        )
    if (span := float(np.ptp(recording.observation.time))) > LONGEST:
        raise UserError(f"the observations' times span {span:.3g} s; expected seconds, and one recording")
    largest = float(np.abs(recording.observation.values).max())
    if largest > OBSERVATION_CLIP * (1 + SAME):
        raise UserError(
            f"an observation holds {largest:.3g}, which the controller would have clamped to {OBSERVATION_CLIP:g}; "
            "the log is damaged, or of another controller"
        )


def _without_duplicates(messages: Messages) -> Messages:
    """Without messages that came twice: the same content as the one before, much sooner than the next is due."""
    soon = np.diff(messages.time) < 0.5 * np.median(np.diff(messages.time))
    same = np.all(messages.values[1:] == messages.values[:-1], axis=1)
    keep = np.concatenate([[True], ~(soon & same)])
    return Messages(messages.time[keep], messages.values[keep])


def _steps(time: np.ndarray, frames: np.ndarray, policy: PolicyFile) -> np.ndarray:
    """Step number of each observation (M,) int, from 0.

    Consecutive ones are told by their overlap, or by the last action being the policy's answer to the one before.
    Over gaps the clock decides, averaged over the messages on either side.
    """
    advance = _links(frames, policy)
    stretches = np.split(np.arange(len(time)), np.flatnonzero(advance == 0) + 1)
    inside = [np.concatenate([[0], np.cumsum(advance[stretch[:-1]])]) for stretch in stretches]
    if len(stretches) == 1:  # all is told by content, whatever the clock does
        return inside[0].astype(int)
    period = _common_slope([time[stretch] for stretch in stretches], inside)
    _check_period(period)
    if len(time) * period < SPARSEST * (span := time[-1] - time[0]):
        raise UserError(
            f"got {len(time)} observations over {span:.4g} s; is a time wrong, or are these several recordings in one? "
            "Keep one of them"
        )
    step = np.zeros(len(time), int)
    for stretch, ahead in zip(stretches, inside, strict=True):
        first, i = 0, stretch[0]
        if i > 0:
            origin = np.median((time - period * step)[max(i - ANCHORS, 0) : i])  # when step 0 was, say those before
            own = np.median((time[stretch] - period * ahead)[:ANCHORS])
            # Without overlap the history has been passed by; with a history of one frame there is none to look at.
            first = max(round((own - origin) / period), int(step[i - 1]) + policy.observation_history)
        step[stretch] = first + ahead
    return step


def _check_period(period: float) -> None:
    if not PERIODS[0] <= period <= PERIODS[1]:
        raise UserError(
            f"observations arrive every {period * 1e3:.4g} ms, expected about 19 to 20; "
            "is this the controller's ~/observation, recorded with its times in seconds?"
        )


def _common_slope(times: list[np.ndarray], steps: list[np.ndarray]) -> float:
    """s per step, the least-squares slope within stretches, whatever lies between them; else the median interval."""
    covariance = sum(float(np.sum((t - t.mean()) * (n - n.mean()))) for t, n in zip(times, steps, strict=True))
    variance = sum(float(np.sum((n - n.mean()) ** 2)) for n in steps)
    return covariance / variance if variance > 0 else float(np.median(np.diff(np.concatenate(times))))


def _links(frames: np.ndarray, policy: PolicyFile) -> np.ndarray:
    """Steps from each observation to the next (M - 1,) int, 0 where their contents do not tell."""
    history = frames.shape[1]
    advance = np.zeros(len(frames) - 1, int)
    for back in reversed(range(1, history)):
        older, newer = frames[:-1, : history - back], frames[1:, back:]
        advance[np.all(np.abs(newer - older) <= SAME * np.maximum(1.0, np.abs(older)), axis=(1, 2))] = back
    if history == 1:
        answers = policy.act(frames[:-1, 0].astype(np.float32)).astype(float)
        applied = frames[1:, 0, policy.slices["last_action"]]
        misfit = [_fit_scaled(a, b[None])[0] for a, b in zip(answers, applied, strict=True)]
        advance[np.array(misfit) <= ANSWERED] = 1
    return advance


def _clock(time: np.ndarray, step: np.ndarray) -> tuple[float, float, float]:
    """Length of a step, time of step 0 and spread of the receive times, in s; outliers count little."""
    weight = np.ones(len(time))
    for _ in range(20):
        slope, start = np.polyfit(step, time, 1, w=weight)
        error = time - (start + slope * step)
        spread = 1.4826 * float(np.median(np.abs(error - np.median(error)))) + 1e-6
        weight = 1.0 / np.sqrt(1.0 + (error / spread) ** 2)
    return float(slope), float(start), spread


def _pair(messages: Messages, expected: np.ndarray, period: float, start: float, misfit: Misfit) -> np.ndarray:
    """The messages (K, nu) at the steps whose `expected` values they have, near their receive times.

    If most of them have no such step then something else is wrong, and they go by their times, to be told apart later.
    """
    count = len(expected)
    result, by_time = _unknown(*expected.shape), _unknown(*expected.shape)
    near = np.rint(np.clip((messages.time - start) / period, 0, count - 1)).astype(int)
    by_time[near] = messages.values
    known = np.isfinite(expected).all(axis=1)
    paired = 0
    for guess, values in zip(near, messages.values, strict=True):
        candidates = np.arange(max(guess - NEIGHBOURS, 0), min(guess + NEIGHBOURS + 1, count))
        candidates = candidates[known[candidates]]
        candidates = candidates[misfit(values, expected[candidates]) <= PAIRED]
        if len(candidates):
            result[candidates[np.argmin(np.abs(candidates - guess))]] = values
            paired += 1
    return result if 2 * paired >= len(near) else by_time


def _fit_scaled(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Distance of `values` from each expected row over its best factor in (0, 1]: the fade-in is not logged."""
    factor = np.clip(expected @ values / max(values @ values, 1e-12), 0.0, 1.0)
    distance = np.abs(expected - factor[:, None] * values).max(axis=1) / np.maximum(factor, FADED_OUT)
    return np.where(factor < FADED_OUT, np.inf, distance)


def _fit_equal(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.abs(expected - values).max(axis=1)


def _unknown(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan)
