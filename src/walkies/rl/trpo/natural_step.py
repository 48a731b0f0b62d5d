"""The natural gradient and the trust region: the step size is measured by the change of the distribution.

    maximize  L(θ)   subject to  KL(π_old ‖ π_θ) ≤ δ

Near θ_old the constraint is ½ xᵀF x ≤ δ with F the Fisher information, so the step is x ∝ F⁻¹ ∇L (Kakade 2001), found
by conjugate gradients from products F v only (Schulman et al. 2015, appendix C). TRPO then backtracks along the step
until, on the batch, the true constraint holds and the objective has improved, or takes no step.

The KL is KL(old ‖ new), as in Schulman et al. 2015, eq. 12. Both directions have the same Hessian, so they differ only
in the line search. Pass only the parameters of the policy: a value function has no Fisher information, and would make F
singular.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from walkies.rl.objectives import mean
from walkies.rl.trpo.fisher import Carry, Divergent, Params, conjugate_gradient, fisher_product, while_loop

Array = jax.Array


class NaturalInfo(NamedTuple):
    """Result of a natural step; scalars."""

    accepted: Array
    """bool: the parameters have moved."""
    kl: Array
    """KL(old ‖ new) of the returned parameters, nats."""
    improvement: Array
    """loss(old) − loss(new) of the returned parameters."""
    fraction: Array
    """Share of the full step that was taken: 0 if none was."""
    cg_iterations: Array
    cg_residual: Array
    """‖g − (F + cI) x‖² / ‖g‖²."""
    predicted_kl: Array
    """½ sᵀ(F + cI) s of the full step s: δ, up to rounding; 0 where the gradient vanishes."""


def natural_step(
    loss: Callable[[Params], Array],
    distribution: Callable[[Params], Divergent],
    params: Params,
    delta: float,
    damping: float = 0.1,
    cg_iterations: int = 10,
    cg_tolerance: float = 1e-10,
    backtrack: float = 0.8,
    backtrack_steps: int = 10,
    line_search: bool = True,
    mask: Array | None = None,
) -> tuple[Params, NaturalInfo]:
    """One step downhill in `loss`, of `delta` nats by the quadratic model: TRPO with the line search, NPG without.

    With the line search the true KL on the batch is at most `delta`; without it may be more.

        x = (F + cI)⁻¹ g,  s = √(2δ / xᵀ(F + cI)x) x,  θ ← θ_old − α^j s  for the first j < backtrack_steps with
        KL(old ‖ new) ≤ δ and loss(new) < loss(old); where there is none, the parameters come back bit for bit.

    The damping c counts in the step length too, so the predicted undamped KL is at most δ.

    Args:
        loss: parameters → () what is minimized, minus the surrogate objective.
        distribution: parameters → the policy's distributions on the batch.
        params: PyTree of the policy's parameters, log σ included.
        delta: δ, nats. damping: c. backtrack: α in (0, 1).
        line_search: off, the full step is taken unchecked (natural policy gradient), unless it is not finite.
        mask: (samples,) 1 for samples that count in the KL and F, 0 for padding; None for all.
    Returns:
        New parameters and a NaturalInfo. A zero gradient gives a zero step.
    """
    # Long: half of it says what the equations mean; the rest is one equation a line.
    theta, unravel = ravel_pytree(params)
    old_loss, gradient = jax.value_and_grad(loss)(params)
    g = ravel_pytree(gradient)[0]
    old = jax.lax.stop_gradient(distribution(params))
    tree_product = fisher_product(distribution, params, damping, mask)

    def product(vector: Array) -> Array:
        return ravel_pytree(tree_product(unravel(vector)))[0]

    solution = conjugate_gradient(product, g, cg_iterations, cg_tolerance)
    squared_length = solution.x @ product(solution.x)
    moves = squared_length > 0.0
    scale = jnp.where(moves, jnp.sqrt(2.0 * delta / jnp.where(moves, squared_length, 1.0)), 0.0)
    full_step = scale * solution.x

    def try_fraction(fraction: Array) -> tuple[Array, Array, Array]:
        candidate = unravel(theta - fraction * full_step)
        kl, improvement = mean(old.kl(distribution(candidate)), mask), old_loss - loss(candidate)
        # A NaN fails every comparison, so a broken candidate is never accepted.
        good = (kl <= delta) & (improvement > 0.0) if line_search else jnp.isfinite(kl + improvement) & moves
        return good, kl, improvement

    def searching(carry: Carry) -> Array:
        count, good, *_ = carry
        return ~good & (count < (backtrack_steps if line_search else 1)) & moves

    def search(carry: Carry) -> Carry:
        count = carry[0]
        fraction = jnp.asarray(backtrack, theta.dtype) ** count
        return count + 1, *try_fraction(fraction), fraction

    zero = jnp.zeros((), theta.dtype)
    start = (jnp.zeros((), jnp.int32), jnp.zeros((), bool), zero, zero, zero)
    _, accepted, kl, improvement, fraction = while_loop(searching, search, start)

    moved = unravel(theta - fraction * full_step)
    new = jax.tree.map(lambda after, before: jnp.where(accepted, after, before), moved, params)
    g_squared = g @ g
    info = NaturalInfo(
        accepted=accepted,
        kl=jnp.where(accepted, kl, 0.0),
        improvement=jnp.where(accepted, improvement, 0.0),
        fraction=jnp.where(accepted, fraction, 0.0),
        cg_iterations=solution.iterations,
        cg_residual=solution.residual / jnp.where(g_squared > 0.0, g_squared, 1.0),
        predicted_kl=0.5 * scale**2 * squared_length,
    )
    return new, info
