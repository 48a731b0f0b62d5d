"""Check the numbers returned by a Gymnasium vector environment; refuse those that are not finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from walkies.errors import UserError
from walkies.rl.finite import MOST


def refuse_observations(seen: np.ndarray, where: np.ndarray | None = None) -> None:
    """Raises UserError for a number in observations (num_envs, size), of all or only some, that is not finite."""
    broken = ~np.isfinite(seen)
    if where is not None:
        broken &= where[:, None]
    if broken.any():
        env, element = np.argwhere(broken)[0]
        raise _not_finite(f"element {element} of the observation", env, seen[env, element], "TransformObservation")


def rewards(given: Any, valid: np.ndarray) -> np.ndarray:
    """Rewards (num_envs,) of the rows that are transitions, 0 for the others; finite in float32 too."""
    found = np.where(valid, given, 0.0)
    if not (np.abs(found) <= MOST).all():
        env = np.flatnonzero(~(np.abs(found) <= MOST))[0]
        raise _not_finite("the reward", env, found[env], "TransformReward")
    return found


def _not_finite(what: str, env: int, value: float, wrapper: str) -> UserError:
    return UserError(
        f"{what} of environment {env} is {value:g}; expected a finite number of float32. Nothing was learned from it:"
        f" fix the environment, or replace such numbers in a wrapper like gymnasium.wrappers.{wrapper}"
    )
