"""One switch turns off all acceleration but the native simulator's, and `accel` defines nothing that learning means."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import walkies.accel
from walkies.accel import library
from walkies.cli import doctor
from walkies.errors import UserError

PROGRAM = """
import json
from dataclasses import replace
import jax
from walkies.accel import library, random
from walkies.rl import train
from walkies.run.config import WALKING_RECIPE, TrainConfig, build

recipe = replace(WALKING_RECIPE, num_envs=16)
env = build(TrainConfig(recipe=recipe))
program = ""
for recipe in (recipe, replace(recipe, objective="surrogate")):  # which the call of all of PPO's update does not know
    state = train.shapes(recipe, env, jax.random.key(0))
    program += str(jax.make_jaxpr(lambda state: train.iterate(recipe, env, state))(state))
    assert (library.PPO_TARGET in program) == library.available()
accelerated = ("walkies_network_forward", "walkies_network_backward", *(getattr(library, f"{name}_TARGET")
               for name in ("PPO", "ADAM", "RANDOM", "PERMUTATION", "ROWS", "REPLACE")))
print(json.dumps({name: name in program for name in (*accelerated, library.TARGETS["float32"])}))
"""


@pytest.mark.parametrize(("value", "on"), [("0", False), ("1", True)])
def test_the_switch_turns_all_of_it_off_but_the_simulator(value, on):
    """In the programs of two trainings of Pupper. Control: switched on, all of it is there."""
    environment = os.environ | {library.SWITCH: value}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, check=True, text=True, stdout=subprocess.PIPE
    )
    found = json.loads(run.stdout)
    assert found.pop(library.TARGETS["float32"]) is True
    assert len(found) == 8 and set(found.values()) == {on}, found


def test_the_switch_is_named_where_it_is_wrong_or_off(monkeypatch):
    monkeypatch.setenv(library.SWITCH, "0")
    finding = doctor.engine()
    assert finding.status == "note" and library.SWITCH in finding.advice
    monkeypatch.setenv(library.SWITCH, "off")
    with pytest.raises(UserError, match=r"WALKIES_ACCEL is 'off'; expected 0 or 1"):
        library.switched_on()
    monkeypatch.delenv(library.SWITCH)
    assert library.switched_on() and doctor.engine().status == "ok"


def imported(source: str) -> set[str]:
    """Modules of walkies that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("walkies.")}


def test_acceleration_imports_nothing_of_the_course():
    """It may not define what it accelerates. Control: an import within a function is seen."""
    for path in Path(walkies.accel.__file__).parent.glob("*.py"):
        found = imported(path.read_text(encoding="utf-8"))
        assert not {name for name in found if name.startswith("walkies.rl")}, path.name
    assert "walkies.rl.networks" in imported("def f():\n    from walkies.rl import networks\n")
