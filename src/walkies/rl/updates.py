"""How parameters move: one gradient step, one natural-gradient step, or epochs of minibatches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp

from walkies.rl.batch import Batch, standardize
from walkies.rl.learner import Learner, Params, adam
from walkies.rl.losses import critic_loss, policy_loss
from walkies.rl.minibatches import epochs, fit_critic
from walkies.rl.objectives import METRICS
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.recipes import Recipe
from walkies.rl.trpo import natural_step as trpo

Array = jax.Array

KL_BAND = 2.0
"""The "kl" schedule acts when the KL leaves [target / 2, target · 2] (Schulman et al. 2017, section 4)."""
KL_FACTOR = 1.5
"""… by this factor (rsl_rl's default)."""


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
        distribution=lambda params: policy.distribution(params, batch.policy_observation),
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
    old = learner.params.policy
    if recipe.normalize_advantage == "batch":
        batch = batch._replace(advantage=standardize(batch.advantage, batch.mask))

    def loss(params: Params, part: Batch) -> tuple[Array, dict[str, Array]]:
        policy_part, metrics = policy_loss(recipe, policy, old, params.policy, part)
        if not params.critic:
            return policy_part, metrics
        critic_part = critic_loss(recipe, params.critic, part)
        return policy_part + critic_part, metrics | {"value_loss": critic_part}

    def update(learner: Learner, part: Batch) -> tuple[Learner, dict[str, Array]]:
        if recipe.normalize_advantage == "minibatch":
            part = part._replace(advantage=standardize(part.advantage, part.mask))
        gradient, metrics = jax.grad(loss, has_aux=True)(learner.params, part)
        if recipe.schedule == "kl":
            learner = learner._replace(learning_rate=led_by_kl(recipe, learner.learning_rate, metrics["kl"]))
        params, moments = adam(
            recipe, gradient.policy, learner.params.policy, learner.moments.policy, learner.learning_rate
        )
        if recipe.stop_kl is not None:
            stopped = learner.stopped | (metrics["kl"] > recipe.stop_kl)
            params, moments = jax.tree.map(
                partial(jnp.where, stopped), (learner.params.policy, learner.moments.policy), (params, moments)
            )
            learner = learner._replace(stopped=stopped)
        critic, critic_moments = adam(
            recipe, gradient.critic, learner.params.critic, learner.moments.critic, learner.critic_learning_rate
        )
        learner = learner._replace(params=Params(params, critic), moments=Params(moments, critic_moments))
        return learner, metrics

    learner, metrics = epochs(update, learner._replace(stopped=jnp.asarray(False)), batch, key, recipe)
    means = jax.tree.map(jnp.mean, metrics)
    # The mean over all steps hides how far the policy went; the last epoch says it.
    return learner._replace(stopped=jnp.asarray(False)), means | {"kl": jnp.mean(metrics["kl"][-1])}


def led_by_kl(recipe: Recipe, rate: Array, kl: Array) -> Array:
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


STEPS = {"gradient_step": gradient_step, "natural_step": natural_step, "minibatch_epochs": minibatch_epochs}
