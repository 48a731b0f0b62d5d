"""Contacts of the robot's own parts with one another: one physics step in float64 against MuJoCo's converged one, in
states in which parts do touch, on the ground and in the air; which pairs count; and that no robot feels another's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import made_trees
from sim import native_cases as cases
from sim import test_native_features as features
from walkies.sim.engine.model import (
    COLLIDER_NUMBERS,
    JOINT_NUMBERS,
    MODEL_NUMBERS,
    PAIR_NUMBERS,
    LeggedModel,
    pack,
    read_model,
)
from walkies.sim.native import NativeSimulator
from walkies.sim.params import on_itself, read_any_params

BOUND = features.BOUND
STATES = 40


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def limb(shape: str, radius: float, length: float) -> str:
    """A link's collider, from its joint downwards."""
    if shape == "sphere":
        return f'<geom class="collider" type="sphere" size="{radius}" pos="0.01 0 {-length / 2}"/>'
    return f'<geom class="collider" type="capsule" size="{radius}" fromto="0 0 0 0.01 0.02 {-length}"/>'


def touchy(
    chains: Sequence[made_trees.Chain] = made_trees.BIPED,
    shin: str = "capsule",
    foot: str = "capsule",
    condim: int = 3,
    collider: str = "",
    option: str = '<flag eulerdamp="disable"/>',
) -> mujoco.MjModel:
    """A robot whose limbs are thick and touch one another."""
    chains = [dataclasses.replace(c, bend=limb(shin, 0.05, 0.13), tip=limb(foot, 0.04, 0.1)) for c in chains]
    text = made_trees.mjcf(chains).replace('contype="0"', 'contype="1"').replace('condim="3"', f'condim="{condim}"')
    text = text.replace('<geom mass="0"', f'<geom {collider} mass="0"').replace('<flag eulerdamp="disable"/>', option)
    model = mujoco.MjModel.from_xml_string(text)
    for geom in range(model.ngeom):
        if not model.geom(geom).name:
            continue
    return model


def different_surfaces() -> mujoco.MjModel:
    """Parts that differ in friction, solref, solimp, margin, priority and condim's partner."""
    model, rng = touchy(condim=4), np.random.default_rng(3)
    for geom in range(1, model.ngeom):
        model.geom_friction[geom] = rng.uniform(0.8, 2), rng.uniform(0.01, 0.05), 0.001
        model.geom_solref[geom, 0] = rng.choice([0.03, 0.02])
        model.geom_solimp[geom, 0] = rng.choice([0.2, 0.5])
        model.geom_margin[geom] = rng.choice([0, 0.013])
        model.geom_priority[geom] = rng.choice([0, 1])
    return model


TOUCHY: dict[str, Callable[[], mujoco.MjModel]] = {
    "spheres": lambda: touchy(shin="sphere", foot="sphere"),
    "spheres and capsules": lambda: touchy(foot="sphere"),
    **{
        f"capsules, condim {condim}": lambda condim=condim: touchy(
            condim=condim, collider=f'friction="0.7 0.03 0.02" margin="{0.01 * (condim == 3)}"'
        )
        for condim in (1, 3, 4, 6)
    },
    "different surfaces": different_surfaces,
    "implicit damping": lambda: touchy(option=""),
    "hexapod": lambda: touchy(made_trees.HEXAPOD, foot="sphere"),
    "humanoid": lambda: touchy(made_trees.HUMANOID, foot="sphere"),
}


def errors(
    model: mujoco.MjModel, legged: LeggedModel | None = None, states: int = STATES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors (states,) as features.errors has them, and how many contacts of the robot with itself there were
    in each state."""
    found, contacts = features.errors(model, seed, legged or read_model(model, "all"), states)
    return found, np.array(contacts)


@pytest.mark.parametrize("name", TOUCHY)
def test_self_contacts_equal_mujoco(name: str) -> None:
    found, contacts = errors(TOUCHY[name]())
    print(name, found.max(), contacts)
    assert found.max() <= BOUND
