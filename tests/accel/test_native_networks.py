"""The native networks compute what `networks.apply` defines, for any shape, number of threads and processor."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.accel import library
from walkies.accel import networks as faster
from walkies.envs.classic import CartPole
from walkies.errors import UserError
from walkies.rl import networks, train
from walkies.rl.recipes import PPO
from walkies.run.config import WALKING_RECIPE

SHAPES = [((108, 128, 64, 12), 1536), ((5, 7, 3), 13), ((40, 64, 1), 100), ((33, 130, 50, 20, 9), 49), ((6, 2), 1)]
"""Default sizes; widths that fill no vector; one output; many layers; a single affine layer. Sample counts likewise."""


TOLERANCE = {"amx": 2e-5}.get(library.network_isa(), 3e-6) if library.available() else 3e-6
"""Of the largest number. Matrix tiles multiply split numbers, each of which lacks up to 2⁻¹⁷ = 8e-6 of itself."""


def made(sizes: tuple[int, ...], samples: int, gain: float = 1.0) -> tuple[networks.Layers, jax.Array, jax.Array]:
    """Layers with random biases, inputs (samples, in), and a direction (samples, out) in which to differentiate."""
    keys = jax.random.split(jax.random.key(len(sizes) * samples), len(sizes) + 2)
    layers = networks.init(keys[0], sizes, gain)
    layers = [(w, b + 0.3 * jax.random.normal(k, b.shape)) for (w, b), k in zip(layers, keys[3:], strict=False)]
    return (
        layers,
        2.0 * jax.random.normal(keys[1], (samples, sizes[0])),
        jax.random.normal(keys[2], (samples, sizes[-1])),
    )


def gradient(apply, layers, inputs, direction, activation):
    return jax.jit(jax.grad(lambda layers: jnp.sum(apply(layers, inputs, activation) * direction)))(layers)


def difference(a, b) -> float:
    """The largest difference of two trees' leaves, relative to the largest number of the leaf."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(jnp.max(jnp.abs(x - y)) / jnp.max(jnp.abs(y))) for x, y in pairs if y.size)


def away_from_the_kink(layers, inputs, activation) -> jax.Array:
    """The samples whose gradient does not hang on the sign of a sum that is nearly zero (relu only)."""
    if activation != "relu":
        return inputs
    near, hidden = jnp.zeros(len(inputs), bool), inputs
    for weights, bias in layers[:-1]:
        sums = hidden @ weights + bias
        near |= (jnp.abs(sums) < 1e-4 * jnp.abs(sums).max()).any(axis=1)
        hidden = jnp.maximum(sums, 0.0)
    assert (~near).any()
    return inputs[~near]


@pytest.mark.parametrize(
    ("sizes", "samples", "activation"),
    [
        *((*shape, "elu") for shape in SHAPES),
        *((*SHAPES[2], other) for other in networks.ACTIVATIONS if other != "elu"),
    ],
)
def test_values_and_gradients_are_those_of_the_definition(sizes, samples, activation):
    layers, inputs, direction = made(sizes, samples)
    inputs = away_from_the_kink(layers, inputs, activation)
    direction = direction[: len(inputs)]
    assert faster.fits(layers, inputs, activation)
    expected = networks.apply(layers, inputs, activation)
    assert difference(faster.apply(layers, inputs, activation), expected) < TOLERANCE
    expected = gradient(networks.apply, layers, inputs, direction, activation)
    assert difference(gradient(faster.apply, layers, inputs, direction, activation), expected) < TOLERANCE


@pytest.mark.parametrize(("sizes", "samples"), [SHAPES[i] for i in (0, 1, 3)])
def test_whole_numbers_come_out_exactly(sizes, samples):
    """Small integers and their sums are exact in every number type, so the results must be equal bit for bit."""
    keys = jax.random.split(jax.random.key(samples), 2 * len(sizes))
    layers = [
        (whole(keys[2 * i], (m, n), 1), whole(keys[2 * i + 1], (n,), 3)) for i, (m, n) in enumerate(pairwise(sizes))
    ]
    inputs, direction = whole(keys[-1], (samples, sizes[0]), 4), whole(keys[-2], (samples, sizes[-1]), 2)
    if len(sizes) > 4:
        layers = [(w * (jnp.arange(w.shape[0]) < 8)[:, None], b) for w, b in layers]  # sums stay below 2²⁴
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(jnp.float64), (layers, inputs, direction))
        values, slopes = networks.apply(*wide[:2], "relu"), gradient(networks.apply, *wide, "relu")
    np.testing.assert_array_equal(faster.apply(layers, inputs, "relu"), values)
    for found, expected in zip(
        jax.tree.leaves(gradient(faster.apply, layers, inputs, direction, "relu")),
        jax.tree.leaves(slopes),
        strict=True,
    ):
        assert np.abs(expected).max() < 2**24
        np.testing.assert_array_equal(found, expected)


def whole(key, shape, largest):
    """Random integers from −largest to largest, as float32."""
    return jax.random.randint(key, shape, -largest, largest + 1).astype(jnp.float32)


def test_the_comparison_would_see_a_number_type_of_eight_bits():
    layers, inputs, _ = made((40, 64, 12), 100)
    short = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), (layers, inputs))
    expected = networks.apply(layers, inputs, "elu")
    assert difference(networks.apply(*short, "elu"), expected) > 30 * TOLERANCE


def test_the_comparison_would_see_another_activation_or_a_lost_sample():
    layers, inputs, direction = made((40, 64, 12), 100)
    expected = gradient(networks.apply, layers, inputs, direction, "elu")
    assert difference(gradient(faster.apply, layers, inputs, direction, "tanh"), expected) > 1e-2
    lost = direction.at[99].set(0.0)
    assert difference(gradient(faster.apply, layers, inputs, lost, "elu"), expected) > 1e-3


def test_extreme_inputs_saturate_and_a_nan_stays_in_its_sample():
    layers, inputs, _ = made((8, 16, 4), 60, gain=0.5)
    for activation in networks.ACTIVATIONS:
        huge = faster.apply(layers, inputs * 1e4, activation)
        assert difference(huge, networks.apply(layers, inputs * 1e4, activation)) < 1e-5
        values = np.asarray(faster.apply(layers, inputs.at[7, 3].set(jnp.nan), activation))
        broken = np.isnan(values).any(axis=1)
        assert broken[7] and broken.sum() == 1


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_weight_that_is_no_number_spoils_every_sample(bits):
    """The usual NaN, and those of which a rounding of their bits would make zeros."""
    layers, inputs, _ = made((8, 16, 4), 60)
    weights = np.array(layers[0][0])
    weights.view(np.uint32)[3, 3] = bits
    values = faster.apply([(jnp.asarray(weights), layers[0][1]), *layers[1:]], inputs, "elu")
    assert np.isnan(values).any(axis=1).all()


def test_leading_axes_and_vmap():
    layers, inputs, _ = made((8, 16, 4), 60)
    flat = faster.apply(layers, inputs, "elu")
    np.testing.assert_array_equal(faster.apply(layers, inputs.reshape(3, 20, 8), "elu"), flat.reshape(3, 20, 4))
    np.testing.assert_array_equal(faster.apply(layers, inputs[0], "elu"), flat[0])
    one_by_one = jax.vmap(lambda x: faster.apply(layers, x, "elu"))(inputs)
    np.testing.assert_allclose(one_by_one, flat, rtol=1e-5, atol=1e-6)


def test_gradients_by_inputs_are_refused_not_wrong():
    layers, inputs, _ = made((8, 16, 4), 6)
    with pytest.raises(UserError, match=r"networks\.apply"):
        jax.grad(lambda x: jnp.sum(faster.apply(layers, x, "elu")))(inputs)


def test_what_does_not_fit_goes_to_xla():
    layers, inputs, _ = made((8, 16, 4), 6)
    assert not faster.fits(layers, inputs.astype(jnp.bfloat16), "elu")
    assert not faster.fits([layers[0]] * 9, inputs, "elu")
    # What lies on the stack while a chunk runs through would not fit it.
    assert faster.fits(made((4, faster.WIDEST - 2, 2), 1)[0], inputs, "elu")
    assert not faster.fits(made((4, faster.WIDEST - 1, 2), 1)[0], inputs, "elu")
    chosen = faster.faster(networks.apply)
    values = chosen(layers, inputs.astype(jnp.bfloat16), "elu")
    np.testing.assert_array_equal(values, networks.apply(layers, inputs.astype(jnp.bfloat16), "elu"))


def test_layers_that_do_not_follow_each_other_are_named():
    layers, inputs, _ = made((8, 16, 4), 6)
    broken = [layers[0], (layers[1][0][:-1], layers[1][1])]
    with pytest.raises(Exception, match="layer 1 does not fit its input of width 16"):
        jax.block_until_ready(faster.apply(broken, inputs, "elu"))


def test_layers_of_too_many_columns_are_refused_and_the_widest_are_not():
    """A hundred thousand columns took more stack than a thread has, and the process with it."""
    layers, inputs, _ = made((4, 100_000, 2), 50)
    with pytest.raises(Exception, match="100002 columns are more than 8192"):
        jax.block_until_ready(faster.apply(layers, inputs, "elu"))
    layers, inputs, direction = made((4, faster.WIDEST - 2, 2), 50)
    found, expected = (gradient(f, layers, inputs, direction, "elu") for f in (faster.apply, networks.apply))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


SCRIPT = """
import os, sys
import numpy as np
from test_native_networks import gradient, made
from walkies.accel import library
from walkies.accel import networks as faster
layers, inputs, direction = made((36, 128, 128, 12), 500)
leaves = gradient(faster.apply, layers, inputs, direction, "elu")
np.savez(sys.argv[1], faster.apply(layers, inputs, "elu"), *[x for layer in leaves for x in layer])
threads = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else os.environ.get("NPROC")
print(library.network_isa(), threads)
"""


def test_bits_do_not_depend_on_threads_and_every_instruction_set_agrees(tmp_path):
    results, used = {}, {}
    for name, changed in {
        "two": {"NPROC": "2"},
        "one": {"NPROC": "1"},
        "baseline": {"WALKIES_ISA": "baseline"},
        "vectors": {"WALKIES_ISA": library.isa()},
    }.items():
        path = tmp_path / f"{name}.npz"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **changed}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)], env=environment, check=True, text=True, stdout=subprocess.PIPE
        )
        used[name] = done.stdout.split()
        with np.load(path) as file:
            results[name] = [file[key] for key in file.files]
    assert used["two"][1] != used["one"][1], "control: one of them has another number of threads"
    assert used["baseline"][0] == "baseline" and used["two"][0] == library.network_isa()
    assert used["vectors"][0] == library.isa(), "WALKIES_ISA does without matrix tiles"
    for a, b, c, d in zip(*(results[name] for name in ("two", "one", "baseline", "vectors")), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(d, c, atol=3e-6 * np.abs(c).max())
        np.testing.assert_allclose(c, a, atol=TOLERANCE * np.abs(a).max())


def test_one_update_of_ppo_is_the_same_with_either():
    """The whole iteration, on an environment: parameters after it agree to rounding."""
    after = {}
    for name in ("xla", "native"):
        recipe = replace(PPO, num_envs=32, horizon=8, hidden=(16, 16), critic_hidden=(16,), networks=name)
        env = CartPole()
        state = train.init(recipe, env, jax.random.key(0))
        iterate = train.make_iteration(recipe, env)
        for _ in range(3):
            state, _ = iterate(state)
        after[name] = state.learner.params
    assert difference(after["native"], after["xla"]) < 1e-3
    start = train.init(recipe, env, jax.random.key(0)).learner.params
    assert difference(start, after["xla"]) > 1e-2


def test_a_recipe_that_asks_for_native_networks_gets_them():
    """The comparisons above would also hold if both sides were XLA's."""
    calls = {}
    for name in ("xla", "native"):
        recipe = replace(PPO, num_envs=32, horizon=8, hidden=(16, 16), critic_hidden=(16,), networks=name)
        state = train.init(recipe, CartPole(), jax.random.key(0))
        program = train.make_iteration(recipe, CartPole()).lower(state).as_text()
        calls[name] = [program.count(f"walkies_network_{way}") for way in ("forward", "backward")]
    assert calls["xla"] == [0, 0]
    assert min(calls["native"]) > 0
    assert WALKING_RECIPE.networks == "native"
