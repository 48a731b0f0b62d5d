"""The engine in the page is the native one: the same robot goes the same way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from in_node import in_node

from walkies.robots import get_robot, load_model
from walkies.show.share import content, wasm
from walkies.show.share.command import HERE
from walkies.show.viewer.settings import SLIDERS
from walkies.sim.base import State
from walkies.sim.native import NativeSimulator
from walkies.sim.params import nominal_params

STEPS, SUBSTEPS = 50, 5
"""A second."""
AGREE = 1e-4
"""m, rad, m/s, rad/s"""
STEP = """
  const engine = await makeEngine(data.robot, data.wasm);
  engine.rest(data.start);
  return data.targets.map((target, i) => {
    engine.target.set(target);
    engine.push.set(data.pushes[i]);
    const ok = engine.step();
    engine.place(engine.qpos);
    const names = ["qpos", "qvel", "distance", "torque", "matrices"];
    return { ok, ...Object.fromEntries(names.map((name) => [name, [...engine[name]]])) };
  });
"""


def robot_content(name: str) -> dict:
    model = load_model(get_robot(name), own_contacts=False, visuals=False)
    legged = content.read_model(model)
    return content.engine(legged, nominal_params(model, get_robot(name)), SUBSTEPS)


def moves(name: str) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Where a robot begins, and its targets (STEPS, nu) and pushes (STEPS, 3), N: it sways, and is pushed once."""
    robot = get_robot(name)
    phase = 2 * np.pi * np.arange(STEPS)[:, None] / STEPS
    targets = np.array(robot.default_pose) + 0.15 * np.sin(2 * phase + np.arange(robot.num_joints))
    pushes = np.zeros((STEPS, 3))
    pushes[25] = [3.0 * robot.mass, 8.0 * robot.mass, 0.0]
    return [0.0, 0.0, robot.reset_height[0], 1.0, 0.0, 0.0, 0.0, *robot.default_pose], targets, pushes


def in_page(folder: Path, name: str, robot: dict, push: float = 1.0) -> dict[str, np.ndarray]:
    """What it does in the page's engine."""
    start, targets, pushes = moves(name)
    data = {
        "robot": robot, "wasm": content.packed(np.frombuffer(wasm.engine_wasm(), np.uint8), "u1"),
        "start": start, "targets": targets.tolist(), "pushes": (push * pushes).tolist(),
    }  # fmt: skip
    rows = in_node(folder, (HERE / "engine.js",), STEP, data)
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def natively(name: str) -> dict[str, np.ndarray]:
    """What it does in the native engine."""
    model = load_model(get_robot(name), own_contacts=False, visuals=False)
    simulator = NativeSimulator(model, SUBSTEPS, "exact")
    params = simulator.prepare(nominal_params(model, get_robot(name)), 1)
    start, targets, pushes = moves(name)
    nv = 6 + model.nu
    state = State(jnp.array([start], jnp.float32), jnp.zeros((1, nv), jnp.float32), jnp.zeros((1, nv), jnp.float32))
    step = jax.jit(lambda *arguments: simulator.step(params, *arguments))
    rows = []
    for target, push in zip(targets, pushes, strict=True):
        held = jnp.tile(jnp.array(target, jnp.float32), (1, SUBSTEPS, 1))
        state, readings = step(state, held, jnp.array([push], jnp.float32))
        rows.append((*state[:2], readings.contact_distance, readings.joint_torque))
    names = ("qpos", "qvel", "distance", "torque")
    return {key: np.concatenate(column) for key, column in zip(names, zip(*rows, strict=True), strict=True)}


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(one[key] - other[key]).max()) for key in ("qpos", "qvel", "distance"))


@pytest.mark.parametrize("name", ["pupper", "biped"])
def test_a_robot_goes_the_same_way_in_the_page(name: str, tmp_path: Path) -> None:
    shown, native = in_page(tmp_path, name, robot_content(name)), natively(name)
    print(name, {key: float(np.abs(shown[key] - native[key]).max()) for key in native})
    assert shown["ok"].all()
    assert np.ptp(native["qpos"][:, 2]) > 0.003 and native["distance"].min() < 0.0, "it moves, on the ground"
    assert apart(shown, native) < AGREE
    if name == "biped":  # the control: three thousandths less of the push are noticed
        assert apart(in_page(tmp_path, name, robot_content(name), push=0.997), native) > AGREE


def test_the_links_are_where_mujoco_has_the_bodies(tmp_path: Path) -> None:
    robot = get_robot("hexapod")
    shown = in_page(tmp_path, robot.name, robot_content(robot.name))
    model = load_model(robot)
    legged, data = content.read_model(load_model(robot, own_contacts=False, visuals=False)), mujoco.MjData(model)
    drawn = content.shapes(robot, legged)[:-1]
    data.qpos[:] = shown["qpos"][-1]
    mujoco.mj_kinematics(model, data)
    matrices = shown["matrices"][-1].reshape(-1, 4, 4).transpose(0, 2, 1)
    places = np.array([(matrices[one["body"]] @ [*one["pos"], 1.0])[:3] for one in drawn])
    geoms = [geom for geom in content.page.drawn(model) if model.geom_bodyid[geom]]
    np.testing.assert_allclose(places, data.geom_xpos[geoms], atol=3e-5)


def test_a_robot_that_does_not_fit_the_engine_is_refused(tmp_path: Path) -> None:
    robot = robot_content("pupper")
    constants = np.frombuffer(content.base64.b64decode(robot["constants"]), "<f8")
    with pytest.raises(AssertionError, match="takes 0 parameters"):
        in_page(tmp_path, "pupper", robot | {"constants": content.packed(constants[:-1], "<f8")})


def test_numbers_that_are_none_are_noticed(tmp_path: Path) -> None:
    robot = robot_content("pupper")
    params = np.frombuffer(content.base64.b64decode(robot["params"]), "<f4").copy()
    params[0] = np.nan
    assert not in_page(tmp_path, "pupper", robot | {"params": content.packed(params, "<f4")})["ok"].any()


def test_sliders_change_what_they_say_and_nothing_else() -> None:
    robot = get_robot("biped")
    model = load_model(robot, own_contacts=False, visuals=False)
    legged, params = content.read_model(model), nominal_params(model, robot)
    nominal = content.pack(legged, params, 1, np, np.float32)[0]
    made = {}
    for slider in SLIDERS:
        if slider.name in content.WORLD:
            one = content.slider_content(slider, legged, params, robot)
            rows = np.frombuffer(content.base64.b64decode(one["rows"]), "<f4").reshape(len(one["values"]), -1)
            made[slider.name] = one, rows
            np.testing.assert_allclose(rows[one["usual"]], nominal[one["columns"]], rtol=1e-6)
    (friction, rubbed), (payload, loaded) = made["friction"], made["payload"]
    assert not set(friction["columns"]) & set(payload["columns"]), "each has its own parameters"
    np.testing.assert_allclose(rubbed[:, 0], friction["values"], rtol=1e-6)
    assert payload["values"][:3] == [0.0, 0.25, 0.5] and payload["values"][-1] == 7.5, "numbers that people like"
    # Mass, then the centre of mass: between the trunk's and the load's, by their masses.
    kg, trunk = np.array(payload["values"]), float(params.body_mass[0, 0])
    np.testing.assert_allclose(loaded[:, 0], trunk + kg, rtol=1e-6)
    height = (trunk * params.body_ipos[0, 0, 2] + kg * robot.payload_height) / (trunk + kg)
    column = payload["columns"].index(3)
    np.testing.assert_allclose(loaded[:, column], height, atol=1e-6)
    heavy = replace(robot, payload_height=2 * robot.payload_height)  # the control
    other = content.slider_content(next(s for s in SLIDERS if s.name == "payload"), legged, params, heavy)
    assert other["rows"] != payload["rows"]
