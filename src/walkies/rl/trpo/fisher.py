"""The Fisher information of a policy, without forming the matrix: products with it and with its inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from walkies.rl.objectives import mean

Array = jax.Array
Params = TypeVar("Params")
Carry = tuple[Array, ...]


class Divergent(Protocol):
    """A record of distribution parameters (a PyTree of arrays) for a batch of samples."""

    def kl(self, other: Any) -> Array:
        """KL(self ‖ other) (samples,), nats."""
        ...


def fisher_product(
    distribution: Callable[[Params], Divergent], params: Params, damping: float = 0.0, mask: Array | None = None
) -> Callable[[Params], Params]:
    """The map v ↦ (F + damping·I) v, F the mean Fisher information of `distribution(params)` over its samples.

    Gauss–Newton form F = E[Jᵀ M J]: J is the derivative of the distribution's parameters, M the Hessian of KL(old ‖ ·)
    at old, which is the Fisher information in those parameters. As that KL is least at old, this is the whole Hessian
    of the KL in θ, and positive semidefinite by construction (Martens 2020, section 9). The network is linearized once;
    each product costs one jvp and one vjp. mask: (samples,) 1 for samples that count; None for all.
    """
    old, jvp = jax.linearize(distribution, params)
    transposed = jax.linear_transpose(jvp, params)
    old = jax.lax.stop_gradient(old)  # differentiated too, KL(θ ‖ θ) ≡ 0 and F would vanish

    def slope(new: Any) -> Any:
        return jax.grad(lambda d: mean(old.kl(d), mask))(new)

    def product(vector: Params) -> Params:
        _, bent = jax.jvp(slope, (old,), (jvp(vector),))
        (curved,) = transposed(bent)
        return jax.tree.map(lambda f, v: f + damping * v, curved, vector)

    return product


class Solution(NamedTuple):
    """Where conjugate gradients ended."""

    x: Array
    """(n,)"""
    residual: Array
    """‖b − A x‖², ()."""
    iterations: Array
    """() int32."""


def conjugate_gradient(
    product: Callable[[Array], Array], b: Array, iterations: int, tolerance: float = 1e-10
) -> Solution:
    """Solve A x = b for symmetric positive definite A, given as x ↦ A x, from x = 0 (Hestenes & Stiefel 1952).

    b: (n,). Stops after `iterations`, or once ‖b − A x‖² ≤ tolerance · ‖b‖², or where a direction has no curvature.
    """
    goal = tolerance * (b @ b)

    def unfinished(carry: Carry) -> Array:
        _, _, _, squared, count, stuck = carry
        return (squared > goal) & (count < iterations) & ~stuck

    def advance(carry: Carry) -> Carry:
        x, residual, direction, squared, count, _ = carry
        image = product(direction)
        curvature = direction @ image
        stuck = ~(curvature > 0.0)
        length = jnp.where(stuck, 0.0, squared / jnp.where(stuck, 1.0, curvature))
        x, residual = x + length * direction, residual - length * image
        following = residual @ residual
        return x, residual, residual + following / squared * direction, following, count + 1, stuck

    start = (jnp.zeros_like(b), b, b, b @ b, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
    x, _, _, squared, count, _ = while_loop(unfinished, advance, start)
    return Solution(x, squared, count)


def while_loop(condition: Callable[[Carry], Array], body: Callable[[Carry], Carry], start: Carry) -> Carry:
    """`jax.lax.while_loop` on a tuple of any length."""
    return jax.lax.while_loop(condition, body, start)
