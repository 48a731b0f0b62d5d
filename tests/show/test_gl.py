"""Physics needs no GL library: MUJOCO_GL is heeded where something is drawn, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from walkies.show.rendering import gl

DRAW = """
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
mujoco.mj_step(model, mujoco.MjData(model))
print("moves")
try:
    mujoco.Renderer(model, 32, 32)
except RuntimeError as error:
    print(error, os.environ["MUJOCO_GL"])
"""
ORDERS = {"before walkies": "import os, mujoco, walkies.errors", "after walkies": "import os, walkies.errors, mujoco"}


@pytest.mark.parametrize("order", ORDERS)
def test_a_library_that_cannot_be_loaded_hurts_only_who_draws(order: str) -> None:
    """And then its own error is told, and the user's variable is what it was. MuJoCo alone cannot even be imported."""
    program = [sys.executable, "-c", ORDERS[order] + DRAW]
    done = subprocess.run(program, env={**os.environ, "MUJOCO_GL": "none such"}, capture_output=True, text=True)
    if order == "after walkies":
        moved, told = done.stdout.splitlines()
        assert (moved, done.returncode) == ("moves", 0)
        assert "MUJOCO_GL: none such" in told and told.endswith(" none such")
    else:
        assert done.returncode == 1 and "invalid value" in done.stderr and not done.stdout


def test_the_users_own_library_is_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    assert len(gl.gl_libraries()) >= 1 and "unset" not in gl.advice() and gl.GL_PACKAGES in gl.advice()
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert gl.gl_libraries() == ["osmesa"]
    assert gl.advice().startswith("unset MUJOCO_GL") and gl.GL_PACKAGES in gl.advice()
