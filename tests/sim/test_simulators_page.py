"""docs/simulators.md says what the code says."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from sim.conformance import ANY_ROBOT, ENGINES, TOLERANCES
from walkies.errors import UserError
from walkies.robots import PUPPER
from walkies.sim import make_simulator
from walkies.sim.other import contacts
from walkies.sim.other.install import NEWTON_PACKAGES, PACKAGES, is_installed, newton_folder

PAGE = (Path(__file__).parents[2] / "docs" / "simulators.md").read_text(encoding="utf-8")


def test_the_table_of_parameters_is_the_codes() -> None:
    assert contacts.table() in PAGE


def has_row(text: str, law: str, tolerances: dict[str, float]) -> None:
    """Its line in the text has every engine's tolerance, and an error below it."""
    line = re.search(rf"^\| {law} \|(.*)\|$", text, re.MULTILINE)
    assert line, law
    cells = [re.fullmatch(r" (\S+) \((\S+)\) ", cell) for cell in line[1].split("|")]
    for engine, cell in zip(ENGINES, cells, strict=True):
        assert cell and float(cell[1]) < float(cell[2]) == tolerances[engine], (law, engine)


def test_tolerances_are_the_suites_and_errors_are_below() -> None:
    others = PAGE.index("with other robots too")
    for law, tolerances in TOLERANCES.items():
        has_row(PAGE[:others], law, tolerances)
    for law, (_, tolerances) in ANY_ROBOT.items():
        has_row(PAGE[others:], law, tolerances)


@pytest.mark.parametrize(("engine", "package"), PACKAGES.items())
def test_a_missing_engine_says_how_to_install_it(engine: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"pip install 'walkies\[{engine}\]'") as error:
        make_simulator(engine, PUPPER)
    assert "\n" not in str(error.value)


def test_what_is_installed_is_found_and_what_is_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed("native") and is_installed("mujoco")
    for package, there in (("json.decoder", True), ("json.nothing", False), ("nothing.at.all", False)):
        monkeypatch.setitem(PACKAGES, "mjx", package)
        assert is_installed("mjx") == there


def test_every_package_is_an_extra_of_its_simulators_name() -> None:
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert extras["project"]["optional-dependencies"].keys() >= PACKAGES.keys() <= set(ENGINES)


def test_the_page_installs_what_newton_needs_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    folder = f"~/{newton_folder().relative_to(Path.home())}"
    assert f"python3 -m venv {folder}\n{folder}/bin/python -m pip install {' '.join(NEWTON_PACKAGES)}\n" in PAGE


def test_a_solref_becomes_a_share_of_depth() -> None:
    """Closed form of a critically damped contact: after its time constant a share 1/e of the depth is left."""
    steps, time_constant = 1000, 0.02
    share = contacts.error_reduction((time_constant, 1.0), time_constant / steps)
    assert abs((1 - share) ** steps - 0.36787944) < 1e-6
    assert abs(contacts.error_reduction((-1.0, -100.0), 0.004) - contacts.error_reduction((0.02, 1.0), 0.004)) < 1e-12
