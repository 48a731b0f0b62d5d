"""Products with the Fisher information of a policy, without ever writing the matrix down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax

from walkies.rl.batch import mean

Array = jax.Array
Params = TypeVar("Params")


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
