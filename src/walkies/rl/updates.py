"""Updates: a gradient step, a natural-gradient step, or epochs of minibatches.

Policy and value function share no parameters, so each has its own gradient, gradient clipping and Adam: a large
gradient of the value function never shortens a step of the policy.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from walkies import renamed
from walkies.accel import ppo
from walkies.mdp import Box
from walkies.rl.epochs import epochs, orders, over_rows, taker
from walkies.rl.objectives import METRICS, Batch, critic_loss, policy_loss, standardize
from walkies.rl.optimizer import DECAY, adam, start
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.recipes import Recipe
from walkies.rl.samples import shares
from walkies.rl.trpo import natural_step as trpo

Array = jax.Array

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
    """() bool: early stopping by the KL has ended this iteration's policy updates."""


def init_learner(recipe: Recipe, params: Params) -> Learner:
    """A learner that has not learned."""
    moments = Params(start(recipe, params.policy), start(recipe, params.critic))
    rate, critic_rate = jnp.asarray([recipe.learning_rate, recipe.critic_learning_rate], params.policy.log_std.dtype)
    return Learner(params, moments, rate, critic_rate, jnp.asarray(False))


def fit_critic(recipe: Recipe, learner: Learner, batch: Batch, key: Array) -> tuple[Learner, dict[str, Array]]:
    """Epochs of minibatches for the value function only, for updates with a single policy step."""
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
    whole = None if shares.are_apart() else fused(recipe, policy)
    steps = ppo.faster(partial(minibatch_steps, recipe, policy), whole)
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

    take = taker(batch)

    def by_jax(params: Params, rows: Array) -> tuple[Params, dict[str, Array]]:
        part = take(rows)
        if recipe.normalize_advantage == "minibatch":
            part = part._replace(advantage=standardize(part.advantage, part.mask))
        return jax.grad(loss, has_aux=True)(params, part)

    native = fused(recipe, policy) if shares.are_apart() else None
    gradient_in = ppo.faster_gradient(by_jax, native, learner, batch)

    def update(learner: Learner, rows: Array) -> tuple[Learner, dict[str, Array]]:
        gradient, metrics = shares.average(gradient_in(learner.params, rows))
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

    return over_rows(update, learner, orders)


def fused(recipe: Recipe, policy: Policy) -> ppo.Settings | None:
    """What `minibatch_steps` computes, in the form of the native call; None if the recipe asks for something else."""
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
    """The next learning rate (): smaller after a large KL, larger after a small one, within the recipe's bounds.

    A KL of exactly zero means that nothing has moved yet.
    """
    rate = jnp.where(kl > KL_BAND * recipe.target_kl, rate / KL_FACTOR, rate)
    rate = jnp.where((kl > 0.0) & (kl < recipe.target_kl / KL_BAND), rate * KL_FACTOR, rate)
    return jnp.clip(rate, recipe.min_learning_rate, recipe.max_learning_rate)


def _after(recipe: Recipe, policy: Policy, old: PolicyParams, new: PolicyParams, batch: Batch) -> dict[str, Array]:
    """KL and the objective's metrics, after the only step: before it they are zero."""
    metrics = policy_loss(recipe, policy, old, new, batch)[1]
    return {name: metrics[name] for name in ("kl", *METRICS.get(recipe.objective, {}))}


UPDATES = {"gradient_step": gradient_step, "natural_step": natural_step, "minibatch_epochs": minibatch_epochs}

renamed.names(globals(), STEPS="UPDATES", led_by_kl="adapt_learning_rate")
