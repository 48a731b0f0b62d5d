"""Laws that every simulator obeys, each to its own tolerance.

One table has the tolerances; docs/simulators.md shows it with measured errors (`python -m sim.conformance` in tests/).
Every law comes with a negative control: the same measurement of wrong physics must exceed the tolerance of every
engine.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from sim import conformance as laws
from sim.conformance import ENGINES, TOLERANCES, simulator
from walkies.robots import get_robot
from walkies.sim.other.install import PACKAGES, installs, is_installed


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if not is_installed(request.param):
        pytest.skip(f"not installed: {installs(request.param)}")
    return request.param


@pytest.mark.parametrize("law", TOLERANCES)
def test_a_law_holds(engine: str, law: str) -> None:
    error = laws.MEASURES[law](engine)
    assert error < TOLERANCES[law][engine], f"{law}: {error:g}"


@pytest.mark.parametrize("law", TOLERANCES)
def test_wrong_physics_is_noticed(engine: str, law: str) -> None:
    error = laws.MEASURES[law](engine, wrong=True)
    assert error > 2 * TOLERANCES[law][engine], f"{law}: {error:g}"


def other(engine: str, name: str) -> Any:
    """An engine and a robot. MJX is compiled for every robot, which takes a third of a minute."""
    return pytest.param(engine, name, marks=pytest.mark.proof if (engine, name) == ("mjx", laws.OTHERS[-1]) else ())


@pytest.mark.parametrize(
    ("engine", "name"), [other(engine, name) for name in laws.OTHERS for engine in ENGINES], indirect=["engine"]
)
def test_laws_hold_of_other_robots(engine: str, name: str) -> None:
    """Control: wrong physics is noticed."""
    robot = get_robot(name)
    for law, (measure, tolerances) in laws.ANY_ROBOT.items():
        right, wrong = measure(engine, robot=robot), measure(engine, wrong=True, robot=robot)
        assert right < tolerances[engine] < wrong / 2, f"{law}: {right:g}, wrong {wrong:g}"


def test_the_same_call_gives_the_same_bits_whatever_came_before(engine: str) -> None:
    """Determinism, and no residue of what the simulator did in between: contacts, torques, forces, broken robots."""
    made = simulator(engine)
    first = laws.tumble(made)
    laws.tumble(made, seed=1, force=(30.0, -20.0, 10.0))
    laws.tumble(made, broken=True)
    assert laws.same_bits(first, laws.tumble(made))
    assert laws.same_bits(first, laws.tumble(laws.fresh(engine)))
    assert not laws.same_bits(first, laws.tumble(made, nudge=1e-6))


def test_a_batch_of_one_is_a_row_of_a_batch(engine: str) -> None:
    made = simulator(engine)
    batch = laws.tumble(made, rows=range(4))
    for row in (0, 3):
        alone = laws.tumble(made, rows=[row])
        difference = laws.difference(alone, jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], batch))
        assert difference <= laws.ROW_OF_A_BATCH.get(engine, 0.0)
        assert laws.difference(alone, jax.tree.map(lambda leaf: leaf[1:2], batch)) > 0.1


def test_residue_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """DART's detector, unless it is a new one, finds contacts in an order that depends on earlier ones."""
    pytest.importorskip(PACKAGES["dart"], reason=installs("dart"))
    made = laws.fresh("dart")

    class Remembers:
        """Its world, but for the new detector."""

        world = made._engine._world
        setCollisionDetector = staticmethod(lambda _: None)

        def __getattr__(self, name: str) -> object:
            return getattr(self.world, name)

    monkeypatch.setattr(made._engine, "_world", Remembers())
    batch = laws.tumble(made, rows=range(4))
    alone = laws.tumble(made, rows=[3])
    assert not laws.same_bits(alone, jax.tree.map(lambda leaf: leaf[3:4], batch))


def test_contact_forces_are_of_the_right_spheres(engine: str) -> None:
    """A robot that stands on its feet, nothing else; and one that lies on its back, on its trunk."""
    standing, lying = laws.loaded(engine)
    assert standing == laws.FEET
    assert lying and not lying & laws.FEET and lying <= laws.TORSO


def test_the_ranges_of_the_table_are_those_of_the_simulators() -> None:
    assert all(set(row) == set(ENGINES) for row in TOLERANCES.values())
    assert set(TOLERANCES) == set(laws.MEASURES)
    assert np.array([list(row.values()) for row in TOLERANCES.values()]).min() > 0
