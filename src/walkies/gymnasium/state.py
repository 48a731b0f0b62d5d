"""The state of Gymnasium's own environments as JSON values, exact to the bit, so that a killed run can resume.

Gymnasium has no interface for this. Supported are its MuJoCo environments and classic control: all that the benchmark
needs. Python's `repr` of a float, which JSON uses, reads back to the same float.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from walkies.errors import UserError


def save_state(env: gymnasium.Env) -> dict[str, Any]:
    """The complete state of a running `env`: physics, random generator, steps taken, as JSON values.

    Raises:
        UserError: an environment of a kind that is not known here.
    """
    inner = env.unwrapped
    limit = _time_limit(env)
    return {
        "world": _world(inner).tolist(),
        "random": inner.np_random.bit_generator.state,
        "elapsed": None if limit is None else limit._elapsed_steps,
    }


def load_state(env: gymnasium.Env, saved: dict[str, Any]) -> None:
    """Put `env`, which has been reset once, where `save_state` found another of its kind."""
    inner: Any = env.unwrapped
    world = np.array(saved["world"], np.float64)
    if _is_mujoco(inner):
        import mujoco

        mujoco.mj_setState(inner.model, inner.data, world, mujoco.mjtState.mjSTATE_INTEGRATION)
    else:
        inner.state = world
        if hasattr(inner, "steps_beyond_terminated"):
            inner.steps_beyond_terminated = None
    inner.np_random.bit_generator.state = saved["random"]
    limit = _time_limit(env)
    if limit is not None:
        limit._elapsed_steps = saved["elapsed"]


def _world(inner: Any) -> np.ndarray:
    if _is_mujoco(inner):
        import mujoco

        flat = np.empty(mujoco.mj_stateSize(inner.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(inner.model, inner.data, flat, mujoco.mjtState.mjSTATE_INTEGRATION)
        return flat
    state = getattr(inner, "state", None)
    if not type(inner).__module__.startswith("gymnasium.envs.classic_control") or state is None:
        raise UserError(f"{inner} cannot be saved; expected MuJoCo or classic control, after a reset")
    return np.asarray(state, np.float64)


def _is_mujoco(inner: Any) -> bool:
    return type(inner).__module__.startswith("gymnasium.envs.mujoco")


def _time_limit(env: gymnasium.Env) -> Any:
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            return env
        env = env.env
    return None
