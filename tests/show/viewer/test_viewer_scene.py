"""Shapes of the 3-D view are MuJoCo's, and a field of robots fits on its square."""

from __future__ import annotations

import io
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from walkies.robots import get_robot, load_model
from walkies.show.viewer.learn import SPACING, spread
from walkies.show.viewer.scene import COARSE, FINE, Scene, body_glb, linear, poses, shape_mesh, shapes_of
from walkies.show.viewer.view import View

SHAPES = {
    "sphere": ('type="sphere" size="0.1"', 4 / 3 * np.pi * 0.1**3),
    "ellipsoid": ('type="ellipsoid" size="0.1 0.2 0.3"', 4 / 3 * np.pi * 0.1 * 0.2 * 0.3),
    "box": ('type="box" size="0.1 0.2 0.3"', 8 * 0.1 * 0.2 * 0.3),
    "cylinder": ('type="cylinder" size="0.1 0.2"', np.pi * 0.1**2 * 0.4),
    "capsule": ('type="capsule" size="0.1 0.2"', np.pi * 0.1**2 * 0.4 + 4 / 3 * np.pi * 0.1**3),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_mesh_has_its_geoms_volume_and_place(name: str) -> None:
    attributes, volume = SHAPES[name]
    xml = f'<mujoco><worldbody><body><geom {attributes} pos="1 2 3" euler="30 40 50"/></body></worldbody></mujoco>'
    model = mujoco.MjModel.from_xml_string(xml)
    mesh = shape_mesh(model, 0)
    assert mesh.volume == pytest.approx(volume, rel=0.08)
    assert mesh.volume <= volume * 1.0001, "triangles lie inside round shapes"
    np.testing.assert_allclose(mesh.center_mass, model.geom_pos[0], atol=1e-6)


def test_many_robots_are_drawn_from_fewer_triangles() -> None:
    model = load_model(get_robot("pupper"))
    assert len(body_glb(model, 1, COARSE)) < 0.6 * len(body_glb(model, 1, FINE))


def test_a_shape_that_cannot_be_drawn_is_refused() -> None:
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom type="plane" size="1 1 1"/></worldbody></mujoco>')
    with pytest.raises(ValueError, match="PLANE"):
        shape_mesh(model, 0)


def test_every_body_of_the_robot_is_drawn_in_its_own_colours() -> None:
    model = load_model(get_robot("pupper"))
    drawn = [body for body in range(model.nbody) if shapes_of(model, body)]
    assert drawn == list(range(1, model.nbody))
    scene = trimesh.load(io.BytesIO(body_glb(model, 1)), file_type="glb")
    materials = {int(model.geom_matid[geom]) for geom in shapes_of(model, 1)}
    assert len(scene.geometry) == len(materials) > 1
    colours = {tuple(mesh.visual.material.baseColorFactor[:3]) for mesh in scene.geometry.values()}
    assert colours == {
        tuple(np.round(255 * linear(model.mat_rgba[material][:3].astype(float))).astype(int)) for material in materials
    }


def test_colours_become_linear_light() -> None:
    np.testing.assert_allclose(linear(np.array([0.0, 1.0, 0.5, 0.5])), [0.0, 1.0, 0.21404, 0.5], atol=1e-5)


def test_the_world_is_carried_under_the_camera() -> None:
    server = View()
    try:
        model = load_model(get_robot("pupper"))
        scene = Scene(server, model, 2)
        scene.follow(np.array([0.5, 0.0, 0.0]), 0.01)
        np.testing.assert_allclose(scene.world.position, (-0.5, 0.0, 0.0), atol=1e-6)
        scene.follow(np.array([0.6, 0.0, 0.0]), 0.01)
        assert -0.52 < scene.world.position[0] < -0.5, "softly"
        scene.follow(np.array([5.0, 0.0, 0.0]), 0.01)
        assert scene.world.position[0] == pytest.approx(-5.0), "but not after a robot that was put elsewhere"
        eye, along = np.array([1.0, 0.0, 0.0]), np.array([-1.0, 0.0, 0.0])
        assert scene.hit(eye, along, np.array([5.1, 0.1, 0.0]), 0.15), "the ray is the view's, the point the world's"
        assert not scene.hit(eye, along, np.array([5.1, 0.2, 0.0]), 0.15)
        assert not scene.hit(eye, -along, np.array([5.1, 0.1, 0.0]), 0.15), "behind the eye"
        xpos, xquat = (np.random.default_rng(0).random((2, model.nbody, size)) for size in (3, 4))
        scene.show(xpos, xquat)
        assert sorted(body for bodies in scene.bodies for body in bodies) == list(range(1, model.nbody))
        assert len(scene.bodies) == 5, "trunk, hips, thighs, and shanks of either side"
        for handle, bodies in zip(scene.handles, scene.bodies, strict=True):
            assert len({body_glb(model, body) for body in bodies}) == 1, "they look the same"
            for robot in range(2):
                for place, body in enumerate(bodies):
                    row = robot * len(bodies) + place
                    np.testing.assert_allclose(handle.batched_positions[row], xpos[robot, body], rtol=1e-6)
                    np.testing.assert_allclose(handle.batched_wxyzs[row], xquat[robot, body], rtol=1e-6)
        assert server.request_share_url() is None
    finally:
        server.stop()


def test_a_ghost_is_there_only_when_it_is_asked_for_and_where_it_is_told() -> None:
    server, robot = View(), get_robot("pupper")
    try:
        model = load_model(robot)
        scene = Scene(server, model)
        scene.haunt(None)
        assert scene.ghosts == [] and not scene.ghost.visible
        qpos = np.array([0.1, 0.2, 0.3, 1.0, 0.0, 0.0, 0.0, *robot.default_pose])
        scene.haunt(qpos)
        xpos, xquat = poses(model, mujoco.MjData(model), qpos[None])
        assert scene.ghost.visible and len(scene.ghosts) == len(scene.bodies)
        for ghost, solid, group in zip(scene.ghosts, scene.handles, scene.bodies, strict=True):
            np.testing.assert_allclose(ghost.batched_positions, xpos[0, group], rtol=1e-6)
            np.testing.assert_allclose(ghost.batched_wxyzs, xquat[0, group], rtol=1e-6)
            assert ghost.name.startswith(f"{scene.ghost.name}/") and ghost.opacity < 1.0, "hidden with it"
            assert not np.any(solid.batched_positions), "the robot itself is elsewhere"
        assert sum(len(ghost.vertices) for ghost in scene.ghosts) > 100
        scene.haunt(None)
        assert not scene.ghost.visible
    finally:
        server.stop()


def test_the_field_has_a_place_for_each_and_nobody_leaves_it() -> None:
    start = np.zeros((16, 19))
    places = spread(start)[:, :2]
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)[~np.eye(16, dtype=bool)]
    assert gaps.min() == pytest.approx(SPACING)
    far = start.copy()
    far[:, :2] = np.random.default_rng(1).normal(0, 20, (16, 2))
    assert np.all(np.abs(spread(far)[:, :2]) <= 2 * SPACING)
    small = start.copy()
    small[5, :2] += (0.1, -0.2)
    np.testing.assert_allclose(spread(small)[5, :2] - places[5], (0.1, -0.2))


def test_poses_are_mujocos() -> None:
    robot = get_robot("pupper")
    model = load_model(robot)
    data = mujoco.MjData(model)
    qpos = np.tile([0.0, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0, *robot.default_pose], (2, 1))
    qpos[1, 0] = 7.0
    xpos, xquat = poses(model, data, qpos)
    np.testing.assert_allclose(xpos[1, 1:] - xpos[0, 1:], np.tile([7.0, 0.0, 0.0], (model.nbody - 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(xquat, axis=-1), 1.0)


def test_the_static_files_are_all_there() -> None:
    import walkies.show.viewer.server as server

    names = {path.name for path in server.STATIC.iterdir()}
    scripts, styles = {"link.js", "viewer.js", "drive.js", "plots.js"}, {"viewer.css", "drive.css"}
    assert {"index.html", "icon.svg", *scripts, *styles} == names
    page = (server.STATIC / "index.html").read_text()
    assert "http" not in page.replace("http-equiv", ""), "nothing is loaded from elsewhere"
    assert all(Path(name).suffix in server.MIME for name in names)
