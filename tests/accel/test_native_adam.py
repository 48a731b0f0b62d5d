"""The native Adam step is optax's, for any shapes, processor and number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from walkies.accel import library
from walkies.rl import updates
from walkies.rl.recipes import PPO

SHAPES = [(108, 128), (128,), (7, 3), (1,), (0,), (70, 70)]
"""Several pieces, one, less than a vector, none."""


def made(scale: float, seed: int = 0) -> tuple[list, list]:
    """Parameters, and a gradient whose norm is `scale`."""
    keys = jax.random.split(jax.random.key(seed), 2 * len(SHAPES))
    params = [jax.random.normal(k, shape) for k, shape in zip(keys[::2], SHAPES, strict=True)]
    gradient = [jax.random.normal(k, shape) for k, shape in zip(keys[1::2], SHAPES, strict=True)]
    return params, jax.tree.map(lambda g: g * (scale / optax.tree.norm(gradient)), gradient)


def by_optax(gradient, params, moments, rate):
    """The definition, whatever `updates.adam` does."""
    transform = optax.chain(optax.clip_by_global_norm(PPO.max_grad_norm), optax.scale_by_adam(eps=PPO.adam_epsilon))
    direction, moments = transform.update(gradient, moments)
    return jax.tree.map(lambda p, d: p - rate * d, params, direction), moments


@pytest.mark.parametrize("scale", [0.01, 0.999, 1.001, 50.0])
def test_twenty_steps_are_those_of_optax(scale):
    """Short gradients and clipped ones. Control: without the norm limit the long ones' moments would differ."""
    ours, _ = theirs, _ = made(scale)
    mine = other = updates.start(PPO, ours)
    assert "walkies_adam" in str(jax.make_jaxpr(lambda g, p, m: updates.adam(PPO, g, p, m, 1e-2))(ours, ours, mine))
    for i in range(20):
        _, gradient = made(scale, seed=i)
        ours, mine = jax.jit(lambda g, p, m: updates.adam(PPO, g, p, m, 1e-2))(gradient, ours, mine)
        theirs, other = jax.jit(by_optax)(gradient, theirs, other, 1e-2)
    assert jax.tree.structure(mine) == jax.tree.structure(other)
    # The correction 1 − β₂ᵗ is computed in double here and in single precision there, where it is off by up to 6e-5.
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=3e-6)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=3e-6, atol=1e-7 * scale**2)
    if scale > 1.0:
        unlimited = optax.scale_by_adam(eps=PPO.adam_epsilon)
        state = unlimited.init(theirs)
        _, state = unlimited.update(made(scale)[1], state)
        _, limited = updates.adam(PPO, made(scale)[1], theirs, updates.start(PPO, theirs), 1e-2)
        assert float(jnp.abs(state.mu[0]).max()) > 1.0005 * float(jnp.abs(limited[1].mu[0]).max())


def test_arguments_stay_what_they_were():
    """It works in place only where nobody looks."""
    params, gradient = made(1.0)
    moments = updates.start(PPO, params)
    before = jax.tree.map(np.array, (params, gradient, moments))
    new, _ = updates.adam(PPO, gradient, params, moments, 1e-2)
    both = jax.jit(lambda g, p, m: (p, updates.adam(PPO, g, p, m, 1e-2)))(gradient, params, moments)
    jax.tree.map(np.testing.assert_array_equal, (params, gradient, moments), before)
    jax.tree.map(np.testing.assert_array_equal, both[0], before[0])
    assert float(jnp.abs(new[0] - params[0]).max()) > 1e-3


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_bad_gradient_is_not_hidden(bad):
    """One number that is none spoils the step, as it does with optax; it is not taken for a short gradient."""
    params, gradient = made(1.0)
    gradient[1] = gradient[1].at[5].set(bad)
    moments = updates.start(PPO, params)
    ours, theirs = (f(gradient, params, moments) for f in (
        lambda g, p, m: updates.adam(PPO, g, p, m, 1e-2)[0], lambda g, p, m: by_optax(g, p, m, 1e-2)[0]))  # fmt: skip
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(jnp.isnan(a), jnp.isnan(b))
    assert bool(jnp.isnan(ours[1][5]))


def test_parameters_and_moments_are_renewed_in_place():
    """All but the gradient lie where they lay before. Control: the program that optax makes does not say so."""
    params, gradient = made(1.0)
    moments = updates.start(PPO, params)
    programs = [
        jax.jit(lambda g, p, m, f=f: f(g, p, m)).lower(gradient, params, moments).as_text()
        for f in (lambda g, p, m: updates.adam(PPO, g, p, m, 1e-2), lambda g, p, m: by_optax(g, p, m, 1e-2))
    ]
    assert [program.count("#stablehlo.output_operand_alias") for program in programs] == [3 * len(SHAPES), 0]


def test_nothing_to_learn_is_left_to_optax():
    """A recipe without a value function has no parameters there: the step counts and gives nothing back."""
    params, (_, adam) = updates.adam(PPO, [], [], updates.start(PPO, []), 1e-3)
    assert params == [] and int(adam.count) == 1


def test_double_precision_is_left_to_optax():
    with jax.enable_x64(True):
        params = [jnp.ones((3, 2))]
        program = jax.make_jaxpr(lambda p: updates.adam(PPO, p, p, updates.start(PPO, p), 1e-2))(params)
        assert params[0].dtype == jnp.float64 and "walkies_adam" not in str(program)


PROGRAM = """
import jax, numpy as np
from walkies.rl import updates
from walkies.rl.recipes import PPO
params = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(((108, 128), (3,), (70, 70)))]
moments = updates.start(PPO, params)
for i in range(3):
    keys = jax.random.split(jax.random.key(10 + i), len(params))
    gradient = [jax.random.normal(key, p.shape) for key, p in zip(keys, params)]
    params, moments = updates.adam(PPO, gradient, params, moments, 1e-2)
print(hash(tuple(np.asarray(x).tobytes() for x in jax.tree.leaves((params, moments)))), repr(float(params[0].sum())))
"""


def test_every_processor_and_number_of_threads_takes_the_same_step():
    """Bit for bit for any number of threads; to rounding on any processor."""
    said = []
    for changes in ({"NPROC": "1"}, {"NPROC": "2"}, {"WALKIES_ISA": "baseline"}, {"WALKIES_ISA": "avx2"}):
        if changes.get("WALKIES_ISA") == "avx2" and library.isa() == "baseline":
            continue
        run = subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | {"PYTHONHASHSEED": "0"} | changes,
                             check=True, text=True, stdout=subprocess.PIPE)  # fmt: skip
        said.append(run.stdout.split())
    assert said[0] == said[1]
    np.testing.assert_allclose([float(line[1]) for line in said], float(said[0][1]), rtol=1e-4)
