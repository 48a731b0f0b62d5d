"""Robots in viser: the shapes of a MuJoCo model, many copies of it, on a ground that slides by under the camera.

The camera stays where the person has put it, and the world moves instead: it is carried against the robot's own path,
smoothed, so that looking around and being followed do not fight. (mjviser, looked at for this, follows rigidly, brings
a panel of its own and has no tilted ground; what is needed here is the little below.)
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import trimesh
import viser
from trimesh.visual.material import PBRMaterial

from walkies.later import mujoco
from walkies.robots import VISUAL_GROUP

FOLLOW = 0.35
"""s over which the camera follows."""
JUMP = 1.0
"""m: the camera jumps at once to what is farther away."""
LOOK_AT = (0.0, 0.0, 0.1)
EYE = (-0.75, -0.6, 0.5)
"""m, where the camera starts, from what it follows: behind the robot, so that "left" is left on the screen."""


class Detail(NamedTuple):
    """How finely round shapes are cut into triangles."""

    capsule: int
    """Sections around and along."""
    cylinder: int
    sphere: int
    """Subdivisions of an icosahedron."""


GHOST_COLOUR, GHOST_OPACITY = (86, 180, 233), 0.5
"""The sky blue of Okabe and Ito (2008): no robot's own, and light enough to be seen through."""

FINE, COARSE = Detail(14, 24, 2), Detail(8, 12, 1)
"""For one robot, and for many or a ghost."""


class Scene:
    """`count` robots of one model, each with its own pose."""

    def __init__(self, server: viser.ViserServer, model: mujoco.MjModel, count: int = 1, distance: float = 1.0) -> None:
        """model: with its visual shapes. distance: how far away the camera starts, in units of `EYE`."""
        self.server, self.count = server, count
        self._centre: np.ndarray | None = None
        scene = server.scene
        scene.set_up_direction("+z")
        scene.configure_environment_map("studio", environment_intensity=0.2)
        self.cast_shadows(False)
        server.gui.configure_theme(show_logo=False, show_share_button=False)
        server.initial_camera.look_at = LOOK_AT
        server.initial_camera.position = np.array(LOOK_AT) + distance * np.array(EYE)
        server.initial_camera.fov = np.radians(45.0)
        self.world = scene.add_frame("/world", show_axes=False)
        self.ground = scene.add_grid(
            "/world/ground", infinite_grid=True, cell_size=0.1, section_size=0.5, cell_color=(150, 155, 160),
            section_color=(120, 128, 136), cell_thickness=0.6, section_thickness=1.0, fade_distance=6.0 * distance,
            shadow_opacity=0.35, plane_color=(128, 134, 140), plane_opacity=0.12,
        )  # fmt: skip
        alike: dict[bytes, list[int]] = {}
        for body in range(model.nbody):
            if shapes_of(model, body):
                alike.setdefault(body_glb(model, body, FINE if count == 1 else COARSE), []).append(body)
        self.model, self._data = model, mujoco.MjData(model)
        self.bodies = list(alike.values())
        """Bodies that look the same, such as the four thighs: a handle each group, for sending costs by handle."""
        self.handles = [
            scene.add_batched_glb(
                f"/world/{model.body(bodies[0]).name}",
                looks,
                np.tile([1.0, 0.0, 0.0, 0.0], (count * len(bodies), 1)),
                np.zeros((count * len(bodies), 3)),
                lod="off",
            )
            for looks, bodies in alike.items()
        ]
        self.ghost = scene.add_frame("/world/ghost", show_axes=False, visible=False)
        self.ghosts: list[Any] = []
        """As `handles`, once a ghost has been shown."""
        self.payload = scene.add_box("/world/payload", color=(95, 102, 112), dimensions=(1.0, 1.0, 1.0), visible=False)

    def show(self, xpos: np.ndarray, xquat: np.ndarray) -> None:
        """Pose all robots: positions (count, nbody, 3) and quaternions w x y z (count, nbody, 4) in the world."""
        self._pose(self.handles, xpos, xquat)

    def haunt(self, qpos: np.ndarray | None) -> None:
        """Show a translucent robot in a configuration (nq,), or none."""
        if qpos is not None:
            self.ghosts = self.ghosts or [self._translucent(bodies) for bodies in self.bodies]
            self._pose(self.ghosts, *poses(self.model, self._data, qpos[None]))
        self.ghost.visible = qpos is not None

    def _pose(self, handles: list[Any], xpos: np.ndarray, xquat: np.ndarray) -> None:
        with self.server.atomic():
            for handle, bodies in zip(handles, self.bodies, strict=True):
                handle.batched_positions = xpos[:, bodies].reshape(-1, 3).astype(np.float32)
                handle.batched_wxyzs = xquat[:, bodies].reshape(-1, 4).astype(np.float32)

    def _translucent(self, bodies: list[int]) -> Any:
        """A handle of bodies that look the same, in the ghost's colour: without materials, in one mesh."""
        shapes = [shape_mesh(self.model, geom, COARSE) for geom in shapes_of(self.model, bodies[0])]
        mesh: Any = trimesh.util.concatenate(shapes)
        return self.server.scene.add_batched_meshes_simple(
            f"/world/ghost/{self.model.body(bodies[0]).name}", mesh.vertices, mesh.faces,
            np.tile([1.0, 0.0, 0.0, 0.0], (len(bodies), 1)), np.zeros((len(bodies), 3)),
            batched_colors=GHOST_COLOUR, opacity=GHOST_OPACITY, flat_shading=True, lod="off",
            cast_shadow=False, receive_shadow=False,
        )  # fmt: skip

    def follow(self, point: np.ndarray, passed: float) -> None:
        """Bring `point` (3,) towards the middle of the view; `passed`: s since the last call."""
        if self._centre is None or np.linalg.norm(point - self._centre) > JUMP:
            self._centre = np.array(point, float)
        self._centre = self._centre + (1.0 - np.exp(-passed / FOLLOW)) * (point - self._centre)
        self.world.position = -self._centre

    def hit(self, origin: np.ndarray, direction: np.ndarray, point: np.ndarray, radius: float) -> bool:
        """Whether a ray of the view, `direction` of length 1, passes within `radius` m of `point` of the world."""
        centre = np.zeros(3) if self._centre is None else self._centre
        towards = point - centre - origin
        return bool(towards @ direction > 0.0 and np.linalg.norm(np.cross(direction, towards)) < radius)

    def cast_shadows(self, wanted: bool) -> None:
        """Whether the lights cast shadows: pretty, and too much for a machine that draws in software."""
        self.server.scene.configure_default_lights(True, cast_shadow=wanted)

    def tilt(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Where the ground lies."""
        self.ground.position, self.ground.wxyz = position, quaternion

    def carry(self, position: np.ndarray, quaternion: np.ndarray, side: float) -> None:
        """Show a cube of `side` m as the robot's load; none where `side` is 0."""
        self.payload.visible = side > 0.0
        if side > 0.0:
            self.payload.scale = side
            self.payload.position, self.payload.wxyz = position, quaternion


def poses(model: mujoco.MjModel, data: mujoco.MjData, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, nbody, 3) and quaternions (n, nbody, 4) of all bodies in configurations (n, nq)."""
    xpos, xquat = np.empty((len(qpos), model.nbody, 3)), np.empty((len(qpos), model.nbody, 4))
    for index, one in enumerate(qpos):
        data.qpos[:] = one
        mujoco.mj_kinematics(model, data)
        xpos[index], xquat[index] = data.xpos, data.xquat
    return xpos, xquat


def shapes_of(model: mujoco.MjModel, body: int) -> list[int]:
    """Geoms of a moving body that are there for the eye."""
    if body == 0:
        return []
    return [geom for geom in range(model.ngeom)
            if model.geom_bodyid[geom] == body and model.geom_group[geom] == VISUAL_GROUP]  # fmt: skip


def body_glb(model: mujoco.MjModel, body: int, detail: Detail = FINE) -> bytes:
    """A body's visual shapes in its own frame as binary glTF, one mesh per material."""
    by_material: dict[int, list[trimesh.Trimesh]] = {}
    for geom in shapes_of(model, body):
        by_material.setdefault(int(model.geom_matid[geom]), []).append(shape_mesh(model, geom, detail))
    scene = trimesh.Scene()
    for material, meshes in by_material.items():
        mesh: Any = trimesh.util.concatenate(meshes)
        mesh.visual = trimesh.visual.TextureVisuals(material=_material(model, material, shapes_of(model, body)[0]))
        scene.add_geometry(mesh)
    buffer = io.BytesIO()
    scene.export(buffer, file_type="glb")
    return buffer.getvalue()


def shape_mesh(model: mujoco.MjModel, geom: int, detail: Detail = FINE) -> trimesh.Trimesh:
    """One primitive as triangles in its body's frame.

    Raises:
        ValueError: the geom is no sphere, capsule, cylinder, ellipsoid or box.
    """
    kind, size = mujoco.mjtGeom(int(model.geom_type[geom])), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        mesh = trimesh.creation.box(extents=2.0 * size)
    elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        mesh = trimesh.creation.capsule(height=2.0 * size[1], radius=size[0], count=(detail.capsule, detail.capsule))
        mesh.apply_translation((0.0, 0.0, -mesh.bounds.mean(axis=0)[2]))
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        mesh = trimesh.creation.cylinder(radius=size[0], height=2.0 * size[1], sections=detail.cylinder)
    elif kind in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_ELLIPSOID):
        mesh = trimesh.creation.icosphere(subdivisions=detail.sphere)
        mesh.apply_scale(np.repeat(size[0], 3) if kind == mujoco.mjtGeom.mjGEOM_SPHERE else size)
    else:
        raise ValueError(f"geom {geom}: expected a sphere, capsule, cylinder, ellipsoid or box, got {kind.name}")
    pose = np.eye(4)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    pose[:3, :3], pose[:3, 3] = rotation.reshape(3, 3), model.geom_pos[geom]
    mesh.apply_transform(pose)
    return mesh


def _material(model: mujoco.MjModel, material: int, geom: int) -> Any:
    """MuJoCo's material as a physically based one: shininess is smoothness, emission shines in its own colour."""
    if material < 0:
        return PBRMaterial(baseColorFactor=_eight_bit(model.geom_rgba[geom]), metallicFactor=0.0, roughnessFactor=0.6)
    colour = model.mat_rgba[material]
    return PBRMaterial(
        baseColorFactor=_eight_bit(colour),
        metallicFactor=0.0,
        roughnessFactor=float(1.0 - 0.7 * model.mat_shininess[material]),
        emissiveFactor=(linear(colour)[:3] * model.mat_emission[material]).tolist(),
    )


def linear(colour: np.ndarray) -> np.ndarray:
    """MuJoCo's colours are sRGB, glTF's linear (IEC 61966-2-1); (3,) or (4,) in [0, 1], opacity unchanged."""
    light = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return np.concatenate([light[:3], colour[3:]])


def _eight_bit(colour: np.ndarray) -> list[int]:
    return np.round(255.0 * linear(colour)).astype(int).tolist()
