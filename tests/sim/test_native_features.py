"""What robots have besides hinges and spheres: motors of every kind, damping that is integrated implicitly, margins,
capsules, boxes and cylinders, every kind of friction. One physics step in float64 against MuJoCo's converged one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import made_trees
from sim import native_cases as cases
from walkies.sim.engine.model import COLLIDER_NUMBERS, JOINT_NUMBERS, MODEL_NUMBERS, LeggedModel, pack, read_model
from walkies.sim.native import NativeSimulator
from walkies.sim.params import read_any_params

BOUND = 1e-9
"""As in test_native_exact."""
STATES = 40


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


Place = Callable[[mujoco.MjModel, np.ndarray, np.random.Generator], None]
"""Changes poses (states, nq) so that they show what is to be shown."""


def errors(
    model: mujoco.MjModel,
    seed: int = 0,
    legged: LeggedModel | None = None,
    states: int = STATES,
    place: Place | None = None,
) -> tuple[np.ndarray, list[int]]:
    """Relative errors (states,) of the acceleration and of the change of the velocities, the larger of the two; and how
    many contacts there were in each state. `legged` replaces what the engine makes of the model."""
    rng = np.random.default_rng(seed)
    drawn = cases.random_states(model, states, rng, np.zeros(model.nu), 0.35)
    if place:
        place(model, drawn[0], rng)
    return errors_at(model, drawn, legged)


def errors_at(
    model: mujoco.MjModel, states: tuple[np.ndarray, ...], legged: LeggedModel | None = None
) -> tuple[np.ndarray, list[int]]:
    """`errors` at these states, as `native_cases.random_states` gives them."""
    qpos, qvel, warmstart, target = states
    simulator = NativeSimulator(model, 1, "exact", threads=1, dtype="float64")
    simulator.legged = legged or simulator.legged
    simulator.spheres = simulator.legged.spheres
    packed = jnp.asarray(pack(simulator.legged, jax.tree.map(np.asarray, read_any_params(model)), 1, np, np.float64))
    after, readings = simulator.step(packed, cases.make_state(qpos, qvel, warmstart), target[:, None])
    assert readings.ok.all()
    reference = cases.converged(model)
    data, accelerations, changes, contacts = mujoco.MjData(reference), [], [], []
    for i in range(len(qpos)):
        mujoco.mj_resetData(reference, data)
        data.qpos, data.qvel, data.ctrl = qpos[i], qvel[i], target[i]
        mujoco.mj_step(reference, data)
        accelerations.append(data.qacc.copy())
        changes.append((data.qvel - qvel[i]) / model.opt.timestep)
        contacts.append(data.ncon)
    acceleration = cases.relative_error(np.asarray(after.qacc_warmstart), np.stack(accelerations))
    change = cases.relative_error((np.asarray(after.qvel) - qvel) / model.opt.timestep, np.stack(changes))
    return np.maximum(acceleration, change), contacts


def built(
    tip: str = "",
    base: str = made_trees.BASE,
    actuator: Callable[[str], str] | None = None,
    joint: str = "",
    collider: str = "",
    condim: int = 3,
    option: str | None = None,
    **options: str,
) -> mujoco.MjModel:
    """A quadruped whose legs end in `tip`, with further attributes of joints and colliders."""
    legs = made_trees.QUADRUPED_WITH_ARM[:4]
    legs = tuple(dataclasses.replace(leg, tip=tip or leg.tip) for leg in legs)
    text = made_trees.mjcf(legs, base, actuator)
    text = text.replace("<joint type", f"<joint {joint} type").replace('<geom mass="0"', f'<geom {collider} mass="0"')
    text = text.replace('condim="3"', f'condim="{condim}"').replace('name="floor"', f'name="floor" condim="{condim}"')
    if option is not None:
        text = text.replace('<flag eulerdamp="disable"/>', option)
    for name, value in options.items():
        text = text.replace("<option ", f'<option {name}="{value}" ')
    return mujoco.MjModel.from_xml_string(text)


def any_motor(joint: str) -> str:
    """Motors, servos with a gear, one-sided and unlimited ones, and one whose gain is not its stiffness."""
    kinds = (
        '<motor joint="{0}" gear="3" ctrlrange="-0.2 0.3"/>',
        '<position joint="{0}" kp="6" kv="0.3" gear="-2" forcerange="-1 3"/>',
        '<general joint="{0}" gainprm="2" biastype="affine" biasprm="0 -4 -0.2" forcerange="0.1 0.5"/>',
        '<position joint="{0}" kp="6" kv="0.3"/>',
        '<motor joint="{0}" forcerange="-0.3 0.1"/>',
    )
    return kinds[sum(i * ord(letter) for i, letter in enumerate(joint)) % len(kinds)].format(joint)


def different_spheres() -> mujoco.MjModel:
    """Spheres that differ in friction, solref and solimp, some with a priority over the ground."""
    model, rng = built(), np.random.default_rng(3)
    for geom in range(1, model.ngeom):
        model.geom_friction[geom, 0] = rng.uniform(0.8, 2)
        model.geom_solref[geom, 0] = rng.choice([0.03, 0.02])
        model.geom_solimp[geom, 0] = rng.choice([0.2, 0.5])
        model.geom_priority[geom] = rng.choice([0, 1])
    return model


def turns_freely() -> mujoco.MjModel:
    """No friction against turning, where MuJoCo takes its least."""
    model = built(collider='priority="1" friction="0.7 0 0"', condim=6)
    assert (model.geom_friction[1:, 1:] == 0).all()
    return model


def one_that_never_touches() -> mujoco.MjModel:
    """One sphere's bits do not meet the ground's, another's body is excluded from contacts with it."""
    model = mujoco.MjModel.from_xml_string(
        made_trees.mjcf(made_trees.QUADRUPED_WITH_ARM[:4]).replace(
            "</worldbody>", '</worldbody><contact><exclude body1="world" body2="left1_2"/></contact>'
        )
    )
    model.geom_conaffinity[2] = 2
    return model


def feet(shape: str, size: str) -> str:
    return f'<geom class="collider" type="{shape}" size="{size}" pos="{{tip}}" euler="0.3 0.9 -0.4"/>'


SHAPES = {"sphere": "0.03", "capsule": "0.02 0.05", "box": "0.03 0.05 0.02", "cylinder": "0.04 0.03"}
FEATURES: dict[str, Callable[[], mujoco.MjModel]] = {
    "motors": lambda: built(actuator=any_motor),
    "actuatorfrcrange": lambda: built(actuator=any_motor, joint='actuatorfrcrange="-0.4 0.7"'),
    "margins": lambda: built(joint='margin="0.05"', collider='margin="0.02"'),
    "eulerdamp": lambda: built(option=""),
    "implicitfast": lambda: built(integrator="implicitfast", actuator=any_motor),
    "springs": lambda: built(joint='stiffness="3" springref="0.4" ref="-0.1"'),
    "springs that are off": lambda: built(joint='stiffness="3"', option='<flag spring="disable" eulerdamp="disable"/>'),
    "different spheres": different_spheres,
    "no friction against turning": turns_freely,
    "bits and excludes": one_that_never_touches,
    **{
        f"{shape}, condim {condim}": lambda shape=shape, size=size, condim=condim: built(
            feet(shape, size),
            made_trees.BASE.replace('type="sphere" size="0.05"', f'type="{shape}" size="{size}" euler="1 0.2 0"'),
            collider=f'friction="0.7 0.03 0.02" margin="{0.01 * (condim == 3)}"',
            condim=condim,
        )
        for shape, size in SHAPES.items()
        for condim in (1, 3, 4, 6)
    },
}


@pytest.mark.parametrize("name", FEATURES)
def test_feature_equals_mujoco(name: str) -> None:
    found, contacts = errors(FEATURES[name]())
    assert np.count_nonzero(contacts) > STATES / 4
    assert found.max() <= BOUND


def test_spheres_in_place_of_a_capsule_are_noticed() -> None:
    """Negative control: two spheres touch where a capsule does, as deep, but along other tangents."""
    model = FEATURES["capsule, condim 3"]()
    capsules = read_model(model)
    assert errors(model, legged=capsules)[0].max() <= BOUND
    start, width = _colliders_begin(model), COLLIDER_NUMBERS
    rows = []
    for row in capsules.constants[start:].reshape(-1, width):
        ends = (1, -1) if row[1] == 1 else (0,)
        for end in ends:
            moved = row.copy()
            moved[1], moved[2:5] = 0, row[2:5] + end * row[15] * row[5:14].reshape(3, 3)[:, 2]
            rows.append((moved, end != -1))
    first = np.cumsum([one for _, one in rows]) - 1
    constants = np.concatenate([capsules.constants[:start], *(row for row, _ in rows)])
    constants[3] = len(rows)
    spheres = dataclasses.replace(
        capsules,
        constants=constants,
        spheres=tuple(capsules.spheres[i] for i in first),
        sphere_bodies=tuple(capsules.sphere_bodies[i] for i in first),
    )
    assert errors(model, legged=spheres)[0].max() > 1e6 * BOUND


@pytest.mark.parametrize("field", [-2, -1])
def test_springs_matter(field: int) -> None:
    """Negative control: stiffness or angle of rest off by a hundredth."""
    model = FEATURES["springs"]()
    constants = read_model(model).constants.copy()
    joints = constants[MODEL_NUMBERS : _colliders_begin(model)].reshape(-1, JOINT_NUMBERS)
    joints[:, field] *= 1.01
    assert errors(model, legged=dataclasses.replace(read_model(model), constants=constants))[0].max() > 1e4 * BOUND


@pytest.mark.parametrize(("name", "field"), [("box, condim 4", 20), ("sphere, condim 6", 20), ("sphere, condim 6", 21)])
def test_friction_against_turning_matters(name: str, field: int) -> None:
    """Negative control: torsional or rolling friction off by a hundredth."""
    model = FEATURES[name]()
    legged = read_model(model)
    assert errors(model, legged=legged)[0].max() <= BOUND
    constants = legged.constants.copy()
    constants[_colliders_begin(model) + field :: COLLIDER_NUMBERS] *= 1.01
    assert errors(model, legged=dataclasses.replace(legged, constants=constants))[0].max() > 1e4 * BOUND


def test_a_robot_of_very_many_points_equals_mujoco() -> None:
    """48 boxes at the end of 40 hinges: what a block of such robots works on would not fit the stack."""
    boxes = "".join(
        f'<geom class="collider" type="box" size="0.01 0.02 0.01" pos="{0.03 * (i % 7)} {0.03 * (i // 7)} 0"/>'
        for i in range(48)
    )
    chain = made_trees.Chain("tail", "xyzy" * 10, (0, 0, 0), ((0, 0, -0.01),) * 40, mass=0.05, tip=boxes, bend="")
    model = mujoco.MjModel.from_xml_string(made_trees.mjcf([chain]))
    found, contacts = errors(model, states=12)
    assert max(contacts) > 20
    assert found.max() <= BOUND
    state = cases.make_state(*cases.random_states(model, 3, np.random.default_rng(0), np.zeros(40), 0.35)[:3])
    simulator = NativeSimulator(model, 1, "exact", threads=1)
    params = jax.tree.map(np.asarray, read_any_params(model))
    packed = jnp.asarray(pack(simulator.legged, params, 1, np, np.float32))
    assert simulator.step(packed, state, np.zeros((3, 1, 40)))[1].ok.all()


FLOAT32 = [name for name in FEATURES if "condim" not in name] + [
    "sphere, condim 6", "capsule, condim 3", "box, condim 1", "box, condim 4", "cylinder, condim 6"
]  # fmt: skip


@pytest.mark.parametrize("name", FLOAT32)
def test_single_precision_and_independence(name: str) -> None:
    check_single_precision(FEATURES[name]())


def check_single_precision(model: mujoco.MjModel, place: Place | None = None) -> None:
    """In float32 most robots are near those of float64; and the bits of none depend on its neighbours, even on a broken
    one."""
    rng = np.random.default_rng(4)
    states = cases.random_states(model, 37, rng, np.zeros(model.nu), 0.35)
    if place:
        place(model, states[0], rng)
    params, target = jax.tree.map(np.asarray, read_any_params(model)), states[3][:, None]

    def step(dtype: str, rows: slice | np.ndarray, qpos: np.ndarray = states[0]) -> tuple[np.ndarray, np.ndarray]:
        simulator = NativeSimulator(model, 1, "exact", threads=1, dtype=dtype)
        packed = jnp.asarray(pack(simulator.legged, params, 1, np, np.dtype(dtype)))
        state = cases.make_state(qpos[rows], states[1][rows], states[2][rows])
        after, readings = simulator.step(packed, state, target[rows])
        return np.asarray(after.qacc_warmstart), np.asarray(readings.ok)

    whole, ok = step("float32", slice(None))
    assert ok.all()
    assert np.quantile(cases.relative_error(whole, step("float64", slice(None))[0]), 0.8) < 1e-3
    np.testing.assert_array_equal(step("float32", slice(0, 5))[0], whole[:5])
    turned = np.arange(37)[::-1]
    np.testing.assert_array_equal(step("float32", turned)[0][turned], whole)
    broken = states[0].copy()
    broken[7, 9] = np.nan
    with_broken, ok = step("float32", slice(None), broken)
    others = np.arange(37) != 7
    np.testing.assert_array_equal(ok, others)
    np.testing.assert_array_equal(with_broken[others], whole[others])


def _colliders_begin(model: mujoco.MjModel) -> int:
    """Where the numbers of colliders begin among a model's constants."""
    return MODEL_NUMBERS + JOINT_NUMBERS * model.nu
