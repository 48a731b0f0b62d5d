"""Observations to try a policy on: such as it meets, and the extremes that the controller lets through."""

from __future__ import annotations

import numpy as np

from walkies.deploy.contract import FRAME_SIZE, OBSERVATION_CLIP, SLICES

JOYSTICK = {"vx": 0.75, "vy": 0.5, "yaw_rate": 2.0}
"""± m/s, m/s, rad/s: what the robot's gamepad can ask for."""
NOISE = {"gyro": 0.1, "gravity": 0.05, "joint_position": 0.05}
"""± rad/s, 1, rad, uniform: the noise of the sensors that the course trains with (pupperv3-mjx)."""


def ordinary_observations(history: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(now, later), each (count, history·36): plausible states held over the history; one step on with other noise.

    Up to 0.7 rad/s and 0.15 of lean, commands over the gamepad's range, joints within 0.3 rad of the default pose,
    last actions within ±0.5.
    """
    rng = np.random.default_rng(0)
    frame = np.zeros((count, FRAME_SIZE))
    frame[:, SLICES["gyro"]] = rng.uniform(-0.7, 0.7, (count, 3))
    lean = rng.uniform(-0.15, 0.15, (count, 2))
    frame[:, SLICES["gravity"]] = np.concatenate([lean, -np.sqrt(1 - (lean**2).sum(axis=1, keepdims=True))], axis=1)
    frame[:, SLICES["command"]] = rng.uniform(-1, 1, (count, 3)) * list(JOYSTICK.values())
    frame[:, SLICES["desired_up"]] = (0.0, 0.0, 1.0)
    frame[:, SLICES["joint_position"]] = rng.uniform(-0.3, 0.3, (count, 12))
    frame[:, SLICES["last_action"]] = rng.uniform(-0.5, 0.5, (count, 12))
    noise = np.zeros(FRAME_SIZE)
    for name, width in NOISE.items():
        noise[SLICES[name]] = width
    now = np.concatenate([frame + noise * rng.uniform(-1, 1, frame.shape) for _ in range(history)], axis=1)
    newest = frame + noise * rng.uniform(-1, 1, frame.shape)
    later = np.concatenate([newest, now[:, :-FRAME_SIZE]], axis=1)
    return now, later


def extreme_observations(size: int, count: int) -> np.ndarray:
    """(count, size) inputs at the controller's clip of ±100 or at zero.

    All at either clip, a random half of them, and one at a time in a pattern that covers all where `count` suffices.
    """
    rng = np.random.default_rng(0)
    extreme = rng.choice([-OBSERVATION_CLIP, 0.0, OBSERVATION_CLIP], (count, size), p=[0.25, 0.5, 0.25])
    extreme[:3] = [[-OBSERVATION_CLIP], [0.0], [OBSERVATION_CLIP]]
    single = np.arange(3, count)[::2]
    extreme[single] = 0.0
    extreme[single, single // 2 % size] = OBSERVATION_CLIP
    return extreme
