"""How parameters move: one gradient step, one natural-gradient step, or epochs of minibatches.

Policy and value function share no parameters, so each has its own gradient, norm limit and Adam: an error of the value
function never shortens a step of the policy. Both gradients are still taken in one pass over one minibatch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from walkies.errors import UserError
from walkies.rl import native_networks, natural, networks
from walkies.rl.batch import Batch, masked_mean, standardize, taker
from walkies.rl.objectives import OBJECTIVES, Terms, clipped_value_loss, ratio, value_loss
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.recipes import Recipe

Array = jax.Array

KL_BAND = 2.0
"""The "kl" schedule acts when the KL leaves [target / 2, target · 2] (Schulman et al. 2017, section 4)."""
KL_FACTOR = 1.5
"""… by this factor (rsl_rl's default)."""


class Params(NamedTuple):
    """θ and φ. critic: empty without a value function."""

    policy: PolicyParams
    critic: networks.Layers


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


def init(recipe: Recipe, params: Params) -> Learner:
    """A learner that has not learned."""
    dtype = params.policy.log_std.dtype
    return Learner(
        params,
        Params(start(recipe, params.policy), start(recipe, params.critic)),
        jnp.asarray(recipe.learning_rate, dtype),
        jnp.asarray(recipe.critic_learning_rate, dtype),
        jnp.asarray(False),
    )


def policy_loss(
    recipe: Recipe, policy: Policy, old: PolicyParams, params: PolicyParams, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """The objective's mean () over a batch whose samples were drawn under `old`, and what to know about it."""
    distribution = policy.distribution(params, batch.policy_observation)
    kl = policy.wrap(old, batch.head).kl(distribution)
    terms = Terms(distribution.log_prob(batch.sample), batch.log_prob, batch.advantage, kl)
    loss = masked_mean(OBJECTIVES[recipe.objective](terms, recipe.objective_coefficient), batch.mask)
    entropy = masked_mean(distribution.entropy(), batch.mask)
    if recipe.entropy_coefficient:
        loss = loss - recipe.entropy_coefficient * entropy
    if batch.mirrored_observation is not None:
        loss = loss + recipe.symmetry_coefficient * _asymmetry(policy, params, batch.mirrored_observation, batch)
    outside = jnp.abs(ratio(terms) - 1.0) > recipe.objective_coefficient
    return loss, {
        "policy_loss": loss,
        "kl": masked_mean(kl, batch.mask),
        "entropy": entropy,
        "clip_fraction": masked_mean(outside.astype(loss.dtype), batch.mask),
    }


def critic_loss(recipe: Recipe, params: networks.Layers, batch: Batch) -> Array:
    """Mean squared error () of the value function, halved; with `value_clip` the larger of two."""
    if not params:
        return jnp.zeros((), batch.target.dtype)
    network = native_networks.chosen(recipe.networks)
    value = network(params, batch.critic_observation, recipe.activation)[..., 0]
    if recipe.value_clip is None:
        return masked_mean(value_loss(value, batch.target), batch.mask)
    return masked_mean(clipped_value_loss(value, batch.target, batch.value, recipe.value_clip), batch.mask)


def gradient_step(recipe: Recipe, policy: Policy, learner: Learner, batch: Batch, key: Array) -> tuple[Learner, dict]:
    """One Adam step of the policy on the whole batch; the value function learns in epochs of minibatches."""
    old = learner.params.policy
    if recipe.normalize_advantage != "none":
        batch = batch._replace(advantage=standardize(batch.advantage, batch.mask))
    gradient, metrics = jax.grad(partial(policy_loss, recipe, policy, old), has_aux=True)(old, batch)
    params, moments = adam(recipe, gradient, old, learner.moments.policy, learner.learning_rate)
    metrics |= _after(recipe, policy, old, params, batch)
    learner, critic_metrics = _fit_critic(recipe, learner, batch, key)
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
    params, info = natural.natural_step(
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
    learner, critic_metrics = _fit_critic(recipe, learner, batch, key)
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


def epochs(
    update: Callable[[Any, Batch], tuple[Any, Any]], carry: Any, batch: Batch, key: Array, recipe: Recipe
) -> Any:
    """Apply `update` to every minibatch of every epoch; metrics come back as (epochs, minibatches).

    Each epoch has a new permutation and sees each sample exactly once.
    """
    take, count = taker(batch), batch.mask.shape[0]
    if count % recipe.minibatches:
        raise UserError(
            f"{count} samples per iteration (num_envs × horizon) cannot be split into minibatches ="
            f" {recipe.minibatches} equal parts; change one of the three"
        )
    size = count // recipe.minibatches

    def epoch(carry: Any, key: Array) -> tuple[Any, Any]:
        order = permutation(key, count).reshape(recipe.minibatches, size)
        return jax.lax.scan(lambda carry, part: update(carry, take(part)), carry, order)

    return jax.lax.scan(epoch, carry, jax.random.split(key, recipe.epochs))


def permutation(key: Array, count: int) -> Array:
    """0 … count − 1 in random order, int32; as `jax.random.permutation`, eight times as fast on a CPU.

    One sort of single words, random bits above and the index below, instead of two sorts of pairs. Where random bits
    tie, their order is that of their indices: enough for minibatches, within which order does not matter.
    """
    width = (count - 1).bit_length()
    words = (jax.random.bits(key, (count,), jnp.uint32) >> width << width) | jnp.arange(count, dtype=jnp.uint32)
    return (jnp.sort(words) & ((1 << width) - 1)).astype(jnp.int32)


def _fit_critic(recipe: Recipe, learner: Learner, batch: Batch, key: Array) -> tuple[Learner, dict[str, Array]]:
    if not learner.params.critic:
        return learner, {"value_loss": jnp.zeros((), batch.target.dtype)}

    def update(carry: tuple, part: Batch) -> tuple[tuple, Array]:
        params, moments = carry
        loss, gradient = jax.value_and_grad(partial(critic_loss, recipe))(params, part)
        return adam(recipe, gradient, params, moments, learner.critic_learning_rate), loss

    before = (learner.params.critic, learner.moments.critic)
    (critic, moments), losses = epochs(update, before, batch, key, recipe)
    learner = learner._replace(
        params=learner.params._replace(critic=critic), moments=learner.moments._replace(critic=moments)
    )
    return learner, {"value_loss": jnp.mean(losses)}


def _after(recipe: Recipe, policy: Policy, old: PolicyParams, new: PolicyParams, batch: Batch) -> dict[str, Array]:
    """KL and clip fraction after the only step: before it both are zero and say nothing."""
    metrics = policy_loss(recipe, policy, old, new, batch)[1]
    return {name: metrics[name] for name in ("kl", "clip_fraction")}


def _asymmetry(policy: Policy, params: PolicyParams, mirrored: Array, batch: Batch) -> Array:
    """Mean squared distance () between actions of mirrored states and mirrored actions (Yu, Turk & Liu 2018, eq. 3)."""
    there = policy.head(params, mirrored)
    here = policy.mirror(policy.head(params, batch.policy_observation))
    return masked_mean(jnp.sum(jnp.square(there - here), axis=-1), batch.mask)


def start(recipe: Recipe, params: Any) -> Any:
    """Adam's state before its first step, for any PyTree of parameters."""
    return _optimizer(recipe).init(params)


def adam(recipe: Recipe, gradient: Any, params: Any, moments: Any, rate: Array) -> tuple[Any, Any]:
    """One Adam step of size `rate` (Kingma & Ba 2015) on the norm-limited gradient: new parameters and state."""
    direction, moments = _optimizer(recipe).update(gradient, moments)
    return jax.tree.map(lambda p, d: p - rate * d, params, direction), moments


def _optimizer(recipe: Recipe) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(recipe.max_grad_norm), optax.scale_by_adam(eps=recipe.adam_epsilon))


STEPS = {"gradient_step": gradient_step, "natural_step": natural_step, "minibatch_epochs": minibatch_epochs}
