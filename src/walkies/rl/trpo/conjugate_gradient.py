"""Conjugate gradients: A x = b from products with A alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Carry = tuple[Array, ...]


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
