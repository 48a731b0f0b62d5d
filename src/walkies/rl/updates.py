"""How parameters move: a gradient step, a natural-gradient step, or epochs of minibatches; Adam and its state.

Policy and value function share no parameters, so each has its own gradient, norm limit and Adam: a long gradient of the
value function never shortens a step of the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from walkies import renamed
from walkies.accel import adam as native
from walkies.accel import ppo
from walkies.accel.random import faster_permutation
from walkies.accel.rows import faster_taker
from walkies.mdp import Box
from walkies.rl.objectives import METRICS, Batch, critic_loss, policy_loss, standardize
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.recipes import Recipe
from walkies.rl.sizes import minibatch_size
from walkies.rl.trpo import natural_step as trpo

Array = jax.Array

DECAY = (0.9, 0.999)
"""Adam's β₁ and β₂ (Kingma & Ba 2015)."""
KL_BAND = 2.0
"""The "kl" schedule acts when the KL leaves [target / 2, target · 2] (Schulman et al. 2017, section 4)."""
KL_FACTOR = 1.5
"""… by this factor (rsl_rl's default)."""


class Params(NamedTuple):
    """θ and φ. critic: empty without a value function."""

    policy: PolicyParams
    critic: Any


class Learner(NamedTuple):
    """All that learning changes."""

    params: Params
    moments: Params
    """Adam's state, for each of the two."""
    learning_rate: Array
    """() of the policy."""
    critic_learning_rate: Array
    """()"""
    stopped: Array
    """() bool: the KL stop has ended this iteration's policy steps."""


def init_learner(recipe: Recipe, params: Params) -> Learner:
    """A learner that has not learned."""
    moments = Params(start(recipe, params.policy), start(recipe, params.critic))
    rate, critic_rate = jnp.asarray([recipe.learning_rate, recipe.critic_learning_rate], params.policy.log_std.dtype)
    return Learner(params, moments, rate, critic_rate, jnp.asarray(False))


def start(recipe: Recipe, params: Any) -> Any:
    """Adam's state before its first step, for any PyTree of parameters."""
    return _optimizer(recipe).init(params)


def adam(recipe: Recipe, gradient: Any, params: Any, moments: Any, rate: Array) -> tuple[Any, Any]:
    """New parameters and state: global-norm gradient clipping, then one Adam step of size `rate` (Kingma & Ba 2015)."""

    def step(gradient: Any, params: Any, moments: Any, rate: Array) -> tuple[Any, Any]:
        direction, moments = _optimizer(recipe).update(gradient, moments)
        return jax.tree.map(lambda p, d: p - rate * d, params, direction), moments

    return native.faster(step, recipe.max_grad_norm, DECAY, recipe.adam_epsilon)(gradient, params, moments, rate)


def _optimizer(recipe: Recipe) -> optax.GradientTransformation:
    clip = optax.clip_by_global_norm(recipe.max_grad_norm)
    return optax.chain(clip, optax.scale_by_adam(*DECAY, eps=recipe.adam_epsilon))


def epochs(
    update: Callable[[Any, Batch], tuple[Any, Any]], carry: Any, batch: Batch, key: Array, recipe: Recipe
) -> Any:
    """Apply `update` to every minibatch of every epoch; metrics come back as (epochs, minibatches).

    Each epoch has a new permutation and sees each sample exactly once.
    """
    return over_orders(update, carry, batch, orders(key, batch.mask.shape[0], recipe))


def over_orders(update: Callable[[Any, Batch], tuple[Any, Any]], carry: Any, batch: Batch, orders: Array) -> Any:
    """Apply `update` to the samples of every row of `orders` (epochs, minibatches, size), as `epochs`."""
    take = faster_taker(lambda batch: lambda rows: jax.tree.map(lambda leaf: leaf[rows], batch))(batch)

    def epoch(carry: Any, order: Array) -> tuple[Any, Any]:
        return jax.lax.scan(lambda carry, part: update(carry, take(part)), carry, order)

    return jax.lax.scan(epoch, carry, orders)


def orders(key: Array, count: int, recipe: Recipe) -> Array:
    """Which of `count` samples each minibatch has (epochs, minibatches, size), int32: all of them in each epoch."""
    shape = (recipe.minibatches, minibatch_size(recipe, count))
    draw = lambda key: faster_permutation(permutation)(key, count).reshape(shape)  # noqa: E731
    return jax.lax.map(draw, jax.random.split(key, recipe.epochs))


def permutation(key: Array, count: int) -> Array:
    """0 … count − 1 in random order (count,), int32.

    One sort of words, random bits above and the index below (`jax.random.permutation` sorts pairs twice).
    """
    width = (count - 1).bit_length()
    words = (jax.random.bits(key, (count,), jnp.uint32) >> width << width) | jnp.arange(count, dtype=jnp.uint32)
    return (jnp.sort(words) & ((1 << width) - 1)).astype(jnp.int32)


def fit_critic(recipe: Recipe, learner: Learner, batch: Batch, key: Array) -> tuple[Learner, dict[str, Array]]:
    """Epochs of minibatches for the value function alone, for updates that move the policy once."""
    if not jax.tree.leaves(learner.params.critic):
        return learner, {}

    def update(carry: tuple, part: Batch) -> tuple[tuple, Array]:
        params, moments = carry
        loss, gradient = jax.value_and_grad(partial(critic_loss, recipe))(params, part)
        return adam(recipe, gradient, params, moments, learner.critic_learning_rate), loss

    (critic, moments), losses = epochs(update, (learner.params.critic, learner.moments.critic), batch, key, recipe)
    learner = learner._replace(
        params=learner.params._replace(critic=critic), moments=learner.moments._replace(critic=moments)
    )
    return learner, {"value_loss": jnp.mean(losses)}


def gradient_step(recipe: Recipe, policy: Policy, learner: Learner, batch: Batch, key: Array) -> tuple[Learner, dict]:
    """One Adam step of the policy on the whole batch; the value function learns in epochs of minibatches."""
    old = learner.params.policy
    if recipe.normalize_advantage != "none":
        batch = batch._replace(advantage=standardize(batch.advantage, batch.mask))
    gradient, metrics = jax.grad(partial(policy_loss, recipe, policy, old), has_aux=True)(old, batch)
    params, moments = adam(recipe, gradient, old, learner.moments.policy, learner.learning_rate)
    metrics |= _after(recipe, policy, old, params, batch)
    learner, critic_metrics = fit_critic(recipe, learner, batch, key)
    learner = learner._replace(
        params=learner.params._replace(policy=params), moments=learner.moments._replace(policy=moments)
    )
    return learner, metrics | critic_metrics


def natural_step(recipe: Recipe, policy: Policy, learner: Learner, batch: Batch, key: Array) -> tuple[Learner, dict]:
    """One natural-gradient step of the policy; the value function learns in epochs of minibatches."""
    policy = replace(policy, networks="xla")  # Fisher products differentiate twice
    old = learner.params.policy
    if recipe.normalize_advantage != "none":
        batch = batch._replace(advantage=standardize(batch.advantage, batch.mask))
    params, info = trpo.natural_step(
        loss=lambda params: policy_loss(recipe, policy, old, params, batch)[0],
        distribution=lambda params: policy.apply(params, batch.policy_observation, batch.action_mask),
        params=old,
        delta=recipe.target_kl,
        damping=recipe.damping,
        cg_iterations=recipe.cg_iterations,
        line_search=recipe.line_search,
        mask=batch.mask,
    )
    metrics = policy_loss(recipe, policy, old, params, batch)[1]
    learner, critic_metrics = fit_critic(recipe, learner, batch, key)
    learner = learner._replace(params=learner.params._replace(policy=params))
    steps = {"step_fraction": info.fraction, "surrogate_improvement": info.improvement}
    return learner, metrics | critic_metrics | steps


def minibatch_epochs(
    recipe: Recipe, policy: Policy, learner: Learner, batch: Batch, key: Array
) -> tuple[Learner, dict]:
    """Adam steps of both networks on minibatches, each sample once per epoch (Schulman et al. 2017, algorithm 1)."""
    if recipe.normalize_advantage == "batch":
        batch = batch._replace(advantage=standardize(batch.advantage, batch.mask))
    steps = ppo.faster(partial(minibatch_steps, recipe, policy), fused(recipe, policy))
    order = orders(key, batch.mask.shape[0], recipe)
    learner, metrics = steps(learner._replace(stopped=jnp.asarray(False)), batch, order)
    means = jax.tree.map(jnp.mean, metrics)
    # The mean over all steps hides how far the policy went; the last epoch says it.
    return learner._replace(stopped=jnp.asarray(False)), means | {"kl": jnp.mean(metrics["kl"][-1])}


def minibatch_steps(
    recipe: Recipe, policy: Policy, learner: Learner, batch: Batch, orders: Array
) -> tuple[Learner, dict[str, Array]]:
    """One Adam step of both networks for each minibatch of `orders` (epochs, minibatches, size); its metrics (epochs,
    minibatches)."""
    old = learner.params.policy

    def loss(params: Params, part: Batch) -> tuple[Array, dict[str, Array]]:
        policy_part, metrics = policy_loss(recipe, policy, old, params.policy, part)
        if not jax.tree.leaves(params.critic):
            return policy_part, metrics
        critic_part = critic_loss(recipe, params.critic, part)
        return policy_part + critic_part, metrics | {"value_loss": critic_part}

    def update(learner: Learner, part: Batch) -> tuple[Learner, dict[str, Array]]:
        if recipe.normalize_advantage == "minibatch":
            part = part._replace(advantage=standardize(part.advantage, part.mask))
        gradient, metrics = jax.grad(loss, has_aux=True)(learner.params, part)
        if recipe.schedule == "kl":
            learner = learner._replace(learning_rate=adapt_learning_rate(recipe, learner.learning_rate, metrics["kl"]))
        before = (learner.params.policy, learner.moments.policy)
        params, moments = adam(recipe, gradient.policy, *before, learner.learning_rate)
        if recipe.stop_kl is not None:
            stopped = learner.stopped | (metrics["kl"] > recipe.stop_kl)
            params, moments = jax.tree.map(partial(jnp.where, stopped), before, (params, moments))
            learner = learner._replace(stopped=stopped)
        critic_before = (learner.params.critic, learner.moments.critic)
        critic, critic_moments = adam(recipe, gradient.critic, *critic_before, learner.critic_learning_rate)
        learner = learner._replace(params=Params(params, critic), moments=Params(moments, critic_moments))
        return learner, metrics

    return over_orders(update, learner, batch, orders)


def fused(recipe: Recipe, policy: Policy) -> ppo.Settings | None:
    """What `minibatch_steps` computes, as the native call takes it; None where the recipe asks for something else."""
    if not (
        recipe.networks == "native"
        and recipe.architecture == "dense"
        and recipe.objective == "clipped"
        and recipe.baseline
        and isinstance(policy.action_space, Box)
        and policy.bound != "sample"
    ):
        return None
    return ppo.Settings(
        activation=policy.activation,
        bounded=policy.bound == "mean",
        standardize=recipe.normalize_advantage == "minibatch",
        clip=recipe.objective_coefficient,
        entropy_coefficient=recipe.entropy_coefficient,
        value_clip=recipe.value_clip,
        adaptive=recipe.schedule == "kl",
        low_kl=recipe.target_kl / KL_BAND,
        high_kl=recipe.target_kl * KL_BAND,
        kl_factor=KL_FACTOR,
        min_rate=recipe.min_learning_rate,
        max_rate=recipe.max_learning_rate,
        stop_kl=recipe.stop_kl,
        max_norm=recipe.max_grad_norm,
        decay=DECAY,
        epsilon=recipe.adam_epsilon,
    )


def adapt_learning_rate(recipe: Recipe, rate: Array, kl: Array) -> Array:
    """The next step size (): smaller after a large KL, larger after a small one, within the recipe's bounds.

    A KL of exactly zero says only that nothing has moved yet.
    """
    rate = jnp.where(kl > KL_BAND * recipe.target_kl, rate / KL_FACTOR, rate)
    rate = jnp.where((kl > 0.0) & (kl < recipe.target_kl / KL_BAND), rate * KL_FACTOR, rate)
    return jnp.clip(rate, recipe.min_learning_rate, recipe.max_learning_rate)


def _after(recipe: Recipe, policy: Policy, old: PolicyParams, new: PolicyParams, batch: Batch) -> dict[str, Array]:
    """KL, and what the objective has to report, after the only step: before it they are zero and say nothing."""
    metrics = policy_loss(recipe, policy, old, new, batch)[1]
    return {name: metrics[name] for name in ("kl", *METRICS.get(recipe.objective, {}))}


UPDATES = {"gradient_step": gradient_step, "natural_step": natural_step, "minibatch_epochs": minibatch_epochs}

renamed.names(globals(), STEPS="UPDATES", led_by_kl="adapt_learning_rate")
