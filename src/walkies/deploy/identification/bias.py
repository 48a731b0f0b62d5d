"""Constant error of the gyro, from a log: of a held robot it is the mean reading, of a walking one it takes more."""

from __future__ import annotations

import numpy as np

from walkies.deploy.identification.windows import Cut, Measured
from walkies.deploy.recordings.align import Log

BIAS_PRIOR = 0.03
"""rad/s, standard deviation of the bias that is expected of a gyro"""
GYRO_NOISE = 0.01
"""rad/s, error of a window's mean turn rate when the robot stands"""
SIMULATED_TURN = 0.2
"""Error of the simulated turn rate as a part of the motion."""


def gyro_bias(
    log: Log, begun: Measured, qvel: np.ndarray, how: Cut, held: bool, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Constant error of the gyro (3,), beyond what is `known` and taken off, and its standard deviation (3,), rad/s.

    Held: the mean reading. Walking: the better of what keeps the gyro from explaining how gravity turns in the body
    frame (blind about the vertical), and what sets it apart from the simulated trunk.
    """
    gyro = log.part("gyro") - known
    if held:
        good = gyro[np.isfinite(gyro).all(axis=1)]
        blocks = np.array_split(good, 10)
        return np.median(good, axis=0), np.std([block.mean(axis=0) for block in blocks], axis=0) / np.sqrt(len(blocks))
    two = _bias_from_gravity(log, known), _bias_from_feet(begun, qvel, how)
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
    gravity, gyro = log.part("gravity"), log.part("gyro") - known
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
