"""Observations to probe a policy with: typical ones, and the extremes that the controller lets through."""

from __future__ import annotations

import numpy as np

from walkies.tasks.contract import OBSERVATION_CLIP, Contract


def ordinary_observations(contract: Contract, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(now, later), each (count, observation_size): plausible states held over the history; one step on with other
    sensor noise.

    Up to 0.7 rad/s and 0.15 of lean, commands over the gamepad's range, joints within 0.3 rad of the default pose,
    last actions within ±0.5; noise as usual for each sensor (`walkies.tasks.signal.Signal.noise`).
    """
    rng = np.random.default_rng(0)
    parts, noise = [], []
    for one in contract.signals:
        size = one.size(contract.robot)
        if one.constant is not None:
            part = np.tile(one.constant, (count, 1))
        else:
            part = (one.ordinary or _within_one)(rng, count, size)
        # What the gamepad sends is the robot's; what the controller remembers has no noise.
        parts.append(part * contract.robot.gamepad if one.name == "command" else part)
        noise.append(np.full(size, 0.0 if one.sensor == "controller" else one.noise))
    frame, width = np.concatenate(parts, axis=1), np.concatenate(noise)
    now = np.concatenate(
        [frame + width * rng.uniform(-1, 1, frame.shape) for _ in range(contract.observation_history)], axis=1
    )
    newest = frame + width * rng.uniform(-1, 1, frame.shape)
    return now, contract.push(now, newest)


def _within_one(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return rng.uniform(-1, 1, (count, size))


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
