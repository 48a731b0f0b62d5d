"""Loading a robot without its looks changes nothing that physics knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from walkies import robots
from walkies.robots import PUPPER, load_model
from walkies.robots.base import Robot

MASS_IN_LOOKS = """
<mujoco>
  <compiler {compiler}/>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body name="base_link" pos="0 0 1">
      <freejoint/>
      <geom group="2" contype="0" conaffinity="0" type="box" size=".3 .1 .05" mass="5" pos=".01 .02 .03"/>
      <geom group="2" name="bumper" type="sphere" size=".05" mass="1.5" pos="0 0 -.1"/>
      <geom group="3" type="sphere" size=".05" mass=".3"/>
      <body pos=".1 0 0" quat=".9 .1 .2 .3">
        <joint axis="0 1 0"/>
        <geom group="2" contype="0" conaffinity="0" type="capsule" fromto="0 0 0 .1 .05 -.2" size=".02" density="700"/>
        <geom group="3" type="sphere" size=".02" pos=".1 .05 -.2" mass=".01"/>
        <body pos="0 0 -.2">
          <joint axis="0 1 0"/>
          <inertial mass=".2" pos="0 0 -.01" diaginertia="1e-4 2e-4 2.5e-4"/>
          <geom group="2" contype="0" conaffinity="0" type="sphere" size=".01" mass="3"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
INERTIA = ("body_mass", "body_subtreemass", "body_ipos", "body_iquat", "body_inertia", "body_invweight0")


def robot_of(folder: Path, compiler: str) -> Robot:
    (folder / "robot.xml").write_text(MASS_IN_LOOKS.format(compiler=compiler))
    return replace(PUPPER, mjcf=folder / "robot.xml")


def difference(one: mujoco.MjModel, other: mujoco.MjModel) -> float:
    """Largest relative difference of what the bodies weigh, and where."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in INERTIA]
    return max(float(np.max(np.abs(a - b) / (1.0 + np.abs(a)))) for a, b in pairs)


@pytest.mark.filterwarnings("ignore:compiler attribute 'settotalmass'")
@pytest.mark.parametrize(
    "compiler",
    ["", 'inertiafromgeom="true"', 'inertiagrouprange="2 2"', 'balanceinertia="true"', 'settotalmass="11.8"'],
)
def test_mass_stays_when_looks_go(tmp_path, monkeypatch, compiler):
    """Control: only deleted, as before, the same geoms take their mass along."""
    robot = robot_of(tmp_path, compiler)
    whole, bare = load_model(robot), load_model(robot, visuals=False)
    assert bare.ngeom == whole.ngeom - 3 and difference(whole, bare) < 1e-12
    assert bare.geom("bumper").contype[0] == 1, "what collides is no mere look, whatever its group"
    monkeypatch.setattr(robots, "_freeze_inertia", lambda spec: None)
    try:
        assert difference(whole, load_model(robot, visuals=False)) > 0.1
    except ValueError as error:  # where only looks weigh, nothing is left
        assert "mass and inertia of moving bodies must be larger" in str(error)


def test_pupper_without_looks_is_pupper():
    whole, bare = load_model(PUPPER), load_model(PUPPER, visuals=False)
    assert bare.ngeom < whole.ngeom and difference(whole, bare) == 0.0
