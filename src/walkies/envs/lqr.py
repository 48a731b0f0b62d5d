"""Linear dynamics: the quadratic problem with its closed form, and the same dynamics with a step-shaped reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies.mdp import Array, Box, Key, Observation, Outcome


@dataclass(frozen=True, eq=False)
class LQR:
    """s′ = A s + B a + w, w ~ N(0, W); reward −(sᵀQ s + aᵀR a); s₀ ~ N(mean, S).

    State and observation: s, (num_envs, n). Never terminal. Raises ValueError where shapes disagree.
    """

    a: np.ndarray
    """A, (n, n)."""
    b: np.ndarray
    """B, (n, m)."""
    q: np.ndarray
    """Q, (n, n), symmetric."""
    r: np.ndarray
    """R, (m, m), symmetric positive definite."""
    mean: np.ndarray
    """E s₀, (n,)."""
    cov: np.ndarray
    """Cov s₀ = S, (n, n)."""
    noise: np.ndarray
    """W, (n, n)."""
    time_limit: int | None = 50

    def __post_init__(self) -> None:
        n, m = self.b.shape
        expected = {"a": (n, n), "q": (n, n), "r": (m, m), "mean": (n,), "cov": (n, n), "noise": (n, n)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape} as b is ({n}, {m})")

    @property
    def observation_size(self) -> int:
        return self.b.shape[0]

    @property
    def privileged_size(self) -> int:
        return self.b.shape[0]

    @property
    def action_space(self) -> Box:
        return Box(self.b.shape[1])

    def reset(self, key: Key, num_envs: int) -> Array:
        spread = jnp.asarray(_root(self.cov), float)
        return jnp.asarray(self.mean, float) + jax.random.normal(key, (num_envs, len(self.mean))) @ spread.T

    def observe(self, state: Array) -> Observation:
        return Observation(state, state)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        q, r = jnp.asarray(self.q, float), jnp.asarray(self.r, float)
        cost = jnp.einsum("ei,ij,ej->e", state, q, state) + jnp.einsum("ei,ij,ej->e", action, r, action)
        drawn = jax.random.normal(key, state.shape) @ jnp.asarray(_root(self.noise), float).T
        following = state @ jnp.asarray(self.a, float).T + action @ jnp.asarray(self.b, float).T + drawn
        return following, Outcome(-cost, jnp.zeros(len(state), bool), {})


def _root(cov: np.ndarray) -> np.ndarray:
    """A matrix L with L Lᵀ = cov, for any positive semidefinite cov (Cholesky needs a definite one)."""
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def double_integrator(dt: float = 0.1, effort: float = 0.1, noise: float = 0.0, **options: Any) -> LQR:
    """A unit mass on a line, pushed: state (position m, velocity m/s), action force N; cost x² + 0.1 v² + effort·u².

    Exact discretization of a force held over dt. noise: standard deviation of a random velocity change per step, m/s.
    """
    settings: dict[str, Any] = {
        "a": np.array([[1.0, dt], [0.0, 1.0]]),
        "b": np.array([[0.5 * dt * dt], [dt]]),
        "q": np.diag([1.0, 0.1]),
        "r": np.array([[effort]]),
        "mean": np.zeros(2),
        "cov": np.eye(2),
        "noise": np.diag([0.0, noise**2]),
    }
    return LQR(**(settings | options))


class LinearReturn(NamedTuple):
    """Return of a linear policy and its derivatives."""

    value: float
    """J(K, σ) = E Σ_t γ^t r_t."""
    gradient: np.ndarray
    """∂J/∂K, (m, n)."""
    sigma_gradient: float
    """∂J/∂σ."""


def linear_return(env: LQR, gain: Any, horizon: int, gamma: float = 1.0, sigma: float = 0.0) -> LinearReturn:
    """Closed form for a ~ N(−K s, σ²I) over `horizon` steps; no sampling and no automatic differentiation.

    With F = A − BK and the cost-to-go V_t(s) = sᵀP_t s + c_t:
        P_t = Q + KᵀRK + γ Fᵀ P_{t+1} F,   c_t = σ² tr(R + γ Bᵀ P_{t+1} B) + γ tr(P_{t+1} W) + γ c_{t+1},
        −∂J/∂K = 2 Σ_t γ^t [(R + γ Bᵀ P_{t+1} B) K − γ Bᵀ P_{t+1} A] E[s_t s_tᵀ]
    (finite-horizon, discounted form of Fazel et al. 2018, lemma 1). gain: K, (m, n). sigma: same unit as the action.
    """
    gain = np.asarray(gain, float)
    closed = env.a - env.b @ gain
    to_go = [np.zeros_like(env.q)]
    for _ in range(horizon):
        to_go.insert(0, env.q + gain.T @ env.r @ gain + gamma * closed.T @ to_go[0] @ closed)
    moment = env.cov + np.outer(env.mean, env.mean)  # E[s_t s_tᵀ]
    cost = float(np.sum(to_go[0] * moment))
    gradient, sigma_gradient = np.zeros_like(gain), 0.0
    for t in range(horizon):
        discount, later = gamma**t, to_go[t + 1]
        curvature = env.r + gamma * env.b.T @ later @ env.b
        cost += discount * (sigma**2 * np.trace(curvature) + gamma * np.sum(later * env.noise))
        gradient -= 2.0 * discount * (curvature @ gain - gamma * env.b.T @ later @ env.a) @ moment
        sigma_gradient -= 2.0 * discount * sigma * float(np.trace(curvature))
        moment = closed @ moment @ closed.T + sigma**2 * env.b @ env.b.T + env.noise
    return LinearReturn(-cost, gradient, sigma_gradient)


def optimal_gain(env: LQR, gamma: float = 1.0, tolerance: float = 1e-12, limit: int = 100_000) -> np.ndarray:
    """The best stationary K for the infinite horizon, (m, n), by iterating the Riccati recursion.

    Raises ValueError where it does not converge within `limit` steps: the pair (A, B) cannot be stabilized.
    """
    to_go = env.q.copy()
    for _ in range(limit):
        curvature = env.r + gamma * env.b.T @ to_go @ env.b
        gain = gamma * np.linalg.solve(curvature, env.b.T @ to_go @ env.a)
        following = env.q + gamma * env.a.T @ to_go @ (env.a - env.b @ gain)
        if np.max(np.abs(following - to_go)) <= tolerance * (1.0 + np.max(np.abs(following))):
            return gain
        to_go = following
    raise ValueError(f"the Riccati recursion did not settle in {limit} steps; is (A, B) stabilizable and gamma ≤ 1?")


@dataclass(frozen=True)
class Threshold:
    """A double integrator with reward 1 for every step that ends beyond `goal` and 0 elsewhere.

    The reward is a step: its derivative is zero wherever it exists, so the pathwise gradient is zero, while the
    likelihood-ratio gradient learns. State and observation: (position m, velocity m/s). Action: force N.
    """

    goal: float = 0.5
    dt: float = 0.1
    time_limit: int | None = 20

    observation_size = 2
    privileged_size = 2
    action_space = Box(1)

    def reset(self, key: Key, num_envs: int) -> Array:
        return 0.1 * jax.random.normal(key, (num_envs, 2))

    def observe(self, state: Array) -> Observation:
        return Observation(state, state)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        velocity = state[:, 1] + self.dt * action[:, 0]
        position = state[:, 0] + self.dt * velocity
        reward = jnp.where(position > self.goal, 1.0, 0.0)
        return jnp.stack([position, velocity], axis=-1), Outcome(reward, jnp.zeros_like(position, bool), {})
