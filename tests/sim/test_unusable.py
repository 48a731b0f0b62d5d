"""What no step can use is reported, for that robot alone, and by both simulators alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import mujoco
import numpy as np
import pytest

from sim.random_robots import held, random_start
from walkies.robots import PUPPER, load_model
from walkies.sim import make_simulator, nominal_params
from walkies.sim.base import MAX_NUMBER, Params, Readings, State
from walkies.sim.native import NativeSimulator

ROBOTS, BROKEN = 16, 5  # in the middle of a vector, however many lanes it has
SUBSTEPS = 5


class Given(NamedTuple):
    """Everything that a step is given."""

    params: Params
    state: State
    targets: Any
    force: Any

    def after(self, where: str, value: float) -> Given:
        """The same with the last number of one robot's `where` ("params.kp", "targets") replaced by `value`."""
        record, _, field = where.partition(".")
        old = getattr(self, record)
        array = np.array(getattr(old, field) if field else old)
        array.reshape(len(array), -1)[BROKEN, -1] = value
        return self._replace(**{record: old._replace(**{field: array}) if field else array})


@functools.cache
def model() -> mujoco.MjModel:
    return load_model(PUPPER, own_contacts=False)


@functools.cache
def given() -> Given:
    state, targets = jax.tree.map(np.asarray, random_start(ROBOTS, 1, seed=0))
    nominal = jax.tree.map(np.asarray, nominal_params(model(), PUPPER))
    params = jax.tree.map(lambda leaf: np.repeat(leaf, ROBOTS, axis=0), nominal)
    return Given(params, state, np.asarray(held(targets[0], SUBSTEPS)), np.zeros((ROBOTS, 3), np.float32))


@functools.cache
def stepper(simulator: str) -> Callable[[Given], tuple[State, Readings]]:
    made = make_simulator(simulator, PUPPER, substeps=SUBSTEPS, threads=1)
    step = jax.jit(lambda g: made.step(made.prepare(g.params, ROBOTS), g.state, g.targets, g.force))
    return lambda g: jax.tree.map(np.asarray, step(g))


@functools.cache
def undamaged(simulator: str) -> tuple[State, Readings]:
    return stepper(simulator)(given())


FLOATS = [
    *(f"state.{field}" for field in State._fields),
    "targets",
    "force",
    *(f"params.{field}" for field in Params._fields),
]
NO_LIMIT = ("params.torque_speed", np.inf)
UNUSABLE = [
    *((where, value) for where in FLOATS for value in (np.nan, np.inf, -np.inf) if (where, value) != NO_LIMIT),
    *((where, 2 * MAX_NUMBER) for where in FLOATS if not where.startswith("params")),
    ("params.friction", 0.0),
    ("params.friction", -1.0),
    ("params.contact_solref", -1.0),
    ("params.body_mass", 0.0),
    ("params.torque_speed", 0.0),
    ("params.torque_speed", -1.0),
]
USABLE = [
    ("state.qacc_warmstart", 0.9 * MAX_NUMBER),
    ("targets", 0.9 * MAX_NUMBER),
    NO_LIMIT,
    ("params.torque_speed", 1e-3),
    ("params.torque_limit", 0.0),
    ("params.dof_frictionloss", 0.0),
    ("force", 1.0),
]
"""The other side of each bound."""


@pytest.mark.parametrize("simulator", ["native", "mujoco"])
@pytest.mark.parametrize(("where", "value"), UNUSABLE)
def test_what_is_unusable_is_reported_and_touches_no_other(where: str, value: float, simulator: str) -> None:
    whole, found = undamaged(simulator), stepper(simulator)(given().after(where, value))
    np.testing.assert_array_equal(found[1].ok, np.arange(ROBOTS) != BROKEN)
    others = np.arange(ROBOTS) != BROKEN
    for leaf, expected in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
        # + 0.0: where the engine's solver works on for one lane, the others add zeros, which turn −0 into 0.
        assert (leaf[others] + 0.0).tobytes() == (expected[others] + 0.0).tobytes()


@pytest.mark.parametrize("simulator", ["native", "mujoco"])
@pytest.mark.parametrize(("where", "value"), USABLE)
def test_what_is_merely_unusual_is_computed_with(where: str, value: float, simulator: str) -> None:
    assert stepper(simulator)(given().after(where, value))[1].ok.all()


@pytest.mark.parametrize("simulator", ["native", "mujoco"])
def test_a_quaternion_without_length_is_unusable(simulator: str) -> None:
    start = given()
    qpos = start.state.qpos.copy()
    qpos[BROKEN, 3:7] = 0.0
    found = stepper(simulator)(start._replace(state=start.state._replace(qpos=qpos)))
    np.testing.assert_array_equal(found[1].ok, np.arange(ROBOTS) != BROKEN)


def test_in_double_precision_too() -> None:
    with jax.enable_x64(True):
        made = NativeSimulator(model(), SUBSTEPS, threads=1, dtype="float64")
        step = jax.jit(lambda g: made.step(made.prepare(g.params, ROBOTS), g.state, g.targets, g.force))
        assert step(given())[1].ok.all()
        for where in ("targets", "state.qvel", "state.qacc_warmstart", "params.kp", "force"):
            ok = step(given().after(where, np.nan))[1].ok
            np.testing.assert_array_equal(ok, np.arange(ROBOTS) != BROKEN, err_msg=where)


def test_the_impedance_of_one_robot_does_not_round_that_of_another() -> None:
    """A curve of unusual power takes another path through the engine, which neighbours in the vector must not take."""
    assert (given().params.contact_solimp[:, 4] == 2.0).all()
    whole, found = undamaged("native"), stepper("native")(given().after("params.contact_solimp", 3.5))
    others = np.arange(ROBOTS) != BROKEN
    for leaf, expected in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
        # + 0.0: where the engine's solver works on for one lane, the others add zeros, which turn −0 into 0.
        assert (leaf[others] + 0.0).tobytes() == (expected[others] + 0.0).tobytes()
    # Control: its own motion is another.
    assert (found[0].qvel[BROKEN] != whole[0].qvel[BROKEN]).any()
