"""Robots in checkpoints of the first edition, in the form in which today's simulators take them."""

from __future__ import annotations

import numpy as np

ROBOTS = "actors.state"
BODY, HINGE, REST = 11, 7, 15
"""Numbers per body, hinge and robot in a row of the first edition's native engine."""
TORQUE_LIMIT = 2
"""Place of the torque limit among a hinge's numbers; 1 / torque_speed follows it today."""


def upgraded(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint by name, those of the first edition as if today's program had written them.

    There the native engine's row of parameters ended with the delays of commands and of the IMU, which are leaves of
    their own today, and no motor weakened with speed. Whatever is not of that form is returned as it is.
    """
    row, targets = tensors.get(f"{ROBOTS}.params"), tensors.get(f"{ROBOTS}.physics.targets")
    if row is None or targets is None or f"{ROBOTS}.delays.command" in tensors:
        return tensors
    hinges = targets.shape[-1]
    start, end = BODY * (1 + hinges), BODY * (1 + hinges) + HINGE * hinges
    if row.ndim != 2 or row.shape[1] != end + REST:
        return tensors
    motors = np.insert(row[:, start:end].reshape(len(row), hinges, HINGE), TORQUE_LIMIT + 1, 0.0, axis=2)
    return {
        **tensors,
        f"{ROBOTS}.params": np.concatenate([row[:, :start], motors.reshape(len(row), -1), row[:, end:-2]], axis=1),
        f"{ROBOTS}.delays.command": row[:, -2].astype(np.int32),
        f"{ROBOTS}.delays.imu": row[:, -1].astype(np.int32),
    }
