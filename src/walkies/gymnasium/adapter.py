"""From walkies to Gymnasium, one environment or a vector of them, and between the two kinds of spaces.

Here the time limit becomes visible to the caller (`truncated`), as in Gymnasium, and a reset happens when the caller or
the vector's autoreset mode asks for it. The other direction, acting in any Gymnasium vector environment,
is `walkies.gymnasium.rollout`. Needs the extra `gym`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal, Protocol

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jax._src import xla_bridge

from walkies.errors import UserError
from walkies.mdp import Box, Discrete, Env, Space, select


class Render(Protocol):
    """Draws states of one environment."""

    fps: float
    """States per second of the world's time."""

    def __call__(self, state: Any) -> np.ndarray:
        """State with leaves (1, …) → an image (height, width, 3) uint8."""
        ...

    def close(self) -> None:
        """Release the renderer."""
        ...


def to_gymnasium_space(space: Space) -> spaces.Space:
    """The same space in Gymnasium's terms; boxes are float32."""
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), (space.size,)) for bound in (space.low, space.high))
    return spaces.Box(low, high, dtype=np.float32)


def from_gymnasium_space(space: spaces.Space, role: Literal["observation", "action"] = "action") -> Space:
    """The same space in our terms. Raises UserError for anything but a flat box or a `Discrete` that starts at 0."""
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return Discrete(int(space.n))
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        # Tuples, so that a space can be hashed and with it a policy.
        low, high = (tuple(map(float, bound)) for bound in (space.low, space.high))
        return Box(space.shape[0], low, high)
    raise UserError(
        f"the {role} space {space} is not supported: expected a one-dimensional Box or a Discrete that starts at 0."
        f" Wrap the environment, for example in gymnasium.wrappers.{WRAPPERS[role]}."
    )


WRAPPERS = {"observation": "FlattenObservation", "action": "TransformAction"}
"""Of Gymnasium, for spaces that are not supported."""


def into_box(space: spaces.Space) -> Callable[[np.ndarray], np.ndarray]:
    """A function from actions in float32, within the bounds of `space` up to rounding, to actions that it contains.

    They get its own type, rounded where that has whole numbers only, and its own bounds: 0.1 in float32 is more than
    0.1 in float64. Of any space but such a box actions stay as they are.
    """
    if not isinstance(space, spaces.Box) or space.dtype == np.float32:
        return lambda action: action
    low, high, dtype = space.low, space.high, space.dtype
    near = np.rint if np.issubdtype(dtype, np.integer) else np.asarray
    return lambda action: np.clip(near(np.asarray(action, np.float64)), low, high).astype(dtype)


def _observation_space(env: Env) -> spaces.Box:
    """Raises UserError for observations that are not one vector."""
    if not isinstance(env.observation_size, int):
        raise UserError(
            f"the observation has the arrays {env.observation_size}; expected one vector, the only kind that"
            " Gymnasium is handed. Wrap the environment in one whose observe concatenates them."
        )
    return spaces.Box(-np.inf, np.inf, (env.observation_size,), np.float32)


def _limit(env: Env, time_limit: int | None) -> float:
    """Steps after which an episode is truncated."""
    limit = env.time_limit if time_limit is None else time_limit
    return float("inf") if limit is None else limit


def _key(rng: np.random.Generator) -> jax.Array:
    return jax.random.key(int(rng.integers(2**31)))


_stranded = False
"""Whether this process was forked off one in which JAX had started: JAX's threads did not come along."""


def _after_fork() -> None:
    global _stranded
    _stranded = xla_bridge.backends_are_initialized()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _refuse_stranded() -> None:
    """Raises UserError where JAX would be waited for without end."""
    if _stranded:
        raise UserError(
            "this process was forked off one in which JAX had started, so JAX would never answer here. Have it started"
            ' afresh, as in gymnasium.make_vec(…, vectorization_mode="async", vector_kwargs={"context": "spawn"}), or'
            " leave vectorization_mode out: a vector of walkies is stepped as one."
        )


class ToGymnasium(gymnasium.Env):
    """One copy of a walkies `Env` as a Gymnasium environment.

    The same seed gives the same episode. Metrics of the environment are in `info`.

    env: what to step. time_limit: steps before truncation; None takes the environment's own.
    render: how to draw a state; without it there is no render mode.
    """

    def __init__(
        self,
        env: Env,
        time_limit: int | None = None,
        render_mode: str | None = None,
        render: Render | None = None,
    ) -> None:
        self.metadata = {"render_modes": [] if render is None else ["rgb_array"]}
        if render is not None:
            self.metadata["render_fps"] = render.fps
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise UserError(f"render_mode is {render_mode!r}; this environment has {'rgb_array' if render else 'none'}")
        self.observation_space = _observation_space(env)
        self.action_space = to_gymnasium_space(env.action_space)
        self.render_mode = render_mode
        self._render = render
        self._limit = _limit(env, time_limit)
        self._state: Any = None
        self._age = 0

        def begin(key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
            start, key = jax.random.split(key)
            state = env.reset(start, 1)
            return state, env.observe(state).policy[0], key

        def advance(state: Any, action: jax.Array, key: jax.Array) -> tuple:
            now, key = jax.random.split(key)
            state, outcome = env.step(state, action[None], now)
            metrics = jax.tree.map(lambda x: x[0], outcome.metrics)
            return state, env.observe(state).policy[0], outcome.reward[0], outcome.terminated[0], metrics, key

        self._begin, self._advance = jax.jit(begin), jax.jit(advance)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode → observation (observation_size,) float32, {}."""
        _refuse_stranded()
        super().reset(seed=seed)
        self._age = 0
        self._state, observation, self._next_key = self._begin(_key(self.np_random))
        return np.array(observation, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Act once → observation, reward, terminated, truncated, metrics."""
        _refuse_stranded()
        if self._state is None:
            raise UserError("step was called before reset; call reset() first")
        # Integers stay integers: a Discrete action is an index.
        given = jnp.asarray(action, None if isinstance(self.action_space, spaces.Discrete) else jnp.float32)
        self._state, observation, reward, terminated, metrics, self._next_key = self._advance(
            self._state, given, self._next_key
        )
        self._age += 1
        ended = bool(terminated)
        truncated = not ended and self._age >= self._limit
        info = {name: float(value) for name, value in metrics.items()}
        return np.array(observation, np.float32), float(reward), ended, truncated, info

    def render(self) -> np.ndarray | None:
        """An image (height, width, 3) uint8, or None without a render mode."""
        return self._render(self._state) if self.render_mode and self._render else None

    def close(self) -> None:
        """Release the renderer."""
        if self._render is not None:
            self._render.close()


class ToGymnasiumVector(VectorEnv):
    """A batch of copies of a walkies `Env`, stepped as one, as a Gymnasium vector environment in any autoreset mode.

    env, time_limit: as in `ToGymnasium`. autoreset_mode: when a finished copy starts again; in DISABLED mode the caller
    resets it by `reset(options={"reset_mask": finished})`, and stepping a finished copy is an error.
    """

    def __init__(
        self,
        env: Env,
        num_envs: int = 1,
        time_limit: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode}
        self.single_observation_space = _observation_space(env)
        self.single_action_space = to_gymnasium_space(env.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._limit = _limit(env, time_limit)
        self._state: Any = None
        self._age = np.zeros(num_envs, np.int64)
        self._finished = np.zeros(num_envs, bool)

        def restart(state: Any, mask: jax.Array, key: jax.Array) -> tuple[Any, jax.Array]:
            state = select(mask, env.reset(key, num_envs), state)
            return state, env.observe(state).policy

        def advance(state: Any, action: jax.Array, frozen: jax.Array, key: jax.Array) -> tuple:
            following, outcome = env.step(state, action, key)
            state = select(frozen, state, following)
            return state, env.observe(state).policy, outcome

        self._restart, self._advance = jax.jit(restart), jax.jit(advance)
        self._start = jax.jit(lambda key: env.reset(key, num_envs))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start all copies, or those of `options["reset_mask"]` (num_envs,) bool → observations, {}."""
        _refuse_stranded()
        super().reset(seed=seed)
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise UserError(f"reset_mask must be {self.num_envs} booleans, not {mask.dtype} of shape {mask.shape}")
        if self._state is None:
            if not mask.all():
                raise UserError("the first reset must be of every copy; leave reset_mask out")
            # What it holds is replaced at once: no random number is spent, so that a seed means the same every time.
            self._state = self._start(jax.random.key(0))
        return self._restart_where(mask), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act once in every copy → observations, rewards, terminated, truncated, infos, each leading with num_envs."""
        _refuse_stranded()
        if self._state is None:
            raise UserError("step was called before reset; call reset() first")
        waiting = self._finished
        if self.autoreset_mode is AutoresetMode.DISABLED and waiting.any():
            raise UserError(
                f"copies {np.flatnonzero(waiting).tolist()} have finished and autoreset is disabled;"
                ' call reset(options={"reset_mask": finished}) first'
            )
        self._state, observation, outcome = self._advance(
            self._state, jnp.asarray(actions), jnp.asarray(waiting), _key(self.np_random)
        )
        self._age += 1
        rewards = np.where(waiting, 0.0, np.asarray(outcome.reward, np.float64))
        terminated = np.asarray(outcome.terminated) & ~waiting
        truncated = ~terminated & ~waiting & (self._age >= self._limit)
        seen = np.array(observation, np.float32)
        infos: dict[str, Any] = {name: np.asarray(value) for name, value in outcome.metrics.items()}
        self._finished = terminated | truncated
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and waiting.any():
            seen = self._restart_where(waiting, still=self._finished)
        elif self.autoreset_mode is AutoresetMode.SAME_STEP and self._finished.any():
            infos |= {"final_obs": seen, "_final_obs": self._finished.copy(), "final_info": {}}
            seen = self._restart_where(self._finished)
        return seen, rewards, terminated, truncated, infos

    def _restart_where(self, mask: np.ndarray, still: np.ndarray | None = None) -> np.ndarray:
        """Begin new episodes where `mask`; afterwards only `still` counts as finished. → observations of all copies."""
        self._state, observation = self._restart(self._state, jnp.asarray(mask), _key(self.np_random))
        self._age = np.where(mask, 0, self._age)
        self._finished = (self._finished & ~mask) if still is None else still
        return np.array(observation, np.float32)
