"""The engine's equations are MuJoCo's: accelerations in float64, at states that show every kind of constraint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import jax
import mujoco
import numpy as np
import pytest

from sim import native_cases as cases
from sim.random_robots import held
from walkies.robots import PUPPER, load_model
from walkies.sim.base import Params

BOUND = 1e-9
"""The promise is 1e-6; double precision keeps it with room to spare."""


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def compare(
    model: mujoco.MjModel, pose: np.ndarray, sets: int, states: int, seed: int
) -> tuple[np.ndarray, Counter[str]]:
    """Errors at `sets` random parameter sets × `states` random states, and how often each constraint occurred.

    Half of the robots are pushed.
    """
    rng = np.random.default_rng(seed)
    models = [cases.randomized(model, rng) for _ in range(sets)]
    batches = [cases.random_states(model, states, rng, pose) for _ in models]
    force = rng.normal(0, 5, (sets, states, 3)) * (np.arange(states) % 2)[:, None]
    seen: Counter[str] = Counter()
    truth = np.concatenate(
        [cases.reference(cases.converged(m), b, seen, f) for m, b, f in zip(models, batches, force, strict=True)]
    )
    stacked = tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
    found = cases.engine_accelerations(
        model,
        cases.stacked_params(models, states),
        cases.make_state(*stacked[:3]),
        stacked[3],
        "exact",
        "float64",
        force.reshape(-1, 3),
    )
    return cases.relative_error(found, truth), seen


def test_pupper_equals_mujoco_at_every_state() -> None:
    errors, seen = compare(cases.pupper(), cases.POSE, sets=50, states=44, seed=0)
    assert len(errors) >= 2000
    assert min(seen[kind] for kind in cases.ALL_KINDS) >= 100, seen
    assert errors.max() <= BOUND


@pytest.mark.parametrize(("legs", "joints"), [(6, 3), (4, 3), (2, 5), (2, 6)])
def test_random_robot_equals_mujoco(legs: int, joints: int) -> None:
    model = mujoco.MjModel.from_xml_string(cases.random_mjcf(legs, joints, seed=legs))
    errors, seen = compare(model, np.zeros(model.nu), sets=10, states=40 if legs == 6 else 15, seed=1)
    assert min(seen[kind] for kind in cases.ALL_KINDS) >= 5, seen
    assert errors.max() <= BOUND


@pytest.fixture(scope="module")
def plain_case() -> tuple[mujoco.MjModel, tuple[np.ndarray, ...], np.ndarray]:
    model = load_model(PUPPER, own_contacts=False, visuals=False, torsion=True)
    states = cases.random_states(model, 200, np.random.default_rng(2), cases.POSE)
    return model, states, cases.reference(cases.converged(model), states)


@pytest.mark.parametrize("name", [n for n in Params._fields if n != "torque_speed"])
def test_every_parameter_matters(
    name: str, plain_case: tuple[mujoco.MjModel, tuple[np.ndarray, ...], np.ndarray]
) -> None:
    """Negative control: one parameter off by a thousandth is noticed, so the bound above proves each of them."""
    model, states, truth = plain_case
    right = cases.stacked_params([model], 1)
    errors = {}
    for label, factor in (("right", 1.0), ("wrong", 1.001)):
        params = right._replace(**{name: getattr(right, name) * factor})
        found = cases.engine_accelerations(model, params, cases.make_state(*states[:3]), states[3], "exact", "float64")
        errors[label] = cases.relative_error(found, truth).max()
    assert errors["right"] <= BOUND
    assert errors["wrong"] > 1e4 * BOUND


def test_the_force_matters(plain_case: tuple[mujoco.MjModel, tuple[np.ndarray, ...], np.ndarray]) -> None:
    """Negative control: a force off by a thousandth, or none, is noticed."""
    model, states, _ = plain_case
    force = np.random.default_rng(6).normal(0, 5, (len(states[0]), 3))
    truth = cases.reference(cases.converged(model), states, force=force)
    right = cases.stacked_params([model], 1)

    def error(push: np.ndarray | None) -> float:
        arguments = (model, right, cases.make_state(*states[:3]), states[3], "exact", "float64")
        return cases.relative_error(cases.engine_accelerations(*arguments, push), truth).max()

    assert error(force) <= BOUND
    assert error(1.001 * force) > 1e4 * BOUND and error(None) > 1e6 * BOUND


def test_velocity_terms_matter(plain_case: tuple[mujoco.MjModel, tuple[np.ndarray, ...], np.ndarray]) -> None:
    """Negative control for the terms that mix angular and linear velocity: with a base velocity in body instead of
    world axes, or an angular velocity in world instead of body axes, the error is a million times the bound."""
    model, (qpos, qvel, warmstart, target), truth = plain_case
    rotation = np.zeros((len(qpos), 9))
    for quaternion, r in zip(qpos[:, 3:7], rotation, strict=True):
        mujoco.mju_quat2Mat(r, quaternion)
    for part in (slice(0, 3), slice(3, 6)):
        turned = qvel.copy()
        turned[:, part] = np.einsum("nij,nj->ni", rotation.reshape(-1, 3, 3), qvel[:, part])
        state = cases.make_state(qpos, turned, warmstart)
        found = cases.engine_accelerations(model, cases.stacked_params([model], 1), state, target, "exact", "float64")
        assert cases.relative_error(found, truth).max() > 1e6 * BOUND


def test_half_a_second_equals_mujoco() -> None:
    """Trajectories of walking robots: 125 physics steps, with warm starts and integration."""
    model = cases.pupper()
    reference = cases.converged(model)
    rng = np.random.default_rng(3)
    n, steps = 8, 25
    qpos, qvel, warmstart, _ = cases.random_states(model, n, rng, cases.POSE)
    qpos[:, 2], qpos[:, 3:7], qpos[:, 7:], warmstart[:] = 0.17, [1, 0, 0, 0], cases.POSE, 0
    targets = cases.POSE + 0.2 * rng.normal(size=(steps, n, model.nu))
    simulator = cases.NativeSimulator(model, 5, "exact", threads=1, dtype="float64")
    params = simulator.prepare(cases.stacked_params([model], 1), n)
    step = jax.jit(simulator.step)
    state = cases.make_state(qpos, qvel * 0.3, warmstart)
    data = [mujoco.MjData(reference) for _ in range(n)]
    for i, d in enumerate(data):
        d.qpos, d.qvel = qpos[i], 0.3 * qvel[i]
    for target in targets:
        state, readings = step(params, state, held(target))
        for d, control in zip(data, target, strict=True):
            d.ctrl = control
            mujoco.mj_step(reference, d, 5)
    assert readings.ok.all()
    np.testing.assert_allclose(state.qpos, [d.qpos for d in data], atol=1e-7)
    np.testing.assert_allclose(state.qvel, [d.qvel for d in data], atol=1e-5)
