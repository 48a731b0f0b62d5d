"""A reinforcement-learning problem: a Markov decision process, batched and pure.

An MDP is a set of states and actions, an initial-state distribution ρ₀(s), a transition p(s′ | s, a), a reward
r(s, a, s′) and a set of terminal states (Sutton & Barto 2018, ch. 3). `Env` is exactly that, for a batch of
independent copies. Two things are deliberately *not* part of it, because they are not part of the problem:

- **Time limits.** Stopping after 1000 steps is a choice of the experimenter; the process continues. An `Env` only
  returns `terminated`; the rollout (`walkies.rl.rollout`) adds `truncated`, and bootstraps there (Pardo et al. 2018).
- **Resetting.** A terminal state is the end. The rollout starts the next episode.

Arrays lead with the environment axis, `(num_envs, …)`. An observation is an array of any shape, or a PyTree of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from walkies.later import Array, jax

Key = Array
S = TypeVar("S")


class Box(NamedTuple):
    """Continuous space: vectors of `size` numbers, each within [low, high] (floats or arrays of that size)."""

    size: int
    low: Any = -float("inf")
    high: Any = float("inf")


class Discrete(NamedTuple):
    """Discrete space: integers 0 … n−1."""

    n: int


Space = Box | Discrete

Sizes = Any
"""The arrays of an observation, without the environment axis: n for a vector of n numbers, a tuple of ints for an array
of that shape, or a PyTree (dict, list, NamedTuple) of these."""


class Observation(NamedTuple):
    """Observation of a state: `policy` is the agent's input, `critic` the (possibly privileged) input of the critic.

    policy: of `observation_size`, each array (num_envs, …). critic: of `privileged_size`, the same if nothing is
    privileged. action_mask: (num_envs, n) bool for a `Discrete` space, true where an action is valid, at least once in
    each environment; None if all are. Invalid actions are never taken.
    """

    policy: Any
    critic: Any
    action_mask: Array | None = None


class Outcome(NamedTuple):
    """The result of a transition besides the next state.

    reward: (num_envs,). terminated: (num_envs,) bool, true where the next state is terminal (value 0).
    metrics: named (num_envs,) arrays, only for the curves.
    """

    reward: Array
    terminated: Array
    metrics: dict[str, Array]


class Env(Protocol[S]):
    """A batch of independent copies of one MDP as three pure functions, jittable and free of hidden state."""

    @property
    def observation_size(self) -> Sizes:
        """Of `Observation.policy`."""
        ...

    @property
    def privileged_size(self) -> Sizes:
        """Of `Observation.critic`."""
        ...

    @property
    def action_space(self) -> Space:
        """The actions that `step` takes: (num_envs, size) floats for `Box`, (num_envs,) ints for `Discrete`."""
        ...

    @property
    def time_limit(self) -> int | None:
        """Steps after which an experimenter usually stops an episode; applied by the rollout, never by the MDP."""
        ...

    def reset(self, key: Key, num_envs: int) -> S:
        """Draw `num_envs` states from the initial-state distribution ρ₀."""
        ...

    def observe(self, state: S) -> Observation:
        """The observation of `state`. A function of the state only: sensor noise already drawn is part of the state."""
        ...

    def step(self, state: S, action: Array, key: Key) -> tuple[S, Outcome]:
        """Draw s′ ~ p(· | s, a) for every copy, with its reward and whether s′ is terminal. Never resets."""
        ...


class ChangingEnv(Env[S], Protocol[S]):
    """An `Env` that changes during training: with the number of steps, and with the results of the last rollouts.

    Its memory is a PyTree, the curriculum, that training keeps and saves with everything else; None if the number of
    steps is enough, and `advance` is then never called.
    """

    def begin(self) -> Any:
        """The curriculum with which training begins."""
        ...

    def at(self, steps: Array, curriculum: Any = None) -> Env[S]:
        """The environment after `steps` () control steps over all copies; sizes and shapes never change."""
        ...

    def advance(self, curriculum: Any, metrics: Mapping[str, Array], steps: int) -> tuple[Any, dict[str, Array]]:
        """After a rollout of `steps` control steps over all copies: the next curriculum, and numbers () to report.

        metrics: mean () over the rollout of each quantity that `step` reports.
        """
        ...


def map_shapes(function: Callable[[tuple[int, ...]], Any], sizes: Sizes) -> Any:
    """`function` of each array's shape, in an observation's place of that array.

    map_shapes(jnp.zeros, {"eyes": (8, 8, 1), "body": 3}) is a dict of an image and a vector of zeros.
    """

    def is_size(x: Any) -> bool:
        return isinstance(x, int) or (type(x) is tuple and all(isinstance(n, int) for n in x))

    def of(size: int | tuple[int, ...]) -> Any:
        return function((size,) if isinstance(size, int) else size)

    return jax.tree.map(of, sizes, is_leaf=is_size)


def select(mask: Array, on_true: S, on_false: S) -> S:
    """Per-environment choice between two PyTrees of (num_envs, …) arrays; mask: (num_envs,) bool."""

    def pick(a: Array, b: Array) -> Array:
        return jax.numpy.where(mask.reshape(mask.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, on_true, on_false)


def rollout_log_probability(
    states: Any,
    actions: Array,
    log_initial: Callable[[Any], Array],
    log_policy: Callable[[Any, Array], Array],
    log_transition: Callable[[Any, Array, Any], Array],
    valid: Array | None = None,
) -> Array:
    """log p(τ) of rollouts τ = (s₀, a₀, s₁, …, s_T):  log ρ₀(s₀) + Σ_t log π(a_t | s_t) + log p(s_{t+1} | s_t, a_t).

    Only the middle term depends on the policy's parameters, so ∇ log p(τ) = Σ_t ∇ log π(a_t | s_t) for any dynamics:
    the likelihood-ratio gradient needs no model (Williams 1992).

    Args:
        states: PyTree of (time + 1, num_rollouts, …).
        actions: (time, num_rollouts, …).
        log_initial: (num_rollouts, …) states → (num_rollouts,) log-probabilities or log-densities.
        log_policy, log_transition: the same for (time, num_rollouts, …) arguments → (time, num_rollouts).
        valid: (time, num_rollouts) bool, false after the end of a rollout, where nothing more is drawn.
    Returns:
        (num_rollouts,) log-probabilities.
    """
    now = jax.tree.map(lambda x: x[:-1], states)
    following = jax.tree.map(lambda x: x[1:], states)
    steps = log_policy(now, actions) + log_transition(now, actions, following)
    if valid is not None:
        steps = jax.numpy.where(valid, steps, 0.0)
    return log_initial(jax.tree.map(lambda x: x[0], states)) + steps.sum(axis=0)
