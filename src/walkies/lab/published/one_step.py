"""TRPO's step and sb3-contrib's, from the same parameters on the same batch.

What is left of a difference between two libraries when chance is taken away. sb3-contrib trains; before each of its
updates its parameters and its batch are handed to `walkies.rl.trpo.natural_step` as well, and
the two steps are compared.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies.files import write_json
from walkies.lab.published import libraries, trials
from walkies.lab.published.protocols import ACTION_SIZES, Row
from walkies.mdp import Box, Discrete
from walkies.rl.objectives import Terms, standardize, surrogate
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.trpo.natural_step import natural_step

Array = jax.Array

UPDATES = 10
PERCENTILES = (5, 50, 95)


class Step(NamedTuple):
    """One update by both; KL(old ‖ new) in nats of the whole action."""

    theirs: float
    """KL of sb3-contrib's step."""
    ours: float
    """KL of ours under the row's δ and damping, those of the whole action."""
    literal: float
    """KL of ours where sb3-contrib's numbers for δ and damping are taken for those of the whole action."""
    cosine: float
    """Of the angle between their step and ours."""
    length: float
    """Of their step, in lengths of ours."""
    theirs_exact: float
    """Cosine between their step and ours in double precision."""
    ours_exact: float
    """Cosine between our step and ours in double precision."""


def compare_steps(row: Row, updates: int = UPDATES) -> list[Step]:
    """Let the library train for some updates under the settings of `row`, one of TRPO, and compare every one."""
    recipe, size = row.protocol.recipe, ACTION_SIZES.get(row.protocol.env, 1)
    model = libraries.make_model(row)
    policy = _policy(model, recipe.hidden)
    step = jax.jit(partial(_step, policy, recipe.cg_iterations))
    _, callback = model._setup_learn(row.protocol.steps, None)
    steps = []
    for _ in range(updates):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, recipe.horizon)
        batch = next(iter(model.rollout_buffer.get(batch_size=None)))
        kept = (batch.observations, batch.actions, batch.old_log_prob, batch.advantages)
        data = tuple(jnp.asarray(x.numpy()) for x in kept)
        old = _params(model)
        ours, kl = step(old, *data, recipe.target_kl, recipe.damping)
        _, literal = step(old, *data, recipe.target_kl / size, recipe.damping / size)
        with jax.enable_x64(True):
            exact, _ = step(*_doubled((old, *data)), recipe.target_kl, recipe.damping)
        model.train()
        new = _params(model)
        their_kl = policy.apply(old, data[0]).kl(policy.apply(new, data[0])).mean()
        a, b, c = (_flat(params) - _flat(old) for params in (new, ours, exact))
        length = float(np.linalg.norm(a) / np.linalg.norm(b))
        cosines = _cosine(a, b), length, _cosine(a, c), _cosine(b, c)
        steps.append(Step(float(their_kl), float(kl), float(literal), *cosines))
    return steps


def write(row: Row, out: Path, updates: int = UPDATES) -> Path:
    """Keep median and spread of a comparison beside the finished rows, as JSON."""
    found = np.percentile(np.array(compare_steps(row, updates)), PERCENTILES, axis=0)
    path = out / "one-step" / f"{row.key}.json"
    result = {name: found[:, i].tolist() for i, name in enumerate(Step._fields)}
    circumstances = trials.circumstances(Row(libraries.as_library(row.protocol), row.seed))
    write_json(path, {"updates": updates, **result, **circumstances}, indent=1)
    return path


def _flat(params: PolicyParams) -> np.ndarray:
    return np.concatenate([np.asarray(x, float).ravel() for x in jax.tree.leaves(params)])


def _doubled(tree: Any) -> Any:
    """Floating-point arrays in double precision."""
    return jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x), float) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _policy(model: Any, hidden: tuple[int, ...]) -> Policy:
    size, space = model.observation_space.shape[0], model.action_space
    return Policy(size, Discrete(int(space.n)) if hasattr(space, "n") else Box(space.shape[0]), hidden)


def _params(model: Any) -> PolicyParams:
    """The library's parameters as ours; PyTorch keeps weights as (out, in)."""
    hidden = [part for part in model.policy.mlp_extractor.policy_net if hasattr(part, "weight")]
    layers = [
        (jnp.asarray(layer.weight.detach().numpy().T.copy()), jnp.asarray(layer.bias.detach().numpy().copy()))
        for layer in [*hidden, model.policy.action_net]
    ]
    log_std = getattr(model.policy, "log_std", None)
    return PolicyParams(layers, jnp.zeros(0) if log_std is None else jnp.asarray(log_std.detach().numpy().copy()))


def _step(
    policy: Policy, iterations: int, old: PolicyParams, seen: Array, sample: Array, log_prob: Array, advantage: Array,
    delta: float, damping: float,
) -> tuple[PolicyParams, Array]:  # fmt: skip
    """Our step and its KL."""
    sample = sample.astype(jnp.int32).reshape(-1) if isinstance(policy.action_space, Discrete) else sample
    weight = standardize(advantage, jnp.ones_like(advantage))

    def loss(params: PolicyParams) -> Array:
        new = policy.apply(params, seen).log_prob(sample)
        return surrogate(Terms(new, log_prob, weight, jnp.zeros_like(weight))).mean()

    new, info = natural_step(loss, lambda params: policy.apply(params, seen), old, delta, damping, iterations)
    return new, info.kl
