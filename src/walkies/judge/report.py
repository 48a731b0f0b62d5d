"""From a record of an examination to its report card: numbers, pass marks, and the episodes that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from walkies.judge.ranges import CONTROL_DT, EPISODE_SECONDS, SETTLE, STEPS, Conditions
from walkies.judge.record import Record
from walkies.judge.report_card import Card, Fall, Result, uncertainty
from walkies.robots.base import Robot
from walkies.robots.units import REFERENCE, growth, measures, tidy

FALLEN_LINEAR = 1.0
"""m/s, the error of a fallen robot"""
FALLEN_YAW = 2.0
"""rad/s, likewise"""
WINDOW = 0.5
"""s, the centred moving average of the smoothed errors: about one gait cycle, over which the trunk sways on purpose."""
MOVING = 0.1
"""m/s or rad/s: a command of at least this in any component asks for motion."""


@dataclass(frozen=True)
class Mark:
    """One line of the report card."""

    key: str
    name: str
    unit: str
    limit: float | None
    """Pass mark, or None if the number is only for information."""
    at_least: bool = False
    gates: bool = False
    """Whether missing it fails the examination."""


MARKS = (
    Mark("survival", "survival", "", 0.99, at_least=True, gates=True),
    Mark("lin_vel_error", "linear velocity error, mean", "m/s", 0.10, gates=True),
    Mark("yaw_rate_error", "yaw rate error, mean", "rad/s", 0.20, gates=True),
    Mark("lin_vel_error_p95", "linear velocity error, 95th percentile", "m/s", 0.25),
    Mark("yaw_rate_error_p95", "yaw rate error, 95th percentile", "rad/s", 0.50),
    Mark("lin_vel_error_smooth", f"linear velocity error over {WINDOW:g} s, mean", "m/s", 0.08),
    Mark("yaw_rate_error_smooth", f"yaw rate error over {WINDOW:g} s, mean", "rad/s", 0.15),
    Mark("tilt", "tilt, mean", "rad", 0.10),
    Mark("tilt_p95", "tilt, 95th percentile", "rad", 0.25),
    Mark("torque_rms", "joint torque, root mean square", "N m", 1.0),
    Mark("power", "mechanical power, mean of the sum of abs(τ q̇)", "W", 20.0),
    Mark("cost_of_transport", "cost of transport, energy / (weight × distance)", "", 2.0),
    Mark("action_rate", "action change per control step, root mean square", "", 0.5),
    Mark("foot_slip", "foot speed on the ground, mean", "m/s", 0.15),
    Mark("drift", "drift when commanded zero", "m/s", 0.05),
    Mark("yaw_drift", "turning when commanded zero", "rad/s", 0.10),
)


class Scale(NamedTuple):
    """How many times larger a robot's marks and times are than those that stand here."""

    linear: float = 1.0
    """m/s, as its commands are"""
    yaw: float = 1.0
    """rad/s, likewise"""
    time: float = 1.0
    torque: float = 1.0
    power: float = 1.0

    def of(self, unit: str) -> float:
        """For marks of a unit."""
        return {"m/s": self.linear, "rad/s": self.yaw, "N m": self.torque, "W": self.power}.get(unit, 1.0)


ONE = Scale()
"""Of the robot for which the marks were set."""


def scale_of(robot: Robot) -> Scale:
    """Of a robot, by `walkies.robots.units`."""
    own = measures(robot)
    speeds = own.forward / REFERENCE.forward, own.yaw / REFERENCE.yaw
    return Scale(*speeds, *(growth(robot, unit) for unit in ("s", "N m", "W")))


def counted(drawn: Conditions, record: Record, scale: Scale = ONE) -> np.ndarray:
    """(n, STEPS) bool: steps whose error counts: from SETTLE after each change of command, and all after a fall."""
    settled = drawn.since_change * CONTROL_DT >= SETTLE * scale.time - 1e-9
    return settled | (np.arange(STEPS) >= record.fall_step[:, None])


def errors(drawn: Conditions, record: Record, scale: Scale = ONE) -> tuple[np.ndarray, np.ndarray]:
    """Linear (m/s) and yaw-rate (rad/s) error of every step, (n, STEPS); fallen: FALLEN_LINEAR, FALLEN_YAW."""
    linear = np.linalg.norm(record.velocity[..., :2] - drawn.command[..., :2], axis=-1)
    yaw = np.abs(record.yaw_rate - drawn.command[..., 2])
    fallen = FALLEN_LINEAR * scale.linear, FALLEN_YAW * scale.yaw
    return np.where(record.alive, linear, fallen[0]), np.where(record.alive, yaw, fallen[1])


def smoothed_errors(drawn: Conditions, record: Record, scale: Scale = ONE) -> tuple[float, float]:
    """Mean errors of velocities averaged over WINDOW, where the whole window lies in one command's counted time.

    Fallen steps count as in `errors`.
    """
    half = round(WINDOW * scale.time / CONTROL_DT) // 2
    fallen = ~record.alive & (np.arange(STEPS) >= record.fall_step[:, None])
    settled = drawn.since_change * CONTROL_DT >= SETTLE * scale.time - 1e-9 + half * CONTROL_DT
    whole = settled & (drawn.until_change > half) & (np.arange(STEPS) + half < record.fall_step[:, None])
    velocity = _moving_average(record.velocity[..., :2], half)
    yaw_rate = _moving_average(record.yaw_rate[..., None], half)[..., 0]
    linear = np.linalg.norm(velocity - drawn.command[..., :2], axis=-1)
    yaw = np.abs(yaw_rate - drawn.command[..., 2])
    linear = np.where(fallen, FALLEN_LINEAR * scale.linear, linear)
    yaw = np.where(fallen, FALLEN_YAW * scale.yaw, yaw)
    counts = whole | fallen
    return float(linear[counts].mean()), float(yaw[counts].mean())


def score(drawn: Conditions, record: Record, scale: Scale = ONE) -> dict[str, float]:
    """Every number of MARKS from a record."""
    counts = counted(drawn, record, scale)
    linear, yaw = (error[counts] for error in errors(drawn, record, scale))
    smooth_linear, smooth_yaw = smoothed_errors(drawn, record, scale)
    alive = record.alive
    moving = alive & np.any(np.abs(drawn.command) >= MOVING, axis=-1)
    speed = np.linalg.norm(record.velocity[..., :2], axis=-1)
    work = float((record.power * CONTROL_DT)[moving].sum())
    load_distance = float((record.weight[:, None] * speed * CONTROL_DT)[moving].sum())
    change = np.diff(record.action, axis=1)[alive[:, 1:]]
    drift, yaw_drift = _drift(drawn, record, scale)
    return {
        "survival": float(np.mean(record.cause == "")),
        "lin_vel_error": float(linear.mean()),
        "yaw_rate_error": float(yaw.mean()),
        "lin_vel_error_p95": float(np.quantile(linear, 0.95)),
        "yaw_rate_error_p95": float(np.quantile(yaw, 0.95)),
        "lin_vel_error_smooth": smooth_linear,
        "yaw_rate_error_smooth": smooth_yaw,
        "tilt": _mean(record.tilt[alive]),
        "tilt_p95": float(np.quantile(record.tilt[alive], 0.95)) if alive.any() else float("nan"),
        "torque_rms": _mean(record.torque_square[alive]) ** 0.5,
        "power": _mean(record.power[alive]),
        "cost_of_transport": work / load_distance if load_distance > 0 else float("nan"),
        "action_rate": _mean(change**2) ** 0.5,
        "foot_slip": _mean(record.slip[alive & record.contact]),
        "drift": drift,
        "yaw_drift": yaw_drift,
    }


def marks_of(scale: Scale) -> tuple[Mark, ...]:
    """The marks of a robot."""
    sizes = [1.0 if mark.limit is None else scale.of(mark.unit) for mark in MARKS]
    return tuple(
        mark if mark.limit is None or size == 1.0 else replace(mark, limit=tidy(mark.limit * size))
        for mark, size in zip(MARKS, sizes, strict=True)
    )


def report(drawn: Conditions, record: Record, seed: int, robot: str, scale: Scale = ONE) -> Card:
    """The report card. Numbers that could not be measured are None, and their marks missed."""
    numbers, own = score(drawn, record, scale), marks_of(scale)
    marks = results(own, numbers)
    episodes = len(drawn.seed)
    card: Card = {
        "passed": all(mark["met"] for mark in marks if mark["gates"]),
        "survival": numbers["survival"],
        "survival_interval": list(uncertainty(numbers["survival"], episodes)[1:]),
        "lin_vel_error": numbers["lin_vel_error"],
        "yaw_rate_error": numbers["yaw_rate_error"],
        "episodes": episodes,
        "seed": seed,
        "episode_seconds": EPISODE_SECONDS,
        "robot": robot,
        "marks": marks,
        "falls": [
            fall(drawn, i, int(record.fall_step[i]), str(record.cause[i]))
            for i in map(int, np.flatnonzero(record.cause != ""))
        ],
    }
    if record.parts is not None:
        if (contacts := record.parts.own_contacts()) is not None:
            card["own_contacts"] = contacts
        if (resting := record.parts.at_rest()) is not None:
            card["resting"] = resting
    return card


def results(marks: Sequence[Mark], numbers: Mapping[str, float]) -> list[Result]:
    """What was got of each mark, by its key. A number that is not finite was not measured, and its mark is missed."""
    return [
        {
            "key": mark.key,
            "name": mark.name,
            "value": numbers[mark.key] if np.isfinite(numbers[mark.key]) else None,
            "unit": mark.unit,
            "pass_mark": mark.limit,
            "at_least": mark.at_least,
            "gates": mark.gates,
            "met": _met(mark, numbers[mark.key]),
        }
        for mark in marks
    ]


def fall(drawn: Conditions, i: int, step: int, cause: str) -> Fall:
    """Of episode number i, which ended in this control step."""
    return {
        "episode": i,
        "seed": int(drawn.seed[i]),
        "time": step * CONTROL_DT,
        "cause": cause,
        "command": drawn.command[i, step].tolist(),
        "command_held_s": float(drawn.since_change[i, step] * CONTROL_DT),
        "command_before": drawn.command[i, max(0, step - int(drawn.since_change[i, step]) - 1)].tolist(),
        "friction": float(drawn.friction[i]),
        "payload_kg": float(drawn.payload[i]),
        "trunk_mass_scale": float(drawn.mass[i, 0]),
        "com_shift_m": drawn.com_shift[i].tolist(),
        "kp_scale": float(drawn.kp[i]),
        "kd_scale": float(drawn.kd[i]),
        "command_delay_ms": float(drawn.command_delay[i] * 4),
        "imu_delay_ms": float(drawn.imu_delay[i] * 4),
        "last_push_m_s": float(np.linalg.norm(drawn.push[i, max(0, step - 50) : step + 1], axis=-1).max()),
    }


def _met(mark: Mark, value: float) -> bool:
    if mark.limit is None:
        return True
    return bool(value >= mark.limit if mark.at_least else value <= mark.limit)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _moving_average(x: np.ndarray, half: int) -> np.ndarray:
    """Centred mean of x (n, time, k) over 2 half + 1 steps; zero at the ends, where the window does not fit."""
    total = np.cumsum(np.pad(x, ((0, 0), (1, 0), (0, 0))), axis=1)
    width = 2 * half + 1
    result = np.zeros_like(x)
    result[:, half : x.shape[1] - half] = (total[:, width:] - total[:, :-width]) / width
    return result


def _drift(drawn: Conditions, record: Record, scale: Scale) -> tuple[float, float]:
    """Speed (m/s) and yaw rate (rad/s) of the net motion while told to stand still, after SETTLE to stop, means."""
    still = counted(drawn, record, scale) & record.alive & np.all(drawn.command == 0, axis=-1)
    speeds, turns = [], []
    for i in range(len(still)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], still[i], [0]])))
        for start, end in edges.reshape(-1, 2):
            if end - start > 1:
                seconds = (end - 1 - start) * CONTROL_DT
                speeds.append(np.linalg.norm(record.position[i, end - 1] - record.position[i, start]) / seconds)
                turns.append(abs(record.yaw_rate[i, start:end].mean()))
    return _mean(np.array(speeds)), _mean(np.array(turns))
