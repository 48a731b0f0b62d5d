"""How noisy is the gradient? Repeated independent batches at the same parameters, the same for every recipe.

At the policy that acted all objectives have one gradient, so recipes differ only in the advantage estimator:

    g = mean over samples of ∇log π(a | s) Ψ,    noise = tr Cov(g),    signal = ‖E g‖²

Noise falls as 1 / samples and the signal stays, so n · noise / signal is the number of samples at which they are equal:
the size of a batch whose gradient is as long as its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from walkies.lab.ladder.curves import first_episodes, whole_episodes
from walkies.mdp import Env
from walkies.rl import train
from walkies.rl.objectives import Batch, policy_loss
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import Rollout
from walkies.rl.train import TrainState

Array = jax.Array


class Spread(NamedTuple):
    """The gradient estimate of one recipe over independent batches."""

    signal: float
    """‖E g‖², without bias: the mean product of different batches. Negative where the noise hides it."""
    noise: float
    """tr Cov(g) of one batch."""
    samples: float
    """Mean number of samples in a batch."""
    samples_needed: float | None
    """samples · noise / signal; None where no signal was found, which means more than all samples together."""


def plain(recipe: Recipe) -> Recipe:
    """The recipe with nothing left but its weight and objective: whole episodes, raw advantages, no extra terms."""
    return replace(
        recipe, update="gradient_step", whole_episodes=True, normalize_advantage="none", symmetry="none",
        entropy_coefficient=0.0,
    )  # fmt: skip


def batch_of(recipe: Recipe, env: Env, state: TrainState, record: Rollout) -> Batch:
    """What `recipe` would learn from these whole episodes: (time · num_envs) rows, those after an end masked."""
    return train.make_batch(plain(recipe), env, train.make_policy(recipe, env), state, record)


def gradient_of(recipe: Recipe, env: Env, state: TrainState, batch: Batch) -> Array:
    """Gradient (parameters,) of the recipe's objective at the policy in `state`, to be maximized."""
    loss = partial(policy_loss, plain(recipe), train.make_policy(recipe, env), state.learner.params.policy)
    gradient, _ = jax.grad(loss, has_aux=True)(state.learner.params.policy, batch)
    return -ravel_pytree(gradient)[0]


def gradients(
    recipes: Mapping[str, Recipe], env: Env, state: TrainState, episodes: int, batches: int, key: Array
) -> tuple[dict[str, Array], Array]:
    """Gradients (batches, parameters) of every recipe on the same `batches` of `episodes` each, and samples (batches,).

    state: of a training with a value function, which all recipes that have one share. The first recipe acts for all.
    """
    acting = next(iter(recipes.values()))
    record = whole_episodes(acting, env, state, episodes * batches, key)

    def apart(leaf: Array) -> Array:
        """(time · num_envs, …) → (batches, time · episodes, …)."""
        cut = leaf.reshape(-1, batches, episodes, *leaf.shape[1:])
        return jnp.moveaxis(cut, 1, 0).reshape(batches, -1, *leaf.shape[1:])

    found = {}
    for name, recipe in recipes.items():
        parts = jax.tree.map(apart, batch_of(recipe, env, state, record))
        found[name] = jax.lax.map(partial(gradient_of, recipe, env, state), parts)
    samples = first_episodes(record).reshape(-1, batches, episodes).sum(axis=(0, 2))
    return found, samples


def spread(gradients: np.ndarray, samples: float) -> Spread:
    """The statistics of independent gradient estimates (batches, parameters), each from `samples` samples."""
    gradients = np.asarray(gradients, np.float64)
    count = len(gradients)
    noise = float(np.sum(np.var(gradients, axis=0, ddof=1)))
    signal = float(np.sum(gradients.mean(axis=0) ** 2)) - noise / count
    return Spread(signal, noise, samples, samples * noise / signal if signal > 0.0 else None)


def measure(
    recipes: Mapping[str, Recipe],
    env: Env,
    states: Mapping[str, TrainState],
    episodes: int,
    batches: int,
    chunk: int = 16,
) -> dict[str, dict[str, Spread]]:
    """`spread` of every recipe at every state: name of the state → recipe → spread.

    `chunk` batches are drawn at a time for the sake of memory; batches is rounded up to chunks. The first state's
    randomness has seed 0, the next one's 1, and so on.
    """
    compiled = jax.jit(lambda state, key: gradients(recipes, env, state, episodes, chunk, key))
    found = {}
    for seed, (moment, state) in enumerate(states.items()):
        keys = jax.random.split(jax.random.key(seed, impl="rbg"), -(-batches // chunk))
        parts = [jax.device_get(compiled(state, key)) for key in keys]
        samples = float(np.mean([count for _, counts in parts for count in counts]))
        found[moment] = {name: spread(np.concatenate([part[name] for part, _ in parts]), samples) for name in recipes}
    return found
