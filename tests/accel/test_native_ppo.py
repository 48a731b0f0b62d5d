"""The native update of PPO computes what `updates.minibatch_steps` defines."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toys import Target
from walkies.accel import library, networks, ppo
from walkies.mdp import Box, Discrete
from walkies.rl import train, updates
from walkies.rl.objectives import Batch
from walkies.rl.policy import Policy, PolicyParams
from walkies.rl.recipes import Recipe
from walkies.rl.samples import shares
from walkies.run.config import WALKING_RECIPE

ONE_STEP = replace(WALKING_RECIPE, epochs=1, minibatches=1, target_kl=0.02)
SMALL = replace(ONE_STEP, hidden=(24, 10), critic_hidden=(33,))

CASES = {
    "default": (ONE_STEP, (108, 12, 85), 1024),
    "tanh, no vector full": (
        replace(SMALL, activation="tanh", max_grad_norm=0.01, entropy_coefficient=-0.3),
        (7, 3, 5),
        61,
    ),
    "relu": (
        replace(
            SMALL, activation="relu", bound="clip", objective_coefficient=0.05, adam_epsilon=1e-3, hidden=(16,) * 3
        ),
        (20, 17, 9),
        200,
    ),
    "more samples than a part takes": (
        replace(SMALL, normalize_advantage="none", target_kl=1.0),
        (33, 1, 40),
        1301,
    ),
    "fewer samples than parts": (
        replace(SMALL, normalize_advantage="none", schedule="constant"),
        (9, 2, 3),
        3,
    ),
    "affine, value clip": (
        replace(SMALL, hidden=(), critic_hidden=(), value_clip=0.3, target_kl=1e-3),
        (5, 4, 6),
        90,
    ),
}
"""Recipe, (numbers a policy sees, actions, numbers a value function sees), samples."""

RATE = 1e-3
"""Of both networks; a parameter moves by about as much in a step."""
STEP_TOLERANCE = 1e-5
"""Of parameters, after one step; of metrics relative to the larger of them and 1."""
MOMENT_TOLERANCE = {"amx": 1e-4}.get(library.network_isa(), 6e-6) if library.available() else 6e-6
"""Of the largest number of an array. Matrix tiles multiply split numbers (`walkies.accel.library.network_isa`)."""


def once(function, *arguments):
    """What a function gives, compiled without optimisation, which would take longer than to run it."""
    options = {"xla_backend_optimization_level": 0}
    return jax.block_until_ready(jax.jit(lambda *given: function(*given), compiler_options=options)(*arguments))


@pytest.fixture
def definition(monkeypatch):
    """A function that has another one computed by JAX alone, as with WALKIES_ACCEL=0."""

    def alone(function, *arguments):
        with monkeypatch.context() as patch:
            for module in (library, networks):
                patch.setattr(module, "available", lambda: False)
            return once(function, *arguments)

    return alone


def policy_of(recipe: Recipe, sizes: tuple[int, int, int]) -> Policy:
    return Policy(sizes[0], Box(sizes[1], -1.0, 1.0), hidden=recipe.hidden, activation=recipe.activation,
                  networks=recipe.networks, bound=recipe.bound, initial_std=recipe.initial_std)  # fmt: skip


HIDDEN = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0.0), "elu": lambda x: np.where(x > 0.0, x, np.expm1(x))}


def made(recipe: Recipe, sizes: tuple[int, int, int], samples: int, moved: float = 0.15, seed: int = 0):
    """Policy, learner and batch in the middle of an update: parameters have left those that acted, Adam has moments.

    No ratio is so near the clip that rounding could decide on which side it is.
    """
    random = np.random.default_rng(seed)
    normal = lambda *shape, scale=1.0: (scale * random.standard_normal(shape)).astype(np.float32)  # noqa: E731
    seen, actions, privileged = sizes

    def layers(*widths):
        return [(normal(n, m, scale=1.0 / np.sqrt(n)), normal(m, scale=0.1)) for n, m in pairwise(widths)]

    def moments(params):
        first = jax.tree.map(lambda x: normal(*x.shape, scale=0.003), params)
        second = jax.tree.map(lambda x: np.square(normal(*x.shape, scale=0.01)) + np.float32(1e-6), params)
        return optax.EmptyState(), optax.ScaleByAdamState(jnp.int32(3), first, second)

    def mean_of(params, x):
        for weights, bias in params.layers[:-1]:
            x = HIDDEN[recipe.activation](x @ weights + bias)
        out = x @ params.layers[-1][0] + params.layers[-1][1]
        return np.tanh(out) if recipe.bound == "mean" else out

    def log_prob_of(params, mean, sample):
        z = (sample - mean) / np.exp(params.log_std)
        return -np.sum(0.5 * z * z + params.log_std + 0.5 * np.log(2.0 * np.pi), axis=1).astype(np.float32)

    policy = policy_of(recipe, sizes)
    log_std = np.full(actions, np.log(recipe.initial_std), np.float32) + normal(actions, scale=0.05)
    acted = updates.Params(PolicyParams(layers(seen, *recipe.hidden, actions), log_std),
                           layers(privileged, *recipe.critic_hidden, 1))  # fmt: skip
    params = jax.tree.map(lambda x: x + normal(*x.shape, scale=moved / 5.0), acted)
    observation = normal(samples, seen)
    mean = mean_of(acted.policy, observation).astype(np.float32)
    sample = mean + np.exp(log_std) * normal(samples, actions)
    log_prob = log_prob_of(acted.policy, mean, sample)
    rho = np.exp(log_prob_of(params.policy, mean_of(params.policy, observation), sample) - log_prob)
    edge = np.abs(np.abs(rho - 1.0) - recipe.objective_coefficient) < 2e-5
    batch = Batch(
        policy_observation=observation,
        critic_observation=normal(samples, privileged),
        mirrored_observation=None,
        sample=sample,
        dist_params=mean,
        log_prob=log_prob - np.where(edge, np.float32(1e-3), np.float32(0.0)),
        advantage=normal(samples) + np.float32(0.3),
        target=normal(samples),
        value=normal(samples),
        mask=(random.uniform(size=samples) < 0.9).astype(np.float32),
    )
    learner = updates.Learner(params, updates.Params(moments(params.policy), moments(params.critic)),
                              jnp.float32(RATE), jnp.float32(RATE), jnp.asarray(False))  # fmt: skip
    return policy, *jax.tree.map(jnp.asarray, (learner, batch))


def order(recipe: Recipe, samples: int) -> jax.Array:
    """As `updates.orders`."""
    random = np.random.default_rng(5)
    epochs = [random.permutation(samples).reshape(recipe.minibatches, -1) for _ in range(recipe.epochs)]
    return jnp.asarray(np.stack(epochs), jnp.int32)


def native(recipe: Recipe, policy: Policy, learner, batch, orders):
    """The native call itself: it is an error where it does not fit."""
    settings = updates.fused(recipe, policy)
    assert settings is not None and ppo.fits(settings, learner, batch)
    return once(partial(ppo.steps, settings), learner, batch, orders)


def assert_same(found, expected, moments: float = MOMENT_TOLERANCE, step: float = STEP_TOLERANCE) -> None:
    (learner, metrics), (other, other_metrics) = found, expected
    for a, b in zip(jax.tree.leaves(learner.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=step)
    for a, b in zip(jax.tree.leaves(learner.moments), jax.tree.leaves(other.moments), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0.0, atol=moments * float(jnp.abs(b).max()))
    np.testing.assert_allclose(learner.learning_rate, other.learning_rate, rtol=1e-6)
    np.testing.assert_allclose(learner.critic_learning_rate, other.critic_learning_rate, rtol=1e-6)
    assert metrics.keys() == other_metrics.keys()
    for name in metrics:
        np.testing.assert_allclose(metrics[name], other_metrics[name], rtol=step, atol=step, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_one_step_is_that_of_the_definition(case, definition):
    recipe, sizes, samples = CASES[case]
    policy, learner, batch = made(recipe, sizes, samples)
    arguments = (learner, batch, order(recipe, samples))
    expected = definition(partial(updates.minibatch_steps, recipe, policy), *arguments)
    found = native(recipe, policy, *arguments)
    assert_same(found, expected)
    if recipe.schedule == "kl":
        assert float(found[0].learning_rate) != pytest.approx(RATE), "the KL is such that the step size changes"
    assert 0.0 < float(found[1]["clip_fraction"][0, 0]) < 1.0 and float(found[1]["kl"][0, 0]) > 1e-3


def gradient_of(recipe: Recipe, policy: Policy, learner, batch, rows, native: bool):
    """Gradient and metrics of a minibatch as a share of several, by parameters that have moved since the learner acted:
    by the native call, or by what it replaces."""
    found = []

    def moved(learner):
        return learner._replace(params=jax.tree.map(lambda x: 0.97 * x, learner.params))

    def noticed(tree):
        found.append(tree)
        return tree

    def once_apart(learner, batch, orders):
        with pytest.MonkeyPatch.context() as patch, shares.apart("nobody"):
            patch.setattr(shares, "average", noticed)
            patch.setattr(updates, "over_rows", lambda update, learner, orders: update(moved(learner), orders[0, 0]))
            updates.minibatch_steps(recipe, policy, learner, batch, orders)
        return found.pop()

    assert (library.PPO_TARGET in str(jax.make_jaxpr(once_apart)(learner, batch, rows[None, None]))) == native
    return once(once_apart, learner, batch, rows[None, None])


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_a_share_is_that_of_the_definition(case, monkeypatch):
    """Of some rows of a batch. Control: other rows have another."""
    recipe, sizes, samples = CASES[case]
    policy, learner, batch = made(recipe, sizes, samples)
    rows = order(recipe, samples)[0, 0, : max(2, samples // 2)]
    found, metrics = gradient_of(recipe, policy, learner, batch, rows, native=True)
    other, _ = gradient_of(recipe, policy, learner, batch, jnp.flip(rows) // 2, native=True)
    for module in (library, networks):
        monkeypatch.setattr(module, "available", lambda: False)
    expected, expected_metrics = gradient_of(recipe, policy, learner, batch, rows, native=False)
    assert jax.tree.structure(found) == jax.tree.structure(expected) and metrics.keys() == expected_metrics.keys()
    for a, b, c in zip(*map(jax.tree.leaves, (found, expected, other)), strict=True):
        largest = float(jnp.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0.0, atol=MOMENT_TOLERANCE * largest)
        assert float(jnp.abs(a - c).max()) > 1e-2 * largest
    for name in metrics:
        np.testing.assert_allclose(metrics[name], expected_metrics[name], rtol=1e-5, atol=1e-5, err_msg=name)


CHANGES = {
    "no clip": dict(objective_coefficient=1e9),
    "sign of the entropy": dict(entropy_coefficient=-0.01),
    "value clip": dict(value_clip=0.5),
    "no tanh": dict(bound="clip"),
    "advantages as they are": dict(normalize_advantage="none"),
    "step size": dict(schedule="constant"),
    "norm of the gradient": dict(max_grad_norm=0.05),
    "activation": dict(activation="tanh"),
    "Adam's ε": dict(adam_epsilon=1e-3),
    "no steps of the policy": dict(stop_kl=1e-3),
}


def test_the_comparison_would_see_another_course(definition):
    """Each choice that the call is told of matters. Control: unchanged, it is the definition's."""
    recipe = replace(SMALL, entropy_coefficient=0.01)
    policy, learner, batch = made(recipe, (20, 6, 9), 200)
    arguments = (learner, batch, order(recipe, 200))
    expected = definition(partial(updates.minibatch_steps, recipe, policy), *arguments)
    assert_same(native(recipe, policy, *arguments), expected)
    for change in CHANGES.values():
        changed = replace(recipe, **change)
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_same(native(changed, policy_of(changed, (20, 6, 9)), *arguments), expected)


def test_epochs_of_minibatches_stay_with_the_definition(definition):
    """Twelve steps, whose rounding errors add up; every minibatch of every epoch is another. The KL stop falls in
    the middle, and the value function goes on."""
    recipe = replace(SMALL, epochs=3, minibatches=4, schedule="constant", max_learning_rate=1.0)
    policy, learner, batch = made(recipe, (20, 6, 9), 240, moved=0.0)
    for stop_kl in (None, 2e-4):
        stopping = replace(recipe, stop_kl=stop_kl)
        arguments = (learner, batch, order(recipe, 240))
        expected = definition(partial(updates.minibatch_steps, stopping, policy), *arguments)
        found = native(stopping, policy, *arguments)
        assert_same(found, expected, moments=1e-3, step=5e-5)
        kl = np.asarray(found[1]["kl"]).ravel()
        assert kl[0] == 0.0 == expected[1]["kl"][0, 0] and kl[-1] > 1e-4, "nothing has moved at first: exactly zero"
        taken = 12 if stop_kl is None else int(np.argmax(kl > stop_kl))
        assert taken > 0 and (taken < 12) == (stop_kl is not None)
        count = lambda moments: int(moments[1].count) - 3  # noqa: E731
        assert [count(x) for x in found[0].moments] == [count(x) for x in expected[0].moments] == [taken, 12]


def test_training_goes_the_same_way(definition):
    """Three whole iterations on an environment, by both: the default's update, its statistics and its schedule."""
    recipe = replace(WALKING_RECIPE, num_envs=16, horizon=24, hidden=(16, 8), critic_hidden=(8,), minibatches=4)
    recipe = replace(recipe, symmetry="none")  # so that no parameter stays at zero
    env = Target()

    def trained(state):
        return jax.lax.scan(lambda state, _: train.iterate(recipe, env, state), state, length=3)

    start = train.init(recipe, env, jax.random.key(0))
    assert library.PPO_TARGET in str(jax.make_jaxpr(trained)(start))
    state, metrics = once(trained, start)
    other, other_metrics = definition(trained, start)
    for name in ("reward", "kl", "value_loss", "learning_rate", "explained_variance"):
        np.testing.assert_allclose(metrics[name], other_metrics[name], rtol=1e-3, atol=1e-3, err_msg=name)
    for a, b, c in zip(*(jax.tree.leaves(x.learner.params) for x in (state, other, start)), strict=True):
        assert float(jnp.abs(a - b).max()) < 1e-3 < float(jnp.abs(a - c).max())


def test_a_number_that_is_none_spoils_what_it_spoils_in_the_definition(definition):
    """Then training ends with an error that names it (`walkies.rl.finite`); nothing hides it."""
    policy, learner, batch = made(SMALL, (20, 6, 9), 100)
    batch = batch._replace(mask=jnp.ones(100))
    fields = ("advantage", "target", "policy_observation", "critic_observation", "log_prob")
    spoilt = [getattr(batch, field).at[(1,) * getattr(batch, field).ndim].set(jnp.nan) for field in fields]
    batches = [batch._replace(**{field: leaf}) for field, leaf in zip(fields, spoilt, strict=True)]
    arguments = (learner, jax.tree.map(lambda *x: jnp.stack(x), *batches), order(SMALL, 100))

    def each(steps):
        return lambda learner, batches, orders: jax.lax.map(lambda batch: steps(learner, batch, orders), batches)

    expected = definition(each(partial(updates.minibatch_steps, SMALL, policy)), *arguments)
    found = once(each(partial(ppo.steps, updates.fused(SMALL, policy))), *arguments)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    broken = np.any([np.isnan(x).reshape(len(fields), -1).any(axis=1) for x in jax.tree.leaves(found)], axis=0)
    assert broken.all()


def test_a_ratio_beyond_all_numbers_is_infinite_as_in_the_definition(definition):
    policy, learner, batch = made(SMALL, (20, 6, 9), 100)
    batch = batch._replace(log_prob=batch.log_prob.at[0].add(-200.0), advantage=-jnp.ones(100))
    recipe = replace(SMALL, normalize_advantage="none")
    arguments = (learner, batch, order(recipe, 100))
    expected = definition(partial(updates.minibatch_steps, recipe, policy), *arguments)
    found = native(recipe, policy, *arguments)
    for name in found[1]:
        np.testing.assert_allclose(found[1][name], expected[1][name], rtol=1e-4, atol=1e-5)
    assert np.isinf(found[1]["policy_loss"]).all()


@pytest.mark.parametrize(
    "change",
    [
        dict(networks="xla"),
        dict(objective="surrogate"),
        dict(objective="kl_penalty"),
        dict(bound="sample"),
        dict(baseline=False, advantage="reward_to_go"),
        dict(architecture="another", symmetry="none"),
    ],
)
def test_what_another_recipe_asks_for_is_left_to_its_definition(change):
    """Control: the default is not."""
    space = Box(6, -1.0, 1.0)
    recipe = replace(WALKING_RECIPE, **change)
    of = lambda recipe, space: Policy(20, space, activation=recipe.activation, bound=recipe.bound)  # noqa: E731
    assert updates.fused(recipe, of(recipe, space)) is None
    assert updates.fused(WALKING_RECIPE, of(WALKING_RECIPE, space)) is not None
    assert updates.fused(WALKING_RECIPE, of(WALKING_RECIPE, Discrete(3))) is None


def test_what_does_not_fit_is_left_to_the_definition():
    policy, learner, batch = made(SMALL, (20, 6, 9), 40)
    settings = updates.fused(SMALL, policy)
    assert settings is not None and ppo.fits(settings, learner, batch)
    deep = learner._replace(params=learner.params._replace(critic=learner.params.critic * 5))
    assert not ppo.fits(settings, deep, batch)
    for other in (
        batch._replace(mirrored_observation=batch.policy_observation),
        batch._replace(policy_observation=(batch.policy_observation, batch.policy_observation)),
        batch._replace(critic_observation=batch.critic_observation[:, :, None]),
        batch._replace(sample=batch.sample.astype(jnp.bfloat16)),
    ):
        assert not ppo.fits(settings, learner, other)
    chosen = ppo.faster(lambda learner, batch, orders: "the definition", settings)
    assert chosen(learner, other, order(SMALL, 40)) == "the definition"
    assert ppo.faster(lambda *_: "the definition", None)(learner, batch, order(SMALL, 40)) == "the definition"


def test_the_number_of_actions_is_limited_alike_here_and_there():
    """Control: as many as may be are taken."""
    for actions, taken in ((ppo.MOST_ACTIONS, True), (ppo.MOST_ACTIONS + 1, False)):
        policy, learner, batch = made(SMALL, (3, actions, 2), 5)
        settings = updates.fused(SMALL, policy)
        assert settings is not None and ppo.fits(settings, learner, batch) == taken
        run = partial(once, partial(ppo.steps, settings), learner, batch, order(SMALL, 5))
        if taken:
            assert np.isfinite(run()[1]["kl"]).all()
        else:
            with pytest.raises(Exception, match=f"at most {ppo.MOST_ACTIONS} actions"):
                run()


def test_what_does_not_match_is_named():
    policy, learner, batch = made(SMALL, (20, 6, 9), 40)
    rows = order(SMALL, 40)
    for changed, said in (
        ((learner, batch, rows.at[0, 0, 3].set(40)), "row 40 of 40"),
        ((learner, batch._replace(policy_observation=batch.policy_observation[:, 1:]), rows), "layer 0 does not fit"),
        ((learner, batch._replace(value=batch.value[1:]), rows), "wrong shape"),
    ):
        with pytest.raises(Exception, match=said):
            jax.block_until_ready(native(SMALL, policy, *changed))


def test_arguments_stay_what_they_were():
    policy, learner, batch = made(SMALL, (20, 6, 9), 40)
    before = jax.tree.map(np.array, learner)
    native(SMALL, policy, learner, batch, order(SMALL, 40))
    jax.tree.map(np.testing.assert_array_equal, learner, before)


STEP = (SMALL, (40, 12, 20), 1500)
STEPS = (replace(SMALL, epochs=2, minibatches=3), *STEP[1:])
"""What every instruction set and number of threads computes: a step, and several."""

PROGRAM = """
import sys
import jax, numpy as np
from test_native_ppo import STEP, STEPS, made, native, order
from walkies.accel import library
cases = (STEP, STEPS)
found = [native(recipe, *made(recipe, sizes, samples), order(recipe, samples)) for recipe, sizes, samples in cases]
np.savez(sys.argv[1], *jax.tree.leaves(found))
print(library.network_isa())
"""


def test_bits_do_not_depend_on_threads_and_every_instruction_set_takes_the_step(tmp_path, definition):
    recipe, sizes, samples = STEP
    policy, *arguments = made(recipe, sizes, samples)
    arguments = (*arguments, order(recipe, samples))
    expected = definition(partial(updates.minibatch_steps, recipe, policy), *arguments)
    leaves, structure = jax.tree.flatten(expected)
    results = {}
    others = ["avx2"] if library.isa() == "avx512" else []
    # What another process chooses this one knows only where it may choose itself.
    both = [*([] if os.environ.get("WALKIES_ISA") else [""]), library.isa()]
    pairs = [(threads, isa) for isa in both for threads in ("1", "2")]
    for threads, isa in [*pairs, *(("1", x) for x in others), ("1", "baseline")]:
        path = tmp_path / f"{threads}{isa}.npz"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NPROC": threads, "WALKIES_ISA": isa}
        run = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], env=environment, check=True, text=True,
                             stdout=subprocess.PIPE)  # fmt: skip
        assert run.stdout.split() == [isa or library.network_isa()]
        with np.load(path) as file:
            results[threads, isa] = [file[key] for key in file.files]
        found = jax.tree.unflatten(structure, results[threads, isa][: len(leaves)])
        assert_same(found, expected, moments=6e-6 if isa else MOMENT_TOLERANCE)
    for isa in both:
        for x, y in zip(results["1", isa], results["2", isa], strict=True):
            np.testing.assert_array_equal(x, y)
