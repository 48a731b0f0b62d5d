"""The wiggle test: move each joint alone, slowly and a little, to check joint names, order, signs and zeros.

Most first walks fail because a joint is a different one on the robot, or turns the other way. The test is a table of
joint targets that any program can play, with what you should see for each joint by the model's kinematics.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from walkies.files import writing
from walkies.later import mujoco
from walkies.robots import load_model
from walkies.robots.base import Robot

AMPLITUDE = np.deg2rad(6.0)
"""rad: seen by eye, and small enough for a robot that stands on a box."""
RATE = 50.0
"""Rows per second."""
BEFORE, OUT, HOLD, BACK, REST = 3.0, 1.0, 1.0, 1.0, 0.5
"""s in the default pose at first, and of each joint: there, held, back, and still."""
COLUMNS = ("time", "joint", "see")
"""Before those of the joints, which have their names."""
TURNS = 0.15
"""A limb's end that is nearer to the axis than this share of the hips' height is seen to turn rather than to move."""
ALSO = 0.4
"""Share of the largest part of a movement from which on another one is told too."""
WAYS = (("forward", "backward"), ("to the robot's left", "to the robot's right"), ("up", "down"))
"""A movement along x, y, z in the frame of the base, and against it."""
ROLLS = (
    ("rolls to the robot's right", "rolls to the robot's left"),
    ("pitches front down", "pitches front up"),
    ("turns counterclockwise, seen from above", "turns clockwise, seen from above"),
)
"""A turn about x, y, z, and the other way."""


class Wiggle(NamedTuple):
    """One joint's turn."""

    joint: int
    """its place in `Robot.joint_names`"""
    by: float
    """rad from the default pose; negative only where there is no room above"""
    see: str
    """what its limb does while the base is held"""


def wiggles(robot: Robot) -> list[Wiggle]:
    """One for each joint, in the robot's order."""
    model = load_model(robot, visuals=False)
    pose, (lower, upper) = np.array(robot.default_pose), robot.target_limits()
    found = []
    for joint in range(robot.num_joints):
        above, below = upper[joint] - pose[joint], pose[joint] - lower[joint]
        by = min(AMPLITUDE, above) if above >= min(AMPLITUDE, below) else -min(AMPLITUDE, below)
        found.append(Wiggle(joint, float(by), _seen(robot, model, joint, float(by))))
    return found


def sequence(robot: Robot, moves: list[Wiggle]) -> list[tuple[float, Wiggle | None, np.ndarray]]:
    """Rows of time (s), what moves (None: nothing), and all joints' targets (nu,), rad."""
    pose, shape = np.array(robot.default_pose), _shape()
    rows: list[tuple[float, Wiggle | None, np.ndarray]] = []
    for _ in range(round(BEFORE * RATE)):
        rows.append((len(rows) / RATE, None, pose))
    for move in moves:
        away = move.by * np.eye(robot.num_joints)[move.joint]
        for share in shape:
            rows.append((len(rows) / RATE, move, pose + share * away))
    return rows


def _shape() -> np.ndarray:
    """How far a joint is of its way, row by row: speed begins and ends at zero."""

    def smooth(seconds: float) -> np.ndarray:
        share = np.arange(1, round(seconds * RATE) + 1) / round(seconds * RATE)
        return 0.5 - 0.5 * np.cos(np.pi * share)

    still = [np.ones(round(HOLD * RATE)), np.zeros(round(REST * RATE))]
    return np.concatenate([smooth(OUT), still[0], 1.0 - smooth(BACK), still[1]])


def write_csv(path: Path, robot: Robot, moves: list[Wiggle]) -> None:
    """Columns `COLUMNS` and one for each joint, by its name."""
    with writing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *robot.joint_names])
        for time, move, targets in sequence(robot, moves):
            said = (
                ("", "every joint in the default pose") if move is None else (robot.joint_names[move.joint], move.see)
            )
            writer.writerow([f"{time:.2f}", *said, *(f"{angle:.5f}" for angle in targets)])


def _seen(robot: Robot, model: mujoco.MjModel, joint: int, by: float) -> str:
    """What the end of a joint's limb does while the joint turns `by` (rad), in words."""
    name, pose = robot.joint_names[joint], np.array(robot.default_pose)
    before, after = (_posed(robot, model, angles) for angles in (pose, pose + by * np.eye(len(pose))[joint]))
    axis, anchor = before.xaxis[model.joint(name).id], before.xanchor[model.joint(name).id]
    leg = next((leg for leg, joints in enumerate(robot.legs) if joint in joints), None)
    if leg is not None:
        sites = [model.site(site).id for site in robot.foot_sites[leg * robot.points : (leg + 1) * robot.points]]
        what, start, end = f"{robot.leg_names[leg]} foot", before.site_xpos[sites], after.site_xpos[sites]
    else:
        body = _farthest(model, before, int(model.joint(name).bodyid[0]), axis, anchor)
        what, start, end = model.body(body).name, before.xipos[[body]], after.xipos[[body]]
    frame = before.body(robot.base_body).xmat.reshape(3, 3)
    move, turn = (end - start).mean(axis=0) @ frame, by * axis @ frame
    if np.linalg.norm(move) < TURNS * robot.hip_height * abs(by):
        return f"{what} {_words(turn, ROLLS)[0]}"
    return f"{what} moves {' and '.join(_words(move, WAYS))} by {100 * np.linalg.norm(move):.1f} cm"


def _words(vector: np.ndarray, words: tuple[tuple[str, str], ...]) -> list[str]:
    """Those of its largest part, and of others that are nearly as large."""
    order = np.argsort(-np.abs(vector))
    large = [i for i in order if abs(vector[i]) >= ALSO * abs(vector[order[0]])]
    return [words[i][int(vector[i] < 0)] for i in large]


def _posed(robot: Robot, model: mujoco.MjModel, angles: np.ndarray) -> mujoco.MjData:
    """The robot with these joint angles, rad."""
    data = mujoco.MjData(model)
    for name, angle in zip(robot.joint_names, angles, strict=True):
        data.qpos[model.joint(name).qposadr] = angle
    mujoco.mj_kinematics(model, data)
    return data


def _farthest(model: mujoco.MjModel, data: mujoco.MjData, root: int, axis: np.ndarray, anchor: np.ndarray) -> int:
    """The body beyond a joint that is farthest from its axis."""
    beyond = {root}
    for body in range(root + 1, model.nbody):  # parents come before their children
        if int(model.body_parentid[body]) in beyond:
            beyond.add(body)
    return max(beyond, key=lambda body: float(np.linalg.norm(np.cross(axis, data.xipos[body] - anchor))))
