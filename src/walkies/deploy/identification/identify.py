"""Identify a robot from a log: latency, gains, frictions, gyro bias, each with its uncertainty if identifiable."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.deploy.controllers.twin import model_for
from walkies.deploy.identification.bias import gyro_bias
from walkies.deploy.identification.fit import (
    MAX_DELAY,
    NAMES,
    UNITS,
    Fit,
    Physics,
    Shares,
    Simulator,
    gauss_newton,
    shares,
    worse,
)
from walkies.deploy.identification.follow import follow
from walkies.deploy.identification.windows import HELD, WALKING, Cut, Measured, cut, hold, sliding
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.recordings.align import Log, require_signals
from walkies.errors import UserError
from walkies.later import mujoco
from walkies.robots.base import Robot
from walkies.sim.conditions import VOCABULARY
from walkies.sim.params import actuated_dofs

TOLERANCE = {
    "latency": 0.004,
    "kp": 0.10,
    "kd": 0.25,
    "frictionloss": 0.30,
    "ground_friction": 0.30,
    "gyro_bias": 0.01,
}
"""Wanted accuracy: s, parts of the value, rad/s. Parameters with a lower accuracy are called not identifiable."""
SURE = 2.0
"""Standard deviations that must fit into the tolerance."""
STEP = np.array([0.001, 0.05, 0.05, 0.1, 0.1])
"""Finite differences: s, and logarithms of the other parameters."""
FACTOR_BOUND = 1.6
"""Logarithm of the largest factor between a nominal value and what is looked for: five times."""
PRIOR = np.array([0.03, 1.0, 1.0, 1.0, 0.5])
"""Standard deviations of what is expected before a log is seen; too wide to matter where a log tells anything."""
START = np.array([0.010, 0.0, 0.0, 0.0, -0.2])
ITERATIONS = (3, 3, 10)
"""Gauss-Newton steps at most, of fits one after the other: each has windows that begin as the last one's robot would
have them. Of a held robot only the last is made."""
KP = NAMES.index("kp")
BEGINNINGS = (-0.4, 0.4)
"""Logarithms by which fits begin with another kp too where joints differ: stiffness and friction lie in a curved valley
there, in which a single fit may end early."""
OTHER_FRICTION = 1.5
SIGNIFICANT = 2.0
"""Ground friction is told where a factor of OTHER_FRICTION makes this many standard deviations of difference,"""
SLIPPERY = 0.03
"""and where this share of standing feet slides."""
COMPARED = ("joint_position", "gyro", "gravity")
"""Signals that a frame must hold."""
STILL = 0.1
"""rad/s: a trunk that turns less than this while legs move is held by something."""
MOVING = 0.015
"""rad: legs that move less tell nothing about servos."""


class Estimate(NamedTuple):
    """One quantity."""

    name: str
    value: float
    deviation: float
    """standard deviation, in the unit"""
    unit: str
    nominal: float | None
    """what the policy file or the robot's model says, None where there is no such number"""
    identifiable: bool
    """whether the log determines it within TOLERANCE"""

    @property
    def factor(self) -> float:
        """value / nominal"""
        return self.value / self.nominal if self.nominal else float("nan")


class Identified(NamedTuple):
    held: bool
    estimates: tuple[Estimate, ...]
    joint_error: float
    """rad, root mean square of simulated minus measured joint angles, for the estimated robot"""
    nominal_error: float
    """rad, for the nominal robot"""
    each_joint: tuple[float, ...]
    """(nu,) rad, joint_error joint by joint"""
    windows: int
    seconds: float
    """of log in those windows"""


def is_held(log: Log) -> bool:
    """Whether the trunk is held still while the legs move.

    Raises:
        UserError: the legs do not move.
    """
    joints, gyro = log.part("joint_position"), log.part("gyro")
    if np.nanmedian(_spread(joints)) < MOVING:
        raise UserError(
            "the joints hardly move in this log, so it tells nothing; "
            "record the robot walking, or held in the air with its legs walking"
        )
    return bool(np.max(_spread(gyro)) < STILL)


def identify(log: Log, policy: PolicyFile, robot: Robot, held: bool | None = None, threads: int = 0) -> Identified:
    """Fit the simulator to the log.

    Args:
        held: whether the trunk was held in the air; None: look.
        threads: for MuJoCo, 0 for all cores.

    Raises:
        UserError: too little uninterrupted log, nothing moves in it, or its frames lack what is compared.
    """
    require_signals(policy, COMPARED, "the simulator is compared with it")
    held = is_held(log) if held is None else held
    problem = _problem(log, policy, robot, held, threads)
    x, bias = START[problem.known], np.zeros(3)
    rounds = ITERATIONS if problem.how.lead else ITERATIONS[-1:]
    for iterations in rounds:  # how windows begin depends a little on what is looked for
        begun = problem.begin(x, bias)
        beginnings = (x, *(x + shift * (problem.known == KP) for shift in BEGINNINGS)) if problem.differ else (x,)
        fits = [problem.fit(begun, first, iterations, log.period) for first in beginnings]
        fit = min(fits, key=lambda one: float(np.mean(np.abs(one.residual))))
        x = fit.x
        qpos, qvel = problem.simulate(begun, x)
        more, bias_deviation = gyro_bias(log, begun, qvel, problem.how, held, bias)
        bias = bias + more
    slippery = not held and sliding(problem.model, robot, qpos, qvel) > SLIPPERY and _matters(problem, begun, x)
    unfitted = np.zeros(len(x))
    before = problem.simulate(problem.begin(unfitted, np.zeros(3)), unfitted)[0][..., 7:] - begun.joints
    after = qpos[..., 7:] - begun.joints
    each = np.sqrt(np.mean(after[:, problem.how.settle :] ** 2, axis=(0, 1)))
    return Identified(
        held=held,
        estimates=(*_physics_estimates(fit, problem, slippery), *_bias_estimates(bias, bias_deviation)),
        joint_error=float(np.sqrt(np.mean(each**2))),
        nominal_error=float(np.sqrt(np.mean(before[:, problem.how.settle :] ** 2))),
        each_joint=tuple(each.tolist()),
        windows=len(begun.start),
        seconds=len(begun.start) * problem.how.length * log.period,
    )


class _Problem(NamedTuple):
    """A log cut into windows, and simulators for them."""

    model: mujoco.MjModel
    how: Cut
    measured: Measured
    nominal: np.ndarray
    """(5,) what factors are of, as in `Physics`"""
    known: np.ndarray
    """(P,) which of `Physics` can be told at all"""
    one: Simulator
    """of one robot in all windows"""
    many: Simulator
    """of 1 + P robots"""
    differ: bool
    """whether joints have gains or frictions of their own"""

    def physics(self, x: np.ndarray) -> Physics:
        """Parameters (C, P), latency in s and logarithms of factors, as physics; what cannot be told is as at START."""
        full = np.tile(START, (len(x), 1))
        full[:, self.known] = x
        return Physics(full[:, 0], *(self.nominal[1:] * np.exp(full[:, 1:])).T)

    def begin(self, x: np.ndarray, bias: np.ndarray) -> Measured:
        """The windows, begun as a robot `x` (P,) would have them if the gyro has this bias (3,)."""
        if not self.how.lead:
            return self.measured
        unbiased = self.measured._replace(gyro=self.measured.gyro - bias)
        return follow(self.one, self.physics(x[None]), unbiased, self.how.lead)

    def simulate(self, begun: Measured, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """qpos (n, L, nq) and qvel (n, L, nv) of a robot `x` (P,)."""
        qpos, qvel = self.one.run(self.physics(x[None]), begun.windows)
        return qpos[0], qvel[0]

    def residuals(self, begun: Measured, x: np.ndarray) -> np.ndarray:
        """Simulated minus measured joints (1 + P, n, ·), rad, of robots `x` (1 + P, P)."""
        qpos, _ = self.many.run(self.physics(x), begun.windows)
        error = (qpos[..., 7:] - begun.joints)[:, :, self.how.settle :]
        return error.reshape(*error.shape[:2], -1)

    def fit(self, begun: Measured, first: np.ndarray, iterations: int, period: float) -> Fit:
        lower, upper = np.full(5, -FACTOR_BOUND), np.full(5, FACTOR_BOUND)
        lower[0], upper[0] = 0.0, MAX_DELAY * period
        start, step, prior, low, high = (v[self.known] for v in (START, STEP, PRIOR, lower, upper))
        return gauss_newton(lambda x: self.residuals(begun, x), start, step, low, high, prior, iterations, first)


def _problem(log: Log, policy: PolicyFile, robot: Robot, held: bool, threads: int) -> _Problem:
    how, model = HELD if held else WALKING, model_for(robot)
    if held:
        hold(model)
    measured = cut(log, policy, robot, model, held, how)
    if measured is None:
        raise UserError(
            f"the log has no stretch of {how.lead + how.length + MAX_DELAY + 1} control steps without a gap; "
            "record at least 20 s, with the recorder on the robot itself"
        )
    joints = actuated_dofs(model)
    each = [np.broadcast_to(np.asarray(gain, float), len(joints)) for gain in (policy.kp, policy.kd)]
    each.append(model.dof_frictionloss[joints])
    nominal = np.array([1.0, *(values.mean() for values in each), 1.0])
    # In the air there is no ground friction, and a factor of a model's zero means nothing.
    known = np.flatnonzero(nominal[: 4 if held else 5])
    count, own = len(measured.start), Shares(*map(shares, each))
    one, many = (Simulator(model, log.period, count, c, own, threads) for c in (1, 1 + len(known)))
    differ = any(np.any(values != values[0]) for values in each)
    return _Problem(model, how, measured, nominal, known, one, many, differ)


def _matters(problem: _Problem, begun: Measured, x: np.ndarray) -> bool:
    """Whether more and less ground friction than found would both explain the log worse: feet that stick tell nothing.

    The curvature at the optimum is not enough, since beyond sticking the cost is flat.
    """
    points = np.tile(x, (1 + len(x), 1))
    points[1, -1] -= np.log(OTHER_FRICTION)
    points[2, -1] += np.log(OTHER_FRICTION)
    found, less, more = problem.residuals(begun, points)[:3]
    return min(worse(found, less), worse(found, more)) > SIGNIFICANT


def _physics_estimates(fit: Fit, problem: _Problem, slippery: bool) -> list[Estimate]:
    deviation = np.sqrt(np.diag(fit.covariance))
    found = []
    for x, sd, index in zip(fit.x, deviation, problem.known, strict=True):
        name = NAMES[index]
        sure = SURE * sd <= TOLERANCE[name]
        if index == 0:
            found.append(Estimate(name, float(x), float(sd), UNITS[name], None, bool(sure)))
            continue
        value = float(problem.nominal[index] * np.exp(x))
        at_bound = abs(x) > FACTOR_BOUND - 0.05
        if name == "ground_friction":
            sure = sure and slippery
        reference = None if name == "ground_friction" else float(problem.nominal[index])
        found.append(Estimate(name, value, float(value * sd), UNITS[name], reference, bool(sure and not at_bound)))
    told = {e.name: e for e in found}
    return [told.get(name) or Estimate(name, float("nan"), float("inf"), UNITS[name], None, False) for name in NAMES]


def _bias_estimates(bias: np.ndarray, deviation: np.ndarray) -> list[Estimate]:
    unit, wanted = VOCABULARY["gyro_bias"].unit, TOLERANCE["gyro_bias"]
    return [
        Estimate(f"gyro_bias_{axis}", float(b), float(s), unit, 0.0, bool(SURE * s <= wanted))
        for axis, b, s in zip("xyz", bias, deviation, strict=True)
    ]


def _spread(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation of each column: half the distance between its 16th and 84th percentile."""
    low, high = np.nanpercentile(values, [16, 84], axis=0)
    return 0.5 * (high - low)
