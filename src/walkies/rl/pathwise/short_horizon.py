"""Learning from the pathwise gradient, in short windows with a value at the end (SHAC, Xu et al. 2022).

    maximize  E Σ_{t<h} γ^t r_t + γ^h V(s_h)

A window of h steps keeps the product of Jacobians short, V stands for all later rewards, and the reparametrized
actions a = f_θ(s) + σ ε carry the gradient. States continue from window to window; their gradient does not. Acting,
rollouts, value targets and the training state are those of `walkies.rl.train`: only the source of the gradient
differs. The environment's `step` must be differentiable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import optax

from walkies.errors import UserError
from walkies.mdp import Discrete, Env
from walkies.rl import train
from walkies.rl.advantages import reward_to_go
from walkies.rl.policy import PolicyParams
from walkies.rl.recipes import Recipe
from walkies.rl.rollout import EpisodeState, Rollout, rollout
from walkies.rl.samples.batches import make_batch, values
from walkies.rl.samples.summary import summarize
from walkies.rl.train import Metrics, TrainState
from walkies.rl.updates import adam, fit_critic

Array = jax.Array

SHORT_HORIZON = Recipe(
    advantage="gae", num_envs=64, horizon=32, time_limits="rollout_end", stagger=True, bound="sample", initial_std=0.5,
    activation="elu", hidden=(64, 64), critic_hidden=(64, 64), learning_rate=2e-3, epochs=8, normalize_advantage="none",
)  # fmt: skip
"""Settings for small problems. Of a Recipe's fields, `objective`, `update` and what belongs to them are not used."""


def make_iteration(recipe: Recipe, env: Env) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
    """The compiled iteration; start it from `train.init(recipe, env, key)`. Its argument's memory is reused.

    Raises UserError for discrete actions, which have no reparametrization, and if the recipe has no value function.
    """
    if isinstance(env.action_space, Discrete):
        raise UserError("the gradient through the world needs continuous actions; this environment's are discrete")
    if not recipe.baseline:
        raise UserError("a short horizon needs a value at its end: set baseline to true")
    return jax.jit(partial(iterate, recipe, env), donate_argnums=0)


def iterate(recipe: Recipe, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
    """One window in every environment, one policy update from it, and the value function's epochs."""
    key, act_key, learn_key = jax.random.split(state.key, 3)
    learner = state.learner
    loss = partial(window_loss, recipe, env, state, act_key)
    (value, (actors, record)), gradient = jax.value_and_grad(loss, has_aux=True)(learner.params.policy)
    policy = train.make_policy(recipe, env)
    batch = make_batch(recipe, env, policy, state, record)
    params, moments = adam(
        recipe, gradient, learner.params.policy, learner.moments.policy, learner.learning_rate
    )  # fmt: skip
    learner, critic_metrics = fit_critic(recipe, learner, batch, learn_key)
    learner = learner._replace(
        params=learner.params._replace(policy=params), moments=learner.moments._replace(policy=moments)
    )
    metrics = {"policy_loss": value, **critic_metrics, "gradient_norm": optax.tree.norm(gradient)}
    summary, discounted = summarize(recipe, state, record, state.discounted_return)
    state = state._replace(key=key, actors=actors, discounted_return=discounted)
    return train.finish_iteration(recipe, state, learner, summary, batch, metrics)


def window_loss(
    recipe: Recipe, env: Env, state: TrainState, key: Array, params: PolicyParams
) -> tuple[Array, tuple[EpisodeState, Rollout]]:
    """Minus the mean return () of a window per step, differentiable in `params`, with where it ended and its record.

    An episode that starts within the window is discounted from its own first step; a truncated one bootstraps from V.
    """
    # The native networks have no gradient by their inputs.
    value = partial(values, replace(recipe, networks="xla"), state)
    actors, record = rollout(
        env,
        train.make_policy(recipe, env),
        params,
        state.normalizers.policy,
        value,
        state.actors,
        key,
        recipe.horizon,
        recipe.resets,
        recipe.time_limits,
    )
    v = value(record.critic_observations)
    from_here = reward_to_go(
        record.rewards, jnp.zeros_like(record.rewards), record.next_values(v), record.terminated, record.done,
        recipe.gamma,
    )  # fmt: skip
    first = jnp.concatenate([jnp.ones_like(record.done[:1]), record.done[:-1]])
    return -jnp.mean(jnp.where(first, from_here, 0.0)), (actors, record)
