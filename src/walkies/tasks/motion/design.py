"""A movement designed by keyframes: poses of the trunk and of lifted feet → foot positions → joint angles.

A design is a TOML file. Its lengths are in hip heights of the standing robot, so that one design serves robots of any
size, and its feet are chosen by where they are: `examples/` has some. Between keyframes every number follows a cubic
that overshoots nowhere and rests at the first keyframe and at the last (Fritsch & Butland 1984).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from walkies.errors import UserError
from walkies.files import read_toml, shown
from walkies.later import mujoco
from walkies.quaternions import rotation_of
from walkies.robots.base import Robot
from walkies.tasks.gait.kinematics import Legs
from walkies.tasks.motion.movement import Clip, Movement

FPS = 50.0
"""Frames per second: one for each action of a policy."""
PLACE, TURN = ("forward", "left", "up"), ("roll", "pitch", "yaw")
"""Of the trunk against how it stands: hip heights; degrees, positive with the right side down, the nose down, and
turned left. Of a foot only the place."""
WORDS = ("front", "middle", "rear", "left", "right")
"""By which feet are chosen, joined by hyphens: `front-left` is one of four, `left` all on that side."""
MOST_SECONDS = 120.0
"""Of a clip."""
EXPECTED = "the design of a movement (docs/tricks.md says how to write one)"


class Design(NamedTuple):
    """A movement, and where its trunk was meant to be."""

    movement: Movement
    base: np.ndarray
    """(T, 3) m of the trunk's origin, in the world"""


def read(path: Path, robot: Robot, model: mujoco.MjModel) -> Design:
    """The design in a TOML file, for a robot, whose model it is.

    Raises:
        UserError: it is no such file, or a leg of the robot does not reach a point of it.
    """
    content, stance = read_toml(path, EXPECTED), Stance(robot, model)
    name, tables = content.get("name", path.stem), content.get("clips")
    _refuse_unknown(content, {"name", "clips"}, str(path))
    if not isinstance(name, str) or not _is_tables(tables):
        raise UserError(f"{path}: expected a `name` and at least one [[clips]]; docs/tricks.md has examples")
    sketches = [_sketch(table, f"{path}: clip {index}", stance) for index, table in enumerate(tables, start=1)]
    _refuse_jumps(sketches, str(path))
    clips, columns, start = list[Clip](), list[tuple[np.ndarray, ...]](), 0
    for sketch in sketches:
        columns.append(_frames(sketch, stance, f"{path}: clip {sketch.clip.name}"))
        clips.append(replace(sketch.clip, start=start, end=start + len(columns[-1][0])))
        start = clips[-1].end
    angles, speeds, orientation, base = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Design(Movement(name, FPS, angles, speeds, orientation, tuple(clips)), base)


class Stance:
    """How a robot stands in its default pose, and where that has its feet."""

    def __init__(self, robot: Robot, model: mujoco.MjModel) -> None:
        self.robot, self.legs, self.height = robot, Legs(robot, model), robot.hip_height
        feet = self.legs.feet(np.array(robot.default_pose))
        radius = float(model.geom(robot.foot_geoms[0]).size[0])
        self.base = np.array([0.0, 0.0, radius - feet[:, 2].min()])
        """(3,) m"""
        self.feet = feet + self.base
        """(legs, 3) m, in the world"""
        self.places = _places(feet)
        """Of each foot the words that choose it."""

    def chosen(self, name: str, where: str) -> np.ndarray:
        """Indices of the legs that a name such as `front-left` chooses."""
        words = set(name.split("-"))
        found = np.array([leg for leg, place in enumerate(self.places) if words <= place], int)
        if not found.size:
            there = ", ".join("-".join(word for word in WORDS if word in place) for place in self.places)
            raise UserError(f"{where}: no foot of {self.robot.name} is {shown(name)}; it has {there}")
        return found


def _places(feet: np.ndarray) -> list[set[str]]:
    """Of each foot (legs, 3) whether it is left or right, and front, middle or rear on its side."""
    places: list[set[str]] = [{"left" if y > 0 else "right"} for y in feet[:, 1]]
    for side in ("left", "right"):
        own = sorted((leg for leg, place in enumerate(places) if side in place), key=lambda leg: -feet[leg, 0])
        for order, leg in enumerate(own):
            if len(own) > 1:
                places[leg].add("front" if order == 0 else "rear" if order == len(own) - 1 else "middle")
    return places


@dataclass(frozen=True)
class Sketch:
    """A clip as it is written down: when, and in which pose."""

    clip: Clip
    seconds: np.ndarray
    """(K,)"""
    values: np.ndarray
    """(K, 6 + 3 legs): PLACE and TURN of the trunk, then PLACE of each foot"""


def _sketch(table: Mapping[str, Any], where: str, stance: Stance) -> Sketch:
    _refuse_unknown(table, {"name", "loop", "next", "keys"}, where)
    name, following, loop, keys = (table.get(key) for key in ("name", "next", "loop", "keys"))
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: name: got {shown(name)}, expected the clip's name")
    if loop not in (None, True, False) or not (following is None or isinstance(following, str)):
        raise UserError(f"{where}: expected `loop` true or false, and `next` the name of a clip")
    if not _is_tables(keys) or len(keys) < 2:
        raise UserError(f"{where}: expected at least two [[clips.keys]], each with its `seconds`")
    rows = [_key(key, f"{where}, key {index}", stance) for index, key in enumerate(keys, start=1)]
    seconds = np.array([row[0] for row in rows])
    if seconds[0] != 0.0 or (np.diff(seconds) <= 0.0).any() or seconds[-1] > MOST_SECONDS:
        got = ", ".join(f"{one:g}" for one in seconds)
        raise UserError(f"{where}: seconds of its keys: got {got}; expected 0 and then more, to {MOST_SECONDS:g}")
    return Sketch(Clip(name, 0, 0, bool(loop), following), seconds, np.array([row[1] for row in rows]))


def _key(key: Mapping[str, Any], where: str, stance: Stance) -> tuple[float, np.ndarray]:
    """When, and the row of `Sketch.values`; what is not given is as the robot stands."""
    _refuse_unknown(key, {"seconds", "feet", *PLACE, *TURN}, where)
    trunk = [_number(key.get(name, 0.0), f"{where}: {name}") for name in (*PLACE, *TURN)]
    feet = np.zeros((len(stance.feet), 3))
    moved = key.get("feet", {})
    if not isinstance(moved, Mapping):
        raise UserError(f"{where}: feet: got {shown(moved)}, expected a table such as {{front-left = {{up = 0.3}}}}")
    for name, place in moved.items():
        if not isinstance(place, Mapping):
            raise UserError(f"{where}: feet.{name}: got {shown(place)}, expected a table such as {{up = 0.3}}")
        _refuse_unknown(place, set(PLACE), f"{where}: feet.{name}")
        numbers = [_number(place.get(axis, 0.0), f"{where}: feet.{name}.{axis}") for axis in PLACE]
        feet[stance.chosen(name, where)] = numbers
    return _number(key.get("seconds"), f"{where}: seconds"), np.concatenate([trunk, feet.ravel()])


def _frames(sketch: Sketch, stance: Stance, where: str) -> tuple[np.ndarray, ...]:
    """Of each frame (T, …): joint angles, their speeds, orientation and place of the trunk."""
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    count = round(float(sketch.seconds[-1]) * FPS) + 1
    times = np.minimum(np.arange(count) / FPS, sketch.seconds[-1])
    smooth = PchipInterpolator(sketch.seconds, sketch.values)
    slopes = smooth.derivative()(sketch.seconds)
    slopes[[0, -1]] = 0.0
    curve = CubicHermiteSpline(sketch.seconds, sketch.values, slopes)(times)
    base = stance.base + stance.height * curve[:, :3]
    orientation = _quaternion(*np.radians(curve[:, 3:6]).T)
    feet = stance.feet + stance.height * curve[:, 6:].reshape(count, -1, 3)
    seen = np.einsum("tji,tlj->tli", rotation_of(orientation), feet - base[:, None])
    angles: list[np.ndarray] = []
    for time, points in zip(times, seen, strict=True):
        try:
            angles.append(stance.legs.angles(points, angles[-1] if angles else None))
        except UserError as error:
            raise UserError(f"{where}, at {time:.2f} s: {error}") from error
    return np.array(angles), np.gradient(np.array(angles), 1.0 / FPS, axis=0), orientation, base


def _quaternion(roll: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """(T, 4): first roll, then pitch, then yaw, about the world's axes."""
    cr, cp, cy = (np.cos(0.5 * angle) for angle in (roll, pitch, yaw))
    sr, sp, sy = (np.sin(0.5 * angle) for angle in (roll, pitch, yaw))
    parts = (cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy, cr * sp * cy + sr * cp * sy)
    return np.stack([*parts, cr * cp * sy - sr * sp * cy], axis=-1)


def _refuse_jumps(sketches: list[Sketch], where: str) -> None:
    """Refuse clips of the same name, and those whose end is not where what follows begins."""
    first = {sketch.clip.name: sketch.values[0] for sketch in sketches}
    if len(first) < len(sketches):
        raise UserError(f"{where}: two clips have the same name; expected a name of its own for each")
    for sketch in sketches:
        clip = sketch.clip
        if clip.next is not None and clip.next not in first:
            raise UserError(f"{where}: clip {clip.name}: next is {shown(clip.next)}, expected one of {_list(first)}")
        following = clip.name if clip.loop else clip.next
        if following is not None and not np.allclose(sketch.values[-1], first[following], atol=1e-9):
            raise UserError(
                f"{where}: clip {clip.name} ends in another pose than {following}, which follows, begins with; make "
                "its last key like that clip's first"
            )


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(map(shown, names))


def _is_tables(value: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where}: got {shown(value)}, expected a number")
    return float(value)


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in sorted(set(table) - known):
        raise UserError(f"{where}: {shown(name)} is unknown; expected {', '.join(sorted(known))}")


def places() -> Iterator[Path]:
    """The designs that come with walkies."""
    return iter(sorted((Path(__file__).parent / "examples").glob("*.toml")))
