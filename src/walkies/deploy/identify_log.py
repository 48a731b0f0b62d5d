"""What a log tells about its robot: latency, gains, frictions, gyro bias, each with its uncertainty, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from walkies.contract import SLICES
from walkies.deploy.identify import MAX_DELAY, NAMES, Fit, Physics, Simulator, gauss_newton, worse
from walkies.deploy.identify_follow import follow
from walkies.deploy.identify_windows import HELD, WALKING, Cut, Measured, cut, hold, sliding
from walkies.deploy.logs_align import Log
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.twin import model_for
from walkies.errors import UserError
from walkies.robots.base import Robot

TOLERANCE = {
    "latency": 0.004,
    "kp": 0.10,
    "kd": 0.25,
    "frictionloss": 0.30,
    "ground_friction": 0.30,
    "gyro_bias": 0.01,
}
"""Wanted accuracy: s, parts of the value, rad/s. What cannot be told this well is called not identifiable."""
SURE = 2.0
"""Standard deviations that must fit into the tolerance."""
STEP = np.array([0.001, 0.05, 0.05, 0.1, 0.1])
"""Finite differences: s, and logarithms of the other parameters."""
FACTOR_BOUND = 1.6
"""Logarithm of the largest factor between a nominal value and what is looked for: five times."""
PRIOR = np.array([0.03, 1.0, 1.0, 1.0, 0.5])
"""Standard deviations of what is expected before a log is seen; too wide to matter where a log tells anything."""
START = np.array([0.010, 0.0, 0.0, 0.0, -0.2])
ROUNDS = 3
"""Fits of a walking robot, each with windows that begin as the last fit's robot would have them."""
ITERATIONS = (3, 10)
"""Gauss-Newton steps at most: of a fit that is not the last, and of the last."""
OTHER_FRICTION = 1.5
SIGNIFICANT = 2.0
"""Ground friction is told where a factor of OTHER_FRICTION makes this many standard deviations of difference,"""
SLIPPERY = 0.03
"""and where this share of standing feet slides."""
BIAS_PRIOR = 0.03
"""rad/s, standard deviation of the bias that is expected of a gyro"""
GYRO_NOISE = 0.01
"""rad/s, error of a window's mean turn rate when the robot stands"""
SIMULATED_TURN = 0.2
"""Error of the simulated turn rate as a part of the motion."""
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
    """(12,) rad, joint_error joint by joint"""
    windows: int
    seconds: float
    """of log in those windows"""


def is_held(log: Log) -> bool:
    """Whether the trunk is held still while the legs move.

    Raises:
        UserError: the legs do not move.
    """
    joints, gyro = log.frame[:, SLICES["joint_position"]], log.frame[:, SLICES["gyro"]]
    if np.nanmedian(_spread(joints)) < MOVING:
        raise UserError(
            "the joints hardly move in this log, so that it tells nothing; "
            "record the robot walking, or held in the air with its legs walking"
        )
    return bool(np.max(_spread(gyro)) < STILL)


def identify(log: Log, policy: PolicyFile, robot: Robot, held: bool | None = None, threads: int = 0) -> Identified:
    """Fit the simulator to the log.

    Args:
        held: whether the trunk was held in the air; None: look.
        threads: for MuJoCo, 0 for all cores.

    Raises:
        UserError: too little uninterrupted log, or nothing moves in it.
    """
    held = is_held(log) if held is None else held
    how = HELD if held else WALKING
    model = model_for(robot)
    if held:
        hold(model)
    measured = cut(log, policy, robot, model, held, how)
    if measured is None:
        raise UserError(
            f"the log has no stretch of {how.length + 5} control steps without a gap; record at least 20 s, "
            "with the recorder on the robot itself"
        )
    nominal = np.array([1.0, policy.kp, policy.kd, float(np.median(model.dof_frictionloss[6:])), 1.0])
    known = np.arange(5) if not held else np.arange(4)  # no ground, no ground friction
    count = len(measured.start)
    simulator = Simulator(model, log.period, count, 1 + len(known), threads)
    follower = Simulator(model, log.period, count, 1, threads)

    def physics(x: np.ndarray) -> Physics:
        full = np.tile(START, (len(x), 1))
        full[:, known] = x
        return Physics(full[:, 0], *(nominal[1:] * np.exp(full[:, 1:])).T)

    def residuals_from(begun: Measured) -> Callable[[np.ndarray], np.ndarray]:
        def residuals(x: np.ndarray) -> np.ndarray:
            qpos, _ = simulator.run(physics(x), begun.windows)
            return (qpos[..., 7:] - begun.joints)[:, :, how.settle :].reshape(len(x), count, -1)

        return residuals

    def begin(x: np.ndarray, bias: np.ndarray) -> Measured:
        if not how.lead:
            return measured
        return follow(follower, physics(x[None]), measured._replace(gyro=measured.gyro - bias), how.lead)

    lower = np.array([0.0, *[-FACTOR_BOUND] * 4])[known]
    upper = np.array([MAX_DELAY * log.period, *[FACTOR_BOUND] * 4])[known]
    x, bias = START[known], np.zeros(3)
    for round_ in range(ROUNDS if how.lead else 1):  # how windows begin depends a little on what is looked for
        begun = begin(x, bias)
        few = ITERATIONS[0] if how.lead and round_ < ROUNDS - 1 else ITERATIONS[1]
        residuals = residuals_from(begun)
        fit = gauss_newton(residuals, START[known], STEP[known], lower, upper, PRIOR[known], few, first=x)
        x = fit.x
        qvel = simulator.run(physics(np.tile(x, (simulator.shape[0], 1))), begun.windows)[1][0]
        more, bias_deviation = _gyro_bias(log, begun, qvel, how, held, bias)
        bias = bias + more
    slippery = False
    if not held:
        states = (values[0] for values in simulator.run(physics(np.tile(x, (simulator.shape[0], 1))), begun.windows))
        slippery = sliding(model, robot, *states) > SLIPPERY and _matters(residuals, x, simulator.shape[0])
    unfitted = np.zeros(len(known))
    before = residuals_from(begin(unfitted, np.zeros(3)))(np.tile(unfitted, (simulator.shape[0], 1)))[0]
    return Identified(
        held=held,
        estimates=(*_physics_estimates(fit, nominal, known, slippery), *_bias_estimates(bias, bias_deviation)),
        joint_error=float(np.sqrt(np.mean(fit.residual**2))),
        nominal_error=float(np.sqrt(np.mean(before**2))),
        each_joint=tuple(np.sqrt(np.mean(fit.residual.reshape(-1, 12) ** 2, axis=0)).tolist()),
        windows=count,
        seconds=count * how.length * log.period,
    )


def _matters(residuals: Callable[[np.ndarray], np.ndarray], x: np.ndarray, copies: int) -> bool:
    """Whether more and less ground friction than found would both explain the log worse: feet that stick tell nothing.

    The curvature at the optimum is not enough, since beyond sticking the cost is flat.
    """
    points = np.tile(x, (copies, 1))
    points[1, -1] -= np.log(OTHER_FRICTION)
    points[2, -1] += np.log(OTHER_FRICTION)
    found, less, more = residuals(points)[:3]
    return min(worse(found, less), worse(found, more)) > SIGNIFICANT


def _physics_estimates(fit: Fit, nominal: np.ndarray, known: np.ndarray, slippery: bool) -> list[Estimate]:
    deviation = np.sqrt(np.diag(fit.covariance))
    units = ("s", "N m/rad", "N m s/rad", "N m", "1")
    found = []
    for x, sd, index in zip(fit.x, deviation, known, strict=True):
        name = NAMES[index]
        sure = SURE * sd <= TOLERANCE[name]
        if index == 0:
            found.append(Estimate(name, float(x), float(sd), units[index], None, bool(sure)))
            continue
        value = float(nominal[index] * np.exp(x))
        at_bound = abs(x) > FACTOR_BOUND - 0.05
        if name == "ground_friction":
            sure = sure and slippery
        reference = None if name == "ground_friction" else float(nominal[index])
        found.append(Estimate(name, value, float(value * sd), units[index], reference, bool(sure and not at_bound)))
    if "ground_friction" not in [NAMES[index] for index in known]:
        found.append(Estimate("ground_friction", float("nan"), float("inf"), "1", None, False))
    return found


def _bias_estimates(bias: np.ndarray, deviation: np.ndarray) -> list[Estimate]:
    return [
        Estimate(f"gyro_bias_{axis}", float(b), float(s), "rad/s", 0.0, bool(SURE * s <= TOLERANCE["gyro_bias"]))
        for axis, b, s in zip("xyz", bias, deviation, strict=True)
    ]


def _gyro_bias(
    log: Log, measured: Measured, qvel: np.ndarray, how: Cut, held: bool, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Constant error of the gyro (3,), beyond what is `known` and taken off, and its standard deviation (3,), rad/s.

    Held: the mean reading. Walking: the better of what keeps the gyro from explaining how gravity turns in the body
    frame (blind about the vertical), and what sets it apart from the simulated trunk.
    """
    gyro = log.frame[:, SLICES["gyro"]] - known
    if held:
        good = gyro[np.isfinite(gyro).all(axis=1)]
        blocks = np.array_split(good, 10)
        return np.median(good, axis=0), np.std([block.mean(axis=0) for block in blocks], axis=0) / np.sqrt(len(blocks))
    two = _bias_from_gravity(log, known), _bias_from_feet(measured, qvel, how)
    better = np.argmin([deviation for _, deviation in two], axis=0)
    return np.choose(better, [bias for bias, _ in two]), np.choose(better, [deviation for _, deviation in two])


def _bias_from_feet(measured: Measured, qvel: np.ndarray, how: Cut) -> tuple[np.ndarray, np.ndarray]:
    """Bias from readings minus simulated turn rates, which standing feet dictate: the stiller, the more it counts."""
    error = (measured.gyro - qvel[:, :, 3:6])[:, how.settle :].mean(axis=1)
    motion = np.sqrt(np.mean(measured.gyro**2, axis=(1, 2)))
    weight = (GYRO_NOISE**2 + (SIMULATED_TURN * motion) ** 2)[:, None] ** -1.0
    bias = np.median(error, axis=0)
    for _ in range(10):  # Huber's weights on top
        far = np.abs(error - bias) * np.sqrt(weight)
        both = weight * np.minimum(1.0, 1.5 * np.median(far, axis=0) / np.maximum(far, 1e-12))
        bias = np.sum(both * error, axis=0) / np.sum(both, axis=0)
    deviation = np.sqrt(np.sum((both * (error - bias)) ** 2, axis=0)) / np.sum(both, axis=0)
    return bias, deviation


def _bias_from_gravity(log: Log, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bias from ġ = g × (ω - bias), summed over whole stretches so that noise in g counts only at their ends."""
    gravity, gyro = log.frame[:, SLICES["gravity"]], log.frame[:, SLICES["gyro"]] - known
    rows, wanted = [], []
    for run in log.runs(26):
        g, w = gravity[run], gyro[run]
        turned = np.cross(0.5 * (g[1:] + g[:-1]), 0.5 * (w[1:] + w[:-1])) * log.period
        mean = 0.5 * (g[1:] + g[:-1]) * log.period
        for part in np.array_split(np.arange(len(g) - 1), max((len(g) - 1) // 100, 1)):
            wanted.append(turned[part].sum(axis=0) - (g[part[-1] + 1] - g[part[0]]))
            rows.append(_cross_matrix(mean[part].sum(axis=0)))
    matrix, right = np.array(rows), np.array(wanted)
    # About the vertical nothing is told; without a prior, what is not told would leak into the other axes.
    noise = 1.4826 * np.median(np.abs(right)) + 1e-9
    prior = np.eye(3) / BIAS_PRIOR**2
    normal = np.einsum("nij,nik->jk", matrix, matrix) / noise**2 + prior
    bias = np.linalg.solve(normal, np.einsum("nij,ni->j", matrix, right) / noise**2 - prior @ known)
    score = np.einsum("nij,ni->nj", matrix, right - matrix @ bias) / noise**2
    inverse = np.linalg.inv(normal)
    return bias, np.sqrt(np.diag(inverse @ (score.T @ score + prior) @ inverse))


def _cross_matrix(v: np.ndarray) -> np.ndarray:
    """[v] with [v] b = v × b."""
    x, y, z = v
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _spread(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation of each column: half the distance between its 16th and 84th percentile."""
    low, high = np.nanpercentile(values, [16, 84], axis=0)
    return 0.5 * (high - low)
