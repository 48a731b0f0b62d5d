"""Rows taken and rows replaced: by the native library or by XLA, the same."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.accel import library
from walkies.accel.rows import faster_select, faster_taker
from walkies.mdp import select

replace = faster_select(select)
taker = faster_taker(lambda tree: lambda rows: jax.tree.map(lambda leaf: leaf[rows], tree))


def numbered(count: int) -> dict[str, jax.Array]:
    """Arrays whose rows can be told apart: of several widths and types, one of no width."""
    row = jnp.arange(count, dtype=jnp.float32)
    return {
        "row": row,
        "wide": jnp.stack([row, -row, 2.0 * row], axis=1),
        "deep": jnp.tile(row[:, None, None], (1, 4, 5)),
        "integer": row.astype(jnp.int32) % 5,
        "flag": row % 3 == 0,
        "nothing": jnp.zeros((count, 0)),
    }


def same(ours, theirs) -> None:
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.fixture(params=["native", "xla"])
def native(request, monkeypatch) -> bool:
    if request.param == "xla":
        monkeypatch.setattr(library, "available", lambda: False)
    return request.param == "native"


def test_rows_taken_are_the_rows_asked_for(native):
    """Shapes, dtypes and values, in the order asked for, by either way of taking them, compiled or not."""
    tree = numbered(1000)
    order = jax.random.permutation(jax.random.key(0), 1000)[:331].astype(jnp.int32)
    take = taker(tree)
    assert ("walkies_rows" in str(jax.make_jaxpr(take)(order))) is native
    for taken in (take(order), jax.jit(take)(order)):
        same(taken, {name: leaf[order] for name, leaf in tree.items()})
    assert not np.array_equal(take(order)["row"], tree["row"][:331])  # control: another order is another batch


def test_a_row_that_does_not_exist_is_an_error():
    """The native copy never reads beyond an array."""
    for row in (10, -1):
        with pytest.raises(Exception, match=f"row {row} of 10"):
            jax.block_until_ready(taker(numbered(10))(jnp.array([3, row], jnp.int32)))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rows_replaced_are_those_chosen(native, share):
    """As `select`, compiled or not; what was there before stays what it was for whoever still has it."""
    tree = numbered(500)
    other = jax.tree.map(lambda x: x[::-1], tree)
    mask = jax.random.uniform(jax.random.key(1), (500,)) < share
    expected = select(mask, other, tree)
    anew = lambda *arguments: replace(*arguments)  # noqa: E731  (JAX keeps programs by function)
    assert ("walkies_replace_rows" in str(jax.make_jaxpr(anew)(mask, other, tree))) is native
    same(replace(mask, other, tree), expected)
    same(jax.jit(anew)(mask, other, tree), expected)
    both = jax.jit(lambda mask, other, tree: (tree, replace(mask, other, tree)))(mask, other, tree)
    same(both, (numbered(500), expected))
    same(tree, numbered(500))
    if 0.0 < share < 1.0:  # control
        assert not np.array_equal(expected["row"], tree["row"])


def test_rows_are_replaced_in_place():
    """The program says that results lie where the rows lay. Control: rows that `select` chooses do not."""
    mask, tree = jnp.arange(20) % 4 == 0, {"a": jnp.zeros((20, 3)), "b": jnp.zeros(20)}
    programs = [jax.jit(lambda m, t, f=f: f(m, t, t)).lower(mask, tree).as_text() for f in (replace, select)]
    assert ["output_operand_alias" in program for program in programs] == [True, False]


def test_rows_replaced_over_and_over():
    """In the memory of a loop: a thousand replacements, each of other rows."""

    def turn(tree, key):
        mask = jax.random.uniform(key, (64,)) < 0.2
        return replace(mask, jax.tree.map(lambda x: x + x.dtype.type(1), tree), tree), mask

    tree = {"a": jnp.zeros((64, 3)), "b": jnp.zeros(64, jnp.int32)}
    after, masks = jax.jit(lambda keys: jax.lax.scan(turn, tree, keys))(jax.random.split(jax.random.key(2), 1000))
    np.testing.assert_array_equal(after["b"], masks.sum(axis=0))
    np.testing.assert_array_equal(after["a"], np.repeat(np.asarray(after["b"])[:, None], 3, axis=1))


def test_gradients_pass_through_replaced_rows():
    """Those of `select`: by the new rows where they were taken, by the old ones elsewhere."""
    tree, mask = numbered(20), jnp.arange(20) % 4 == 0

    def total(function, wide, other):
        return jnp.sum(function(mask, tree | {"wide": other}, tree | {"wide": wide})["wide"] ** 2)

    wide, other = tree["wide"], tree["wide"] + 1.0
    ours, theirs = (jax.grad(total, argnums=(1, 2))(f, wide, other) for f in (replace, select))
    same(ours, theirs)
    assert float(jnp.abs(ours[0][mask]).max()) == 0.0 < float(jnp.abs(ours[1][mask]).max())


def test_what_does_not_match_is_left_to_select():
    """Rows to be spread over the others, and random keys, which no custom call takes."""
    mask = jnp.array([True, False, True])
    spread = jnp.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    same(replace(mask, jnp.ones((1, 2)), jnp.zeros((3, 2))), spread)
    same(replace(mask, jnp.ones((1, 2)), jnp.zeros((1, 2))), spread)
    old, new = jax.random.split(jax.random.key(0), 3), jax.random.split(jax.random.key(1), 3)
    taken = jax.random.key_data(replace(mask, new, old))
    same(taken, jnp.where(mask[:, None], jax.random.key_data(new), jax.random.key_data(old)))
