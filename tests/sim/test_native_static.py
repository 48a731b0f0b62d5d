"""Static boxes and height fields: one physics step in float64 against MuJoCo's converged one, without a plane and with
one; what the engine does not take; single precision on terrain of real size."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import made_trees
import terrains
from sim import native_cases as cases
from sim import test_native_features as features
from walkies.sim.engine.model import pack, read_model
from walkies.sim.engine.static import BOX_NUMBERS
from walkies.sim.native import NativeSimulator
from walkies.sim.params import read_any_params

BOUND = 1e-9
"""As in test_native_exact."""
EPA_BOUND = 1e-4
"""Where a sphere's centre is inside a prism, MuJoCo approaches the nearest face step by step; with the settings of
`precise` it comes so near."""
ROBOT = made_trees.mjcf(made_trees.QUADRUPED_WITH_ARM[:4])


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def robot(condim: int = 3, margin: float = 0.0) -> str:
    text = ROBOT.replace('condim="3"', f'condim="{condim}"')
    return text.replace('<geom mass="0"', f'<geom friction="0.7 0.03 0.02" margin="{margin}" mass="0"')


def on_boxes(condim: int = 3, margin: float = 0.0, plane: bool = True, more: str = "") -> mujoco.MjModel:
    text = terrains.on(robot(condim, margin), terrains.any_boxes(40, condim, more), plane)
    return mujoco.MjModel.from_xml_string(text)


def capsules_on_boxes(condim: int, boxes: str | None = None) -> mujoco.MjModel:
    """Capsules instead of all spheres: thick and thin ones, in all directions."""
    shapes = iter(
        ['type="capsule" size="0.05 0.1" euler="1 0.2 0"', 'type="capsule" size="0.02 0.06" euler="0.3 0.9 0"'] * 9
    )
    parts = robot(condim).split('type="sphere" size="')
    text = parts[0] + "".join(next(shapes) + part[part.index('"') + 1 :] for part in parts[1:])
    return mujoco.MjModel.from_xml_string(terrains.on(text, boxes or terrains.any_boxes(40, condim), False))


def different_boxes() -> mujoco.MjModel:
    """Boxes of several kinds: priority over the robot, friction, solref, condim, bits that some spheres do not meet."""
    model, rng = on_boxes(), np.random.default_rng(3)
    kinds = rng.integers(0, 5, model.ngeom)
    for geom in np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_BOX):
        model.geom_friction[geom, 0] = (0.7, 0.7, 1.1, 0.7, 0.4)[kinds[geom]]
        model.geom_priority[geom] = (0, 0, 0, 0, 1)[kinds[geom]]
        model.geom_condim[geom] = (3, 6, 3, 3, 1)[kinds[geom]]
        model.geom_solref[geom, 0] = (0.03, 0.03, 0.03, 0.02, 0.02)[kinds[geom]]
        model.geom_contype[geom] = (1, 1, 1, 2, 1)[kinds[geom]]
    model.geom_conaffinity[[geom for geom in range(model.ngeom) if model.geom_bodyid[geom] % 3 == 2]] = 3
    return model


def on_field(condim: int = 3, margin: float = 0.0, plane: bool = False, smooth: int = 2, **more: str) -> mujoco.MjModel:
    text = terrains.on(robot(condim, margin), terrains.field(**more), plane, terrains.field_asset())
    return precise(terrains.rough(text, condim, smooth))


def everything() -> mujoco.MjModel:
    """A plane, boxes, and two height fields, the second one of other friction and rolled onto its side."""
    boxes = terrains.any_boxes(20, 2) + terrains.field()
    aside = terrains.field("0.3 0.2 0", "1.2 0.3 0.4", 'friction="1.3"').replace('name="field"', 'name="second"')
    return precise(terrains.rough(terrains.on(robot(), boxes + aside, True, terrains.field_asset()), 4))


def precise(model: mujoco.MjModel) -> mujoco.MjModel:
    """A model whose convex collisions MuJoCo computes as well as it can."""
    model.opt.ccd_tolerance, model.opt.ccd_iterations = 1e-14, 1000
    return model


def deepest(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """How deep the deepest sphere is, in radii: beyond 1 its centre is inside what it touches. 0: nothing touches."""
    depths = [-contact.dist / min(model.geom_size[geom, 0] for geom in contact.geom if model.geom_bodyid[geom])
              for contact in data.contact]  # fmt: skip
    return max([0.0, *depths])


def just_touching(model: mujoco.MjModel, qpos: np.ndarray, rng: np.random.Generator) -> None:
    """Lift or lower every robot until the deepest sphere is between 0.05 and 0.9 of its radius deep."""
    data = mujoco.MjData(model)
    qpos[:, :2] = np.clip(qpos[:, :2], -3, 3)
    for pose in qpos:
        low, high, target = -1.0, 1.0, rng.uniform(0.05, 0.9)
        for _ in range(40):
            pose[2] = (low + high) / 2
            data.qpos = pose
            mujoco.mj_fwdPosition(model, data)
            depth = deepest(model, data)
            if abs(depth - target) < 0.02:
                break
            low, high = (pose[2], high) if depth > target else (low, pose[2])
        else:
            pose[2] = 2.0  # in steep terrain there may be no such height: then in the air


@dataclasses.dataclass(frozen=True)
class Terrain:
    """Ground, and how robots are put on it."""

    build: Callable[[], mujoco.MjModel]
    place: features.Place | None = None
    bound: float = BOUND


TERRAINS: dict[str, Terrain] = {
    **{f"boxes, condim {c}": Terrain(lambda c=c: on_boxes(c, 0.01 * (c == 3))) for c in (1, 3, 4, 6)},
    **{f"capsules on boxes, condim {c}": Terrain(lambda c=c: capsules_on_boxes(c)) for c in (1, 3, 6)},
    "capsules on stairs": Terrain(lambda: capsules_on_boxes(3, terrains.stones_and_stairs())),
    "boxes without a plane": Terrain(lambda: on_boxes(plane=False)),
    "boxes of several kinds": Terrain(different_boxes),
    "stones and stairs": Terrain(
        lambda: mujoco.MjModel.from_xml_string(terrains.on(robot(), terrains.stones_and_stairs(), False))
    ),
    **{f"field, condim {c}": Terrain(lambda c=c: on_field(c), just_touching) for c in (1, 3, 4, 6)},
    "field with margins": Terrain(lambda: on_field(margin=0.012), just_touching),
    "steep field on its side": Terrain(lambda: on_field(smooth=0, pos="0.2 0.1 0", euler="0.3 -0.2 1"), just_touching),
    "deep in a field": Terrain(on_field, None, EPA_BOUND),
    "plane, boxes and two fields": Terrain(everything, just_touching, EPA_BOUND),
}


def errors(name: str, seed: int = 0, states: int = features.STATES) -> tuple[np.ndarray, list[int]]:
    """As `features.errors`, on one of TERRAINS."""
    terrain = TERRAINS[name]
    return features.errors(terrain.build(), seed, states=states, place=terrain.place)


@pytest.mark.parametrize("name", TERRAINS)
def test_terrain_equals_mujoco(name: str) -> None:
    found, contacts = errors(name)
    assert np.count_nonzero(contacts) > features.STATES / 4
    assert found.max() <= TERRAINS[name].bound


def test_several_boxes_touch_one_sphere() -> None:
    """Control of the above: there are such states."""
    model = on_boxes()
    qpos, *_ = cases.random_states(model, features.STATES, np.random.default_rng(0), np.zeros(model.nu), 0.35)
    data, most = mujoco.MjData(model), 0
    for pose in qpos:
        data.qpos = pose
        mujoco.mj_fwdPosition(model, data)
        touched = [geom for contact in data.contact for geom in contact.geom if model.geom_bodyid[geom]]
        most = max(most, *np.bincount(touched, minlength=1))
    assert most >= 3


def test_a_box_moved_by_a_millimetre_is_noticed() -> None:
    """Negative control."""
    model = on_boxes(plane=False)
    legged = read_model(model)
    terrain = legged.terrain.copy()
    terrain[-BOX_NUMBERS * 40 :: BOX_NUMBERS] += 1e-3
    moved = dataclasses.replace(legged, terrain=terrain)
    assert features.errors(model, legged=moved)[0].max() > 1e5 * BOUND


@pytest.mark.parametrize("step", [1, 77])
def test_the_height_of_a_neighbouring_cell_is_noticed(step: int) -> None:
    """Negative control: heights of one column, or one row, beside."""
    model = on_field()
    legged = read_model(model)
    beside = dataclasses.replace(legged, terrain=np.roll(legged.terrain, step))
    assert features.errors(model, legged=beside, place=just_touching)[0].max() > 1e5 * BOUND


def test_tangents_matter() -> None:
    """Negative control: with robot and boxes turned about the vertical, all is as before but for the tangents."""
    model, angle, n = on_boxes(plane=False), 0.5, features.STATES
    turn, quat = (
        np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]),
        np.zeros(4),
    )
    mujoco.mju_axisAngle2Quat(quat, np.array([0.0, 0.0, 1.0]), angle)
    turned = copy.deepcopy(model)
    turned.geom_sameframe[:] = 0
    turned.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE  # which knows where boxes were compiled
    states = cases.random_states(model, n, np.random.default_rng(0), np.zeros(model.nu), 0.35)
    other = [part.copy() for part in states]
    for geom in np.flatnonzero(model.geom_bodyid == 0):
        turned.geom_pos[geom] = turn @ model.geom_pos[geom]
        mujoco.mju_mulQuat(turned.geom_quat[geom], quat, model.geom_quat[geom])
    other[0][:, :3], other[1][:, :3] = states[0][:, :3] @ turn.T, states[1][:, :3] @ turn.T
    for pose, before in zip(other[0], states[0], strict=True):
        mujoco.mju_mulQuat(pose[3:7], quat, before[3:7])

    def accelerations(condim: int) -> tuple[np.ndarray, np.ndarray]:
        for each in (model, turned):
            each.geom_condim[:] = condim
        here = cases.reference(cases.converged(model), states)
        there = cases.reference(cases.converged(turned), tuple(other))
        there[:, :3] = there[:, :3] @ turn
        return here, there

    assert cases.relative_error(*accelerations(1)).max() < BOUND  # control: without friction nothing is otherwise
    assert cases.relative_error(*accelerations(3)).max() > 1e5 * BOUND


LARGE = {
    "a square slab": lambda: mujoco.MjModel.from_xml_string(
        terrains.on(robot(), terrains.box("slab", np.array([0, 0, -0.1]), np.array([9, 9, 0.1])), False)
    ),
    "100 boxes": lambda: mujoco.MjModel.from_xml_string(terrains.on(robot(), terrains.stones_and_stairs(), False)),
    "field of 200 × 200": lambda: terrains.rough(
        terrains.on(robot(), terrains.field(), False, terrains.field_asset(203)), 1
    ),
    "boxes of several kinds": different_boxes,
    "plane, boxes and two fields": everything,
}


@pytest.mark.parametrize("name", LARGE)
def test_single_precision_and_independence(name: str) -> None:
    features.check_single_precision(LARGE[name](), just_touching)


def test_distance_is_to_the_nearest_box_where_it_is_near() -> None:
    model = on_boxes(plane=False)
    legged = read_model(model)
    qpos, qvel, warmstart, target = cases.random_states(model, 30, np.random.default_rng(1), np.zeros(model.nu), 0.5)
    simulator = NativeSimulator(model, 1, "exact", threads=1, dtype="float64")
    packed = jnp.asarray(pack(legged, jax.tree.map(np.asarray, read_any_params(model)), 1, np, np.float64))
    _, readings = simulator.step(
        packed, cases.make_state(qpos, qvel, warmstart), target[:, :0].reshape(30, 0, model.nu)
    )
    found, data = np.asarray(readings.contact_distance), mujoco.MjData(model)
    boxes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)
    spheres = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE)
    for pose, row in zip(qpos, found, strict=True):
        data.qpos = pose
        mujoco.mj_kinematics(model, data)
        for sphere, distance in zip(spheres, row, strict=True):
            truth = min(_from_box(model, data, sphere, box) for box in boxes)
            assert distance >= truth - 1e-12
            if truth < 0:
                assert distance == pytest.approx(truth, abs=1e-12)
    assert (found < 0).any() and (found > 0.01).any()


def _from_box(model: mujoco.MjModel, data: mujoco.MjData, sphere: int, box: int) -> float:
    at = data.geom_xmat[box].reshape(3, 3).T @ (data.geom_xpos[sphere] - data.geom_xpos[box])
    beyond = np.abs(at) - model.geom_size[box]
    outside = float(np.linalg.norm(np.maximum(beyond, 0)))
    return (outside or float(beyond.max())) - float(model.geom_size[sphere, 0])


def _legs(shape: str) -> str:
    return ROBOT.replace('type="sphere" size="0.02" pos', f'name="foot" {shape} pos', 1)


STEP = terrains.box("step", np.zeros(3), np.ones(3))
UNFIT = {
    "capsule on a field": (_legs('type="capsule" size="0.02 0.03"'), terrains.field(), terrains.field_asset(),
                           r"'foot'.*capsule.*hfield 'field'"),
    "box on a box": (_legs('type="box" size="0.02 0.03 0.01"'), STEP, "", r"'foot'.*box.*box 'step'"),
    "cylinder on a field": (_legs('type="cylinder" size="0.02 0.03"'), terrains.field(), terrains.field_asset(),
                            "'foot'.*cylinder.*hfield 'field'"),
    "gap over a field": (_legs('type="sphere" size="0.02" gap="0.01"'), terrains.field(), terrains.field_asset(),
                         "'foot'.*gap"),
    "sphere wider than cells": (_legs('type="sphere" size="0.3"'), terrains.field(), terrains.field_asset(), "'field'"),
    "a capsule in the world": (ROBOT, f'<geom name="log" type="capsule" size="0.1 1" {terrains.STATIC}/>', "", "log"),
    "a second plane": (ROBOT, terrains.FLOOR.replace("floor", "second") + "/>", "", "second"),
    "a heap of boxes": (ROBOT, "".join(terrains.box(f"plank{i}", np.array([0, 0, 0.1 * i]), np.array([1, 1, 0.1]))
                                       for i in range(20)), "", "plank"),
    "many kinds of boxes": (ROBOT, "".join(
        terrains.box(f"box{i}", np.array([i, 0, 0]), np.full(3, 0.1), more=f'friction="{1 + i}"') for i in range(9)
    ), "", "box8"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_is_named(case: str) -> None:
    mjcf, geoms, assets, named = UNFIT[case]
    with pytest.raises(ValueError, match=named) as error:
        NativeSimulator(mujoco.MjModel.from_xml_string(terrains.on(mjcf, geoms, True, assets)))
    assert "mujoco" in str(error.value)


def test_nothing_to_stand_on_is_named() -> None:
    with pytest.raises(ValueError, match="no colliding plane"):
        NativeSimulator(mujoco.MjModel.from_xml_string(terrains.on(ROBOT, "", False)))
