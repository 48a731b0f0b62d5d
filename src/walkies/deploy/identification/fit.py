"""Least squares between a simulator and a log: which latency, gains and frictions explain the joint motion?

The log is cut into windows. Each starts from the measured joints, is driven by the logged targets, and is compared with
the measured joints that follow (multiple shooting: Bock & Plitt 1984); a servo forgets how it started, so what is
compared begins a little later. Windows and parameter variations are one MuJoCo batch, so a Gauss-Newton step costs one
rollout. Uncertainty is the sandwich estimator with windows as clusters (White 1980), since what the simulator lacks
repeats from sample to sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from walkies.errors import UserError
from walkies.later import mujoco
from walkies.sim import conditions
from walkies.sim.conditions import VOCABULARY
from walkies.sim.params import actuated_dofs

SUBSTEPS = 20
"""physics steps per control step: 1/1040 s at 520 Hz and 10 ticks per action, as in the controller twin"""
MAX_DELAY = 3
"""control steps, the longest latency looked for"""
HUBER = 2.0
"""standard deviations from which a residual counts linearly"""

SETTLED = 0.05
"""Finite differences: a Gauss-Newton step smaller than this ends the fit."""


class Physics(NamedTuple):
    """What is looked for, in C variations: quantities of `walkies.sim.conditions`, here in their own units."""

    latency: np.ndarray
    """(C,) s from sending a target to its effect"""
    kp: np.ndarray
    """(C,) N m/rad, mean of the joints"""
    kd: np.ndarray
    """(C,) N m s/rad, likewise, the joints' passive damping excepted"""
    frictionloss: np.ndarray
    """(C,) N m, likewise"""
    ground_friction: np.ndarray
    """(C,) 1"""


QUANTITIES = {
    "latency": "command_delay",
    "kp": "kp",
    "kd": "kd",
    "frictionloss": "frictionloss",
    "ground_friction": "friction",
}
"""What each of them is in `walkies.sim.conditions`."""
UNITS = {name: VOCABULARY[of].of or VOCABULARY[of].unit for name, of in QUANTITIES.items()}
NAMES = Physics._fields
assert tuple(QUANTITIES) == NAMES


class Shares(NamedTuple):
    """What each joint has of the mean of all, (nu,) each: a factor is looked for, and joints keep their proportions."""

    kp: np.ndarray
    kd: np.ndarray
    frictionloss: np.ndarray


def shares(values: np.ndarray) -> np.ndarray:
    """Of the mean; 1 where all are zero."""
    mean = values.mean()
    return values / mean if mean else np.ones_like(values)


class Windows(NamedTuple):
    """n stretches of L control steps of a log."""

    qpos: np.ndarray
    """(n, nq) at the first step"""
    qvel: np.ndarray
    """(n, nv)"""
    target: np.ndarray
    """(n, MAX_DELAY + L, nu) rad, from MAX_DELAY steps before the first"""


class Fit(NamedTuple):
    """The end of a least-squares fit."""

    x: np.ndarray
    """(P,) the parameters"""
    covariance: np.ndarray
    """(P, P) sandwich estimate"""
    residual: np.ndarray
    """(n, R) as compared, unweighted"""
    iterations: int


def drive(target: np.ndarray, latency: np.ndarray, period: float) -> np.ndarray:
    """Mean target over each physics step, for targets that take effect `latency` after they were sent.

    Args:
        target: (n, MAX_DELAY + L, nu), target[:, MAX_DELAY] being sent at time 0.
        latency: (C,) s.

    Returns:
        (C, n, L·SUBSTEPS, nu). Smooth in latency: a step in which the target changes has its time-weighted mean.
    """
    steps = (target.shape[1] - MAX_DELAY) * SUBSTEPS
    integral = np.concatenate([np.zeros_like(target[:, :1]), np.cumsum(target, axis=1)], axis=1)  # in control steps
    edge = np.arange(steps + 1) / SUBSTEPS + MAX_DELAY - np.clip(latency / period, 0.0, MAX_DELAY)[:, None]
    whole = np.minimum(edge.astype(int), target.shape[1] - 1)
    part = (edge - whole)[..., None]
    at_edge = integral[:, whole] + part * target[:, whole]  # (n, C, steps + 1, nu)
    return np.moveaxis(np.diff(at_edge, axis=2) * SUBSTEPS, 0, 1)


class Simulator:
    """Windows under C variations of the physics, in one batch."""

    def __init__(
        self, model: mujoco.MjModel, period: float, windows: int, variations: int, each: Shares, threads: int = 0
    ) -> None:
        """model: the robot as it was during the log (held, or on its ground); period: s between actions."""
        self._shares = each
        model.opt.timestep = period / SUBSTEPS
        self.period, self.shape = period, (variations, windows)
        self._batch = mujoco.batch.Batch(model, variations * windows, threads)
        self._joints = actuated_dofs(model)

    def run(self, physics: Physics, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """States after each control step: qpos (C, n, L, nq) and qvel (C, n, L, nv)."""
        variations, count = self.shape
        each = Physics(*(np.repeat(value, count) for value in physics))
        own = self._shares
        conditions.set_servos(self._batch, each.kp[:, None] * own.kp, each.kd[:, None] * own.kd)
        conditions.set_frictionloss(self._batch, self._joints, each.frictionloss[:, None] * own.frictionloss)
        conditions.set_friction(self._batch, each.ground_friction)
        control = drive(windows.target, physics.latency, self.period)
        steps = control.shape[2]
        batch = self._batch
        batch.qpos, batch.qvel = np.tile(windows.qpos, (variations, 1)), np.tile(windows.qvel, (variations, 1))
        batch.qacc_warmstart = 0.0
        states = batch.rollout(steps, control.reshape(variations * count, steps, -1), record=("qpos", "qvel"))
        after = slice(SUBSTEPS - 1, None, SUBSTEPS)
        qpos, qvel = states["qpos"][:, after], states["qvel"][:, after]
        length = steps // SUBSTEPS
        return qpos.reshape(variations, count, length, -1), qvel.reshape(variations, count, length, -1)


def gauss_newton(
    residuals: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    step: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    prior: np.ndarray | None = None,
    iterations: int = 15,
    first: np.ndarray | None = None,
) -> Fit:
    """Minimise Σ huber(residual/σ) with damped Gauss-Newton steps and finite differences, σ estimated as it goes.

    Args:
        residuals: (C, P) parameters to (C, n, R) residuals, n clusters of R.
        start, step, lower, upper: (P,) first guess, finite differences (also the scale of the parameters), bounds.
        first: (P,) where to begin, if not at `start`.
        prior: (P,) standard deviations of a weak normal prior around `start`; it decides what the data do not.

    Raises:
        UserError: the simulator gives no finite numbers.
    """
    x = np.clip(start if first is None else first, lower, upper)
    precision = np.zeros(len(x)) if prior is None else prior**-2.0
    damping, done = 1e-3, 0
    count = len(x)

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        away = np.where(x + step <= upper, step, -step)
        every = residuals(x + np.concatenate([np.zeros((1, count)), np.diag(away)]))
        return every[0], (every[1:] - every[0]) / away[:, None, None]

    residual, jacobian = evaluate(x)
    while done < iterations:
        done += 1
        if not np.all(np.isfinite(residual)):
            raise UserError("the simulation diverged; is this a log of this robot?")
        sigma, weight = _weights(residual)
        cost = _cost(residual / sigma) + 0.5 * precision @ (x - start) ** 2
        hessian = np.einsum("pnr,nr,qnr->pq", jacobian, weight, jacobian) / sigma**2 + np.diag(precision)
        gradient = np.einsum("pnr,nr->p", jacobian, weight * residual) / sigma**2 + precision * (x - start)
        while True:
            move = np.linalg.solve(hessian + damping * np.diag(hessian.diagonal() + 1e-12), -gradient)
            candidate = np.clip(x + move, lower, upper)
            settled = bool(np.all(np.abs(candidate - x) < SETTLED * step))
            if settled:
                break
            tried, slope = evaluate(candidate)
            if _cost(tried / sigma) + 0.5 * precision @ (candidate - start) ** 2 < cost:
                damping = max(damping / 5, 1e-6)
                break
            damping *= 10
        if settled:
            break
        x, residual, jacobian = candidate, tried, slope
    sigma, weight = _weights(residual)
    hessian = np.einsum("pnr,nr,qnr->pq", jacobian, weight, jacobian) / sigma**2 + np.diag(precision)
    score = np.einsum("pnr,nr->np", jacobian, weight * residual) / sigma**2
    inverse = np.linalg.inv(hessian + 1e-12 * np.diag(hessian.diagonal()))
    return Fit(x, inverse @ (score.T @ score + np.diag(precision)) @ inverse, residual, done)


def _weights(residual: np.ndarray) -> tuple[float, np.ndarray]:
    sigma = 1.4826 * float(np.median(np.abs(residual))) + 1e-9
    return sigma, np.minimum(1.0, HUBER * sigma / np.maximum(np.abs(residual), 1e-12))


def worse(residual: np.ndarray, other: np.ndarray) -> float:
    """By how many standard deviations `other` explains the windows worse than `residual`, each (n, R)."""
    sigma, _ = _weights(residual)
    more = np.sum(_loss(other / sigma) - _loss(residual / sigma), axis=1)
    return float(np.mean(more) / (np.std(more) / np.sqrt(len(more)) + 1e-12))


def _cost(scaled: np.ndarray) -> float:
    return float(np.sum(_loss(scaled)))


def _loss(scaled: np.ndarray) -> np.ndarray:
    size = np.abs(scaled)
    return np.where(size <= HUBER, 0.5 * size**2, HUBER * (size - 0.5 * HUBER))
