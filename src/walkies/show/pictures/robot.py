"""A picture of what was read from a robot's model: joints, spheres on the ground, centre of mass, support polygon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from walkies.later import mujoco
from walkies.robots import get_robot, in_default_pose, load_model
from walkies.robots.base import Robot
from walkies.robots.folders import MODEL, RECORD
from walkies.robots.pose import own_folder
from walkies.show.pictures import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "robot.png"
"""In a robot's folder."""
VIEWS = (("from the left", 0, 2, "forward, m", "up, m"), ("from above", 0, 1, "forward, m", "to the left, m"),
         ("from the front", 1, 2, "to the left, m", "up, m"))  # fmt: skip
"""Name, axes of the world to the right and upward, and what these are called."""
COLOURS = {"feet": "#2a7f3f", "knees": "#b8860b", "torso": "#9a2f2f", "other": "#888888"}


def refresh(name: str) -> str | None:
    """Draw the picture of a robot in the working folder again, where its record or model is newer or there is none.

    Returns a sentence about what was drawn, or why it could not be; None if the picture is as new as its robot, or the
    robot has no folder there.
    """
    folder = own_folder(name)
    if folder is None:
        return None
    picture = folder / PICTURE
    changed = max((folder / part).stat().st_mtime_ns for part in (RECORD, MODEL))
    if picture.is_file() and picture.stat().st_mtime_ns >= changed:
        return None
    try:
        draw(get_robot(name), picture)
    except OSError as error:  # a folder that may only be read keeps nobody from training
        return f"{picture} cannot be drawn: {error}"
    return f"Drawn as {RECORD} now is: {picture}"


def draw(robot: Robot, path: Path) -> None:
    """Draw a robot in its default pose, seen from three sides, into a PNG file."""
    model = load_model(robot, visuals=False)
    data = in_default_pose(model, robot)
    data.qpos[:7] = [0, 0, robot.standing_height, 1, 0, 0, 0]
    mujoco.mj_forward(model, data)
    with theme.figure(1, len(VIEWS), width=5.0, height=5.2) as (figure, plots):
        for axes, view in zip(plots.flat, VIEWS, strict=True):
            _view(axes, robot, model, data, view)
        figure.suptitle(
            f"{robot.name}: {robot.kind}, {robot.mass:.3g} kg, hips {robot.hip_height:.3g} m above the feet"
        )
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
        theme.save(figure, path)


def _view(
    axes: Axes, robot: Robot, model: mujoco.MjModel, data: mujoco.MjData, view: tuple[str, int, int, str, str]
) -> None:
    from matplotlib.patches import Circle, Polygon
    from scipy.spatial import ConvexHull

    title, right, up, across, along = view
    for body in range(2, model.nbody):
        ends = np.array([data.xpos[model.body_parentid[body]], data.xpos[body]])
        axes.plot(ends[:, right], ends[:, up], color="#5b6b7b", linewidth=2, zorder=1)
    for number, leg in enumerate(robot.legs):
        last = data.xanchor[model.joint(robot.joint_names[leg[-1]]).id]
        foot = np.mean(
            [data.site(name).xpos for name in robot.foot_sites[number * robot.points :][: robot.points]], axis=0
        )
        axes.plot([last[right], foot[right]], [last[up], foot[up]], color="#5b6b7b", linewidth=2, zorder=1)
    roles = {"feet": robot.foot_geoms, "knees": robot.knee_geoms, "torso": robot.torso_geoms}
    of = {name: role for role, names in roles.items() for name in names}
    for geom in range(model.ngeom):
        if model.geom_conaffinity[geom] & 1 and model.geom_bodyid[geom]:
            role, centre = of.get(model.geom(geom).name, "other"), data.geom_xpos[geom]
            axes.add_patch(
                Circle((centre[right], centre[up]), model.geom_size[geom, 0], color=COLOURS[role], alpha=0.6)
            )
    joints = np.array([data.xanchor[model.joint(name).id] for name in robot.joint_names])
    axes.scatter(joints[:, right], joints[:, up], s=14, color="black", zorder=3, label="joints")
    for role, colour in COLOURS.items():
        axes.scatter([], [], color=colour, label=f"spheres: {role}")
    centre = data.subtree_com[model.body(robot.base_body).id]
    axes.scatter(centre[right], centre[up], marker="P", s=90, color="#1f4fd8", zorder=4, label="centre of mass")
    feet = np.array([data.site(name).xpos for name in robot.foot_sites])
    if (right, up) == (0, 1):
        corners = feet[ConvexHull(feet[:, :2]).vertices, :2] if len(feet) > 2 else feet[:, :2]
        axes.add_patch(Polygon(corners, alpha=0.15, color="#1f4fd8"))
    else:
        axes.axhline(0.0, color="#999999", linewidth=1)
    axes.scatter([], [], marker="s", color="#1f4fd8", alpha=0.3, label="support polygon")
    axes.set(title=title, xlabel=across, ylabel=along, aspect="equal")
    axes.autoscale_view()
