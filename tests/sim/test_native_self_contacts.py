"""Contacts of the robot's own parts with one another: one physics step in float64 against MuJoCo's converged one, in
states in which parts do touch, on the ground and in the air; which pairs count; and that no robot feels another's."""

from __future__ import annotations

import ctypes
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import made_trees
from sim import native_cases as cases
from sim.test_native_features import BOUND, STATES, errors_at
from walkies.accel import library
from walkies.robots import PUPPER, load_spec
from walkies.sim import make_simulator
from walkies.sim.engine import check
from walkies.sim.engine import model as engine_model
from walkies.sim.engine.model import LeggedModel, pack, read_model
from walkies.sim.native import NativeSimulator
from walkies.sim.params import on_itself, read_any_params

States = tuple[np.ndarray, ...]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def limb(shape: str, radius: float, length: float, more: str = "") -> str:
    """A link's collider, from its joint downwards; `more` are further attributes."""
    if shape != "capsule":
        return f'<geom class="collider" type="{shape}" size="{radius}" pos="0.01 0 {-length / 2}"{more}/>'
    return f'<geom class="collider" type="capsule" size="{radius}" fromto="0 0 0 0.01 0.02 {-length}"/>'


def touchy(
    chains: Sequence[made_trees.Chain] = made_trees.BIPED,
    thigh: str = "capsule",
    foot: str = "capsule",
    condim: int = 3,
    radius: float = 0.05,
    option: str = '<flag eulerdamp="disable"/>',
    contact: str = "",
    **collider: str,
) -> mujoco.MjModel:
    """A robot whose limbs are thick and touch one another; `collider` are further attributes of all of them."""
    chains = [dataclasses.replace(c, bend=limb(thigh, radius, 0.13), tip=limb(foot, 0.04, 0.1)) for c in chains]
    text = made_trees.mjcf(chains).replace('contype="0"', 'contype="1"').replace('condim="3"', f'condim="{condim}"')
    more = "".join(f' {name}="{value}"' for name, value in collider.items())
    text = text.replace('<geom mass="0"', f'<geom{more} mass="0"').replace('<flag eulerdamp="disable"/>', option)
    text = text.replace("</worldbody>", f"</worldbody><contact>{contact}</contact>")
    for number in range(text.count('<geom class="collider"')):
        text = text.replace('<geom class="collider"', f'<geom name="part {number}" class= "collider"', 1)
    return mujoco.MjModel.from_xml_string(text)


def different_surfaces() -> mujoco.MjModel:
    """Parts that differ in friction, solref, solimp, solmix, margin and priority, and in condim."""
    model, rng = touchy(condim=4, thigh="sphere"), np.random.default_rng(3)
    for geom in range(1, model.ngeom):
        model.geom_friction[geom] = rng.uniform(0.8, 2), rng.uniform(0.01, 0.05), 0.001
        model.geom_solref[geom, 0] = rng.choice([0.03, 0.02])
        model.geom_solimp[geom, 0] = rng.choice([0.2, 0.5])
        model.geom_solmix[geom] = rng.choice([1, 3])
        model.geom_margin[geom] = rng.choice([0, 0.013])
        model.geom_priority[geom] = rng.choice([0, 1])
    model.geom_condim[3] = 6
    model.body_margin[:] = 0.013  # of its geoms, for the broad phase
    return model


ROLLING = {"friction": "0.7 0.03 0.02"}
TOUCHY: dict[str, Callable[[], mujoco.MjModel]] = {
    "spheres": lambda: touchy(thigh="sphere", foot="sphere"),
    "spheres and capsules": lambda: touchy(foot="sphere"),
    "capsules, condim 1": lambda: touchy(condim=1),
    "capsules, condim 3, margin": lambda: touchy(margin="0.01"),
    "capsules, condim 4": lambda: touchy(condim=4, **ROLLING),
    "capsules, condim 6": lambda: touchy(condim=6, **ROLLING),
    "different surfaces": different_surfaces,
    "eulerdamp": lambda: touchy(option=""),
    "hexapod": lambda: touchy(made_trees.HEXAPOD, foot="sphere"),
    "humanoid": lambda: touchy(made_trees.HUMANOID, foot="sphere"),
}


def drawn(model: mujoco.MjModel, states: int = STATES, seed: int = 0) -> States:
    return cases.random_states(model, states, np.random.default_rng(seed), np.zeros(model.nu), 0.35)


def own_contacts(model: mujoco.MjModel, states: States) -> list[list[tuple[str, str]]]:
    """Of every state, the names of the parts at each contact of the robot with itself."""
    data, found = mujoco.MjData(model), []
    for qpos in states[0]:
        data.qpos = qpos
        mujoco.mj_fwdPosition(model, data)
        pairs = [contact.geom for contact in data.contact if not contact.exclude]
        found.append(
            [tuple(model.geom(geom).name for geom in pair) for pair in pairs if model.geom_bodyid[pair].min() > 0]
        )
    return found


def errors(
    model: mujoco.MjModel, states: States | None = None, legged: LeggedModel | None = None, count: int = STATES
) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors (states,) as test_native_features has them, and which of the states have contacts of the robot
    with itself. `legged` replaces what the engine makes of the model."""
    states = states or drawn(model, count)
    found, _ = errors_at(model, states, legged or read_model(model, "all"))
    return found, np.array([bool(contacts) for contacts in own_contacts(model, states)])


@pytest.mark.parametrize("name", TOUCHY)
def test_self_contacts_equal_mujoco(name: str) -> None:
    found, touching = errors(TOUCHY[name]())
    assert np.count_nonzero(touching) > STATES / 4
    assert found.max() <= BOUND


def test_a_pair_that_is_left_out_is_noticed() -> None:
    """Negative control: the pair that touches most often."""
    model = TOUCHY["spheres and capsules"]()
    states = drawn(model)
    counts = Counter(pair for contacts in own_contacts(model, states) for pair in set(contacts))
    [(most, _)] = counts.most_common(1)
    named = [tuple(model.geom(geom).name for geom in pair) for pair in on_itself(model)]
    found, _ = errors(model, states, read_model(model, named))
    assert found.max() <= BOUND
    named.remove(most)
    found, _ = errors(model, states, read_model(model, named))
    concerned = np.array([most in contacts for contacts in own_contacts(model, states)])
    assert found[~concerned].max() <= BOUND
    # Not of all: in some states the two part so fast that they exert no force.
    assert np.quantile(found[concerned], 0.2) > 1e6 * BOUND


def test_a_contact_on_another_body_is_noticed() -> None:
    """Negative control: a shin's contacts are those of the thigh, which holds it in the same place while the knee is at
    0."""
    model = TOUCHY["spheres and capsules"]()
    states = drawn(model)
    knee = 9
    states[0][:, 2] += 5
    states[0][:, 7 + knee] = 0
    legged = read_model(model, "all")
    constants = legged.constants.copy()
    joints = engine_model.MODEL_NUMBERS + engine_model.JOINT_NUMBERS * knee
    hinge = constants[joints : joints + engine_model.JOINT_NUMBERS]
    first = engine_model.MODEL_NUMBERS + engine_model.JOINT_NUMBERS * model.nu
    shin = constants[first : first + engine_model.COLLIDER_NUMBERS * len(legged.spheres)].reshape(
        -1, engine_model.COLLIDER_NUMBERS
    )[legged.spheres.index("part 4")]
    assert shin[0] == knee and hinge[0] == knee - 1
    turn = hinge[4:13].reshape(3, 3)
    shin[0], shin[2:5], shin[5:14] = knee - 1, turn @ shin[2:5] + hinge[1:4], (turn @ shin[5:14].reshape(3, 3)).ravel()
    concerned = np.array([any("part 4" in pair for pair in contacts) for contacts in own_contacts(model, states)])
    assert errors(model, states)[0].max() <= BOUND
    found, _ = errors(model, states, dataclasses.replace(legged, constants=constants))
    assert found[~concerned].max() <= BOUND
    assert np.quantile(found[concerned], 0.2) > 1e6 * BOUND


@pytest.mark.parametrize(("condim", "matters"), [(1, False), (3, True)])
def test_wrong_tangents_are_noticed(condim: int, matters: bool) -> None:
    """Negative control: MuJoCo chooses tangents by the world's axes, so to one who turns the world, a robot in the air
    moves otherwise, unless its contacts are without friction."""
    model = touchy(condim=condim)
    model.geom_conaffinity[0] = model.geom_contype[0] = 0
    states = drawn(model)
    states[0][:, 2] += 5
    turned = [part.copy() for part in states]
    turn = np.array([np.cos(0.2), 0, 0, np.sin(0.2)])
    for i in range(STATES):
        mujoco.mju_mulQuat(turned[0][i, 3:7], turn, states[0][i, 3:7])
        for vectors in (turned[1], turned[2]):
            mujoco.mju_rotVecQuat(vectors[i, :3], vectors[i, :3].copy(), turn)
    reference = cases.reference(cases.converged(model), states)
    model.geom_contype[0] = 1  # the engine asks for a ground
    results = []
    for each in (states, turned):
        acceleration, _ = step(model, "float64", each)
        results.append(cases.relative_error(acceleration[:, 3:], reference[:, 3:]))
    assert results[0].max() <= BOUND
    if matters:
        assert results[1].max() > 1e6 * BOUND
    else:
        assert results[1].max() <= BOUND


def parallel_legs(apart: float, height: float) -> tuple[mujoco.MjModel, States]:
    """A biped with its legs in the same pose, the right hip so far from the left one and so much higher, in the air."""
    left, right = made_trees.BIPED
    right = dataclasses.replace(right, start=(left.start[0], left.start[1] - apart, left.start[2] + height))
    model = touchy((left, right), radius=0.06)
    states = drawn(model)
    states[0][:, 13:] = states[0][:, 7:13]
    states[0][:, 2] += 5
    return model, states


@pytest.mark.parametrize("height", [0.0, 0.06, -0.09])
def test_parallel_capsules_touch_twice(height: float) -> None:
    model, states = parallel_legs(0.11, height)
    assert any(max(Counter(contacts).values(), default=0) == 2 for contacts in own_contacts(model, states))
    found, touching = errors(model, states)
    assert np.count_nonzero(touching) > STATES / 4
    assert found.max() <= BOUND
    single, double = (step(model, dtype, states)[0] for dtype in ("float32", "float64"))
    assert np.quantile(cases.relative_error(single, double), 0.8) < 1e-3


def test_spheres_with_one_centre() -> None:
    """They part along the normal to both of their z axes, or along x where these are the same."""
    left, right = made_trees.BIPED
    chains = (left, dataclasses.replace(right, start=left.start))
    for euler in ("0 0 0", "0.3 0.8 0"):
        tips = limb("sphere", 0.03, 0.1), limb("sphere", 0.03, 0.1, f' euler="{euler}"')
        text = made_trees.mjcf([dataclasses.replace(c, tip=tip) for c, tip in zip(chains, tips, strict=True)])
        model = mujoco.MjModel.from_xml_string(text.replace('contype="0"', 'contype="1"'))
        states = drawn(model, 10)
        states[0][:, 13:] = states[0][:, 7:13]
        states[0][:, 2] += 5
        found, touching = errors(model, states)
        assert touching.all()
        assert found.max() <= BOUND


def test_no_robot_lifts_itself() -> None:
    """Contacts within the robot put no force and no torque on it as a whole."""
    model = TOUCHY["capsules, condim 6"]()
    states = drawn(model)
    states[0][:, 2] += 5
    acceleration, _ = step(model, "float64", states)
    alone, _ = step(model, "float64", states, self_contacts="none")
    touching = np.array([bool(contacts) for contacts in own_contacts(model, states)])
    assert np.count_nonzero(np.abs(acceleration - alone).max(axis=1) > 1) > 0.8 * np.count_nonzero(touching) > 10
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    data = mujoco.MjData(model)
    for qpos, qvel, qacc in zip(*states[:2], acceleration, strict=True):
        data.qpos, data.qvel, data.qacc = qpos, qvel, qacc
        mujoco.mj_inverse(model, data)
        np.testing.assert_allclose(data.qfrc_inverse[:6], 0, atol=1e-9 * max(1, np.abs(qacc).max()))


def step(
    model: mujoco.MjModel,
    dtype: str,
    states: States,
    rows: slice | np.ndarray = slice(None),
    self_contacts: str = "all",
    solver: str = "exact",
) -> tuple[np.ndarray, np.ndarray]:
    """Accelerations after one physics step, and which robots are sound."""
    simulator = NativeSimulator(model, 1, solver, threads=1, dtype=dtype, self_contacts=self_contacts)
    params = jax.tree.map(np.asarray, read_any_params(model))
    packed = jnp.asarray(pack(simulator.legged, params, 1, np, np.dtype(dtype)))
    state = cases.make_state(*(part[rows] for part in states[:3]))
    after, readings = simulator.step(packed, state, states[3][rows][:, None])
    return np.asarray(after.qacc_warmstart), np.asarray(readings.ok)


@pytest.mark.parametrize("solver", ["train", "exact"])
@pytest.mark.parametrize("name", ["spheres and capsules", "capsules, condim 6"])
def test_single_precision_and_independence(name: str, solver: str) -> None:
    """In float32 most robots are near those of float64; the bits of none depend on its neighbours, even on a broken
    one; and those of one that does not touch itself are the bits that it has where such contacts are left out."""
    model = TOUCHY[name]()
    states = drawn(model, 37, seed=4)
    touching = np.array([bool(contacts) for contacts in own_contacts(model, states)])
    whole, ok = step(model, "float32", states, solver=solver)
    assert ok.all() and 5 < np.count_nonzero(touching) < 32
    if solver == "exact":
        assert np.quantile(cases.relative_error(whole, step(model, "float64", states)[0]), 0.8) < 1e-3
    without, _ = step(model, "float32", states, solver=solver, self_contacts="none")
    np.testing.assert_array_equal(whole[~touching], without[~touching])
    assert not np.any(np.all(whole[touching] == without[touching], axis=1))
    for rows in (np.arange(5), np.arange(37)[::-1], np.flatnonzero(touching), np.arange(3, 37)):
        np.testing.assert_array_equal(step(model, "float32", states, rows, solver=solver)[0], whole[rows])
    broken = (states[0].copy(), *states[1:])
    ill = int(np.flatnonzero(touching)[2])
    broken[0][ill, 9] = np.nan
    with_broken, ok = step(model, "float32", broken, solver=solver)
    others = np.arange(37) != ill
    np.testing.assert_array_equal(ok, others)
    np.testing.assert_array_equal(with_broken[others], whole[others])


def welded() -> mujoco.MjModel:
    """A tree with bodies that are welded to others."""
    text = made_trees.random_tree(2).replace('contype="0"', 'contype="1"')
    return mujoco.MjModel.from_xml_string(text.replace('<geom mass="0"', '<geom margin="20" mass="0"'))


def everything_near(spec: mujoco.MjSpec) -> mujoco.MjModel:
    for geom in spec.geoms:
        geom.margin = 20
    return spec.compile()


FILTERS: dict[str, Callable[[], mujoco.MjModel]] = {
    "a robot of ours": lambda: everything_near(load_spec(PUPPER, visuals=False)),
    "welded bodies": welded,
    "excludes": lambda: touchy(contact='<exclude body1="left_3" body2="right_5"/>', margin="20"),
    "parents": lambda: touchy(option='<flag filterparent="disable"/>', margin="20"),
    "bits": lambda: touchy(foot='sphere" contype="2" conaffinity="4', margin="20"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_which_parts_touch_is_what_mujoco_says(name: str) -> None:
    """With margins of 20 m it has contacts of all that can touch."""
    model = FILTERS[name]()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    pairs = {tuple(contact.geom) for contact in data.contact if model.geom_bodyid[contact.geom].min() > 0}
    assert {frozenset(pair) for pair in on_itself(model)} == {frozenset(pair) for pair in pairs}
    assert pairs


def test_what_may_be_listed() -> None:
    model = TOUCHY["spheres and capsules"]()
    thighs, feet = ("part 2", "part 4"), ("part 3", "part 5")

    def pairs(of: mujoco.MjModel, self_contacts: str | Sequence[tuple[str, str]] = "none") -> int:
        return int(read_model(of, self_contacts).constants[engine_model.MODEL_NUMBERS - 1])

    assert pairs(model) == pairs(model, []) == 0
    assert pairs(model, [thighs, feet, thighs[::-1]]) == 2
    assert pairs(model, "all") == len(on_itself(model))
    for wrong, message in (
        ("some", "none, all"),
        ([("part 2", "part 99")], "part 99"),
        ([("part 2", "part 2")], "computes no contact"),
        ([("part 0", "part 1")], "computes no contact"),
        ([("floor", "part 1")], "computes no contact"),
    ):
        with pytest.raises(ValueError, match=message):
            read_model(model, wrong)
    boxes = TOUCHY["spheres and capsules"]()
    boxes.geom_type[[boxes.geom(name).id for name in feet]] = mujoco.mjtGeom.mjGEOM_BOX
    assert pairs(boxes, [thighs]) == 1
    with pytest.raises(ValueError, match=r"box.*list the pairs"):
        read_model(boxes, "all")


def test_python_and_the_engine_state_one_layout_of_pairs() -> None:
    sizes = library.library().walkies_physics_layout
    sizes.restype = ctypes.POINTER(ctypes.c_int)
    assert sizes()[11:13] == [engine_model.PAIR_NUMBERS, check.MAX_PAIRS]
    model = TOUCHY["humanoid"]()
    more = len(read_model(model, "all").constants) - len(read_model(model).constants)
    assert more == engine_model.PAIR_NUMBERS * len(on_itself(model))


def test_a_robot_of_ours_by_name() -> None:
    simulator = make_simulator("native", PUPPER, threads=1, self_contacts="all")
    assert isinstance(simulator, NativeSimulator)
    assert simulator.legged.constants[engine_model.MODEL_NUMBERS - 1] == len(on_itself(simulator.model)) > 0
    plain = make_simulator("native", PUPPER, threads=1)
    assert isinstance(plain, NativeSimulator)
    assert plain.legged.constants[engine_model.MODEL_NUMBERS - 1] == 0
    assert simulator.spheres == plain.spheres
