"""Networks that are equivariant under a mirror: of a mirrored observation they say the mirror image.

Let x R be the mirror image of a row of numbers x. For the units of a hidden layer R swaps their two halves, so each
unit has a twin that does on the left what it does on the right. A dense layer y = x W + b is equivariant if W = R W R'
and b = b R', with R and R' for its inputs and outputs; ½ (W + R W R') projects any W onto such weights (van der Pol et
al. 2020, arXiv:2006.16908; for legged robots Mittal et al. 2024, arXiv:2403.04359). At such weights the gradient over a
batch and its mirror image is the projected gradient over the batch alone: the information of twice as many samples at
the cost of one product per iteration. Weights are projected after each iteration; within one, the policy's update may
leave the equivariant networks a little.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from walkies.errors import UserError
from walkies.mdp import Box, Env, Observation
from walkies.rl.networks import Layers
from walkies.rl.normalize import Normalizer

Array = jax.Array

NEW = 0.5**0.5
"""In place of ½: random weights W and R W R' add up like independent numbers, so these keep their size."""


class Reflection(NamedTuple):
    """The matrices R, (size, size), that mirror a row of numbers."""

    policy: np.ndarray
    """Of policy observations."""
    critic: np.ndarray
    action: np.ndarray


def reflection(env: Env, mirror: Any) -> Reflection:
    """The linear maps that `mirror` (as `walkies.tasks.mirror.Mirror`) is.

    Raises:
        UserError: observations are not vectors, or mirroring twice changes something.
    """
    sizes, space = (env.observation_size, env.privileged_size), env.action_space
    if not all(isinstance(size, int) for size in sizes) or not isinstance(space, Box):
        raise UserError(
            f"symmetry equivariant: observations have shapes {sizes} and actions are {space}; expected vectors of "
            "numbers; choose 'none'"
        )
    # Mirrors that index and multiply do so in NumPy, at once; JAX would compile a program for every operation.
    unit, nothing = np.eye(max(sizes), dtype=np.float32), np.zeros((0, max(sizes)), np.float32)
    policy, critic = (unit[:size, :size] for size in sizes)
    with jax.ensure_compile_time_eval():
        images = (
            mirror.mirror_observation(Observation(policy, nothing[:, : sizes[1]])).policy,
            mirror.mirror_observation(Observation(nothing[:, : sizes[0]], critic)).critic,
            mirror.mirror_action(np.eye(space.size, dtype=np.float32)),
        )
    found = Reflection(*map(np.asarray, images))
    for name, matrix in found._asdict().items():
        if not np.array_equal(matrix @ matrix, np.eye(len(matrix))):
            raise UserError(f"the environment's mirror changes {name} numbers that are mirrored twice; choose 'none'")
    return found


def project(params: Any, r: Reflection, share: float = 0.5) -> Any:
    """The parameters of both networks (`walkies.rl.updates.Params`) as equivariant ones; share: ½, or NEW for weights
    that are drawn."""
    policy = params.policy
    return params._replace(
        policy=policy._replace(
            layers=symmetric(policy.layers, r.policy, r.action, share),
            log_std=0.5 * (policy.log_std + policy.log_std @ np.abs(r.action)),
        ),
        critic=symmetric(params.critic, r.critic, np.eye(1, dtype=np.float32), share)
        if params.critic
        else params.critic,
    )


def symmetric(layers: Layers, inputs: np.ndarray, outputs: np.ndarray, share: float = 0.5) -> Layers:
    """Dense layers with W = R W R' and b = b R', for the reflections of their inputs and outputs.

    Raises:
        UserError: a hidden layer has an odd width.
    """
    widths = [bias.shape[0] for _, bias in layers[:-1]]
    if odd := [width for width in widths if width % 2]:
        raise UserError(f"symmetry equivariant: hidden layers have width {odd[0]}; expected even widths, whose halves"
                        " are each other's mirror image")  # fmt: skip
    between = [inputs, *(np.roll(np.eye(n, dtype=np.float32), n // 2, axis=1) for n in widths), outputs]
    return [
        (share * (weights + before @ weights @ after), 0.5 * (bias + bias @ after))
        for (weights, bias), before, after in zip(layers, between[:-1], between[1:], strict=True)
    ]


def of_normalizer(n: Normalizer, r: np.ndarray) -> Normalizer:
    """Moments of the observations together with their mirror images."""
    image = n.mean @ r
    mean = 0.5 * (n.mean + image)
    variance = 0.5 * (n.variance + n.variance @ np.abs(r)) + jnp.square(0.5 * (n.mean - image))
    return n._replace(offset=mean - n.origin, variance=variance)
