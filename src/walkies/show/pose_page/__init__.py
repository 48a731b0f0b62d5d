"""`walkies robot view`: a page on which a robot is posed by a slider for each joint, and its default pose saved.

The page draws and asks; kinematics, balance and torques are MuJoCo's, of the model that is trained.
"""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from typing import Any

import numpy as np

from walkies.errors import UserError
from walkies.files import parse_json
from walkies.later import mujoco
from walkies.robots import get_robot, load_model, pose, shape_name
from walkies.robots.base import Robot
from walkies.robots.reading.check import STRAINED
from walkies.robots.standing import Standing, parts_of, standing
from walkies.show.page import SHAPES
from walkies.show.pictures.robot import COLOURS, refresh
from walkies.show.viewer.access import LOOPBACK
from walkies.show.viewer.listener import Port, announce, has_screen, listen
from walkies.terminal import say

LONGEST_MESSAGE = 2**16
"""Characters of one message from a page."""
REQUEST = 'one of {"show": pose} and {"save": pose}'
TOUCHES = 1e-3
"""m: a foot that is less above the ground touches it, as far as words go."""


class Poser:
    """One robot, and the answers to a page's requests for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.read()

    def read(self) -> None:
        """Take the robot as its files have it now."""
        self.robot = get_robot(self.name)
        self.model = load_model(self.robot)
        self.parts = parts_of(self.model, self.robot)
        self.drawn = drawn(self.model, self.parts.base)

    def hello(self) -> dict[str, Any]:
        """What a new page must know; lengths in m, angles in rad. It has what was saved, or changed by hand, since."""
        try:
            self.read()
        except UserError as error:
            return {"refused": str(error)}
        robot = self.robot
        alone = range(robot.num_joints), (1.0,) * robot.num_joints
        images = zip(robot.mirror_joints or alone[0], robot.mirror_signs or alone[1], strict=True)
        facts = zip(robot.joint_names, robot.default_pose, robot.lower_limits, robot.upper_limits, images, strict=True)
        groups = [(name.replace("_", " "), leg) for name, leg in zip(robot.leg_names, robot.legs, strict=True)]
        rest = set(range(robot.num_joints)) - {joint for _, leg in groups for joint in leg}
        return {
            "robot": robot.name,
            "kind": robot.kind,
            "joints": [
                {"name": name, "pose": angle, "lower": low, "upper": high, "mirror": other, "turns": sign}
                for name, angle, low, high, (other, sign) in facts
            ],
            "groups": [*groups, *([("other joints", sorted(rest))] if rest else [])],
            "shapes": [shape(self.model, geom, self._role(geom)) for geom in self.drawn],
            "colours": COLOURS,
            "size": self._size(),
            "instead": "" if pose.own_folder(robot.name) else pose.instead(robot),
        }

    def answer(self, text: str | bytes) -> dict[str, Any]:
        """What a page is told in answer to a message: a pose in numbers, what was saved, or why it is refused."""
        try:
            what, content = request(text)
            if what == "save":
                lines, drawn = said(pose.save(self.name, content)), refresh(self.name)
                return {"saved": lines if drawn is None else [*lines, drawn]}
            return {"shown": self.shown(standing(self.model, self.robot, pose.angles_of(self.robot, content)))}
        except (UserError, OSError) as error:
            return {"refused": str(error)}

    def shown(self, stands: Standing) -> dict[str, Any]:
        """A pose in numbers, z from the ground: places (shapes, 3), turns (shapes, 9), points of the joints, lines of
        the limbs, centre of mass, support, and facts in words."""
        data, model = stands.data, self.model
        up = np.array([0.0, 0.0, stands.height])
        robot, lines = self.robot, []
        feet = np.split(data.geom_xpos[[model.geom(name).id for name in robot.foot_geoms]], len(robot.legs))
        for leg, foot in zip(self.parts.legs, feet, strict=True):
            lines.append([data.xpos[self.parts.base], *data.xanchor[list(leg.joints)], foot.mean(axis=0)])
        return {
            "places": (data.geom_xpos[self.drawn] + up).round(5).tolist(),
            "turns": data.geom_xmat[self.drawn].round(5).tolist(),
            "joints": (data.xanchor[list(self.parts.joints)] + up).round(5).tolist(),
            "lines": [(np.array(line) + up).round(5).tolist() for line in lines],
            "centre": stands.centre.round(5).tolist(),
            "support": stands.support.round(5).tolist(),
            "facts": facts(robot, stands),
            "loads": [load(*pair) for pair in zip(stands.torques, stands.torque_limits, strict=True)],
        }

    def _size(self) -> tuple[float, float]:
        """m, of the default pose: diameter of a ball around all that is drawn, and height of its middle."""
        stands = standing(self.model, self.robot, np.array(self.robot.default_pose))
        places, around = stands.data.geom_xpos[self.drawn], self.model.geom_rbound[self.drawn]
        middle = float((places[:, 2] + around).max() + stands.height) / 2.0
        away = np.linalg.norm(places - np.array([0.0, 0.0, middle - stands.height]), axis=1) + around
        return 2.0 * float(away.max()), middle

    def _role(self, geom: int) -> str:
        """feet, knees or torso; other for what else meets the ground; shape for what does not."""
        robot, name = self.robot, self.model.geom(geom).name
        roles = {"feet": robot.foot_geoms, "knees": robot.knee_geoms, "torso": robot.torso_geoms}
        named = next((role for role, names in roles.items() if name in names), "")
        return named or ("other" if self.model.geom_conaffinity[geom] & 1 else "shape")


def request(text: str | bytes) -> tuple[str, Any]:
    """A page's message, checked: what it asks for and the pose, which is checked where the robot is known.

    Raises:
        UserError: it is none.
    """
    if isinstance(text, bytes) or len(text) > LONGEST_MESSAGE:
        raise UserError(f"the message is not a text of at most {LONGEST_MESSAGE} characters; expected {REQUEST}")
    message = parse_json(text, "the message", REQUEST)
    if not isinstance(message, Mapping) or len(message) != 1 or not set(message) <= {"show", "save"}:
        raise UserError(f"the message asks for something else; expected {REQUEST}")
    return next(iter(message.items()))


def drawn(model: mujoco.MjModel, base: int) -> list[int]:
    """Shapes of the robot that a page can draw; of a mesh it draws the box about it."""
    kinds = {*SHAPES, "mesh"}
    return [
        geom for geom in range(model.ngeom)
        if shape_name(model, geom) in kinds and model.body_rootid[model.geom_bodyid[geom]] == base
    ]  # fmt: skip


def shape(model: mujoco.MjModel, geom: int, role: str) -> dict[str, Any]:
    """A shape in its own frame. m; size as MuJoCo's, middle: of its box, for a mesh."""
    kind, size = shape_name(model, geom), model.geom_size[geom]
    middle = np.zeros(3)
    if kind == "mesh":
        middle, size = model.geom_aabb[geom][:3], model.geom_aabb[geom][3:]
    if kind == "sphere":
        size = np.repeat(size[:1], 3)
    return {"kind": SHAPES.get(kind, "box"), "size": size.tolist(), "middle": middle.tolist(), "role": role}


def facts(robot: Robot, stands: Standing) -> list[tuple[str, str, bool]]:
    """Name, value, and whether it is well, of what a pose is judged by."""
    over = stands.margin >= 0
    share = np.abs(stands.torques) / stands.torque_limits
    most = int(np.argmax(share))
    rows = [
        ("base above the ground", metres(stands.height), True),
        ("hips above the ground", metres(stands.hips), True),
        ("centre of mass", f"{metres(abs(stands.margin))} {'inside' if over else 'outside'} the support", over),
        ("most loaded motor", f"{robot.joint_names[most]}, {share[most]:.0%} of its torque", share[most] <= STRAINED),
    ]
    for name, height in zip(robot.leg_names, stands.feet, strict=True):
        touches = bool(height < TOUCHES)
        rows.append(
            (f"{name.replace('_', ' ')} foot", "on the ground" if touches else f"{metres(height)} above", touches)
        )
    rows += [(name, f"{metres(depth)} below the feet", False) for name, depth in stands.lower.items()]
    return [(name, value, bool(well)) for name, value, well in rows]


def load(torque: float, limit: float) -> tuple[str, bool]:
    """What a joint needs to stand, in words, and whether that leaves enough for walking."""
    share, needed = abs(torque) / limit, f"{round(abs(torque), 2):.3g} N m"
    return f"{needed} ({share:.0%})" if np.isfinite(limit) else needed, bool(share <= STRAINED)


def metres(length: float) -> str:
    return f"{1e3 * length:.1f} mm" if abs(length) < 0.1 else f"{length:.3f} m"


def said(saved: pose.Saved) -> list[str]:
    """What was saved, a sentence or line each."""
    if not saved.changed:
        return [f"{saved.path} has this pose already"]
    lines = [f"{place}: {old} → {new}" for place, (old, new) in saved.changed.items()]
    return [f"Saved in {saved.path}; the next training uses it.", *lines, f"Note: {pose.LEFT}."]


def command(name: str, /, port: Port | None = None, open: bool = True) -> None:
    """View a robot in 3-D, pose it with a slider for each joint, and save the pose as its default pose.

    For every pose the page shows the height of the base, feet on the ground, centre of mass over the support, and
    torques. Saving writes the pose and the heights that follow from it into robots/NAME/robot.toml, as a change by
    hand; the next training uses it. Robots that come with walkies are only shown. The page is served only to this
    machine.

    Args:
        name: Name of the robot (`walkies robot list`).
        port: Port of the page; default: 8012, or the next free one if that is taken.
        open: Open the page in a browser.
    """
    from walkies.show.pose_page.server import PoseServer

    poser = Poser(name)
    if (drawn := refresh(name)) is not None:
        say(drawn)
    listener = listen(LOOPBACK, port)
    server = PoseServer(poser.hello, poser.answer, listener)
    announce(listener.address, LOOPBACK)
    if open and has_screen():
        webbrowser.open(listener.address)
    server.run()
