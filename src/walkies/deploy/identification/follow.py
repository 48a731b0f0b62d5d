"""States of a walking robot from its log: an observer that follows the measurements and estimates what they lack.

Neither joint velocities nor the trunk's height and velocity are measured. A simulator that is corrected slightly
towards the measurements after every control step finds them within a few steps, since feet on the ground couple them
(a Luenberger observer with MuJoCo as its model).
"""

from __future__ import annotations

import numpy as np

from walkies.deploy.controllers.neural_controller import gravity_in_body
from walkies.deploy.identification.fit import MAX_DELAY, Physics, Simulator, Windows
from walkies.deploy.identification.windows import Measured

JOINT_GAIN = 0.8
"""Share of a joint's error that is taken over."""
SPEED_GAIN = 0.4
"""Share of the error, per control step, that is taken for an error of velocity."""
GYRO_GAIN = 0.4
GRAVITY_GAIN = 0.25
"""Low, since the IMU is noisy and its readings are up to 20 ms old."""


def follow(simulator: Simulator, physics: Physics, measured: Measured, lead: int) -> Measured:
    """The same windows without their first `lead` steps, begun from the states that following those led to.

    Args:
        simulator: with one variation and as many windows.
        physics: of that one variation.
    """
    windows = measured.windows
    state = windows.qpos, windows.qvel
    for k in range(lead):
        step = Windows(*state, windows.target[:, k : k + MAX_DELAY + 1])
        qpos, qvel = (values[0, :, -1].copy() for values in simulator.run(physics, step))
        error = measured.joints[:, k] - qpos[:, 7:]
        qpos[:, 7:] += JOINT_GAIN * error
        qvel[:, 6:] += SPEED_GAIN * error / simulator.period
        qvel[:, 3:6] += GYRO_GAIN * (measured.gyro[:, k] - qvel[:, 3:6])
        gravity = measured.gravity[:, k] / np.linalg.norm(measured.gravity[:, k], axis=1, keepdims=True)
        qpos[:, 3:7] = turned(qpos[:, 3:7], GRAVITY_GAIN * np.cross(gravity, gravity_in_body(qpos[:, 3:7])))
        state = qpos, qvel
    return Measured(
        Windows(*state, windows.target[:, lead:]),
        measured.joints[:, lead:],
        measured.gyro[:, lead:],
        measured.gravity[:, lead:],
        measured.start + lead,
    )


def turned(orientation: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Unit quaternions (n, 4) w x y z, turned by small rotation vectors (n, 3), rad, of the body frame."""
    w, x, y, z = orientation.T
    a, b, c = 0.5 * angle.T
    product = np.stack(
        [w - x * a - y * b - z * c, x + w * a + y * c - z * b, y + w * b - x * c + z * a, z + w * c + x * b - y * a],
        axis=1,
    )
    return product / np.linalg.norm(product, axis=1, keepdims=True)
